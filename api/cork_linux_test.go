package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// accepted is a listener that tells of the connections that it accepts, which hold little that is not read.
type accepted struct {
	net.Listener
	conns chan *net.TCPConn
}

func (a *accepted) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	a.conns <- tcp
	return c, tcp.SetWriteBuffer(64 << 10)
}

// isCorked reports whether what is written to a connection waits.
func isCorked(t *testing.T, c *net.TCPConn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	value := 0
	var fault error
	if err := raw.Control(func(fd uintptr) {
		value, fault = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK)
	}); err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	return value != 0
}

// TestCork: the pieces of a large answer go out together, and what comes after them on the connection does not wait.
func TestCork(t *testing.T) {
	s := hotServer(t, fullAnswer(t))
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := &accepted{inner, make(chan *net.TCPConn, 1)}
	s.cfg.Listener = own
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, post(askTemplate))
	far := <-own.conns
	for deadline := time.Now().Add(patience); !isCorked(t, far); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pieces of a large answer go out one by one")
		}
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || n != res.ContentLength || n < 1<<20 {
		t.Errorf("%d bytes of %d, %v", n, res.ContentLength, err)
	}
	send(t, c, post(shareText()))
	if got := readAnswer(t, r); got.status != http.StatusOK || isCorked(t, far) {
		t.Errorf("a share after it: %d, corked %t", got.status, isCorked(t, far))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
