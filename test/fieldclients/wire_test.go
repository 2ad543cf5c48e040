package fieldclients

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestEncodings: answers may be compressed, and connections are kept.
func TestEncodings(t *testing.T) {
	a := result(answer(t))
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, a)
		_ = z.Close()
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	p := newProgram(t, minerd, server.URL)
	for range 3 {
		if err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections", connections.Load())
	}
	server.CloseClientConnections()
	if err := p.Fetch(t.Context()); err != nil || connections.Load() != 2 {
		t.Errorf("a closed connection was not replaced: %v, %d connections", err, connections.Load())
	}
	p.Close()
}

// TestExpect: cpuminer-multi asks before it sends a body, and sends it after a second without an
// answer; a refusal keeps it from sending.
func TestExpect(t *testing.T) {
	a := result(answer(t, stripped(t)))
	head := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	for name, tt := range map[string]struct {
		first string // what the server says to the header
		body  bool   // whether it is sent the body
		gets  bool   // whether there is work in the end
	}{
		"told to go on": {"HTTP/1.1 100 Continue\r\n\r\n", true, true},
		"not told":      {"", true, true},
		"refused":       {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 35\r\n\r\n" + `{"result":null,"error":{"code":-1}}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			sent := make(chan bool, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				for line := ""; line != "\r\n"; {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				_, _ = io.WriteString(conn, tt.first)
				_ = conn.SetReadDeadline(time.Now().Add(3 * expectWait))
				if !tt.body {
					_ = conn.SetReadDeadline(time.Now().Add(2 * expectWait))
				}
				_, err = r.ReadByte()
				sent <- err == nil
				if err == nil {
					_, _ = io.WriteString(conn, head+a)
				}
			}()
			p := newProgram(t, multi, "http://"+l.Addr().String())
			err = p.Fetch(t.Context())
			if got := <-sent; got != tt.body || (err == nil) != tt.gets {
				t.Errorf("the body was sent: %t, %v", got, err)
			}
		})
	}
}

// TestCancel: a call ends with its context.
func TestCancel(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer server.Close()
	defer close(held)
	for _, name := range []string{minerd, multi, bfgminer} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := newProgram(t, name, server.URL).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
