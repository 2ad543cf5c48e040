package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(pollServerEnv); config != "" {
		if err := servePolls(config); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	// user is a P2WPKH address on regtest, with a worker's name.
	user    = "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp.rig1"
	address = "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp"
)

// journal collects log lines.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// news is a gbt.Source that is told what to say.
type news chan gbt.News

func (n news) Next(ctx context.Context) (gbt.News, error) {
	select {
	case item := <-n:
		return item, nil
	case <-ctx.Done():
		return gbt.News{}, ctx.Err()
	}
}

// faultyDesk is a real feed and issuer, with errors in their place at will.
type faultyDesk struct {
	*gbt.Feed
	*gbt.Issuer
	mu               sync.Mutex
	waitErr, workErr error
	requests         []gbt.TemplateRequest
}

func (d *faultyDesk) fail(wait, work error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waitErr, d.workErr = wait, work
}

func (d *faultyDesk) errs() (wait, work error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waitErr, d.workErr
}

func (d *faultyDesk) Await(ctx context.Context, w *gbt.Watch) error {
	if err, _ := d.errs(); err != nil {
		return err
	}
	return d.Issuer.Await(ctx, w)
}

func (d *faultyDesk) Issue(a gbt.Account, r gbt.TemplateRequest) (*gbt.Work, error) {
	d.mu.Lock()
	d.requests = append(d.requests, r)
	d.mu.Unlock()
	if _, err := d.errs(); err != nil {
		return nil, err
	}
	return d.Issuer.Issue(a, r)
}

// last returns what Issue was asked last.
func (d *faultyDesk) last() gbt.TemplateRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requests[len(d.requests)-1]
}

// intakeFunc is an Intake.
type intakeFunc func(ctx context.Context, s gbt.Submission) gbt.Verdict

func (f intakeFunc) Submit(ctx context.Context, s gbt.Submission) gbt.Verdict { return f(ctx, s) }

// proposerFunc is a Proposer.
type proposerFunc func(ctx context.Context, s gbt.Submission) gbt.Ruling

func (f proposerFunc) Propose(ctx context.Context, s gbt.Submission) gbt.Ruling { return f(ctx, s) }

type fixedChain struct {
	info MiningInfo
	err  error
}

func (c fixedChain) MiningInfo(context.Context) (MiningInfo, error) { return c.info, c.err }

// pool is a server with all that it needs.
type pool struct {
	*Server
	t       *testing.T
	desk    *faultyDesk
	vardiff *shares.Vardiff // from the easiest target on
	news    news
	log     *journal
	address string
	// dial connects to the server.
	dial func() net.Conn
	// stop ends the server and returns Run's error. It may be called again.
	stop func() error
}

// newPool makes a pool that has a template. It does not serve yet.
func newPool(t *testing.T, change ...func(*Config)) *pool {
	t.Helper()
	return newPoolPaying(t, gbt.PayTo{0x51}, change...)
}

// newPoolPaying makes a pool whose blocks pay what coinbaser says.
func newPoolPaying(t *testing.T, coinbaser gbt.Coinbaser, change ...func(*Config)) *pool {
	t.Helper()
	return newPoolFeeding(t, gbt.FeedConfig{Coinbaser: coinbaser, Compress: true}, change...)
}

// newPoolFeeding makes a pool whose feed is as feeding says, which need not say what all have.
func newPoolFeeding(t *testing.T, feeding gbt.FeedConfig, change ...func(*Config)) *pool {
	t.Helper()
	p := &pool{t: t, news: make(news), log: new(journal)}
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	feeding.Source, feeding.Tag, feeding.Patience, feeding.Now = p.news, "/test/", 2*time.Second, time.Now
	feeding.Log = slog.New(slog.DiscardHandler)
	feed, err := gbt.NewFeed(feeding)
	if err != nil {
		t.Fatal(err)
	}
	easy, err := gbt.TargetFromDifficulty(1e-9)
	if err != nil {
		t.Fatal(err)
	}
	hard, err := gbt.TargetFromDifficulty(1e12)
	if err != nil {
		t.Fatal(err)
	}
	p.vardiff, err = shares.NewVardiff(shares.VardiffConfig{
		PerMinute: 6, Start: easy, Easiest: easy, Hardest: hard, Most: 10, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := gbt.NewIssuer(gbt.IssuerConfig{
		Feed: feed, Key: bytes.Repeat([]byte{7}, 32), Share: easy, Easiest: easy, Hardest: hard, Auto: p.vardiff, Expires: time.Minute, Transactions: true, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	p.desk = &faultyDesk{Feed: feed, Issuer: issuer}
	p.publish(1)
	cfg := Config{
		Desk:      p.desk,
		Intake:    intakeFunc(func(context.Context, gbt.Submission) gbt.Verdict { return gbt.Verdict{} }),
		BestChain: fixedChain{info: MiningInfo{Chain: "regtest", Height: 101, Bits: 0x207fffff}},
		Chain:     &chaincfg.RegressionNetParams, Registry: prometheus.NewRegistry(), Log: log, Limits: DefaultLimits(),
	}
	for _, f := range change {
		f(&cfg)
	}
	if p.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish brings a new template, on a previous block of its own for each number, and waits until
// it is in force. edit may change what the node says.
func (p *pool) publish(number byte, edit ...func(template map[string]any)) {
	p.t.Helper()
	raw, err := os.ReadFile("testdata/template.json")
	if err != nil {
		p.t.Fatal(err)
	}
	var tmpl map[string]any
	if err := json.Unmarshal(raw, &tmpl); err != nil {
		p.t.Fatal(err)
	}
	tip := chainhash.Hash{number}
	tmpl["previousblockhash"] = tip.String()
	for _, f := range edit {
		f(tmpl)
	}
	if raw, err = json.Marshal(tmpl); err != nil {
		p.t.Fatal(err)
	}
	p.news <- gbt.News{Node: "test", Tip: tip, Template: raw, Received: time.Now()}
	p.until(func(tmpl *gbt.Template, err error) bool { return err == nil && tmpl.PreviousBlock == tip })
}

// until waits until the feed is as ok wants it.
func (p *pool) until(ok func(*gbt.Template, error) bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !ok(p.desk.Current()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the feed does not take the news")
		}
	}
}

// pollID returns the long poll id of the template in force.
func (p *pool) pollID() string {
	t, err := p.desk.Current()
	if err != nil {
		return ""
	}
	return t.LongPollID()
}

// lose takes the template away.
func (p *pool) lose() {
	p.t.Helper()
	p.news <- gbt.News{Tip: chainhash.Hash{1}, Err: io.ErrUnexpectedEOF}
	p.until(func(_ *gbt.Template, err error) bool { return err != nil })
}

// serve runs the pool on a TCP port until the test ends.
func (p *pool) serve() *pool {
	p.t.Helper()
	if p.cfg.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		p.cfg.Listener = l
	}
	p.address = p.cfg.Listener.Addr().String()
	if p.dial == nil {
		p.dial = func() net.Conn {
			c, err := net.Dial("tcp", p.address)
			if err != nil {
				p.t.Fatal(err)
			}
			p.t.Cleanup(func() { _ = c.Close() })
			return c
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	p.t.Cleanup(func() { _ = p.stop() })
	return p
}

// pipeListener accepts connections in memory, for tests in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// servePipe runs the pool on connections in memory until stop is called.
func servePipe(t *testing.T, change ...func(*Config)) *pool {
	t.Helper()
	l := newPipeListener()
	p := newPool(t, append(change, func(c *Config) { c.Listener = l })...)
	p.dial = l.dial
	return p.serve()
}

// post is a request as text, with the test's user.
func post(body string, header ...string) string {
	r, err := http.NewRequest(http.MethodPost, "http://pool/", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.SetBasicAuth(user, "x")
	r.Header.Set("User-Agent", "test/1")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		panic(err)
	}
	return text.String()
}

// answer is a reply with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a body to the handler by way of TCP.
func (p *pool) do(body string, header ...string) answer {
	p.t.Helper()
	c := p.dial()
	defer func() { _ = c.Close() }()
	return exchange(p.t, c, post(body, header...))
}

// errText returns the error's code and message of a reply in JSON.
func (a answer) rpc(t *testing.T) (result json.RawMessage, e *rpcError) {
	t.Helper()
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil {
		t.Fatalf("%q is not JSON: %v", a.body, err)
	}
	return reply.Result, reply.Error
}

// basic is the header of a user.
func basic(user, password string) string {
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, password)
	return "Authorization: " + r.Header.Get("Authorization")
}

// count reads a counter or a gauge.
func count(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
