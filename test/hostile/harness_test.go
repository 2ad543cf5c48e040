package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
	bob   = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry"
	agent = "hostile/1"
	// networkBits is a target that one hash in 256 meets: blocks are quick to make and no share is
	// one by chance unless it is looked for.
	networkBits = 0x2000ffff
	tag         = "/hostile/"
)

// poolScript is where the test pool's coinbases pay to.
func poolScript() []byte { return []byte{txscript.OP_TRUE} }

// gateway is a pool on an in-process chain, built as a program builds it.
type gateway struct {
	t       *testing.T
	chain   *devnet.Chain
	traffic *devnet.Traffic
	feed    *gbt.Feed
	tally   *tally
	url     string
	log     *lockedBuffer
	network *network
	stop    func()
}

// settings are what tests change.
type settings struct {
	feed   gbt.FeedConfig
	issuer gbt.IssuerConfig
	judge  gbt.JudgeConfig
	limits api.Limits
	chain  *devnet.Chain // nil makes one
}

// network counts what the nodes are asked and can be made to fail.
type network struct {
	gbt.Network
	mu        sync.Mutex
	proposals int
	propose   func(ctx context.Context, block []byte) (gbt.Reason, error) // nil asks the chain
}

func (n *network) Propose(ctx context.Context, block []byte) (gbt.Reason, error) {
	n.mu.Lock()
	n.proposals++
	propose := n.propose
	n.mu.Unlock()
	if propose != nil {
		return propose(ctx, block)
	}
	return n.Network.Propose(ctx, block)
}

func (n *network) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proposals
}

func (n *network) setPropose(f func(context.Context, []byte) (gbt.Reason, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.propose = f
}

// lockedBuffer is a log that tests read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newChain makes a chain with coins to spend and transactions, witnesses among them, that wait.
func newChain(t *testing.T) (*devnet.Chain, *devnet.Traffic) {
	t.Helper()
	chain, err := devnet.New(devnet.Config{Dir: t.TempDir(), Bits: networkBits, TemplateEvery: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	traffic, err := devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Generate(t.Context(), 110, traffic.Script()); err != nil {
		t.Fatal(err)
	}
	// Once the first ones are in a block there are coins that need no witness to spend.
	_, err = traffic.Fill(t.Context(), 60)
	check(t, err)
	_, err = chain.Generate(t.Context(), 1, traffic.Script())
	check(t, err)
	_, err = traffic.Fill(t.Context(), 40)
	check(t, err)
	return chain, traffic
}

// start runs a gateway until the test ends or stop is called.
func start(t *testing.T, change ...func(*settings)) *gateway {
	t.Helper()
	g := &gateway{t: t, log: new(lockedBuffer), tally: newTally()}
	log := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	share, easiest, hardest := zeros(4), zeros(2), zeros(7)
	key := []byte("the key of the hostile tests")
	s := &settings{
		feed:   gbt.FeedConfig{Coinbaser: gbt.PayTo(poolScript()), Tag: tag, Patience: 5 * time.Second, Now: time.Now, Log: log},
		issuer: gbt.IssuerConfig{Key: key, Share: share, Easiest: easiest, Hardest: hardest, Expires: time.Hour, Grace: time.Hour, Transactions: true, Now: time.Now},
		judge: gbt.JudgeConfig{
			Key: key, Easiest: easiest, Expires: time.Hour, Grace: time.Hour, BlockWait: 10 * time.Second, Floor: 9000, Memory: 64 << 20,
			Budget: gbt.Budget{Checks: 1000, Bytes: 1 << 30, Newcomers: 1000, Parallel: 2}, Now: time.Now, Log: log,
		},
		limits: api.DefaultLimits(),
	}
	for _, f := range change {
		f(s)
	}
	if g.chain = s.chain; g.chain == nil {
		g.chain, g.traffic = newChain(t)
	}
	g.run(s, log)
	return g
}

// in returns the gateway for a part of a test.
func (g *gateway) in(t *testing.T) *gateway {
	t.Helper()
	part := *g
	part.t = t
	return &part
}

// run builds the parts and starts them.
func (g *gateway) run(s *settings, log *slog.Logger) {
	t := g.t
	t.Helper()
	nodes, err := node.NewSet(node.SetConfig{
		Chain: "regtest", Nodes: []node.Node{g.chain}, WatchEvery: 20 * time.Millisecond, Now: time.Now, Log: log,
	})
	check(t, err)
	g.network = &network{Network: nodes}
	s.feed.Source = nodes
	g.feed, err = gbt.NewFeed(s.feed)
	check(t, err)
	s.issuer.Feed, s.judge.Feed, s.judge.Network = g.feed, g.feed, g.network
	issuer, err := gbt.NewIssuer(s.issuer)
	check(t, err)
	judge, err := gbt.NewJudge(s.judge)
	check(t, err)
	intake, err := shares.NewIntake(shares.IntakeConfig{Judge: judge, Recorder: g.tally})
	check(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	g.url = "http://" + listener.Addr().String()
	door, err := api.New(api.Config{
		Desk: desk{g.feed, issuer}, Intake: intake, Proposer: judge, BestChain: bestChain{}, Chain: g.chain.Params(),
		Registry: prometheus.NewRegistry(), Log: log, Listener: listener, Limits: s.limits,
	})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{nodes.Run, g.feed.Run, door.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	g.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); http.DefaultClient.CloseIdleConnections() })
	t.Cleanup(g.stop)
	check(t, g.feed.Wait(ctx, ""))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk is what the door needs to give out work.
type desk struct {
	*gbt.Feed
	*gbt.Issuer
}

// bestChain answers what nobody asks here.
type bestChain struct{}

func (bestChain) MiningInfo(context.Context) (api.MiningInfo, error) {
	return api.MiningInfo{}, errors.New("nobody asks")
}

// zeros returns the highest target whose numbers begin with n zero bits, as a work's target.
func zeros(n int) gbt.Target {
	var target gbt.Target
	for i := range target {
		target[i] = 0xff
	}
	for i := range n {
		target[i/8] &^= 0x80 >> (i % 8)
	}
	return target.Round()
}

// answer is a JSON-RPC reply with what came beside it.
type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	status int
	header http.Header
}

// reason returns the result as submitblock has it: empty for null.
func (a *answer) reason(t *testing.T) gbt.Reason {
	t.Helper()
	if a.Error != nil {
		t.Fatalf("HTTP %d, error %d: %s", a.status, a.Error.Code, a.Error.Message)
	}
	var reason *gbt.Reason
	if err := json.Unmarshal(a.Result, &reason); err != nil {
		t.Fatalf("the result is %s", a.Result)
	}
	if reason == nil {
		return ""
	}
	return *reason
}

// call makes a JSON-RPC call.
func (g *gateway) call(user, method string, params ...any) *answer {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
	check(g.t, err)
	return g.post(user, body)
}

// post sends a body as it is.
func (g *gateway) post(user string, body []byte) *answer {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url, bytes.NewReader(body))
	check(g.t, err)
	req.SetBasicAuth(user, "x")
	req.Header.Set("User-Agent", agent)
	resp, err := http.DefaultClient.Do(req)
	check(g.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	check(g.t, err)
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if err := json.Unmarshal(raw, a); err != nil {
		g.t.Fatalf("HTTP %d, %.200q: %v", resp.StatusCode, raw, err)
	}
	return a
}

// accepted returns how many shares the ledger has.
func (g *gateway) accepted() int {
	n := 0
	for _, w := range g.tally.Workers() {
		n += w.Accepted
	}
	return n
}

// metrics returns what the door tells Prometheus.
func (g *gateway) metrics() string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+"/metrics", nil)
	check(g.t, err)
	resp, err := http.DefaultClient.Do(req)
	check(g.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	check(g.t, err)
	return string(raw)
}
