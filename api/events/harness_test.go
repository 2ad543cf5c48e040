package events

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventLog is a Source in memory.
type eventLog struct {
	mu      sync.Mutex
	all     []shares.Event
	trimmed place // the newest place that is not kept
	last    place
	away    error
	watched []watchCall
	reads   int
}

type watchCall struct {
	accounts []string
	d        time.Duration
}

func (l *eventLog) After(_ context.Context, id string, most int) ([]shares.Event, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.away != nil {
		return nil, false, l.away
	}
	at, err := parsePlace(id)
	if err != nil {
		return nil, false, err
	}
	var out []shares.Event
	for _, e := range l.all {
		if p, err := parsePlace(e.ID); err != nil || p.after(at) && len(out) < most {
			out = append(out, e)
		}
	}
	return out, l.trimmed.after(at) || at.after(l.last), nil
}

func (l *eventLog) Last(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away != nil {
		return "", l.away
	}
	if l.last == (place{}) {
		return "", nil
	}
	return l.last.String(), nil
}

func (l *eventLog) Watch(_ context.Context, accounts []string, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away != nil {
		return l.away
	}
	l.watched = append(l.watched, watchCall{slices.Clone(accounts), d})
	return nil
}

// tell puts an event into the log, whether or not the log answers, and returns its ID.
func (l *eventLog) tell(kind, account, data string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{millis: uint64(time.Now().UnixMilli())}
	if !at.after(l.last) {
		at = place{l.last.millis, l.last.seq + 1}
	}
	l.last = at
	l.all = append(l.all, shares.Event{ID: at.String(), Kind: kind, Account: account, Data: []byte(data), Time: time.Now()})
	return at.String()
}

// trim forgets all but the newest events.
func (l *eventLog) trim(keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.all) > keep {
		l.trimmed, _ = parsePlace(l.all[0].ID)
		l.all = l.all[1:]
	}
}

// lose forgets the newest events, as a Redis does that another takes over from.
func (l *eventLog) lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = l.all[:len(l.all)-n]
	l.last, _ = parsePlace(l.all[len(l.all)-1].ID)
}

func (l *eventLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = err
}

func (l *eventLog) watchCalls() []watchCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.watched)
}

// callerKey is the context key of the account that a test's token is of.
type callerKey struct{}

// gateway is a Hub behind an HTTP server on connections in memory.
type gateway struct {
	*Hub
	t     *testing.T
	conns chan net.Conn
	// stop ends the Hub and then the server. It may be called again.
	stop func() error
}

// newGateway runs a gateway until the test ends.
func newGateway(t *testing.T, source Source, change ...func(*Limits)) *gateway {
	t.Helper()
	limits := DefaultLimits()
	for _, f := range change {
		f(&limits)
	}
	h, err := New(Config{
		Source: source,
		Caller: func(ctx context.Context) (string, bool) {
			account, ok := ctx.Value(callerKey{}).(string)
			return account, ok
		},
		Client: func(r *http.Request) string { return r.Header.Get("X-Test-Client") },
		Problem: func(w http.ResponseWriter, status int, detail string) {
			http.Error(w, detail, status)
		},
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Hub: h, t: t, conns: make(chan net.Conn)}
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// As the door does it: a deadline for requests as they usually are.
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				panic(err)
			}
			if account := r.Header.Get("X-Test-Account"); account != "" {
				r = r.WithContext(context.WithValue(r.Context(), callerKey{}, account))
			}
			h.ServeHTTP(w, r)
		}),
	}
	l := &pipeListener{conns: g.conns, closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	hub, served := make(chan error, 1), make(chan error, 1)
	go func() { hub <- h.Run(ctx) }()
	go func() { served <- srv.Serve(l) }()
	g.stop = sync.OnceValue(func() error {
		cancel()
		err := <-hub
		within, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, srv.Shutdown(within))
		if fault := <-served; !errors.Is(fault, http.ErrServerClosed) {
			err = errors.Join(err, fault)
		}
		return err
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// pipeListener accepts connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// request is what a client asks for.
type request struct{ query, account, client, last string }

// client is an open stream, read as HTML, section 9.2.6, has it.
type client struct {
	t      *testing.T
	conn   net.Conn
	res    *http.Response
	events chan message // closed at the end
	// All below is held by mu.
	mu       sync.Mutex
	last     string // the last event ID
	retry    string
	comments int
	err      error // how the stream ended; nil for its regular end
}

// message is an event as a client gets it.
type message struct{ id, kind, data string }

// dial sends a request and reads the header of the answer.
func (g *gateway) dial(r request) *client {
	g.t.Helper()
	c, server := net.Pipe()
	g.conns <- server
	var head strings.Builder
	fmt.Fprintf(&head, "GET /api/v1/events%s HTTP/1.1\r\nHost: pool\r\nX-Test-Client: %s\r\n", r.query, r.client)
	if r.account != "" {
		fmt.Fprintf(&head, "X-Test-Account: %s\r\n", r.account)
	}
	if r.last != "" {
		fmt.Fprintf(&head, "Last-Event-ID: %s\r\n", r.last)
	}
	if _, err := io.WriteString(c, head.String()+"\r\n"); err != nil {
		g.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = c.Close()
		_ = res.Body.Close()
	})
	return &client{t: g.t, conn: c, res: res, events: make(chan message, 4096), last: r.last}
}

// open opens a stream and reads it until it ends or the client closes.
func (g *gateway) open(r request) *client {
	g.t.Helper()
	c := g.dial(r)
	if c.res.StatusCode != http.StatusOK {
		g.t.Fatalf("answered %s", c.res.Status)
	}
	go c.read()
	return c
}

func (c *client) read() {
	defer close(c.events)
	lines := bufio.NewReader(c.res.Body)
	var m message
	id := c.lastID() // it counts once its event is whole
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			c.mu.Lock()
			if !errors.Is(err, io.EOF) || line != "" {
				c.err = fmt.Errorf("%w after %q", err, line)
			}
			c.mu.Unlock()
			return
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		c.mu.Lock()
		switch {
		case line == "":
			c.last = id
			if m.data != "" {
				m.id = id
				c.events <- m
			}
			m = message{}
		case field == "":
			c.comments++
		case field == "id":
			id = value
		case field == "event":
			m.kind = value
		case field == "data":
			m.data += value
		case field == "retry":
			c.retry = value
		default:
			c.t.Errorf("a field that the format does not have: %q", line)
		}
		c.mu.Unlock()
	}
}

// close leaves and returns the last event ID.
func (c *client) close() string {
	_ = c.conn.Close()
	for range c.events { // it may have had more
	}
	return c.lastID()
}

func (c *client) lastID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *client) beats() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.comments
}

// end waits for the end of the stream and returns how it came; nil is the regular one.
func (c *client) end() error {
	for range c.events {
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// got returns the data of what has come since the last call, once nothing moves any more.
func (c *client) got() []string {
	synctest.Wait()
	var out []string
	for {
		select {
		case m, ok := <-c.events:
			if !ok {
				return append(out, "the end")
			}
			out = append(out, m.data)
		default:
			return out
		}
	}
}

// count reads a counter or a gauge.
func count(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// turn lets the gateways look at the log.
func turn() {
	time.Sleep(DefaultLimits().Poll)
	synctest.Wait()
}
