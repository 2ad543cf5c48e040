package deploy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api"
)

// TestCaddyfile has Caddy read its configuration, as it is and with a host's name, and wants it well formatted.
func TestCaddyfile(t *testing.T) {
	caddy, file := tool(t, "caddy", "caddy"), filepath.Join(root, "deploy/caddy/Caddyfile")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, site := range []string{"", "http://:9332, pool.example.org"} {
		if site != "" {
			t.Setenv("GBTPOOL_SITE", site)
		}
		must(t, ".", caddy, "validate", "--adapter", "caddyfile", "--config", file)
	}
	if got := must(t, ".", caddy, "fmt", file); got != read(t, "deploy/caddy/Caddyfile") {
		t.Error("caddy fmt --overwrite deploy/caddy/Caddyfile has something to do")
	}
}

// upstream stands for a gateway behind Caddy.
type upstream struct {
	*httptest.Server
	ready atomic.Bool
	// news ends the long polls that wait; gone counts those whose client hung up, posts the submissions.
	news        chan struct{}
	gone, posts atomic.Int32
	// slow is told when a slow submission has come, and what became of its context.
	slow chan error
}

// newUpstream starts one whose long polls send a byte every beat.
func newUpstream(t *testing.T, beat time.Duration) *upstream {
	t.Helper()
	u := &upstream{news: make(chan struct{}), slow: make(chan error)}
	u.ready.Store(true)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !u.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, _ *http.Request) {
		u.posts.Add(1)
		_, _ = io.WriteString(w, "submitted")
	})
	mux.HandleFunc("POST /slow", func(_ http.ResponseWriter, r *http.Request) {
		u.slow <- nil
		time.Sleep(10 * beat) // what it does takes that long
		u.slow <- r.Context().Err()
	})
	mux.HandleFunc("GET /address", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header.Values("X-Forwarded-For"), ",")+"|"+r.Header.Get("Forwarded")+r.Header.Get("X-Real-Ip"))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	mux.HandleFunc("GET /poll", func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		for {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = out.Flush() // the next write tells
			select {
			case <-time.After(beat):
			case <-u.news:
				_, _ = io.WriteString(w, "news")
				return
			case <-r.Context().Done():
				u.gone.Add(1)
				return
			}
		}
	})
	u.Server = httptest.NewServer(mux)
	t.Cleanup(u.Close)
	return u
}

// newCaddy starts Caddy before gateways and returns its URL.
func newCaddy(t *testing.T, gateways ...*upstream) string {
	t.Helper()
	port, hosts := freePort(t), make([]string, len(gateways))
	for i, g := range gateways {
		hosts[i] = strings.TrimPrefix(g.URL, "http://")
	}
	// The port of the container's health check is fixed, and may be taken here.
	text := strings.ReplaceAll(read(t, "deploy/caddy/Caddyfile"), "http://127.0.0.1:2020", "http://127.0.0.1:"+freePort(t))
	background(t, []string{
		"GBTPOOL_SITE=http://:" + port, "GBTPOOL_GATEWAYS=" + strings.Join(hosts, " "), "XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir(),
	}, tool(t, "caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", write(t, t.TempDir(), "Caddyfile", text))
	url := "http://127.0.0.1:" + port
	await(t, "Caddy", func() bool {
		status, _ := ask(t, http.MethodGet, url+"/address")
		return status == http.StatusOK
	})
	return url
}

// ask sends a request and returns the status, 0 if there was none, and the body.
func ask(t *testing.T, method, url string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || res.Body.Close() != nil {
		return 0, ""
	}
	return res.StatusCode, string(text)
}

// TestCaddy: what clients say of their address does not reach the gateway, what operators look at is not for the
// world, and a gateway that is not ready gets nothing while the other one serves.
func TestCaddy(t *testing.T) {
	a, b := newUpstream(t, time.Second), newUpstream(t, time.Second)
	url := newCaddy(t, a, b)
	_, got := ask(t, http.MethodGet, url+"/address", "X-Forwarded-For", "6.6.6.6", "X-Real-IP", "6.6.6.6", "Forwarded", "for=6.6.6.6")
	if got != "127.0.0.1|" {
		t.Errorf("the gateway hears of the address %q", got)
	}
	for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
		if status, body := ask(t, http.MethodGet, url+path); status != http.StatusNotFound || body != "" {
			t.Errorf("%s says %d %q to the world", path, status, body)
		}
	}
	a.ready.Store(false)
	await(t, "the gateway that is not ready to be left", func() bool {
		before := a.posts.Load()
		for range 10 {
			if status, body := ask(t, http.MethodPost, url+"/"); status != http.StatusOK || body != "submitted" {
				t.Fatalf("a submission gets %d %q", status, body)
			}
		}
		return a.posts.Load() == before
	})
}

// TestCaddyLongPolls: keep-alive bytes come through at once, news too, and a client that hangs up does not leave its
// long poll behind.
func TestCaddyLongPolls(t *testing.T) {
	const beat = 50 * time.Millisecond
	u := newUpstream(t, beat)
	url := newCaddy(t, u)
	poll := func(ctx context.Context) io.ReadCloser {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/poll", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res.Body
	}
	left, leave := context.WithCancel(t.Context())
	abandoned, waiting := poll(left), poll(t.Context())
	for range 5 { // one by one, as they are sent
		if n, err := waiting.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatalf("a keep-alive byte: %d, %v", n, err)
		}
	}
	leave()
	_ = abandoned.Close() // it was cut off
	await(t, "the abandoned long poll to end", func() bool { return u.gone.Load() == 1 })
	close(u.news)
	rest, err := io.ReadAll(waiting)
	if err != nil || strings.TrimSpace(string(rest)) != "news" {
		t.Errorf("the other gets %q, %v", rest, err)
	}
	if err := waiting.Close(); err != nil {
		t.Error(err)
	}
}

// TestCaddySubmissions: what a client has sent is judged to the end, though the client hangs up.
func TestCaddySubmissions(t *testing.T) {
	u := newUpstream(t, 50*time.Millisecond)
	url := newCaddy(t, u)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/slow", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req); err == nil {
			_ = res.Body.Close()
			t.Error("the client has its answer before it hangs up")
		}
	}()
	if err := <-u.slow; err != nil {
		t.Error(err)
	}
	leave()
	<-left
	if err := <-u.slow; err != nil {
		t.Errorf("the submission was cut off: %v", err)
	}
}

// TestCaddyTimes: nothing in the configuration ends a request that waits, and kept connections end before the
// gateways' three minutes do.
func TestCaddyTimes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/caddy/Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch fields := strings.Fields(line); {
		case len(fields) == 0 || fields[0] == "#":
		case fields[0] == "read_timeout", fields[0] == "write_timeout", fields[0] == "response_header_timeout",
			fields[0] == "read_body", fields[0] == "write", fields[0] == "stream_timeout":
			t.Errorf("%s cuts long polls or slow bodies", fields[0])
		case fields[0] == "keepalive":
			if d, err := time.ParseDuration(fields[1]); err != nil || d >= api.DefaultLimits().Idle {
				t.Errorf("kept connections live %s, the gateways' %s: %v", fields[1], api.DefaultLimits().Idle, err)
			}
		}
	}
}
