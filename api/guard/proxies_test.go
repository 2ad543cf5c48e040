package guard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func proxies(tb testing.TB, header string, trusted ...string) *Proxies {
	tb.Helper()
	p, err := NewProxies(ProxiesConfig{Trusted: trusted, Header: header})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// asked makes a request with lines of one header.
func asked(peer, header string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = peer
	for _, line := range lines {
		r.Header.Add(header, line)
	}
	return r
}

func TestClientXForwardedFor(t *testing.T) {
	const proxy = "10.0.0.1:1000"
	p := proxies(t, "", "10.0.0.0/8", "fd00::/8")
	for _, tt := range []struct {
		name, peer, want string
		lines            []string
	}{
		{"no proxy", "203.0.113.9:5", "203.0.113.9", nil},
		{"not trusted", "203.0.113.9:5", "203.0.113.9", []string{"198.51.100.1"}},
		{"one", proxy, "198.51.100.1", []string{"198.51.100.1"}},
		{"spoofed before it", proxy, "198.51.100.1", []string{"192.0.2.1, 198.51.100.1"}},
		{"through two proxies", proxy, "198.51.100.1", []string{"192.0.2.1, 198.51.100.1,10.0.0.2"}},
		{"several lines", proxy, "198.51.100.1", []string{"192.0.2.1", "198.51.100.1", "10.0.0.2, 10.0.0.3"}},
		{"a proxy in between that is not trusted", proxy, "172.16.0.1", []string{"198.51.100.1, 172.16.0.1"}},
		{"no header", proxy, "10.0.0.1", nil},
		{"empty", proxy, "10.0.0.1", []string{""}},
		{"malformed", proxy, "10.0.0.2", []string{"198.51.100.1, nonsense, 10.0.0.2"}},
		{"empty entry", proxy, "10.0.0.2", []string{"198.51.100.1,, 10.0.0.2"}},
		{"only trusted", proxy, "10.0.0.9", []string{"10.0.0.9, 10.0.0.2"}},
		{"port", proxy, "198.51.100.1", []string{"198.51.100.1:4711"}},
		{"IPv6", proxy, "2001:db8::1", []string{"2001:db8::1"}},
		{"IPv6 in brackets", proxy, "2001:db8::1", []string{"[2001:db8::1]"}},
		{"IPv6 with port", proxy, "2001:db8::1", []string{"[2001:db8::1]:4711"}},
		{"IPv6 peer", "[fd00::1]:1", "2001:db8::1", []string{"2001:db8::1"}},
		{"zone of the peer", "[fd00::1%eth0]:1", "2001:db8::1", []string{"2001:db8::1"}},
		{"zone", proxy, "fe80::1", []string{"fe80::1%eth0"}},
		{"mapped", proxy, "198.51.100.1", []string{"::ffff:198.51.100.1"}},
		{"mapped peer", "[::ffff:10.0.0.1]:1", "198.51.100.1", []string{"198.51.100.1"}},
		{"IPv4 in brackets", proxy, "10.0.0.1", []string{"[198.51.100.1]"}},
		{"unix socket", "@", "", []string{"198.51.100.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := p.Client(asked(tt.peer, HeaderXForwardedFor, tt.lines...))
			if want, _ := netip.ParseAddr(tt.want); got != want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestClientForwarded(t *testing.T) {
	const proxy = "10.0.0.1:1000"
	p := proxies(t, "forwarded", "10.0.0.0/8")
	for _, tt := range []struct {
		name, want string
		lines      []string
	}{
		{"IPv4", "198.51.100.1", []string{"for=198.51.100.1;proto=http;by=10.0.0.1"}},
		{"upper case", "198.51.100.1", []string{"By=10.0.0.1; For=198.51.100.1"}},
		{"port", "198.51.100.1", []string{`for="198.51.100.1:4711"`}},
		{"IPv6", "2001:db8::1", []string{`for="[2001:db8::1]:4711"`}},
		{"right to left", "198.51.100.1", []string{"for=192.0.2.1, for=198.51.100.1", "for=10.0.0.2"}},
		{"quoted comma and semicolon", "198.51.100.1", []string{`for=198.51.100.1;ext="a,b;for=192.0.2.1"`}},
		{"escaped quote", "198.51.100.1", []string{`for=198.51.100.1;ext="a\", for=192.0.2.1"`}},
		{"an open quote does not swallow", "198.51.100.1", []string{`for="192.0.2.1, for=198.51.100.1`}},
		{"nor an escaped one", "198.51.100.1", []string{`for="\, for=198.51.100.1`}},
		{"obfuscated", "10.0.0.2", []string{"for=192.0.2.1, for=_hidden, for=10.0.0.2"}},
		{"unknown", "10.0.0.1", []string{"for=unknown"}},
		{"no for", "10.0.0.1", []string{"proto=https"}},
		{"twice", "10.0.0.1", []string{"for=192.0.2.1;for=198.51.100.1"}},
		{"no pair", "10.0.0.1", []string{"198.51.100.1"}},
		{"broken quotes", "10.0.0.1", []string{`for="198.51.100.1`}},
		{"quote within", "10.0.0.1", []string{`for="198.51.""100.1"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := asked(proxy, HeaderForwarded, tt.lines...)
			r.Header.Set(HeaderXForwardedFor, "192.0.2.77")
			if got := p.Client(r); got != netip.MustParseAddr(tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestOneHeader: the header that is not configured is not read, whoever sends it.
func TestOneHeader(t *testing.T) {
	p := proxies(t, "", "10.0.0.0/8")
	if got := p.Client(asked("10.0.0.1:1", HeaderForwarded, "for=192.0.2.1")); got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("got %s", got)
	}
}

func TestUnixSocket(t *testing.T) {
	p := proxies(t, "", "unix")
	for _, peer := range []string{"@", "", "/run/gbtpool.sock"} {
		if got := p.Client(asked(peer, HeaderXForwardedFor, "198.51.100.1")); got != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("%q: got %s", peer, got)
		}
	}
	if got := p.Client(asked("@", HeaderXForwardedFor)); got.IsValid() {
		t.Errorf("got %s from nowhere", got)
	}
}

func TestTrusts(t *testing.T) {
	p := proxies(t, "", "10.0.0.0/8", "unix")
	for _, tt := range []struct {
		peer net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, true}, // 16 bytes, as accepted from a socket of both families
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, false},
		{&net.UnixAddr{Name: "@", Net: "unix"}, true},
		{&net.IPAddr{IP: net.IPv4(10, 0, 0, 1)}, false},
	} {
		if got := p.Trusts(tt.peer); got != tt.want {
			t.Errorf("%s %s: got %t", tt.peer.Network(), tt.peer, got)
		}
	}
	if proxies(t, "").Trusts(&net.UnixAddr{}) {
		t.Error("trusts Unix sockets unasked")
	}
}

func TestProxiesConfig(t *testing.T) {
	for _, tt := range []struct {
		header, trusted, want string
	}{
		{"X-Real-Ip", "10.0.0.0/8", "X-Real-Ip"},
		{"", "10.0.0.1/8", "10.0.0.0/8"},
		{"", "proxy.example", "an address such as"},
		{"", "::ffff:10.0.0.0/104", "as IPv4"},
		{"", "", "an address such as"},
	} {
		_, err := NewProxies(ProxiesConfig{Trusted: []string{tt.trusted}, Header: tt.header})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: %v", tt.header, tt.trusted, err)
		}
	}
}

func TestSecure(t *testing.T) {
	plain := proxies(t, "", "10.0.0.0/8")
	forwarded := proxies(t, HeaderForwarded, "10.0.0.0/8")
	for _, tt := range []struct {
		name    string
		p       *Proxies
		peer    string
		h, line string
		want    bool
	}{
		{"nothing said", plain, "10.0.0.1:1", "X-Other", "https", false},
		{"said", plain, "10.0.0.1:1", headerForwardedProto, "HTTPS", true},
		{"said of the last hop", plain, "10.0.0.1:1", headerForwardedProto, "https, http", false},
		{"not trusted", plain, "192.0.2.1:1", headerForwardedProto, "https", false},
		{"in Forwarded", forwarded, "10.0.0.1:1", HeaderForwarded, "for=192.0.2.1;proto=https", true},
		{"in the wrong one", forwarded, "10.0.0.1:1", headerForwardedProto, "https", false},
		{"Forwarded, not trusted", forwarded, "192.0.2.1:1", HeaderForwarded, "proto=https", false},
	} {
		if got := tt.p.Secure(asked(tt.peer, tt.h, tt.line)); got != tt.want {
			t.Errorf("%s: got %t", tt.name, got)
		}
	}
	r := asked("192.0.2.1:1", "X-Other")
	r.TLS = new(tls.ConnectionState)
	if !plain.Secure(r) {
		t.Error("TLS is not secure")
	}
}

// peerConn is a connection that has its other end's address, and nothing else.
type peerConn struct {
	net.Conn
	addr net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.addr }

func TestIdentify(t *testing.T) {
	p := proxies(t, "", "10.0.0.0/8")
	var got netip.Addr
	h := p.Identify(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = ClientOf(r.Context()) }))
	h.ServeHTTP(httptest.NewRecorder(), asked("10.0.0.1:1", HeaderXForwardedFor, "198.51.100.1"))
	if got != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("got %s", got)
	}
	for _, peer := range []string{"10.0.0.1", "192.0.2.1", "::ffff:192.0.2.1"} { // a proxy, and clients that are none
		r := asked(net.JoinHostPort(peer, "1"), HeaderXForwardedFor, "198.51.100.1")
		want := p.Client(r)
		r = r.WithContext(Connected(r.Context(), peerConn{addr: &net.TCPAddr{IP: net.ParseIP(peer), Port: 1}}))
		if h.ServeHTTP(httptest.NewRecorder(), r); got != want {
			t.Errorf("%s: got %s, want %s", peer, got, want)
		}
	}
	if ctx := Connected(context.Background(), peerConn{addr: new(net.UnixAddr)}); ClientOf(ctx).IsValid() {
		t.Error("a Unix socket has a client's address")
	}
	if none := ClientOf(context.Background()); none.IsValid() {
		t.Errorf("got %s from an empty context", none)
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"198.51.100.1": "198.51.100.1/32", "::ffff:198.51.100.1": "198.51.100.1/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	if got := Network(netip.Addr{}); got.IsValid() {
		t.Errorf("got %s of no address", got)
	}
}

// FuzzClient: whatever the headers say, a client that is not a trusted proxy is taken for what it
// is, and the entry that a trusted one wrote last is taken if it names a client.
func FuzzClient(f *testing.F) {
	for _, s := range []string{
		"", "198.51.100.1", "10.0.0.1, 192.0.2.1", `for="[2001:db8::1]:80";proto=https, for=_x`, `for="a\`, ",,;=\"",
	} {
		f.Add(s)
	}
	trusting := map[string]*Proxies{
		HeaderXForwardedFor: proxies(f, HeaderXForwardedFor, "10.0.0.0/8"),
		HeaderForwarded:     proxies(f, HeaderForwarded, "10.0.0.0/8"),
	}
	client := netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, sent string) {
		for header, p := range trusting {
			r := asked("203.0.113.9:5", header, sent)
			r.Header.Set(headerForwardedProto, sent)
			if got := p.Client(r); got != client {
				t.Errorf("%s: %q makes a client %s", header, sent, got)
			}
			if p.Secure(r) {
				t.Errorf("%s: %q makes a request secure", header, sent)
			}
			entry := "203.0.113.9"
			if header == HeaderForwarded {
				entry = "for=203.0.113.9"
			}
			for _, lines := range [][]string{{sent, entry}, {sent + ", " + entry}} {
				if got := p.Client(asked("10.0.0.1:1", header, lines...)); got != client {
					t.Errorf("%s: %q is taken for %s", header, lines, got)
				}
			}
		}
	})
}
