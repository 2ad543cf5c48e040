package redisserver

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// link is one connection of a client, and the one that goes on to the server.
type link struct {
	proxy  *Proxy
	client net.Conn
	// commands are those that have been read, and replies what the server says, in order.
	commands chan command
	replies  chan []byte
	// gone is closed when the server has hung up and replies has been emptied.
	gone chan struct{}
	// done is closed when the link has ended.
	done chan struct{}
	end  sync.Once
}

// command is one that awaits its reply.
type command struct {
	name  string
	fault *fault // when it was read
	reply string // from the proxy itself; empty if the server was asked
	last  bool   // nothing had come behind it
	cut   bool   // the server did not get it whole
}

func newLink(p *Proxy, client net.Conn) *link {
	return &link{
		proxy: p, client: client, commands: make(chan command, 1024), replies: make(chan []byte),
		gone: make(chan struct{}), done: make(chan struct{}),
	}
}

// run serves the connection until either side hangs up or a fault ends it.
func (l *link) run() {
	defer l.proxy.forget(l)
	defer l.close()
	if _, ok := l.pass(); !ok {
		return
	}
	dialer := net.Dialer{Timeout: limit}
	upstream, err := dialer.DialContext(context.Background(), "tcp", l.proxy.upstream)
	if err != nil {
		return // the client sees that nobody is there
	}
	var both sync.WaitGroup
	both.Go(func() { l.readReplies(upstream) })
	both.Go(func() { l.answerCommands() })
	both.Go(func() {
		<-l.done
		_ = upstream.Close() // either side knows by now
	})
	l.readCommands(upstream)
	both.Wait()
}

// close hangs up, with all that was written before.
func (l *link) close() {
	l.end.Do(func() {
		close(l.done)
		_ = l.client.Close() // nobody is left to be told
	})
}

// reset hangs up with a reset.
func (l *link) reset() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails if it is closed already
	}
	l.close()
}

// pass waits while nothing may go through, and returns the fault that what comes next meets. It is
// false if the link has ended.
func (l *link) pass() (*fault, bool) {
	for {
		f := l.proxy.fault.Load()
		if f.kind != faultHang {
			return f, true
		}
		select {
		case <-f.over:
		case <-l.done:
			return nil, false
		}
	}
}

// readCommands reads what the client asks and asks the server, or not.
func (l *link) readCommands(upstream net.Conn) {
	defer close(l.commands)
	r := bufio.NewReaderSize(l.client, 64<<10)
	var last *fault // what the command before has met
	sent := 0       // bytes since then
	for {
		first := r.Buffered() == 0
		raw, err := readValue(r)
		if err != nil {
			l.close()
			return
		}
		f, ok := l.pass()
		if !ok || first && !l.wait(f) {
			return
		}
		if f != last {
			last, sent = f, 0
		}
		c := command{fault: f, last: r.Buffered() == 0}
		c.name, err = commandName(raw)
		switch {
		case err != nil:
			c.reply, c.cut = "-ERR Protocol error: the proxy reads arrays of bulk strings\r\n", true
		case isSetup(c.name):
		case f.kind == faultAnswer:
			c.reply = f.reply
		case f.kind == faultCutRequests:
			if left := max(f.bytes-sent, 0); len(raw) > left {
				raw, c.cut = raw[:left], true
			}
			sent += len(raw)
		}
		if !l.ask(upstream, c, raw) {
			return
		}
	}
}

// ask sends a command on. It is false if it was the link's last one.
func (l *link) ask(upstream net.Conn, c command, raw []byte) bool {
	if c.reply == "" {
		// If it fails the server has hung up, and who reads its replies sees that too.
		_, _ = upstream.Write(raw)
	}
	select {
	case l.commands <- c:
		return !c.cut
	case <-l.done:
		return false
	}
}

// wait waits as long as a Delay says. It is false if the link has ended.
func (l *link) wait(f *fault) bool {
	if f.kind != faultDelay {
		return true
	}
	timer := time.NewTimer(f.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.over:
	case <-l.done:
		return false
	}
	return true
}

// readReplies reads what the server says until it hangs up.
func (l *link) readReplies(upstream net.Conn) {
	defer close(l.gone)
	r := bufio.NewReader(upstream)
	for {
		raw, err := readValue(r)
		if err != nil {
			return
		}
		select {
		case l.replies <- raw:
		case <-l.done:
			return
		}
	}
}

// answerCommands tells the client what the server says, or not.
func (l *link) answerCommands() {
	defer l.close()
	withheld := 0 // bytes of replies that were lost
	for {
		select {
		case c, ok := <-l.commands:
			if !ok || !l.answer(c, &withheld) {
				return
			}
		case <-l.gone:
			return
		case <-l.done:
			return
		}
	}
}

// answer answers one command. It is false if it was the link's last one.
func (l *link) answer(c command, withheld *int) bool {
	if c.reply != "" {
		return l.tell([]byte(c.reply)) && !c.cut
	}
	if c.cut {
		return false
	}
	for {
		select {
		case raw := <-l.replies:
			lost := *withheld > 0 || c.fault.kind == faultCutReplies && !isSetup(c.name)
			if lost {
				*withheld += len(raw)
				full := c.fault.bytes > 0 && *withheld >= c.fault.bytes
				return !full && !c.last
			}
			if !l.tell(raw) {
				return false
			}
			// RESP3 pushes are no replies; who subscribes gets no other ones from then on.
			if raw[0] != '>' && c.name != "SUBSCRIBE" && c.name != "PSUBSCRIBE" && c.name != "SSUBSCRIBE" {
				return true
			}
		case <-l.gone:
			return false
		case <-l.done:
			return false
		}
	}
}

// tell sends bytes to the client. It is false if the link has ended.
func (l *link) tell(raw []byte) bool {
	if _, ok := l.pass(); !ok {
		return false
	}
	_, err := l.client.Write(raw)
	return err == nil
}
