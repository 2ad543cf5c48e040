package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// gate is what stands between a gateway and a server, and closes at one request: before that has come
// through, or once it was done and before its answer has come back. Nothing comes through any more then,
// until it is opened again: whoever asked is to be killed meanwhile.
type gate struct {
	mu     sync.Mutex
	wanted string        // held by mu: what it closes at; empty for nothing
	hit    chan struct{} // held by mu: closed when it has closed
	shut   bool          // held by mu
	// done is whether the request is done first.
	done bool
	// cut hangs up on everybody.
	cut func()
}

// arm opens the gate until a request comes. It returns a channel that is closed when it has.
func (g *gate) arm(wanted string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted, g.shut, g.hit = wanted, false, make(chan struct{})
	return g.hit
}

// open opens the gate for good.
func (g *gate) open() { g.arm("") }

// closed reports whether nothing comes through.
func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// meets reports whether a name is what the gate waits for: that name, or one that begins with it if it ends
// with a colon.
func (g *gate) meets(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.shut && g.wanted != "" && (name == g.wanted || strings.HasSuffix(g.wanted, ":") && strings.HasPrefix(name, g.wanted))
}

// close closes it.
func (g *gate) close() {
	g.mu.Lock()
	first := !g.shut
	g.shut = true
	if first {
		close(g.hit)
	}
	g.mu.Unlock()
	g.cut()
}

// redisGate closes at a record of the journal, by its key.
type redisGate struct {
	gate
	t        *testing.T
	addr     string
	upstream string
	direct   *redis.Client
	mu       sync.Mutex
	links    map[net.Conn]struct{} // held by mu
}

// newRedisGate starts a gate in front of the Redis at an address. done is whether records are posted and
// only their answers are lost.
func newRedisGate(t *testing.T, upstream string, done bool) *redisGate {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &redisGate{
		t: t, addr: l.Addr().String(), upstream: upstream, links: make(map[net.Conn]struct{}),
		direct: redis.NewClient(&redis.Options{Addr: upstream}),
	}
	g.done, g.cut = done, g.hangUp
	g.open()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { g.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it was only listened on
		g.hangUp()
		running.Wait()
		_ = g.direct.Close()
	})
	return g
}

func (g *redisGate) url() string { return "redis://" + g.addr + "/0" }

func (g *redisGate) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.links {
		_ = conn.Close() // whoever is left sees it
	}
}

// serve serves one connection.
func (g *redisGate) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // whoever is left sees it
	g.mu.Lock()
	g.links[conn] = struct{}{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.links, conn)
	}()
	if g.closed() {
		return
	}
	upstream, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.upstream)
	if err != nil {
		return
	}
	var mute atomic.Bool
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(muted{conn, &mute}, upstream) // ends when either side hangs up
		_ = conn.Close()
	})
	g.pass(conn, upstream, &mute)
	_ = upstream.Close()
	there.Wait()
}

// muted passes on what is written until it is mute.
type muted struct {
	io.Writer
	mute *atomic.Bool
}

// Write implements io.Writer.
func (m muted) Write(p []byte) (int, error) {
	if m.mute.Load() {
		return len(p), nil
	}
	return m.Writer.Write(p)
}

// pass passes commands on until the client hangs up or the gate closes.
func (g *redisGate) pass(conn net.Conn, upstream io.Writer, mute *atomic.Bool) {
	for r := bufio.NewReader(conn); ; {
		raw, args, err := readCommand(r)
		if err != nil || g.closed() {
			return
		}
		key := ""
		for _, a := range args {
			if g.meets(a) {
				key = a
			}
		}
		if key == "" {
			if _, err := upstream.Write(raw); err != nil {
				return
			}
			continue
		}
		if g.done {
			mute.Store(true)
			if _, err := upstream.Write(raw); err != nil {
				g.t.Errorf("record %s: %v", key, err)
			}
			g.awaitRecord(key)
		}
		g.close()
		return
	}
}

// awaitRecord waits until a record is in the journal.
func (g *redisGate) awaitRecord(key string) {
	for deadline := time.Now().Add(payoutWait); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if there, err := g.direct.HExists(context.Background(), "{gbtpool}:money:keys", key).Result(); err == nil && there {
			return
		}
	}
	g.t.Errorf("record %s was let through and is not in the journal", key)
}

// readCommand reads one command, an array of bulk strings, as it is and in parts.
func readCommand(r *bufio.Reader) (raw []byte, args []string, err error) {
	number := func(kind byte) (int, error) {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		raw = append(raw, line...)
		if line[0] != kind {
			return 0, fmt.Errorf("%q does not begin with %q", line, kind)
		}
		return strconv.Atoi(strings.TrimSpace(string(line[1:])))
	}
	count, err := number('*')
	for range count {
		size, err := number('$')
		if err != nil {
			return nil, nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, nil, err
		}
		raw, args = append(raw, text...), append(args, string(text[:size]))
	}
	return raw, args, err
}

// nodeGate closes at a call of a method.
type nodeGate struct {
	gate
	url string
}

// newNodeGate starts a gate in front of a node. done is whether calls are answered by the node and only the
// answers are lost.
func newNodeGate(t *testing.T, upstream string, done bool) *nodeGate {
	t.Helper()
	transport := &http.Transport{}
	g := new(nodeGate)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.serve(w, r, transport, upstream) {
			panic(http.ErrAbortHandler) // hangs up
		}
	}))
	g.url, g.done, g.cut = server.URL, done, server.CloseClientConnections
	g.open()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	return g
}

// serve serves one call. It is false if the connection is to be hung up.
func (g *nodeGate) serve(w http.ResponseWriter, r *http.Request, transport *http.Transport, upstream string) bool {
	body, err := io.ReadAll(r.Body)
	var call struct{ Method string }
	if err != nil || g.closed() || json.Unmarshal(body, &call) != nil {
		return false
	}
	meets := g.meets(call.Method)
	if meets && !g.done {
		go g.close() // it waits for this handler
		return false
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, upstream, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header = r.Header.Clone()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer res.Body.Close() //nolint:errcheck // it is read to the end
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return false
	}
	if meets {
		go g.close()
		return false
	}
	if g.closed() {
		return false
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	_, err = w.Write(answer)
	return err == nil
}
