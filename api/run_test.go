package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestSubmissionOutlivesRun: what came in before the server was told to stop is carried out.
func TestSubmissionOutlivesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		p := servePipe(t, func(c *Config) {
			c.Intake = intakeFunc(func(ctx context.Context, _ gbt.Submission) gbt.Verdict {
				time.Sleep(5 * time.Second)
				ended = ctx.Err()
				return gbt.Verdict{Block: true}
			})
		})
		c := p.dial()
		h := listen(c)
		send(t, c, post(`{"method":"submitblock","params":["00"],"id":1}`))
		synctest.Wait()
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if got := h.answered(t); got.status != 200 || ended != nil {
			t.Errorf("got %d %s, %v", got.status, got.body, ended)
		}
	})
}

// TestDrainEnds: a request that takes too long does not keep the server from stopping.
func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := servePipe(t, func(c *Config) {
			c.Intake = intakeFunc(func(ctx context.Context, _ gbt.Submission) gbt.Verdict {
				<-ctx.Done()
				return gbt.Verdict{Err: ctx.Err()}
			})
		})
		c := p.dial()
		listen(c)
		send(t, c, post(`{"method":"submitblock","params":["00"],"id":1}`))
		synctest.Wait()
		start := time.Now()
		if err := p.stop(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cut off after 10s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != p.cfg.Limits.Drain {
			t.Errorf("stopping took %s", took)
		}
		time.Sleep(p.cfg.Limits.Submit) // the submission's own end
	})
}

// TestRequestsWhileStopping: new long polls are sent away at once, submissions still count.
func TestRequestsWhileStopping(t *testing.T) {
	p := newPool(t).serve()
	p.waiters.drain(context.Background())
	for _, body := range []string{poll(p.pollID()), `{"method":"getblocktemplate","params":[{}],"id":0}`} {
		got := p.do(body)
		if _, e := got.rpc(t); got.status != 503 || e == nil || e.Code != codeNotConnected {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
	if got := p.do(`{"method":"submitblock","params":["00"],"id":1}`); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := exchange(t, p.dial(), "GET /readyz HTTP/1.1\r\nHost: pool\r\n\r\n"); got.status != 503 || !strings.Contains(got.body, "the server is stopping") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestListenFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	p := newPool(t, func(c *Config) { c.Address = taken.Addr().String() })
	if err := p.Run(context.Background()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestListenerFails(t *testing.T) {
	l := newPipeListener()
	p := newPool(t, func(c *Config) { c.Listener = l })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAddress(t *testing.T) {
	p := newPool(t, func(c *Config) { c.Address = "127.0.0.1:0" })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var address string
	for deadline := time.Now().Add(patience); address == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not say where it listens")
		}
		_, rest, _ := strings.Cut(p.log.String(), "msg=listening address=")
		address = strings.TrimSuffix(rest, "\n")
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got := exchange(t, c, post(`{"method":"getblockcount","id":1}`)); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	var checks []Check
	p := newPool(t, func(c *Config) { c.Ready = func(context.Context) []Check { return checks } }).serve()
	for _, tt := range []struct {
		name   string
		checks []Check
		status int
		body   string
	}{
		{"nothing to check", nil, 200, `{"ready":true,"checks":[]}`},
		{"good", []Check{{Name: "node"}, {Name: "template"}}, 200, `{"ready":true,"checks":[{"name":"node","ok":true},{"name":"template","ok":true}]}`},
		{"bad", []Check{{Name: "node", Err: io.EOF}, {Name: "template"}}, 503, `{"ready":false,"checks":[{"name":"node","ok":false,"error":"EOF"},{"name":"template","ok":true}]}`},
	} {
		checks = tt.checks
		got := exchange(t, p.dial(), "GET /readyz HTTP/1.1\r\nHost: pool\r\n\r\n")
		if got.status != tt.status || got.body != tt.body+"\n" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %s", tt.name, got.status, got.body)
		}
	}
}

func TestMiningInfo(t *testing.T) {
	p := newPool(t, func(c *Config) {
		c.BestChain = fixedChain{info: MiningInfo{
			Chain: "regtest", Height: 101, Bits: 0x207fffff, NetworkHashPS: 4.090404204880984e-07, PooledTx: 8,
		}}
	}).serve()
	result, e := p.do(`{"method":"getmininginfo","params":[],"id":8}`).rpc(t)
	if e != nil {
		t.Fatal(e)
	}
	var got map[string]any
	if err := json.Unmarshal(result, &got); err != nil {
		t.Fatal(err)
	}
	easiest := "7fffff" + strings.Repeat("0", 58)
	want := map[string]any{
		"blocks": 101.0, "bits": "207fffff", "difficulty": 4.656542373906925e-10, "target": easiest,
		"networkhashps": 4.090404204880984e-07, "pooledtx": 8.0, "chain": "regtest", "warnings": []any{},
		"next": map[string]any{"height": 102.0, "bits": "207fffff", "difficulty": 4.656542373906925e-10, "target": easiest},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-15, 0)); diff != "" {
		t.Error(diff)
	}
	if got := p.do(`{"method":"getdifficulty","params":[],"id":1}`); got.body != `{"result":4.6565423739069247e-10,"error":null,"id":1}`+"\n" {
		t.Errorf("got %s", got.body)
	}
	p.lose()
	got503 := p.do(`{"method":"getmininginfo","params":[],"id":8}`)
	if _, e := got503.rpc(t); got503.status != 503 || e == nil || e.Code != codeInitialDownload {
		t.Errorf("without a template: got %d %s", got503.status, got503.body)
	}
}

// TestMetrics: the scrape shows what was done, under names that do not depend on clients.
func TestMetrics(t *testing.T) {
	p := newPool(t).serve()
	p.do(`{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":0}`).template(t)
	p.do(poll("gone")).template(t)
	p.do(`{"method":"submitblock","params":["00"],"id":0}`)
	p.do(`{"method":"no such method","id":0}`)
	p.do(`nonsense`)
	p.do(`[{"method":"getblockcount","id":0}]`)
	scrape := func() string { return exchange(t, p.dial(), "GET /metrics HTTP/1.1\r\nHost: pool\r\n\r\n").body }
	text := scrape()
	for _, line := range []string{
		`gbtpool_requests_total{code="2xx",method="getblocktemplate"} 2`,
		`gbtpool_requests_total{code="2xx",method="submitblock"} 1`,
		`gbtpool_requests_total{code="4xx",method="unknown"} 1`,
		`gbtpool_requests_total{code="5xx",method="invalid"} 1`,
		`gbtpool_requests_total{code="2xx",method="batch"} 1`,
		`gbtpool_submissions_total{reason="accepted"} 1`,
		`gbtpool_submissions_total{reason="bad-txns"} 0`,
		`gbtpool_blocks_total{result="accepted"} 0`,
		`gbtpool_longpolls_waiting 0`,
		`gbtpool_getblocktemplate_seconds_count{kind="plain"} 1`,
		`gbtpool_getblocktemplate_seconds_count{kind="longpoll"} 1`,
		`gbtpool_submitblock_seconds_count 1`,
		`gbtpool_template_available 1`,
		`gbtpool_template_height 102`,
		`gbtpool_template_transactions 8`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	for _, part := range []string{"gbtpool_template_age_seconds ", "gbtpool_request_bytes_total ", "gbtpool_connections "} {
		if !strings.Contains(text, "\n"+part) {
			t.Errorf("the scrape lacks %s", part)
		}
	}
	if strings.Contains(text, "no such method") {
		t.Error("a client's text is a label")
	}
	p.lose()
	if text = scrape(); !strings.Contains(text, "gbtpool_template_available 0\n") || strings.Contains(text, "gbtpool_template_height") {
		t.Error("the scrape shows a template that is gone")
	}
}
