package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestHealthcheck asks servers that are well, not ready, silent and gone.
func TestHealthcheck(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("no template\n"))
		case "/silent":
			<-hang
		default:
			_, _ = w.Write([]byte("ok\n"))
		}
	}))
	defer server.Close()
	defer close(hang)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tt := range map[string]struct{ url, out, err string }{
		"well":      {server.URL + "/healthz", "ok\n", ""},
		"not ready": {server.URL + "/readyz", "no template\n", "503"},
		"silent":    {server.URL + "/silent", "", "deadline"},
		"gone":      {gone.URL, "", "refused"},
		"no url":    {"http://[", "", "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			out, text := paper(false)
			c := &healthcheckCmd{URL: tt.url, Timeout: 200 * time.Millisecond}
			err := c.Run(t.Context(), out)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %q", err, tt.err)
			}
			if text.String() != tt.out {
				t.Errorf("it prints %q, want %q", text.String(), tt.out)
			}
		})
	}
}
