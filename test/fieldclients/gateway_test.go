package fieldclients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// miner is who the programs mine for, and patience how long tests wait for what must come.
const (
	miner    = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
	patience = time.Minute
)

// observedNode is an in-process node that keeps the blocks which it accepts, and fails at will.
type observedNode struct {
	*devnet.Chain
	down   atomic.Bool
	mu     sync.Mutex
	blocks []*wire.MsgBlock // held by mu
}

var errDown = errors.New("the node is down")

func (n *observedNode) Info(ctx context.Context) (node.Info, error) {
	if n.down.Load() {
		return node.Info{}, errDown
	}
	return n.Chain.Info(ctx)
}

func (n *observedNode) BestBlock(ctx context.Context) (chainhash.Hash, error) {
	if n.down.Load() {
		return chainhash.Hash{}, errDown
	}
	return n.Chain.BestBlock(ctx)
}

func (n *observedNode) Template(ctx context.Context, pollID string) (json.RawMessage, error) {
	if n.down.Load() {
		return nil, errDown
	}
	return n.Chain.Template(ctx, pollID)
}

func (n *observedNode) SubmitBlock(ctx context.Context, raw gbt.RawBlock) (gbt.Reason, error) {
	reason, err := n.Chain.SubmitBlock(ctx, raw)
	if reason == "" && err == nil {
		var b wire.MsgBlock
		if err := b.Deserialize(bytes.NewReader(raw.Bytes())); err != nil {
			return "", err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.blocks = append(n.blocks, &b)
	}
	return reason, err
}

// accepted returns the blocks that the node has accepted.
func (n *observedNode) accepted() []*wire.MsgBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.blocks)
}

// journal is a log that tests read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer // held by mu
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// gateway is a whole gateway on a chain in this process.
type gateway struct {
	t       *testing.T
	node    *observedNode
	traffic *devnet.Traffic
	log     *journal
	url     string
	address string
	// clients are the operator's rows of the table of programs, before the built-in ones.
	clients []gbt.Profile
	// stop ends the gateway, start starts it again at the same address.
	stop func()
}

// newGateway starts a gateway on a chain whose mempool holds transactions with a witness, with the
// operator's rows for programs.
func newGateway(t *testing.T, clients ...gbt.Profile) *gateway {
	t.Helper()
	chain, err := devnet.New(devnet.Config{Dir: t.TempDir(), TemplateEvery: 20 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() { must(t, chain.Close()) })
	g := &gateway{t: t, node: &observedNode{Chain: chain}, log: &journal{}, address: "127.0.0.1:0", clients: clients}
	g.traffic, err = devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Seed: 7})
	must(t, err)
	_, err = chain.Generate(t.Context(), 110, g.traffic.Script())
	must(t, err)
	// Once the first ones are in a block there are coins of every form.
	g.fill(25)
	_, err = chain.Generate(t.Context(), 1, g.traffic.Script())
	must(t, err)
	g.fill(15)
	g.start()
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill adds transactions, with and without witnesses.
func (g *gateway) fill(n int) {
	g.t.Helper()
	_, err := g.traffic.Fill(g.t.Context(), n)
	must(g.t, err)
	// The node's last template stays for a moment.
	await(g.t, "a transaction with a witness, without which nothing would be tested", func() bool {
		raw, err := g.node.Chain.Template(g.t.Context(), "")
		must(g.t, err)
		v, err := parse(raw)
		must(g.t, err)
		txs, _ := member(v, "transactions")
		return slices.ContainsFunc(arrayOf(txs), func(tx any) bool {
			id, _ := member(tx, "txid")
			hash, _ := member(tx, "hash")
			return id != hash
		})
	})
}

// start starts the gateway and waits until it has a template.
func (g *gateway) start() {
	g.t.Helper()
	a := g.launch()
	await(g.t, "a template", func() bool { _, err := a.Template(); return err == nil })
}

// launch starts the gateway.
func (g *gateway) launch() *app.App {
	t := g.t
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", g.address)
	must(t, err)
	g.address = listener.Addr().String()
	g.url = "http://" + g.address + "/"
	// Any block is a share, and nothing easier.
	share, err := gbt.TargetFromDifficulty(2.5e-10)
	must(t, err)
	hard, err := gbt.TargetFromDifficulty(1)
	must(t, err)
	limits := api.DefaultLimits()
	limits.Drain = time.Second
	a, err := app.New(t.Context(), app.Config{
		Chain: g.node.Params(), Coinbaser: gbt.PayTo{txscript.OP_TRUE}, Tag: "/field/", WorkKey: bytes.Repeat([]byte{7}, 32),
		Watch: node.SetConfig{
			Chain: "regtest", Nodes: []node.Node{g.node}, WatchEvery: 20 * time.Millisecond,
			LeaveAfter: 100 * time.Millisecond, LostAfter: 200 * time.Millisecond, StableFor: time.Millisecond,
		},
		Choice: app.Choice{Floor: 9000, Clients: append(slices.Clip(g.clients), gbt.DefaultProfiles()...), Budget: gbt.Budget{
			Checks: 100, Bytes: 100_000_000, Newcomers: 100, Parallel: 1,
		}, Memory: 10_000_000},
		Share: share, Easiest: share, Hardest: hard, Expires: 10 * time.Minute, Grace: 0,
		Ledger:   app.Ledger{Redis: redisstore.Config{Prefix: "field", Slow: 5 * time.Second}, Gateway: "field", Multiple: 8, SpoolBytes: 64 << 20},
		Listener: listener, KeepAlive: 100 * time.Millisecond, Limits: limits,
		Log: slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(g.stop)
	return a
}

// await asks again and again until ok says yes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// join makes a program that mines at the gateway.
func (g *gateway) join(name string, edits ...func(*Config)) program {
	g.t.Helper()
	return newProgram(g.t, name, g.url, append([]func(*Config){func(c *Config) {
		c.User, c.Now, c.Pause = miner+"."+name, time.Now, 100*time.Millisecond
	}}, edits...)...)
}

// ask sends a program's own request for a template and returns the result, with the header that
// came with it.
func (g *gateway) ask(name, pollID string) (object, http.Header) {
	g.t.Helper()
	var c *curl
	var m *message
	asker := g.join(name)
	defer asker.Close()
	switch p := asker.(type) {
	case *CPUMiner:
		c, m = p.workio, p.request(p.server.RequestURI(), p.templateRequest(pollID), patience)
	case *BFGMiner:
		c, m = p.workio, p.request(p.server.RequestURI(), p.templateRequest(pollID, ""), pollID != "")
	}
	got, err := c.send(g.t.Context(), m)
	must(g.t, err)
	v, err := parse(got.body)
	must(g.t, err)
	r, _ := member(v, "result")
	o, ok := r.(object)
	if !ok {
		g.t.Fatalf("%s: HTTP %d, %s", name, got.status, got.body)
	}
	return o, got.header
}

// runner is a program that mines by itself.
type runner interface {
	Run(ctx context.Context) error
}

// run has a program mine until ok says that it is enough.
func run(t *testing.T, p program, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.(runner).Run(ctx) }() //nolint:errcheck // all programs are
	defer func() { must(t, <-done) }()
	defer cancel()
	await(t, what, ok)
}

// hasWitness reports whether a block holds a transaction with a witness beside the coinbase.
func hasWitness(b *wire.MsgBlock) bool {
	return slices.ContainsFunc(b.Transactions[1:], func(tx *wire.MsgTx) bool { return tx.HasWitness() })
}

// allPrograms are the programs' names.
func allPrograms() []string { return []string{minerd, multi, bfgminer} }
