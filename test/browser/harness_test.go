package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// patience is how long anything on a page may take, on a machine that is busy.
const patience = 30 * time.Second

// chromium is one browser for all tests.
var chromium context.Context

func TestMain(m *testing.M) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		fmt.Fprintln(os.Stderr, "the browser tests need Chromium: install Debian's package chromium")
		os.Exit(1)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	tabs, end := chromedp.NewContext(allocator)
	chromium = tabs //nolint:fatcontext // it is set once, before any test
	if err := chromedp.Do(chromium); err != nil {
		fmt.Fprintln(os.Stderr, "chromium does not start:", err)
		os.Exit(1)
	}
	code := m.Run()
	end()
	stop()
	os.Exit(code)
}

// site is a pool's dashboard, with events that tests send.
type site struct {
	url    string
	pool   *fixtures.Pool
	events chan string // sent to one of those who listen
	opened chan struct{}
	closed chan struct{}
}

// serve starts the dashboard of a pool.
func serve(t *testing.T, pool *fixtures.Pool, change ...func(*web.Config)) *site {
	t.Helper()
	cfg := fixtures.Config(pool)
	for _, f := range change {
		f(&cfg)
	}
	pages, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{pool: pool, events: make(chan string), opened: make(chan struct{}, 100), closed: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.Handle("/", pages.Handler())
	mux.HandleFunc("/api/v1/events", s.stream)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	s.url = server.URL
	return s
}

// stream is the API's stream of events.
func (s *site) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, ": hello\n\n")
	_ = http.NewResponseController(w).Flush()
	s.opened <- struct{}{}
	defer func() { s.closed <- struct{}{} }()
	for {
		select {
		case kind := <-s.events:
			if kind == "break" {
				return
			}
			_, _ = fmt.Fprintf(w, "event: %s\nid: 1-1\ndata: {}\n\n", kind)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// tab is a tab of the browser, with cookies of its own.
type tab struct {
	context.Context

	t     *testing.T
	again bool // pages have been looked at with axe-core before

	mu       sync.Mutex
	console  []string
	requests []string
}

// look is how a tab looks at pages.
type look struct {
	width int64
	theme string // light or dark
}

func (l look) String() string { return fmt.Sprintf("%d-%s", l.width, l.theme) }

// open opens a tab.
func open(t *testing.T, l look) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, end := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(end)
	b.Context = ctx
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // not with a deadline: the tab would end with it
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	b.as(l)
	return b
}

// as changes how the tab looks at pages.
func (b *tab) as(l look) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 900, DeviceScaleFactor: 1})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}}})
}

// hear notes what pages write to the console and ask of servers.
func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, ev.ExceptionDetails.Text)
		if e := ev.ExceptionDetails.Exception; e != nil {
			b.console = append(b.console, e.Description)
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			b.console = append(b.console, fmt.Sprint("console: ", ev.Args))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			b.console = append(b.console, ev.Entry.Text+" "+ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, ev.Request.URL)
	}
}

// heard returns what was noted since the last call.
func (b *tab) heard() (console, requests []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	console, requests = b.console, b.requests
	b.console, b.requests = nil, nil
	return console, requests
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func run[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func call[P, R any](b *tab, cmd cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	v, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		b.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return v
}

// eval returns the value of a JavaScript expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// await waits until a JavaScript expression is true.
func (b *tab) await(expression string) {
	b.t.Helper()
	run(b, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
}

// quiet fails if a page has written to the console, or asked another server.
func (b *tab) quiet(url, name string) {
	b.t.Helper()
	console, requests := b.heard()
	for _, line := range console {
		b.t.Errorf("%s: the console has %q", name, line)
	}
	for _, r := range requests {
		if !strings.HasPrefix(r, url+"/") && !strings.HasPrefix(r, "data:") && r != "about:blank" {
			b.t.Errorf("%s asks %s", name, r)
		}
	}
}

// screenshot writes a picture of the page.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("GBTPOOL_SCREENSHOTS")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin", "screenshots")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	size := call(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	beyond := true
	got := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond, Clip: &page.Viewport{Width: size.Width, Height: min(size.Height, 4000), Scale: 1},
	})
	if err := os.WriteFile(filepath.Join(dir, name+".png"), got.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
