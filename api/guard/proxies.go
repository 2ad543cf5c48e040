package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers in which proxies tell whom they speak for.
const (
	HeaderXForwardedFor = "X-Forwarded-For"
	HeaderForwarded     = "Forwarded" // RFC 7239
)

// headerForwardedProto goes with X-Forwarded-For; Forwarded has a parameter in its place.
const headerForwardedProto = "X-Forwarded-Proto"

// trustUnix is the entry of ProxiesConfig.Trusted that stands for Unix sockets.
const trustUnix = "unix"

// ProxiesConfig configures Proxies.
type ProxiesConfig struct {
	// Trusted are the proxies that are believed: addresses such as 10.0.0.7, networks such as
	// 10.0.0.0/8, and the word unix for whoever connects to a Unix socket. None by default.
	Trusted []string
	// Header is where they tell whom they speak for: X-Forwarded-For, which is the default, or
	// Forwarded. The other one is not read: a proxy that does not know it passes on what its
	// client wrote there.
	Header string
}

// Proxies finds the addresses of clients. It is immutable and safe for concurrent use.
type Proxies struct {
	networks []netip.Prefix
	unix     bool
	header   string
}

// NewProxies makes Proxies. Its error says which entry to change.
func NewProxies(cfg ProxiesConfig) (*Proxies, error) {
	p := &Proxies{header: http.CanonicalHeaderKey(cfg.Header)}
	switch p.header {
	case "":
		p.header = HeaderXForwardedFor
	case HeaderXForwardedFor, HeaderForwarded:
	default:
		return nil, fmt.Errorf("guard: the header of trusted proxies is %q: want %s or %s", cfg.Header, HeaderXForwardedFor, HeaderForwarded)
	}
	for _, entry := range cfg.Trusted {
		if entry == trustUnix {
			p.unix = true
			continue
		}
		network, err := parseNetwork(entry)
		if err != nil {
			return nil, fmt.Errorf("guard: trusted proxy %q: %w", entry, err)
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

var errNetwork = errors.New("want an address such as 10.0.0.7 or a network such as 10.0.0.0/8")

// parseNetwork reads an address or a network. Bits beyond the network's own are an error: whoever
// wrote them meant something else.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = plain(addr)
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errNetwork
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%w: write IPv4 networks as IPv4", errNetwork)
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%w: did you mean %s", errNetwork, network.Masked())
	}
	return network, nil
}

// plain returns the one form of an address that is compared: IPv4 as IPv4, and no zone, which
// names an interface of this machine and not a client.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Network returns what clients are told apart by: an address of IPv4, a network of 64 bits of
// IPv6, where every customer has at least one. It is not valid for what is no address.
func Network(addr netip.Addr) netip.Prefix {
	addr = plain(addr)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// Trusts reports whether a connection's other end is a trusted proxy, behind which there are many
// clients.
func (p *Proxies) Trusts(peer net.Addr) bool {
	switch peer := peer.(type) {
	case *net.TCPAddr:
		return p.trusts(plain(peer.AddrPort().Addr()))
	case *net.UnixAddr:
		return p.unix
	default:
		return false
	}
}

func (p *Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// trustsPeer returns the address that a request's connection comes from, which is not valid if that is no IP
// address, and whether it is a trusted proxy's.
func (p *Proxies) trustsPeer(r *http.Request) (netip.Addr, bool) {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr := plain(peer.Addr())
		return addr, p.trusts(addr)
	}
	return netip.Addr{}, p.unix
}

// Client returns the address of whoever sent a request: the connection's or, if that is a trusted
// proxy's, the last one in the proxies' header that is not. An entry that is no address ends the
// search at the proxy that wrote it down. It is not valid if there is no address at all, as behind
// a Unix socket that is not trusted.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	client, trusted := p.trustsPeer(r)
	if !trusted {
		return client
	}
	lines := r.Header[p.header]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more; {
			var entry string
			entry, rest, more = p.last(rest)
			addr, ok := p.parse(entry)
			if !ok {
				return client
			}
			if client = addr; !p.trusts(addr) {
				return client
			}
		}
	}
	return client
}

// Secure reports whether a request came over TLS, to here or to a trusted proxy that says so.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	lines := r.Header[headerForwardedProto]
	if p.header == HeaderForwarded {
		lines = r.Header[HeaderForwarded]
	}
	if _, trusted := p.trustsPeer(r); !trusted || len(lines) == 0 {
		return false
	}
	entry, _, _ := p.last(lines[len(lines)-1])
	if p.header == HeaderForwarded {
		entry, _ = parameter(entry, "proto")
	}
	return strings.EqualFold(strings.TrimSpace(entry), "https")
}

// last splits the last entry off a header line; more reports whether others are before it.
func (p *Proxies) last(line string) (entry, rest string, more bool) {
	at := strings.LastIndexByte(line, ',')
	if p.header == HeaderForwarded {
		at = lastOutside(line, ',')
	}
	if at < 0 {
		return line, "", false
	}
	return line[at+1:], line[:at], true
}

// parse reads the address in an entry.
func (p *Proxies) parse(entry string) (netip.Addr, bool) {
	if p.header == HeaderForwarded {
		node, ok := parameter(entry, "for")
		if !ok {
			return netip.Addr{}, false
		}
		return parseNode(node)
	}
	return parseNode(strings.Trim(entry, " \t"))
}

// parseNode reads an address with or without a port, an IPv6 address in brackets or not.
func parseNode(node string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(node); err == nil {
		return plain(addr), true
	}
	if peer, err := netip.ParseAddrPort(node); err == nil {
		return plain(peer.Addr()), true
	}
	if inner, ok := strings.CutPrefix(node, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if addr, err := netip.ParseAddr(inner); ok && err == nil && addr.Is6() {
			return plain(addr), true
		}
	}
	return netip.Addr{}, false
}

// lastOutside finds the last c that is not within a quoted string; -1 if there is none. It looks
// from the end, because the end is what the nearest proxy wrote: an open quote that a client put
// at the beginning must not swallow it.
func lastOutside(s string, c byte) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && !escaped(s[:i]):
			quoted = !quoted
		case s[i] == c && !quoted:
			return i
		}
	}
	return -1
}

// escaped reports whether what follows s is taken literally, after an odd number of backslashes.
func escaped(s string) bool { return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1 }

// parameter returns the value of a parameter of one forwarded-element (RFC 7239, section 4). It is
// not there if the element is malformed or names it twice.
func parameter(element, name string) (string, bool) {
	value, found := "", false
	for rest, more := element, true; more; {
		pair := rest
		at := lastOutside(rest, ';')
		if more = at >= 0; more {
			pair, rest = rest[at+1:], rest[:at]
		}
		key, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok {
			return "", false
		}
		if v, ok = unquote(v); !ok {
			return "", false
		}
		if strings.EqualFold(key, name) {
			if found {
				return "", false
			}
			value, found = v, true
		}
	}
	return value, found
}

// unquote reads a token or a quoted-string (RFC 9110, section 5.6.4).
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, !strings.ContainsAny(s, `"\`)
	}
	if len(s) < 2 || s[len(s)-1] != '"' || escaped(s[:len(s)-1]) {
		return "", false
	}
	inner := s[1 : len(s)-1]
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return "", false
		case '\\':
			i++ // there is one more: the closing quote is not escaped
		}
		out.WriteByte(inner[i])
	}
	return out.String(), true
}

// clientKey is the context key of a client's address.
type clientKey struct{}

// Identify puts the client's address into each request's context, for ClientOf, unless it is there.
func (p *Proxies) Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := p.Client(r)
		if known := ClientOf(r.Context()); !known.IsValid() || known != client {
			r = r.WithContext(WithClient(r.Context(), client))
		}
		next.ServeHTTP(w, r)
	})
}

// Connected puts the address of a connection's other end into a context, for http.Server.ConnContext. Identify then
// has nothing to do for requests that come straight from their clients, of which many may be waiting.
func Connected(ctx context.Context, c net.Conn) context.Context {
	if peer, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return WithClient(ctx, plain(peer.AddrPort().Addr()))
	}
	return ctx
}

// WithClient returns a context that names a client.
func WithClient(ctx context.Context, client netip.Addr) context.Context {
	return context.WithValue(ctx, clientKey{}, client)
}

// ClientOf returns the client that a request's context names; not valid if it names none.
func ClientOf(ctx context.Context) netip.Addr {
	client, _ := ctx.Value(clientKey{}).(netip.Addr)
	return client
}
