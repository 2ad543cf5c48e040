package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

const miner = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool is a gateway on an in-process chain.
type pool struct {
	*app.App
	chain *devnet.Chain
	stop  func() error // ends the gateway and returns how it ended
}

// start makes a chain and runs a gateway on it until the test ends or stop is called.
func start(t *testing.T) *pool {
	t.Helper()
	return serve(t, newDevnet(t), app.Choice{})
}

// configure returns a gateway's configuration on a chain.
func configure(t *testing.T, chain *devnet.Chain, choice app.Choice) app.Config {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	easiest, err := gbt.TargetFromDifficulty(1e-8)
	if err != nil {
		t.Fatal(err)
	}
	limits := api.DefaultLimits()
	limits.PerClient = 5000
	return app.Config{
		Chain: chain.Params(), Coinbaser: gbt.PayTo{txscript.OP_TRUE}, Tag: "/test/", WorkKey: make([]byte, 32),
		Watch: node.SetConfig{Chain: "regtest", Nodes: []node.Node{chain}, WatchEvery: 50 * time.Millisecond},
		Share: easiest, Easiest: easiest, Hardest: easiest, Expires: time.Minute, Choice: choice,
		Ledger:   app.Ledger{Redis: redisstore.Config{Prefix: "test", Slow: 5 * time.Second}, Gateway: "test", Multiple: 8, SpoolBytes: 64 << 20},
		Listener: listener, Limits: limits, Log: slog.New(slog.DiscardHandler),
	}
}

// serve runs a gateway until the test ends or stop is called.
func serve(t *testing.T, chain *devnet.Chain, choice app.Choice) *pool {
	t.Helper()
	return run(t, chain, configure(t, chain, choice))
}

// running runs a gateway until the test ends or stop is called.
func running(t *testing.T, chain *devnet.Chain, a *app.App) *pool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	p := &pool{App: a, chain: chain, stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	settle, cancelSettle := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancelSettle()
	a.Settled(settle)
	return p
}

// connect returns a client of the pool.
func (p *pool) connect(t *testing.T, worker string) *client.Client {
	t.Helper()
	// Many polls at a time need as many connections, and none may stay behind.
	transport := &http.Transport{MaxIdleConnsPerHost: 2000}
	c, err := client.New(client.Config{
		URL: p.URL(), User: miner + "." + worker, Password: "x", HTTP: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestThousandLongPolls has a block answer a thousand long polls with as many different pieces of
// work, and a shutdown end a thousand more; TestMain looks for what stays behind.
func TestThousandLongPolls(t *testing.T) {
	const polls = 1000
	p := start(t)
	c := p.connect(t, "poller")
	first, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	poll := func(id string) (results chan *client.Template, failures chan error) {
		results, failures = make(chan *client.Template, polls), make(chan error, polls)
		for range polls {
			go func() {
				next, err := c.Template(t.Context(), client.Request{LongPollID: id}, nil)
				if err != nil {
					failures <- err
					return
				}
				results <- next
			}()
		}
		return results, failures
	}
	results, failures := poll(first.LongPollID)
	waitFor(t, "all polls to wait", func() bool { return waiting(t, p) == polls })
	blocks, err := p.chain.Generate(t.Context(), 1, []byte{txscript.OP_TRUE})
	if err != nil {
		t.Fatal(err)
	}
	works := make(map[string]bool)
	var last *client.Template
	for range polls {
		select {
		case next := <-results:
			if next.PreviousBlock != blocks[0] {
				t.Fatalf("a poll was answered with work on %s, want %s", next.PreviousBlock, blocks[0])
			}
			if next.SubmitOld {
				t.Fatal("submitold is true although the old work is worthless")
			}
			works[next.WorkID] = true
			last = next
		case err := <-failures:
			t.Fatal(err)
		}
	}
	if len(works) != polls {
		t.Errorf("%d polls got %d different pieces of work", polls, len(works))
	}

	_, failures = poll(last.LongPollID)
	waitFor(t, "all polls to wait again", func() bool { return waiting(t, p) == polls })
	begin := time.Now()
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the stop with %d polls took %s", polls, time.Since(begin))
	for range polls {
		var refusal *client.Error
		if err := <-failures; !errors.As(err, &refusal) || refusal.HTTPStatus != http.StatusServiceUnavailable || refusal.Code == 0 {
			t.Fatalf("a poll ended with %v at the stop, want status 503 and a JSON-RPC error", err)
		}
	}
}

// TestMine mines through the gateway until blocks are on the chain, and looks at who was credited.
func TestMine(t *testing.T) {
	p := start(t)
	before, err := p.chain.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, err := client.NewMiner(client.MinerConfig{Client: p.connect(t, "rig"), Threads: 2, HashRate: 2000})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	waitFor(t, "five blocks", func() bool {
		info, err := p.chain.Info(t.Context())
		return err == nil && info.Height >= before.Height+5
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	account, workers, err := p.Figures().Account(t.Context(), miner)
	if err != nil || account.Blocks < 5 || len(workers) != 1 || workers[0].Worker != "rig" || workers[0].Blocks != account.Blocks {
		t.Errorf("credited are %+v, %+v (%v), want five blocks of %s.rig", account, workers, err, miner)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestChecklist(t *testing.T) {
	p := start(t)
	list := p.Checklist(t.Context())
	if list.Worst() == app.Bad {
		t.Errorf("a healthy pool has the checklist %+v", list)
	}
	if err := p.chain.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the loss of the node to show", func() bool { return p.Checklist(t.Context()).Worst() == app.Bad })
	for _, item := range p.Checklist(t.Context()) {
		if item.Mark == app.Bad && (item.Text == "" || item.Change == "") {
			t.Errorf("the item %+v does not say what is wrong and what to change", item)
		}
	}
}

// waiting returns how many long polls wait, as the metrics have it.
func waiting(t *testing.T, p *pool) int {
	t.Helper()
	return metric(t, p.URL(), "gbtpool_longpolls_waiting")
}

// waitFor asks again and again until ok says yes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
