package api

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// poll is the body of a long poll.
func poll(id string) string {
	return `{"method":"getblocktemplate","params":[{"rules":["segwit"],"longpollid":"` + id + `"}],"id":0}`
}

// inBubble runs a test on virtual time with a server on connections in memory.
func inBubble(t *testing.T, test func(p *pool), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := servePipe(t, change...)
		test(p)
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
}

// send writes a request without waiting for an answer.
func send(t *testing.T, c net.Conn, raw string) {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
}

// listen reads from a connection in the background and tells when what came.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
	end  error // why reading ended; nil while it goes on
}

func listen(c net.Conn) *heard {
	h := new(heard)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			h.mu.Lock()
			h.text.Write(b[:n])
			h.end = err
			h.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return h
}

func (h *heard) so() (string, error) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String(), h.end
}

// answered parses all that was heard as one reply.
func (h *heard) answered(t *testing.T) answer {
	t.Helper()
	raw, _ := h.so()
	return readAnswer(t, bufio.NewReader(strings.NewReader(raw)))
}

func TestLongPoll(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll(p.pollID())))
		time.Sleep(24 * time.Hour)
		if raw, err := h.so(); raw != "" || err != nil {
			t.Fatalf("got %q, %v before there is news", raw, err)
		}
		if n := count(t, p.metrics.polls); n != 1 {
			t.Errorf("%g long polls are waiting", n)
		}
		p.publish(2)
		got := h.answered(t)
		if tmpl := got.template(t); tmpl.LongPollID != p.pollID() || tmpl.SubmitOld == nil || *tmpl.SubmitOld {
			t.Errorf("got %+v", tmpl)
		}
		if got.header.Get("Content-Length") == "" {
			t.Error("no Content-Length though nothing went out before")
		}
		if n := count(t, p.metrics.polls); n != 0 {
			t.Errorf("%g long polls are waiting", n)
		}
		if _, err := h.so(); err != nil {
			t.Errorf("the connection ended: %v", err)
		}
	})
}

// TestLongPollID: an id that is no string means the template in force, any other the event that it
// names, so one from before a restart is answered at once.
func TestLongPollID(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		for id, waits := range map[string]bool{
			`"` + p.pollID() + `"`: true, "5": true, "{}": true, `"gone"`: false, `""`: false, "null": false,
		} {
			c := p.dial()
			h := listen(c)
			send(t, c, post(strings.ReplaceAll(poll("-"), `"-"`, id)))
			if raw, _ := h.so(); (raw == "") != waits {
				t.Errorf("longpollid %s: got %.100q", id, raw)
			}
			_ = c.Close()
		}
	})
}

func TestKeepAlive(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll(p.pollID())))
		time.Sleep(30*time.Second - 1)
		if raw, _ := h.so(); raw != "" {
			t.Fatalf("got %q before the interval", raw)
		}
		time.Sleep(time.Nanosecond)
		first, _ := h.so()
		if !strings.HasPrefix(first, "HTTP/1.1 200 OK\r\n") || !strings.Contains(first, "Transfer-Encoding: chunked\r\n") ||
			!strings.Contains(first, "Content-Type: application/json\r\n") || !strings.HasSuffix(first, "\r\n\r\n1\r\n \r\n") {
			t.Fatalf("got %q", first)
		}
		time.Sleep(90 * time.Second)
		if raw, _ := h.so(); raw != first+strings.Repeat("1\r\n \r\n", 3) {
			t.Fatalf("got %q", raw)
		}
		p.publish(2)
		got := h.answered(t)
		if tmpl := got.template(t); tmpl.LongPollID != p.pollID() || !strings.HasPrefix(got.body, "    {") {
			t.Errorf("got %.100q", got.body)
		}
		// The connection serves the next request.
		send(t, c, post(`{"method":"getblockcount","id":1}`))
		if raw, err := h.so(); err != nil || !strings.HasSuffix(raw, `{"result":101,"error":null,"id":1}`+"\n") {
			t.Errorf("got %q, %v", raw[max(0, len(raw)-200):], err)
		}
	}, func(c *Config) { c.KeepAlive = 30 * time.Second })
}

// TestTemplateLost: a poll that has sent nothing yet is told, one that has is held until there is
// a template again.
func TestTemplateLost(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		held := p.dial()
		h := listen(held)
		send(t, held, post(poll(p.pollID())))
		time.Sleep(31 * time.Second)
		told := p.dial()
		h2 := listen(told)
		send(t, told, post(poll(p.pollID())))
		p.lose()
		time.Sleep(10 * time.Second)
		got := h2.answered(t)
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeInitialDownload {
			t.Errorf("got %d %s", got.status, got.body)
		}
		time.Sleep(time.Hour)
		if raw, err := h.so(); err != nil || strings.Contains(raw, "{") {
			t.Fatalf("the held poll got %q, %v", raw, err)
		}
		// 31 s and 1 h 10 s at an interval of 30 s.
		if raw, _ := h.so(); strings.Count(raw, "1\r\n \r\n") != 121 {
			t.Errorf("%d keep-alive bytes", strings.Count(raw, "1\r\n \r\n"))
		}
		p.publish(2)
		time.Sleep(heldRetry)
		if tmpl := h.answered(t).template(t); tmpl.LongPollID != p.pollID() {
			t.Errorf("got %+v", tmpl)
		}
	}, func(c *Config) { c.KeepAlive = 30 * time.Second })
}

// TestPlainWhileLost: who asks for work while there is none waits a little and is told to retry.
func TestPlainWhileLost(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.lose()
		c := p.dial()
		h := listen(c)
		start := time.Now()
		send(t, c, post(`{"method":"getblocktemplate","params":[{}],"id":0}`))
		time.Sleep(2 * time.Second)
		got := h.answered(t)
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeInitialDownload {
			t.Errorf("got %d %s after %s", got.status, got.body, time.Since(start))
		}
	}, func(c *Config) { c.KeepAlive = time.Second })
}

func TestDisconnect(t *testing.T) {
	for _, keepAlive := range []time.Duration{0, time.Second} {
		inBubble(t, func(p *pool) {
			t := p.t
			c := p.dial()
			listen(c)
			send(t, c, post(poll(p.pollID())))
			time.Sleep(1500 * time.Millisecond)
			if n := count(t, p.metrics.polls); n != 1 {
				t.Fatalf("%g long polls are waiting", n)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := count(t, p.metrics.polls); n != 0 {
				t.Errorf("%g long polls are waiting for nobody", n)
			}
			if strings.Contains(p.log.String(), "level=ERROR") {
				t.Errorf("leaving is logged as an error:\n%s", p.log)
			}
			if n := count(t, p.metrics.requests.WithLabelValues("getblocktemplate", "aborted")); n != 1 {
				t.Errorf("%g requests count as aborted", n)
			}
		}, func(c *Config) { c.KeepAlive = keepAlive })
	}
}

// TestStop: polls that have sent nothing are told that the server stops, others are closed
// without a word of error, and both before the listener closes.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *pool
		inner := newPipeListener()
		l := &watchedListener{Listener: inner, onClose: func() {}}
		p = newPool(t, func(c *Config) { c.KeepAlive, c.Listener = 30*time.Second, l })
		p.dial = inner.dial
		p.serve()
		begun := p.dial()
		heardBegun := listen(begun)
		send(t, begun, post(poll(p.pollID())))
		time.Sleep(40 * time.Second)
		silent := p.dial()
		send(t, silent, post(poll(p.pollID())))
		synctest.Wait()
		// The answer is out only when it is read, a little later.
		start := time.Now()
		hear := make(chan *heard)
		time.AfterFunc(3*time.Second, func() { hear <- listen(silent) })
		l.onClose = func() {
			if n := count(t, p.metrics.polls); n != 0 {
				t.Errorf("%g long polls are waiting when the listener closes", n)
			}
			if time.Since(start) < 3*time.Second {
				t.Error("the listener closes before the answers are out")
			}
		}
		stopped := make(chan error)
		go func() { stopped <- p.stop() }()
		heardSilent := <-hear
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("stopping took %s", took)
		}
		got := heardSilent.answered(t)
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeNotConnected {
			t.Errorf("got %d %s", got.status, got.body)
		}
		raw, err := heardSilent.so()
		if !strings.Contains(raw, "\r\nConnection: close\r\n") || !errors.Is(err, io.EOF) {
			t.Errorf("the connection goes on after %q, %v", raw, err)
		}
		raw, err = heardBegun.so()
		if strings.Contains(raw, "error") || strings.HasSuffix(raw, "0\r\n\r\n") || !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v", raw, err)
		}
	})
}

// watchedListener tells when it is closed.
type watchedListener struct {
	net.Listener
	onClose func()
}

func (l *watchedListener) Close() error {
	l.onClose()
	return l.Listener.Close()
}

// TestFeedCloses: when the feed ends before the server, its polls end as if the server did.
func TestFeedCloses(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		begun := p.dial()
		heardBegun := listen(begun)
		send(t, begun, post(poll(p.pollID())))
		time.Sleep(40 * time.Second)
		silent := p.dial()
		heardSilent := listen(silent)
		p.desk.fail(gbt.ErrClosed, nil)
		send(t, silent, post(poll(p.pollID())))
		got := heardSilent.answered(t)
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeNotConnected {
			t.Errorf("got %d %s", got.status, got.body)
		}
		time.Sleep(31 * time.Second)
		if raw, err := heardBegun.so(); strings.Contains(raw, "error") || !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v", raw, err)
		}
	}, func(c *Config) { c.KeepAlive = 30 * time.Second })
}

// TestSlowReader: who stops reading a template is cut, who waits for one is not.
func TestSlowReader(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		slow, waiting := p.dial(), p.dial()
		h := listen(waiting)
		send(t, waiting, post(poll(p.pollID())))
		send(t, slow, post(`{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":0}`))
		if _, err := slow.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(p.cfg.Limits.Write + time.Second)
		synctest.Wait()
		rest, err := io.ReadAll(slow)
		if err != nil || strings.HasSuffix(string(rest), "}\n") {
			t.Errorf("the slow reader got all, %v", err)
		}
		p.publish(2)
		h.answered(t).template(t)
	})
}

// TestThousandPolls: none is lost, none is left over.
func TestThousandPolls(t *testing.T) {
	const polls = 1000
	p := newPool(t, func(c *Config) {
		c.KeepAlive = 500 * time.Millisecond
		c.Limits.PerClient = 2 * polls
	}).serve()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 4 * patience}
	defer client.CloseIdleConnections()
	body := poll(p.pollID())
	results := make(chan error, polls)
	for range polls {
		go func() { results <- pollOnce(client, p.address, body) }()
	}
	for deadline := time.Now().Add(3 * patience); count(t, p.metrics.polls) < polls; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %g polls are waiting", count(t, p.metrics.polls))
		}
	}
	p.publish(2)
	for range polls {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, p.metrics.polls); n != 0 {
		t.Errorf("%g polls are left", n)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if n := count(t, p.metrics.connections); n != 0 {
		t.Errorf("%g connections are left", n)
	}
}

func pollOnce(client *http.Client, address, body string) error {
	r, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.SetBasicAuth(user, "x")
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && !strings.HasSuffix(string(text), "}\n") {
		err = errors.New("the answer is cut short: " + string(text))
	}
	return err
}
