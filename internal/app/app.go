package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/declared"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// patience is how long a request waits for a template while there is none: longer than a node
	// takes to make one, shorter than any client waits for an answer.
	patience = 10 * time.Second
	// pacedWorkers is how many workers have share targets of their own remembered.
	pacedWorkers = 100_000
	// setsKeep is for how long declared work is kept in Redis if no block comes.
	setsKeep = 24 * time.Hour
	// blockWait is how long a found block's submission waits for the nodes' answer.
	blockWait = 15 * time.Second
)

// Config is what a gateway is built from.
type Config struct {
	// Chain is the chain in use.
	Chain *chaincfg.Params
	// Watch says which full nodes to follow, on which chain and how. Its Answered, Now and Log are filled
	// in here.
	Watch node.SetConfig
	// Beside runs beside the nodes and ends with them, such as their ZMQ subscriptions.
	Beside []func(ctx context.Context) error

	// Coinbaser decides what blocks pay and Tag marks them; see gbt.FeedConfig.
	Coinbaser gbt.Coinbaser
	Tag       string
	// EarlyTemplate has an empty template given out from when there is a new block until a node has made one.
	EarlyTemplate bool
	// WorkKey authenticates issued work; Share, Easiest and Hardest are the share targets; Expires
	// and Grace bound how long work may be submitted; see gbt.IssuerConfig and gbt.JudgeConfig.
	WorkKey                 []byte
	Share, Easiest, Hardest gbt.Target
	Expires, Grace          time.Duration

	// Choice is what miners may choose.
	Choice Choice

	// SharesPerMinute is how many shares each worker is aimed at sending, by share targets of its own
	// within Easiest and Hardest; 0 gives everybody Share.
	SharesPerMinute float64

	// Ledger is where shares are recorded.
	Ledger Ledger

	// Payouts is how blocks are divided and accounts are paid. Without scripts of the pool, nothing is.
	Payouts Payouts

	// Door is how people and their programs are served; without it they are not.
	Door *Door

	// Listener is where miners are served. Required.
	Listener net.Listener
	// Compress has templates served compressed to clients that accept it; see gbt.FeedConfig.
	Compress bool
	// KeepAlive and Limits are the door's; see api.Config.
	KeepAlive time.Duration
	Limits    api.Limits

	// WorkerSeries is how many workers have metrics of their own; see api.Config.
	WorkerSeries int

	// Verdicts, if set, hears every verdict once its share is recorded. It must not block.
	Verdicts func(gbt.Submission, gbt.Verdict)
	// Log is where the parts write to. Required.
	Log *slog.Logger
}

// Choice is what miners may choose of their blocks, and how their programs are served; see
// gbt.IssuerConfig and gbt.JudgeConfig. Its zero value lets them choose nothing.
type Choice struct {
	Transactions, Generation bool
	Rules                    gbt.SetRules
	Floor                    int64
	Budget                   gbt.Budget
	ForbiddenFlags           []string
	Clients                  []gbt.Profile
	Servers                  []gbt.Server
	LongPollURI              string
	// Memory bounds the transactions of declared work, in bytes, and Dir is the folder in which it
	// outlives a restart; without one it does not.
	Memory int64
	Dir    string
}

// App is a gateway: nodes, feed, judge, ledger and door.
type App struct {
	cfg    Config
	store  *declared.Store // nil without a folder
	nodes  *node.Set
	feed   *gbt.Feed
	issuer *gbt.Issuer
	books  *books
	// vardiff picks share targets; nil if all have the same.
	vardiff *shares.Vardiff
	// lister says whom coinbases pay; nil if it is the pool alone. cashier is nil if no money is moved here.
	lister  *payouts.Lister
	cashier *Cashier
	// front is what people are served with; nil if they are not.
	front *door
	door  *api.Server
	took  *latencies
}

// desk is what the door needs to give out work.
type desk struct {
	*gbt.Feed
	*gbt.Issuer
}

// New builds a gateway and looks at its ledger. Nothing runs before Run.
func New(ctx context.Context, cfg Config) (*App, error) {
	if cfg.Listener == nil || cfg.Log == nil {
		return nil, errors.New("app: Listener and Log are required")
	}
	a := &App{cfg: cfg, took: newLatencies(cfg.Watch.Nodes)}
	var err error
	if a.books, err = openBooks(ctx, cfg.Ledger, cfg.Chain, cfg.Log.With("part", "ledger")); err != nil {
		return nil, err
	}
	if err = a.buildWork(); err == nil {
		err = a.buildCashier(ctx)
	}
	if err == nil {
		err = a.buildDoor()
	}
	if err != nil {
		return nil, errors.Join(err, a.closeStore(), a.closeCashier(), a.books.close())
	}
	return a, nil
}

// buildCashier builds what moves money.
func (a *App) buildCashier(ctx context.Context) error {
	if len(a.cfg.Payouts.Pool) == 0 {
		return nil
	}
	cfg := CashierConfig{
		Payouts: a.cfg.Payouts, Chain: a.cfg.Chain, Ledger: a.books.ledger, LedgerID: a.books.id, Unit: a.books.unit, Nodes: a.nodes,
		By: a.cfg.Ledger.Gateway, Mirrored: true, Log: a.cfg.Log.With("part", "payouts"),
	}
	if a.cfg.Payouts.Idle { // who only looks moves no money, but finds out whether the wallet is as it should be
		return new(Cashier).openWallet(ctx, cfg)
	}
	var err error
	a.cashier, err = NewCashier(ctx, cfg)
	return err
}

// buildWork builds what turns nodes' templates into work.
func (a *App) buildWork() error {
	cfg := a.cfg
	watch := cfg.Watch
	watch.Answered, watch.Now, watch.Log = a.took.answered, time.Now, cfg.Log.With("part", "nodes")
	var err error
	if a.nodes, err = node.NewSet(watch); err != nil {
		return err
	}
	board, err := a.books.board(cfg.Expires + cfg.Grace + time.Minute)
	if err != nil {
		return err
	}
	coinbaser, err := a.payees()
	if err != nil {
		return err
	}
	early := gbt.Early{Done: a.took.hastened}
	if cfg.EarlyTemplate {
		early.Chain = cfg.Chain
	}
	a.feed, err = gbt.NewFeed(gbt.FeedConfig{
		Source: a.nodes, Board: board, Coinbaser: coinbaser, Tag: cfg.Tag, Rules: cfg.Choice.Rules, Patience: patience,
		Compress: cfg.Compress, Published: a.took.published, Early: early, Now: time.Now, Log: cfg.Log.With("part", "feed"),
	})
	if err != nil {
		return err
	}
	issue := gbt.IssuerConfig{
		Feed: a.feed, Key: cfg.WorkKey, Share: cfg.Share, Easiest: cfg.Easiest, Hardest: cfg.Hardest,
		Expires: cfg.Expires, Grace: cfg.Grace, Transactions: cfg.Choice.Transactions, Generation: cfg.Choice.Generation,
		Clients: cfg.Choice.Clients, Servers: cfg.Choice.Servers, LongPollURI: cfg.Choice.LongPollURI, Now: time.Now,
	}
	if cfg.SharesPerMinute > 0 {
		a.vardiff, err = shares.NewVardiff(shares.VardiffConfig{
			PerMinute: cfg.SharesPerMinute, Start: cfg.Share, Easiest: cfg.Easiest, Hardest: cfg.Hardest, Most: pacedWorkers, Now: time.Now,
		})
		if err != nil {
			return err
		}
		issue.Auto = a.vardiff
	}
	a.issuer, err = gbt.NewIssuer(issue)
	return err
}

// buildJudge builds what rules on submissions and proposals.
func (a *App) buildJudge() (*gbt.Judge, error) {
	cfg := a.cfg
	judge := gbt.JudgeConfig{
		Feed: a.feed, Network: a.nodes, Key: cfg.WorkKey, Easiest: cfg.Easiest,
		Expires: cfg.Expires, Grace: cfg.Grace, BlockWait: blockWait,
		Floor: cfg.Choice.Floor, Budget: cfg.Choice.Budget, Memory: cfg.Choice.Memory, ForbiddenFlags: cfg.Choice.ForbiddenFlags,
		Now: time.Now, Log: cfg.Log.With("part", "judge"),
	}
	var err error
	switch {
	case a.books.embedded == nil:
		// All gateways judge it.
		judge.Store, err = redisstore.NewSets(redisstore.SetsConfig{Ledger: a.books.ledger, Keep: setsKeep})
		if err != nil {
			return nil, err
		}
	case cfg.Choice.Dir != "":
		a.store, err = declared.Open(declared.Config{
			// Records take a little more than what they keep.
			Dir: cfg.Choice.Dir, Bytes: 2 * cfg.Choice.Memory, Log: cfg.Log.With("part", "declared"),
		})
		if err != nil {
			return nil, err
		}
		judge.Store = a.store
	}
	return gbt.NewJudge(judge)
}

// buildDoor builds what takes submissions and serves miners.
func (a *App) buildDoor() error {
	cfg := a.cfg
	judge, err := a.buildJudge()
	if err != nil {
		return err
	}
	intake, err := shares.NewIntake(shares.IntakeConfig{Judge: timedJudge{judge, a.took.judge}, Recorder: a.books.keeper})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	all := append(a.took.collectors(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newNodeCollector(a.nodes), newLedgerCollector(a.books), a.books.writes,
	)
	if a.cashier != nil {
		all = append(all, newPayoutsCollector(a.cashier))
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	open := api.Config{
		Desk: desk{a.feed, a.issuer}, Intake: observed{intake, a.vardiff, a.heard}, Proposer: judge,
		BestChain: bestChain{nodes: a.nodes, feed: a.feed, chain: cfg.Watch.Chain},
		Chain:     cfg.Chain, Ready: a.ready, Registry: registry, WorkerSeries: cfg.WorkerSeries, Log: cfg.Log.With("part", "door"),
		Listener: cfg.Listener, KeepAlive: cfg.KeepAlive, Limits: cfg.Limits,
	}
	if cfg.Door != nil {
		if err := a.openFront(&open); err != nil {
			return err
		}
	}
	a.door, err = api.New(open)
	return err
}

// heard passes a verdict on to whoever listens.
func (a *App) heard(s gbt.Submission, v gbt.Verdict) {
	a.front.heard(s, v)
	if a.cfg.Verdicts != nil {
		a.cfg.Verdicts(s, v)
	}
}

// observed tells a listener about each verdict, and what paces the workers about each credited share.
type observed struct {
	api.Intake
	vardiff *shares.Vardiff
	listen  func(gbt.Submission, gbt.Verdict)
}

// Submit implements api.Intake.
func (o observed) Submit(ctx context.Context, s gbt.Submission) gbt.Verdict {
	v := o.Intake.Submit(ctx, s)
	if o.vardiff != nil && v.Accepted() {
		// What the target was worth, not what the block pays: it is the pace that counts.
		o.vardiff.Accepted(v.Share.Account.Address, v.Share.Worker, v.Share.Target.Work(), v.Share.Time)
	}
	o.listen(s, v)
	return v
}

// Run serves until ctx ends or a part fails. What serves miners stops first, and what carries
// their blocks to the nodes last, so that a block found during the stop still gets there.
func (a *App) Run(ctx context.Context) error {
	carry, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	carriers, carry := errgroup.WithContext(carry)
	servers, ctx := errgroup.WithContext(ctx)
	carriers.Go(func() error { return a.nodes.Run(carry) })
	carriers.Go(func() error { return a.books.run(carry, a.height) })
	if a.lister != nil {
		carriers.Go(func() error { return a.lister.Run(carry) })
	}
	if a.cashier != nil {
		servers.Go(func() error { return a.cashier.Settler.Run(ctx) })
	}
	a.begin(ctx, servers.Go)
	for _, run := range a.cfg.Beside {
		carriers.Go(func() error { return run(carry) })
	}
	servers.Go(func() error { return a.feed.Run(ctx) })
	servers.Go(func() error { return a.door.Run(ctx) })
	servers.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-carry.Done():
			return errors.New("the node watch ended")
		}
	})
	err := servers.Wait()
	stop()
	return errors.Join(err, carriers.Wait(), a.closeStore(), a.closeCashier(), a.books.close())
}

// closeCashier lets the journal's mirror go.
func (a *App) closeCashier() error {
	if a.cashier == nil {
		return nil
	}
	return a.cashier.Close()
}

// closeStore lets go of the folder of declared work.
func (a *App) closeStore() error {
	if a.store == nil {
		return nil
	}
	return a.store.Close()
}

// height returns the height of the block that is worked on, and its network target.
func (a *App) height() (int32, gbt.Target, error) {
	t, err := a.feed.Current()
	if err != nil {
		return 0, gbt.Target{}, err
	}
	return t.Height, t.NetworkTarget, nil
}

// Figures tells how the pool, its accounts and their workers do, from the ledger.
func (a *App) Figures() shares.Figures { return a.books.ledger }

// Template returns the template in force, or an error that matches gbt.ErrUnavailable.
func (a *App) Template() (*gbt.Template, error) { return a.feed.Current() }

// Cashier returns what moves money; nil if nothing does here. Its Settler is for Run alone.
func (a *App) Cashier() *Cashier { return a.cashier }

// URL returns where miners and people are served.
func (a *App) URL() string {
	if a.front.tlsConfig() != nil {
		return "https://" + a.cfg.Listener.Addr().String()
	}
	return "http://" + a.cfg.Listener.Addr().String()
}

// Handlers returns the routes that are served: the pool's, and the operators' if there are any.
func (a *App) Handlers() []http.Handler {
	all := []http.Handler{a.door.Handler()}
	if a.front != nil && a.front.admin != nil {
		all = append(all, a.front.admin.Handler())
	}
	return all
}

// AdminURL returns where operators are served; empty if nowhere.
func (a *App) AdminURL() string {
	if a.cfg.Door == nil || a.cfg.Door.Admin == nil {
		return ""
	}
	return "http://" + a.cfg.Door.Admin.Addr().String()
}

// MetricsURL returns where Prometheus is served.
func (a *App) MetricsURL() string {
	if a.cfg.Door == nil || a.cfg.Door.Metrics == nil {
		return a.URL()
	}
	return "http://" + a.cfg.Door.Metrics.Addr().String()
}
