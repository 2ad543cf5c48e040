package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/lightninglabs/gozmq"

	"github.com/gbtpool/gbtpool/internal/node/zmqtest"
)

// newPublisher starts a node's publisher.
func newPublisher(t *testing.T) *zmqtest.Publisher {
	t.Helper()
	p, err := zmqtest.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(t, p) })
	return p
}

// subscribed returns the connection of the next subscriber.
func subscribed(t *testing.T, p *zmqtest.Publisher) net.Conn {
	t.Helper()
	c, err := p.Accept(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// hangUp closes one end of a connection, or a listener.
func hangUp(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// soon receives from a channel that something real feeds.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		panic("not reached")
	}
}

// TestPublisher checks the publisher of these tests against another ZeroMQ library.
func TestPublisher(t *testing.T) {
	p := newPublisher(t)
	go func() {
		c, err := p.Accept(10 * time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		defer hangUp(t, c)
		if _, err := c.Write(zmqtest.HashBlock(chainhash.Hash{1}, 7)); err != nil {
			t.Errorf("publisher: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // until the subscriber leaves
			t.Errorf("publisher: %v", err)
		}
	}()
	s, err := gozmq.Subscribe(p.Host(), []string{"hashblock"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(t, s)
	parts, err := s.Receive(nil)
	if err != nil {
		t.Fatal(err)
	}
	if block, seq, ok := parseHashBlock(parts); !ok || block != (chainhash.Hash{1}) || seq != 7 {
		t.Errorf("got %v, %d, %t", block, seq, ok)
	}
}

// listening starts a ZMQ for a publisher.
func listening(t *testing.T, p *zmqtest.Publisher, idle time.Duration) *ZMQ {
	t.Helper()
	z, err := NewZMQ(ZMQConfig{Address: p.Address(), Idle: idle, Now: time.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- z.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return z
}

func TestZMQ(t *testing.T) {
	p := newPublisher(t)
	z := listening(t, p, time.Hour)
	want := func(block chainhash.Hash) {
		t.Helper()
		if got := soon(t, z.Hints()); got.Block != block || got.At.IsZero() {
			t.Fatalf("got %+v, want %v", got, block)
		}
	}
	c := subscribed(t, p)
	want(chainhash.Hash{}) // something may have been missed before
	block := chainhash.Hash{0: 1, 31: 2}
	write(t, c, zmqtest.HashBlock(block, 0xffffffff))
	want(block)
	write(t, c, []byte("\x04\x07\x04PING\x00\x00"))      // a heartbeat
	write(t, c, zmqtest.HashBlock(chainhash.Hash{2}, 0)) // the number wraps
	want(chainhash.Hash{2})
	if n := z.Gaps(); n != 0 {
		t.Errorf("%d gaps, want none", n)
	}
	write(t, c, zmqtest.HashBlock(chainhash.Hash{3}, 5))
	want(chainhash.Hash{3})
	if n := z.Gaps(); n != 1 {
		t.Errorf("%d gaps, want 1", n)
	}
	other := bytes.Replace(zmqtest.HashBlock(chainhash.Hash{4}, 6), []byte("hashblock"), []byte("hashothers"[:9]), 1)
	write(t, c, other) // another topic that begins alike
	write(t, c, zmqtest.HashBlock(chainhash.Hash{5}, 6))
	want(chainhash.Hash{5})

	hangUp(t, c) // the node restarts
	c = subscribed(t, p)
	want(chainhash.Hash{})
	write(t, c, zmqtest.HashBlock(chainhash.Hash{6}, 0))
	want(chainhash.Hash{6})
	if n := z.Gaps(); n != 1 {
		t.Errorf("%d gaps after a restart, want 1", n)
	}
	for seq := range uint32(100) { // nobody listens: only the latest is kept
		write(t, c, zmqtest.HashBlock(chainhash.Hash{byte(seq)}, seq+1))
	}
	for soon(t, z.Hints()).Block != (chainhash.Hash{99}) {
	}
	hangUp(t, c)
}

func TestZMQIdle(t *testing.T) {
	p := newPublisher(t)
	listening(t, p, 20*time.Millisecond)
	for range 2 {
		c := subscribed(t, p)
		if _, err := io.ReadAll(c); err != nil { // until the subscriber leaves
			t.Error(err)
		}
		hangUp(t, c)
	}
}

func TestZMQStrangers(t *testing.T) {
	greeting := func(version byte, mechanism string) string {
		g := make([]byte, 64)
		copy(g, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f")
		g[10] = version
		copy(g[12:], mechanism)
		return string(g)
	}
	for name, test := range map[string]struct{ says, want string }{
		"HTTP":          {"HTTP/1.1 400 Bad Request\r\n" + strings.Repeat(" ", 64), "greeting"},
		"ZMTP 2":        {greeting(2, "NULL"), "ZMTP 2"},
		"CURVE":         {greeting(3, "CURVE"), "CURVE"},
		"hangs up":      {greeting(3, "NULL")[:10], "EOF"},
		"refuses":       {greeting(3, "NULL") + "\x04\x09\x05ERROR\x02no", "ERROR"},
		"huge frame":    {greeting(3, "NULL") + "\x02\x7f\x00\x00\x00\x00\x00\x00\x00", "frame"},
		"unknown flags": {greeting(3, "NULL") + "\xf0\x00", "frame"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer hangUp(t, l)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer hangUp(t, c)
				if _, err := io.WriteString(c, test.says); err != nil {
					t.Error(err)
				}
				half, ok := c.(interface{ CloseWrite() error })
				if !ok || half.CloseWrite() != nil {
					t.Error("cannot end the connection")
				}
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Log(err) // the subscriber may reset it
				}
			}()
			_, err = subscribe(t.Context(), l.Addr().String(), zmqTopic, 5*time.Second)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			<-done
		})
	}
}

// TestZMQEnds checks that neither connecting nor listening outlives the context.
func TestZMQEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never greets
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := subscribe(ctx, l.Addr().String(), zmqTopic, time.Minute); err == nil {
		t.Error("no error")
	}
}

func TestNewZMQ(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:28332", "ipc:///tmp/x", "tcp://127.0.0.1", "tcp://127.0.0.1:"} {
		if _, err := NewZMQ(ZMQConfig{Address: address, Now: time.Now, Log: quiet()}); err == nil {
			t.Errorf("%q: no error", address)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(zmqtest.HashBlock(chainhash.Hash{1}, 1))
	f.Add([]byte("\x04\x07\x04PING\x00\x00"))
	f.Add([]byte("\x03\x00\x00\x00\x00\x00\x00\x00\x01x\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := readMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		total := 0
		for _, p := range parts {
			total += len(p) + 2
		}
		if len(parts) == 0 || len(parts) > zmtpMaxParts || total > len(b) {
			t.Fatalf("%d frames of %d bytes from %d", len(parts), total, len(b))
		}
		block, seq, ok := parseHashBlock(parts)
		if message := zmqtest.HashBlock(block, seq); ok && !bytes.Contains(b, message[13:45]) {
			t.Fatalf("block %v is not in %x", block, b)
		}
	})
}
