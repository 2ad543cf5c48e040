package redisserver

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client and a server and can go wrong: see [Proxy.Refuse], [Proxy.Hang],
// [Proxy.Delay], [Proxy.CutReplies], [Proxy.CutRequests], [Proxy.Answer], and [Proxy.None] to end
// each. The last one called counts, for all connections, from the next command on. Its methods may
// be called at any time by any goroutine. Clients of a cluster or of sentinels are told the
// addresses of the servers, and go there directly.
type Proxy struct {
	// Addr is HOST:PORT where clients reach it. It stays the same for life.
	Addr string

	tb       testing.TB
	upstream string
	fault    atomic.Pointer[fault]
	running  sync.WaitGroup

	mu       sync.Mutex // guards what follows, and changes of fault
	listener net.Listener
	links    map[*link]struct{}
	closed   bool
}

// NewProxy starts a proxy to the server at HOST:PORT, which lets everything through. It ends with
// the test.
func NewProxy(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, upstream: upstream, links: make(map[*link]struct{})}
	p.fault.Store(&fault{over: make(chan struct{})})
	tb.Cleanup(p.close)
	for try := 1; ; try++ {
		p.Addr = freeAddr(tb)
		p.mu.Lock()
		err := p.listen()
		p.mu.Unlock()
		if err == nil {
			return p
		}
		if try == tries {
			tb.Fatalf("redisserver: proxy: %v", err)
		}
	}
}

// URL is where clients reach it, as redis://127.0.0.1:PORT/0.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// set replaces the fault.
func (p *Proxy) set(f fault) {
	f.over = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	close(p.fault.Swap(&f).over)
	if f.kind == faultRefuse {
		p.reset()
		return
	}
	// Another process may have the port for a moment, while it looks for one that is free.
	for deadline := time.Now().Add(limit); p.listener == nil; time.Sleep(interval) {
		if err := p.listen(); err != nil && time.Now().After(deadline) {
			p.tb.Errorf("redisserver: proxy: its port was taken while it refused connections: %v", err)
			return
		}
	}
}

// listen opens the port. The caller holds mu.
func (p *Proxy) listen() error {
	l, err := new(net.ListenConfig).Listen(p.tb.Context(), "tcp", p.Addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Go(func() { p.accept(l) })
	return nil
}

// reset closes the port and all connections. The caller holds mu.
func (p *Proxy) reset() {
	if p.listener != nil {
		_ = p.listener.Close() // it was only listened on
		p.listener = nil
	}
	for l := range p.links {
		l.reset()
	}
}

// accept serves connections until the port is closed.
func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		l := newLink(p, client)
		p.mu.Lock()
		if p.listener == listener {
			p.links[l] = struct{}{}
			p.running.Go(l.run)
		} else {
			l.reset() // it came while the port was being closed
		}
		p.mu.Unlock()
	}
}

// forget drops a connection that has ended.
func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.reset()
	p.mu.Unlock()
	p.running.Wait()
}
