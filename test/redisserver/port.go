package redisserver

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// busOffset is how far above a server's port its cluster bus listens, unless told otherwise.
const busOffset = 10000

// freeAddr chooses a port that is free now and whose cluster bus is. Both lie below those that the
// system gives to connections, which could take them while the server is stopped.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	const first, last = 10000, 22000
	for range 100 {
		port := first + rand.IntN(last-first) //nolint:gosec // no secret
		addr := loopback(port)
		if isFree(tb, addr) && isFree(tb, loopback(port+busOffset)) {
			return addr
		}
	}
	tb.Fatal("redisserver: found no free port")
	return ""
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func isFree(tb testing.TB, addr string) bool {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	if err := l.Close(); err != nil {
		tb.Fatalf("redisserver: %v", err)
	}
	return true
}

// split takes one of our addresses apart.
func split(tb testing.TB, addr string) (host, port string) {
	tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatalf("redisserver: %v", err)
	}
	return host, port
}
