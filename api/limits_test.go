package api

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/api/guard"
)

// TestSlowHeader: a header that does not come in time ends the connection.
func TestSlowHeader(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		for _, begin := range []string{"", "POST / HTTP/1.1\r\nHost: po"} {
			c := p.dial()
			h := listen(c)
			send(t, c, begin)
			time.Sleep(p.cfg.Limits.Header - 1)
			if _, err := h.so(); err != nil {
				t.Errorf("cut early: %v", err)
			}
			time.Sleep(time.Second)
			if _, err := h.so(); !errors.Is(err, io.EOF) {
				t.Errorf("still there after the time for a header: %v", err)
			}
		}
	})
}

// TestSlowBody: a body that stops coming, or comes too slowly, is answered and cut; one that comes
// at the rate it must is read to its end.
func TestSlowBody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int // bytes in each second
		status int
	}{
		{"stopped", 0, 408},
		{"too slow", 12 << 10, 408},
		{"fast enough", 17 << 10, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(p *pool) {
				t := p.t
				const length = 2 << 20
				c := p.dial()
				h := listen(c)
				body := `{"method":"submitblock","id":1,"params":["`
				body += strings.Repeat("0", length-len(body)-3) + `"]}`
				send(t, c, wire("", "Host: pool", credentials, "Content-Length: "+strconv.Itoa(length)))
				for sent := 0; sent < length; {
					n := min(tt.size, length-sent)
					if _, err := io.WriteString(c, body[sent:sent+n]); err != nil {
						break
					}
					if raw, _ := h.so(); raw != "" {
						break
					}
					sent += n
					time.Sleep(time.Second)
				}
				if got := h.answered(t); got.status != tt.status {
					t.Errorf("got %d %s", got.status, got.body)
				}
				if tt.status != 200 {
					time.Sleep(time.Second)
					if _, err := h.so(); err == nil {
						t.Error("the connection goes on")
					}
				}
			})
		})
	}
}

// TestCrowd: large bodies that are under way leave no memory for one more, but small ones pass.
func TestCrowd(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		const length = 100 << 10
		body := largeSubmission(length, false)
		begun := make([]*heard, 2)
		conns := make([]net.Conn, 2)
		for i := range conns {
			conns[i] = p.dial()
			begun[i] = listen(conns[i])
			send(t, conns[i], wire(body, "Host: pool", credentials, "Content-Length: "+strconv.Itoa(len(body)+3)))
		}
		got := exchange(t, p.dial(), post(body+`"]}`))
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeOutOfMemory {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if got := exchange(t, p.dial(), post(`{"method":"getblockcount","id":1}`)); got.status != 200 {
			t.Errorf("a small one: got %d %s", got.status, got.body)
		}
		for i := range conns {
			send(t, conns[i], `"]}`)
			if got := begun[i].answered(t); got.status != 200 {
				t.Errorf("got %d %s", got.status, got.body)
			}
		}
		if got := exchange(t, p.dial(), post(body+`"]}`)); got.status != 200 {
			t.Errorf("afterwards: got %d %s", got.status, got.body)
		}
		synctest.Wait()
		if n := p.bodies.used.Load(); n != 0 {
			t.Errorf("%d bytes are not given back", n)
		}
	}, func(c *Config) { c.Limits.Body, c.Limits.BodyMemory = 110<<10, 250<<10 })
}

// largeSubmission is the beginning of one: what is missing is "]}. Its header meets the target of regtest if it is
// proven.
func largeSubmission(length int, proven bool) string {
	digit := "1"
	if proven {
		digit = "0"
	}
	return `{"method":"submitblock","id":1,"params":["` + strings.Repeat(digit, length)
}

// TestCrowdOfOne: one client with large bodies under way leaves memory to others, and what is a block by its proof of
// work passes whatever there is.
func TestCrowdOfOne(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.Limits.Body, c.Limits.BodyMemory = 110<<10, 1<<20
		proxies, err := guard.NewProxies(guard.ProxiesConfig{Trusted: []string{"127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		c.Proxies = proxies
	}).serve()
	const length = 100 << 10
	from := func(client string) string { return "X-Forwarded-For: " + client }
	begin := func(client string) {
		c := p.dial()
		t.Cleanup(func() { _ = c.Close() })
		whole := post(largeSubmission(length, false)+`"]}`, from(client))
		send(t, c, whole[:len(whole)-3])
	}
	used := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(patience); p.bodies.used.Load() < int64(want*length); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are taken", p.bodies.used.Load())
			}
		}
	}
	submit := func(client string, proven bool) int {
		return exchange(t, p.dial(), post(largeSubmission(length, proven)+`"]}`, from(client))).status
	}
	begin("203.0.113.1")
	begin("203.0.113.1")
	used(2)
	if got := submit("203.0.113.1", false); got != 503 {
		t.Errorf("one more of a client that has its part: %d", got)
	}
	if got := submit("203.0.113.2", false); got != 200 {
		t.Errorf("another client's: %d", got)
	}
	if got := submit("203.0.113.1", true); got != 200 {
		t.Errorf("a block of a client that has its part: %d", got)
	}
	for n := 3; n <= 10; n++ {
		begin(fmt.Sprintf("203.0.113.%d", n))
	}
	used(10)
	if got := submit("203.0.113.2", false); got != 503 {
		t.Errorf("one more when all is taken: %d", got)
	}
	if got := submit("203.0.113.2", true); got != 200 {
		t.Errorf("a block when all is taken: %d", got)
	}
}

// TestUnreadBody: a body that nobody wants does not hold the connection either.
func TestUnreadBody(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		for _, request := range []string{
			"POST / HTTP/1.1\r\nHost: pool\r\nContent-Length: 1000\r\n\r\nx",
			"GET /healthz HTTP/1.1\r\nHost: pool\r\nContent-Length: 1000\r\n\r\nx",
			"GET /nowhere HTTP/1.1\r\nHost: pool\r\nContent-Length: 1000\r\n\r\nx",
		} {
			c := p.dial()
			h := listen(c)
			send(t, c, request)
			time.Sleep(p.cfg.Limits.BodyGrace + time.Second)
			if _, err := h.so(); err == nil {
				t.Errorf("%q holds its connection", request)
			}
		}
	})
}

// TestUnreadAnswer: an answer that nobody reads does not hold the connection, whatever the server writes first.
func TestUnreadAnswer(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		share := `{"method":"submitblock","params":["00"],"id":1}`
		size := "Content-Length: " + strconv.Itoa(len(share))
		for _, request := range []string{
			post(share), post(`{"jsonrpc":"2.0","method":"submitblock","params":["00"]}`),
			wire("", "Host: pool", credentials, size, "Expect: 100-continue"), wire("", "Host: pool", size),
		} {
			c := p.dial()
			send(t, c, request)
			time.Sleep(p.cfg.Limits.Write + p.cfg.Limits.BodyGrace + time.Second)
			if n, err := c.Read(make([]byte, 4096)); !errors.Is(err, io.EOF) {
				t.Errorf("%q holds its connection: %d bytes, %v", request, n, err)
			}
		}
	})
}

func TestLargeHeader(t *testing.T) {
	p := newPool(t).serve()
	got := exchange(t, p.dial(), wire("", "Host: pool", "X: "+strings.Repeat("x", 100_000)))
	if got.status != 431 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// TestNotHTTP: what is no HTTP gets no answer, at once, and no line in the log that anybody reads.
func TestNotHTTP(t *testing.T) {
	p := newPool(t).serve()
	for name, raw := range map[string]string{
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"Stratum":                 `{"id": 0, "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}` + "\n",
		"Stratum, all lines":      `{"id":1,"method":"mining.subscribe","params":[]}` + "\n" + `{"id":2,"method":"mining.authorize","params":["a","b"]}` + "\n",
		"Stratum, the first byte": `{`,
		"Stratum V2":              "\x00\x00\x00\x31\x00\x00\x00\x02\x00\x02\x00",
		"a full node's version":   "\xf9\xbe\xb4\xd9version\x00\x00\x00\x00\x00",
	} {
		c := p.dial()
		send(t, c, raw)
		if got := readToEnd(t, c); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	c := p.dial()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).Handshake(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a TLS handshake ends with %v, want the end of the connection", err)
	}
	for deadline := time.Now().Add(patience); count(t, p.metrics.connections) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection stays open")
		}
	}
	if n := count(t, p.metrics.refused); n != 0 {
		t.Errorf("%g connections count as refused, which is for those that are too many", n)
	}
	for line := range strings.Lines(p.log.String()) {
		if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "msg=listening") {
			t.Errorf("noise: %s", line)
		}
	}
}

func TestConnectionsOfOneClient(t *testing.T) {
	p := newPool(t, func(c *Config) { c.Limits.PerClient = 3 }).serve()
	const body = `{"method":"getblockcount","id":1}`
	var open []net.Conn
	for range 3 {
		c := p.dial()
		if got := exchange(t, c, post(body)); got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		open = append(open, c)
	}
	if got := readToEnd(t, p.dial()); got != "" {
		t.Errorf("one too many got %q", got)
	}
	if n := count(t, p.metrics.refused); n != 1 {
		t.Errorf("%g connections count as refused", n)
	}
	if got := exchange(t, open[0], post(body)); got.status != 200 {
		t.Errorf("the others suffer: %d", got.status)
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); count(t, p.metrics.connections) != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a closed connection counts still")
		}
	}
	if got := exchange(t, p.dial(), post(body)); got.status != 200 {
		t.Errorf("the place of a closed connection is not free: %d", got.status)
	}
}

func TestConnectionsInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := servePipe(t, func(c *Config) { c.Limits.Connections = 2 })
		first, second := p.dial(), p.dial()
		if raw, err := io.ReadAll(p.dial()); len(raw) != 0 || err != nil {
			t.Errorf("got %q, %v", raw, err)
		}
		_, _ = first.Close(), second.Close()
		synctest.Wait()
		if got := exchange(t, p.dial(), post(`{"method":"getblockcount","id":1}`)); got.status != 200 {
			t.Errorf("got %d", got.status)
		}
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestClientOf(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}, "192.0.2.1/32"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 5}, "192.0.2.1/32"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 5}, "2001:db8:1:2::/64"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::/64"},
		{&net.UnixAddr{Name: "x"}, "invalid Prefix"},
	} {
		if got := clientOf(tt.addr).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addr, got, tt.want)
		}
	}
}

// TestClientsApart: those whom the listener cannot tell apart are not taken for one.
func TestClientsApart(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		for range 3 {
			if got := exchange(t, p.dial(), post(`{"method":"getblockcount","id":1}`)); got.status != 200 {
				t.Errorf("got %d", got.status)
			}
		}
	}, func(c *Config) { c.Limits.PerClient = 1 })
}

// TestPipelined: bytes of the next request do not end the one that waits.
func TestPipelined(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll(p.pollID())))
		time.Sleep(time.Minute)
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, post(`{"method":"getblockcount","id":1}`))
			sent <- err
		}()
		time.Sleep(time.Minute)
		p.publish(2)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		raw, _ := h.so()
		r := bufio.NewReader(strings.NewReader(raw))
		readAnswer(t, r).template(t)
		if got := readAnswer(t, r); got.body != `{"result":101,"error":null,"id":1}`+"\n" {
			t.Errorf("got %s", got.body)
		}
	})
}

func TestNew(t *testing.T) {
	good := newPool(t).cfg
	for name, spoil := range map[string]func(*Config){
		"no desk":       func(c *Config) { c.Desk = nil },
		"no intake":     func(c *Config) { c.Intake = nil },
		"no best chain": func(c *Config) { c.BestChain = nil },
		"no chain":      func(c *Config) { c.Chain = nil },
		"no registry":   func(c *Config) { c.Registry = nil },
		"no log":        func(c *Config) { c.Log = nil },
		"keep-alive":    func(c *Config) { c.KeepAlive = -1 },
		"no limits":     func(c *Config) { c.Limits = Limits{} },
		"no memory":     func(c *Config) { c.Limits.BodyMemory = c.Limits.Body - 1 },
		"negative":      func(c *Config) { c.Limits.PerClient = -1 },
		"series":        func(c *Config) { c.WorkerSeries = -1 },
	} {
		cfg := good
		cfg.Registry = prometheus.NewRegistry()
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(good); err == nil {
		t.Error("two servers share one registry's metrics")
	}
}
