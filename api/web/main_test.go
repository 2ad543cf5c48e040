package web_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler returns the pages of a pool.
func handler(t *testing.T, p *fixtures.Pool, change ...func(*web.Config)) http.Handler {
	t.Helper()
	cfg := fixtures.Config(p)
	for _, f := range change {
		f(&cfg)
	}
	pages, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pages.Handler()
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
	sent   int // bytes on the wire
}

// send sends a request as a browser does.
func send(t *testing.T, h http.Handler, r *http.Request) answer {
	t.Helper()
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out := answer{status: w.Code, header: w.Header(), sent: w.Body.Len()}
	var body io.Reader = w.Body
	if w.Header().Get("Content-Encoding") == "gzip" && w.Body.Len() > 0 {
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	out.body = string(text)
	return out
}

// get asks for a page, with cookies.
func get(t *testing.T, h http.Handler, path string, cookies ...string) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range cookies {
		r.Header.Add("Cookie", c)
	}
	return send(t, h, r)
}

// post sends a form, as a page of the pool does.
func post(t *testing.T, h http.Handler, path string, form url.Values, cookies ...string) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range cookies {
		r.Header.Add("Cookie", c)
	}
	return send(t, h, r)
}

// golden compares text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(bytes.TrimSpace(want)), "\n"), strings.Split(strings.TrimSpace(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", name, diff)
	}
}

const (
	session = "gbtpool_session=" + fixtures.Token
	account = "/accounts/" + fixtures.Miner
)
