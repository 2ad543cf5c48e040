package guard

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pages answers everything.
func pages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
}

func headers(t *testing.T, hsts time.Duration) http.Handler {
	t.Helper()
	wrap, err := Headers(HeadersConfig{Proxies: proxies(t, "", "10.0.0.0/8"), HSTS: hsts})
	if err != nil {
		t.Fatal(err)
	}
	return wrap(pages())
}

func TestHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	headers(t, time.Hour).ServeHTTP(w, asked("192.0.2.1:1", headerForwardedProto, "https"))
	want := http.Header{
		"Content-Security-Policy": {"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
			"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
		"Referrer-Policy":              {"no-referrer"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
	}
	got := w.Header().Clone()
	if p := got.Get("Permissions-Policy"); !strings.Contains(p, "geolocation=()") || strings.Contains(p, "clipboard") {
		t.Errorf("Permissions-Policy: %q", p)
	}
	got.Del("Permissions-Policy")
	got.Del("Content-Type")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHSTS: only who came over TLS is told to stay there.
func TestHSTS(t *testing.T) {
	over := func(r *http.Request) *http.Request { r.TLS = new(tls.ConnectionState); return r }
	for _, tt := range []struct {
		name string
		hsts time.Duration
		r    *http.Request
		want string
	}{
		{"plain", time.Hour, asked("192.0.2.1:1", "X-Other"), ""},
		{"says so itself", time.Hour, asked("192.0.2.1:1", headerForwardedProto, "https"), ""},
		{"TLS", time.Hour, over(asked("192.0.2.1:1", "X-Other")), "max-age=3600"},
		{"proxy", time.Hour, asked("10.0.0.1:1", headerForwardedProto, "https"), "max-age=3600"},
		{"off", 0, over(asked("192.0.2.1:1", "X-Other")), ""},
	} {
		w := httptest.NewRecorder()
		headers(t, tt.hsts).ServeHTTP(w, tt.r)
		if got := w.Header().Get("Strict-Transport-Security"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHeadersConfig(t *testing.T) {
	for _, cfg := range []HeadersConfig{{}, {Proxies: proxies(t, ""), HSTS: -1}} {
		if _, err := Headers(cfg); err == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
}

func TestCORS(t *testing.T) {
	h := CORS(CORSConfig{
		Open:   []string{"/api/v1/", "/openapi.yaml"},
		Closed: []string{"/api/v1/login", "/api/v1/settings/"},
	})(pages())
	read := http.Header{
		"Access-Control-Allow-Origin":   {"*"},
		"Access-Control-Expose-Headers": {"ETag, Link, Retry-After, RateLimit, RateLimit-Policy"},
		"Cross-Origin-Resource-Policy":  {"cross-origin"},
	}
	preflight := http.Header{
		"Access-Control-Allow-Origin":  {"*"},
		"Access-Control-Allow-Methods": {"GET, HEAD"},
		"Access-Control-Allow-Headers": {"Authorization, If-None-Match, Last-Event-ID"},
		"Access-Control-Max-Age":       {"7200"},
	}
	for _, tt := range []struct {
		method, path, asks string
		want               http.Header
		status             int
	}{
		{http.MethodGet, "/api/v1/pool", "", read, 200},
		{http.MethodHead, "/openapi.yaml", "", read, 200},
		{http.MethodOptions, "/api/v1/pool", http.MethodGet, preflight, 204},
		{http.MethodOptions, "/api/v1/pool", http.MethodHead, preflight, 204},
		{http.MethodOptions, "/api/v1/pool", http.MethodPut, nil, 200},
		{http.MethodOptions, "/api/v1/pool", "", nil, 200},
		{http.MethodPost, "/api/v1/pool", "", nil, 200},
		{http.MethodGet, "/api/v1/login", "", nil, 200},
		{http.MethodOptions, "/api/v1/login", http.MethodGet, nil, 200},
		{http.MethodGet, "/api/v1/settings/payout", "", nil, 200},
		{http.MethodGet, "/", "", nil, 200},
		{http.MethodPost, "/", "", nil, 200},
		{http.MethodGet, "/openapi.yaml2", "", nil, 200},
		{http.MethodGet, "/api/v1", "", nil, 200},
	} {
		r := httptest.NewRequest(tt.method, tt.path, http.NoBody)
		r.Header.Set("Origin", "https://other.example")
		if tt.asks != "" {
			r.Header.Set("Access-Control-Request-Method", tt.asks)
			r.Header.Set("Access-Control-Request-Headers", "authorization")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Clone()
		got.Del("Content-Type")
		if len(got) == 0 {
			got = nil
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || w.Code != tt.status {
			t.Errorf("%s %s %s: %d %s", tt.method, tt.path, tt.asks, w.Code, diff)
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: credentials", tt.method, tt.path)
		}
	}
}

// TestCORSOpensHeaders: what Headers closed for pages, CORS opens for what is public.
func TestCORSOpensHeaders(t *testing.T) {
	wrap, err := Headers(HeadersConfig{Proxies: proxies(t, "")})
	if err != nil {
		t.Fatal(err)
	}
	h := wrap(CORS(CORSConfig{Open: []string{"/api/v1/"}})(pages()))
	for path, want := range map[string]string{"/api/v1/pool": "cross-origin", "/": "same-origin"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if got := w.Header().Get("Cross-Origin-Resource-Policy"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
