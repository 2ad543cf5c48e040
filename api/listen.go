package api

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// listener accepts connections up to the limits and closes those beyond at once.
type listener struct {
	net.Listener
	limits  Limits
	metrics *metrics
	// shared reports whether many clients come from an address, as from that of a proxy.
	shared func(net.Addr) bool
	// plain is whether HTTP is spoken without TLS.
	plain bool
	mu    sync.Mutex
	// All below is held by mu.
	total    int
	byClient map[netip.Prefix]int
}

func newListener(inner net.Listener, s *Server) *listener {
	return &listener{
		Listener: inner, limits: s.cfg.Limits, metrics: s.metrics, shared: s.cfg.Proxies.Trusts, plain: s.cfg.TLS == nil,
		byClient: make(map[netip.Prefix]int),
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := netip.Prefix{}
		if !l.shared(c.RemoteAddr()) {
			client = clientOf(c.RemoteAddr())
		}
		if l.admit(client) {
			return &conn{Conn: c, listener: l, client: client, spoke: !l.plain}, nil
		}
		l.metrics.refused.Inc()
		_ = c.Close() // nobody is there to hear of a failure
	}
}

// clientOf returns what connections are counted by: an address of IPv4, a network of 64 bits of
// IPv6, where every customer has at least one. It is not valid for what is no IP address, such as
// a Unix socket, behind which clients cannot be told apart.
func clientOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	client, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return client
}

func (l *listener) admit(client netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Connections > 0 && l.total >= l.limits.Connections {
		return false
	}
	if client.IsValid() && l.limits.PerClient > 0 && l.byClient[client] >= l.limits.PerClient {
		return false
	}
	l.total++
	l.byClient[client]++
	l.metrics.connections.Inc()
	return true
}

func (l *listener) release(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byClient[client]--; l.byClient[client] == 0 {
		delete(l.byClient, client)
	}
	l.metrics.connections.Dec()
}

// conn is a connection that is counted until it closes.
type conn struct {
	net.Conn
	listener *listener
	client   netip.Prefix
	left     sync.Once
	// spoke is true once what comes first has been looked at, or need not be.
	spoke bool
}

// Read implements net.Conn. A connection whose first byte cannot begin an HTTP request ends there:
// miners try TLS and Stratum on the same port, and an answer in HTTP helps nobody.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoke {
		c.spoke = true
		if first := b[0]; (first < 'A' || first > 'Z') && first != '\r' && first != '\n' {
			return 0, io.EOF
		}
	}
	return n, err
}

// Write implements net.Conn. A client who reads writeSize in time has as long again for what is left, so that one
// call may write megabytes: many calls would have many clients get theirs in turns, each held up by all the others.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		m, err := c.Conn.Write(b[n:])
		n += m
		if m < writeSize || n == len(b) || !tooSlow(err) {
			return n, err
		}
		if err := c.SetWriteDeadline(time.Now().Add(c.listener.limits.Write)); err != nil {
			return n, err
		}
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.left.Do(func() { c.listener.release(c.client) })
	return c.Conn.Close()
}

// CloseWrite lets the server say goodbye before it closes a connection on which the client is
// still sending, so that the client reads the last answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
