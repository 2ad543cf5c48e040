package fieldclients

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// get returns the status and the body of a page; 0 if there is no answer.
func (g *gateway) get(path string) (status int, body string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.address+path, nil)
	must(g.t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	text, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return 0, ""
	}
	return res.StatusCode, string(text)
}

// clientHello begins as the one that bfgminer's libcurl sends.
const clientHello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

// TestOtherProtocols: TLS and Stratum on the port are closed without a reply, and without a line in
// the log that an operator would see.
func TestOtherProtocols(t *testing.T) {
	g := newGateway(t)
	// Its ledger comes while it serves already.
	for deadline := time.Now().Add(patience); !strings.Contains(g.log.String(), "ledger takes shares"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the ledger never takes shares:\n%s", g.log.String())
		}
	}
	before := len(g.log.String())
	for _, bytes := range []string{
		clientHello, `{"id": 0, "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}` + "\n", "\x00", " ", "get / HTTP/1.1\r\n\r\n",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", g.address)
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, bytes)
		must(t, err)
		// What was not read may end the connection with a reset instead of an end.
		heard, err := io.ReadAll(conn)
		var timeout net.Error
		if len(heard) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%q: %q, %v", bytes, heard, err)
		}
		must(t, conn.Close())
	}
	m, ok := g.join(bfgminer).(*BFGMiner)
	if !ok {
		t.Fatal("not a bfgminer")
	}
	if heard := m.tryStratum(t.Context()); heard != "" {
		t.Errorf("bfgminer heard %q", heard)
	}
	for line := range strings.Lines(g.log.String()[before:]) {
		if !strings.Contains(line, "level=DEBUG") {
			t.Errorf("the log says %s", line)
		}
	}
}

// TestGetwork: getwork is refused at once, in a way that keeps every program on getblocktemplate,
// and cpuminer-multi's long poll goes on to wait after it.
func TestGetwork(t *testing.T) {
	g := newGateway(t)
	for _, name := range []string{minerd, multi} {
		p, ok := g.join(name).(*CPUMiner)
		if !ok {
			t.Fatal("not a cpuminer")
		}
		begin := time.Now()
		_, f := p.call(t.Context(), p.workio, p.request("/", getworkRequest, patience), false)
		if f == nil || f.code == 0 || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %+v after %s", name, f, time.Since(begin))
		}
	}
	p := g.join(multi)
	must(t, p.Fetch(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Poll(t.Context()) }()
	time.Sleep(100 * time.Millisecond)
	_, err := g.node.Generate(t.Context(), 1, g.traffic.Script())
	must(t, err)
	must(t, <-done)
	checkHonest(t, p.State())
}

// TestUnknownUser: whose user name is no address stays on getblocktemplate, so that he can be told
// what is wrong with it.
func TestUnknownUser(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		p := g.join(name, func(c *Config) { c.User = "nobody" })
		if err := p.Fetch(t.Context()); !errors.Is(err, ErrNoWork) || !strings.Contains(err.Error(), "401") && name == minerd {
			t.Errorf("%s: %v", name, err)
		}
		if st := p.State(); st.Protocol == Getwork || st.Protocol == Stratum {
			t.Errorf("%s has left for good: %+v", name, st)
		}
	}
}

// TestRejected: a share that is wrong is a rejected share for every program, with the reason, and
// never one to send again.
func TestRejected(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		for what, change := range map[string]func(string) string{
			"another time":     func(s string) string { return s[:68*2] + "00000000" + s[72*2:] },
			"another root":     func(s string) string { return s[:36*2] + strings.Repeat("00", 32) + s[68*2:] },
			"no digits":        func(string) string { return "zz" },
			"nothing":          func(string) string { return "" },
			"cut short":        func(s string) string { return s[:len(s)-2] },
			"an unknown block": func(s string) string { return s[:4*2] + strings.Repeat("00", 32) + s[36*2:] },
		} {
			p := g.join(name)
			must(t, p.Fetch(t.Context()))
			s := g.submit(p, change)
			if s.Verdict != Rejected || s.Reason == "" {
				t.Errorf("%s, %s: %s %q", name, what, s.Verdict, s.Reason)
			}
		}
	}
}

// submit has a program find a share and submits it changed.
func (g *gateway) submit(p program, change func(digits string) string) Share {
	g.t.Helper()
	var w *work
	var err error
	switch p := p.(type) {
	case *CPUMiner:
		w, err = p.pick()
		must(g.t, err)
		must(g.t, w.scan(g.t.Context(), func() bool { return false }))
		s := &Share{Body: changed(g.t, p.submitRequest(w), change)}
		must(g.t, p.send(g.t.Context(), s))
		return *s
	case *BFGMiner:
		w, err = p.make()
		must(g.t, err)
		must(g.t, w.scan(g.t.Context(), func() bool { return false }))
		s := &Share{Body: changed(g.t, p.submitRequest(w), change)}
		must(g.t, p.send(g.t.Context(), s))
		return *s
	default:
		g.t.Fatal("an unknown program")
		return Share{}
	}
}

// changed changes the digits in a submission.
func changed(t *testing.T, body string, change func(string) string) string {
	t.Helper()
	var r submitted
	must(t, json.Unmarshal([]byte(body), &r))
	digits := string(r.Params[0][1 : len(r.Params[0])-1])
	return strings.Replace(body, digits, change(digits), 1)
}

// TestMiningInfoServed: cpuminer-multi without a long poll reads the best chain and goes on.
func TestMiningInfoServed(t *testing.T) {
	g := newGateway(t)
	p := g.join(multi, func(c *Config) { c.NoLongPoll = true })
	run(t, p, "two blocks", func() bool { return len(g.node.accepted()) >= 2 })
	m, ok := p.(*CPUMiner)
	if !ok || m.blocks == 0 || m.infoRefused {
		t.Errorf("getmininginfo was of no use: %+v", m)
	}
	checkHonest(t, p.State())
}

// TestKeptConnections: each program's connection serves more than one request, chunked or not.
func TestKeptConnections(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		p := g.join(name)
		must(t, p.Fetch(t.Context()))
		var before net.Conn
		switch p := p.(type) {
		case *CPUMiner:
			before = p.workio.conn
			must(t, p.Fetch(t.Context()))
			if p.workio.conn != before || before == nil {
				t.Errorf("%s: the connection was closed", name)
			}
		case *BFGMiner:
			before = p.workio.conn
			must(t, p.Fetch(t.Context()))
			if p.workio.conn != before || before == nil {
				t.Errorf("%s: the connection was closed", name)
			}
		}
	}
}
