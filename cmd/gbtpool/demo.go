package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// demoBlockEvery is how long the demo's miners take for a block together, on average.
	demoBlockEvery = 8 * time.Second
	// demoShareEvery is how long each takes for a share: often enough that a minute's shares tell its
	// hash rate to a few parts in a hundred.
	demoShareEvery = 40 * time.Millisecond
	// hashesPerDifficulty is how many hashes a share of difficulty 1 takes on average.
	hashesPerDifficulty = 1 << 32
	// demoBlocks is how many blocks there are at the start: coinbases can be spent after 100.
	demoBlocks = 120
	// demoMultiple is how many network difficulties of shares a block pays.
	demoMultiple = 8
	// demoShown is how many accounts the board shows.
	demoShown = 6
	// demoNetworkEvery is how often the rest of the network finds a block: so often that the pool's own are
	// a hundred blocks deep, and their coins can be spent, within a minute.
	demoNetworkEvery = 500 * time.Millisecond
	// demoPayEvery is how often accounts are paid, demoFinal how deep a payment is final, and demoFee what
	// the pool takes, in basis points.
	demoPayEvery, demoFinal, demoFee = 10 * time.Second, 3, 100
	// demoTraffic is how many transactions come in a second.
	demoTraffic = 5
)

// demoCmd runs a whole pool in this process.
type demoCmd struct {
	Listen string `default:"127.0.0.1:9332" help:"Address and port to serve miners and people on."`
}

// demoMiner is one of the demo's miners.
type demoMiner struct {
	name string
	rate float64 // hashes per second
	// address is whom it mines for.
	address string
}

// demoMiners returns the miners, each faster than the one before, and their names by address.
func demoMiners() ([]demoMiner, map[string]string, error) {
	miners := []demoMiner{{"alice", 50_000, ""}, {"bob", 150_000, ""}, {"carol", 300_000, ""}}
	names := make(map[string]string)
	for i := range miners {
		addr, err := madeUp()
		if err != nil {
			return nil, nil, err
		}
		miners[i].address = addr.EncodeAddress()
		names[miners[i].address] = miners[i].name
	}
	return miners, names, nil
}

// demo is a running demo.
type demo struct {
	chain   *devnet.Chain
	traffic *devnet.Traffic
	gateway *app.App
	board   *board
	miners  []demoMiner
	// dir is a folder for the pool's key.
	dir string
	// told are the settlements that the board has shown as confirmed.
	told map[uint64]bool
	// rigs are what the miners mine with, in their order.
	rigs []*client.Miner
	// address is what blocks pay, and who joins in may mine for.
	address string
}

// Run implements the command. Ctrl-C is its normal end.
func (c *demoCmd) Run(ctx context.Context, out *screen, errs errScreen) error {
	miners, names, err := demoMiners()
	if err != nil {
		return err
	}
	d := &demo{miners: miners, board: newBoard(out, names, time.Now())}
	if d.dir, err = os.MkdirTemp("", "gbtpool-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir) //nolint:errcheck // it is in the system's folder for temporary files
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w; choose another port with --listen 127.0.0.1:PORT", err)
	}
	if err := d.build(ctx, listener, errs.logger(slog.LevelWarn)); err != nil {
		return errors.Join(err, listener.Close())
	}
	d.welcome(out)
	err = d.run(ctx)
	d.board.done()
	return errors.Join(err, d.chain.Close())
}

// build makes the chain and a gateway on it.
func (d *demo) build(ctx context.Context, listener net.Listener, log *slog.Logger) error {
	total := 0.0
	for _, m := range d.miners {
		total += m.rate
	}
	block, err := targetFor(total * demoBlockEvery.Seconds())
	if err != nil {
		return err
	}
	share, err := targetFor(total / float64(len(d.miners)) * demoShareEvery.Seconds())
	if err != nil {
		return err
	}
	pay, err := d.payout()
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("work key: %w", err)
	}
	easiest, err := gbt.TargetFromDifficulty(1e-7)
	if err != nil {
		return err
	}
	door, err := d.door(log)
	if err != nil {
		return err
	}
	if err := d.populate(ctx, block); err != nil {
		return err
	}
	d.gateway, err = app.New(ctx, app.Config{
		Chain: d.chain.Params(), Coinbaser: gbt.PayTo(pay.Pool[0]), Payouts: pay, Tag: "/gbtpool demo/", WorkKey: key,
		Watch: node.SetConfig{Chain: "regtest", Nodes: []node.Node{d.chain}},
		Share: share, Easiest: easiest, Hardest: block, Expires: 10 * time.Minute, Grace: 3 * time.Second,
		Choice: app.Choice{Transactions: true, Floor: 9000, Budget: gbt.DefaultBudget(), Memory: 64 << 20},
		Ledger: app.Ledger{
			Redis:   redisstore.Config{Prefix: "demo", Slow: 2 * time.Second},
			Gateway: "demo", Multiple: demoMultiple, SpoolBytes: 64 << 20,
		},
		Listener: listener, Compress: true, KeepAlive: 30 * time.Second, Limits: api.DefaultLimits(), Door: door,
		Verdicts: d.verdict, Log: log,
	})
	if err == nil {
		err = d.equip()
	}
	if err != nil {
		return errors.Join(err, d.chain.Close())
	}
	return nil
}

// door says how people are served: as a pool serves them, with keys that go with the demo.
func (d *demo) door(log *slog.Logger) (*app.Door, error) {
	tokens, err := openTokens(&config.TokenSettings{
		Issuer: "gbtpool-demo", Audience: "gbtpool-demo", KeysFile: filepath.Join(d.dir, "token.keys"), MakeKeys: true, Leeway: token.DefaultLeeway,
	}, log)
	if err != nil {
		return nil, err
	}
	return &app.Door{
		Name: "gbtpool demo", Version: version(), Tokens: tokens, Calls: perMinute(6000), Requests: perMinute(1200), BanAfter: 100, BanFor: time.Minute,
	}, nil
}

// populate makes a chain whose coins belong to the traffic, so that there is something to mine.
func (d *demo) populate(ctx context.Context, block gbt.Target) error {
	var err error
	if d.chain, err = devnet.New(devnet.Config{Bits: block.Bits()}); err != nil {
		return err
	}
	d.traffic, err = devnet.NewTraffic(devnet.TrafficConfig{
		Chain: d.chain, Seed: uint64(time.Now().UnixNano()), Rate: demoTraffic,
	})
	if err == nil {
		_, err = d.chain.Generate(ctx, demoBlocks, d.traffic.Script())
	}
	if err != nil {
		return errors.Join(err, d.chain.Close())
	}
	return nil
}

// payout makes a key for the pool's coins and says how its miners are paid.
func (d *demo) payout() (app.Payouts, error) {
	p := app.Payouts{
		Terms: payouts.Terms{Scheme: payouts.PPLNS, Multiple: demoMultiple, Fee: demoFee},
		Policy: payouts.Policy{
			Threshold: satsPerCoin / 100, FeeFloor: 1000, FeeCeiling: 100_000, FeeFallback: 2000, Bearer: payouts.BearerPool,
		},
		Schedule: payouts.Schedule{Every: demoPayEvery}, Maturity: int32(chaincfg.RegressionNetParams.CoinbaseMaturity), Final: demoFinal,
		BumpAfter: 10, FeeBlocks: 2, Every: time.Second,
		Wallet: app.Wallet{KeyFile: filepath.Join(d.dir, "pool.key")},
	}
	if err := wallet.MakeKeyFile(p.Wallet.KeyFile); err != nil {
		return p, err
	}
	pool, err := wallet.NewHotKey(wallet.HotKeyConfig{Path: p.Wallet.KeyFile, Chain: &chaincfg.RegressionNetParams, Unspent: noLookup})
	if err != nil {
		return p, err
	}
	d.address = pool.Address()
	script, err := app.AccountScript(&chaincfg.RegressionNetParams)(d.address)
	p.Pool = [][]byte{script}
	return p, err
}

// madeUp makes up an address.
func madeUp() (address.Address, error) {
	program := make([]byte, 20)
	if _, err := rand.Read(program); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return address.NewAddressWitnessPubKeyHash(program, &chaincfg.RegressionNetParams)
}

// targetFor returns the target that takes so many hashes on average.
func targetFor(hashes float64) (gbt.Target, error) {
	return gbt.TargetFromDifficulty(hashes / hashesPerDifficulty)
}

// welcome prints what the demo is and how to join in.
func (d *demo) welcome(out *screen) {
	url := d.gateway.URL()
	out.printf("%s", version())
	out.printf("A pool on a regtest chain of its own, all in this process.")
	out.printf("%s", out.paint(dim, "Its share ledger is in memory, which is for trying out: it is lost at the end."))
	out.printf("")
	out.printf("  Miners   %s   user: <regtest address>.<worker>   password: x (or d=0.001)", out.paint(bold, url))
	out.printf("  Look     curl -s -u %s.curl:x %s -d '%s'", d.address, url,
		`{"method":"getblocktemplate","params":[{"rules":["segwit"]}]}`)
	out.printf("  Join     %s mine %s --user %s.me", os.Args[0], url, d.address)
	out.printf("  Watch    %s   API %s/api/v1/pool   docs %s/docs", out.paint(bold, url+"/"), url, url)
	out.printf("  Operate  %s/metrics  /readyz  /healthz", url)
	names := make([]string, len(d.miners))
	for i, m := range d.miners {
		names[i] = fmt.Sprintf("%s at %s", m.name, hashRate(m.rate))
	}
	out.printf("")
	out.printf("Mining: %s. The pool finds a block every %s or so, the rest of the network one every %s.", strings.Join(names, ", "), demoBlockEvery, demoNetworkEvery)
	out.printf("A block's coins can be spent once it is %d deep: then the miners are paid, on chain. Ctrl-C ends it.", chaincfg.RegressionNetParams.CoinbaseMaturity)
	out.printf("")
}

// run runs all parts until ctx ends.
func (d *demo) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.gateway.Run(ctx) })
	for _, rig := range d.rigs {
		g.Go(func() error { return rig.Run(ctx) })
	}
	g.Go(func() error { return d.traffic.Run(ctx) })
	g.Go(func() error { return d.network(ctx) })
	g.Go(func() error { return d.report(ctx) })
	return g.Wait()
}

// network has the rest of the network find blocks.
func (d *demo) network(ctx context.Context) error {
	ticker := time.NewTicker(demoNetworkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if _, err := d.chain.Generate(ctx, 1, d.traffic.Script()); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// payments shows settlements as they are confirmed.
func (d *demo) payments(ctx context.Context) error {
	store := d.gateway.Cashier().Store
	list, err := payouts.Settlements(ctx, store)
	if errors.Is(err, shares.ErrAway) {
		return nil // it has not been reached yet
	}
	if err != nil {
		return err
	}
	for _, s := range slices.Backward(list) {
		if d.told[s.ID] || s.Status.State != payouts.Confirmed && s.Status.State != payouts.Final {
			continue
		}
		detail, err := payouts.Settlement(ctx, store, s.ID)
		if err != nil {
			return err
		}
		d.told[s.ID] = true
		d.board.payment(&detail, time.Now())
	}
	return nil
}

// equip makes a rig for each miner. They mine over HTTP like any other.
func (d *demo) equip() error {
	for _, m := range d.miners {
		c, err := client.New(client.Config{
			URL: d.gateway.URL(), User: m.address + "." + m.name, Password: fmt.Sprintf("d=%g", m.rate*demoShareEvery.Seconds()/hashesPerDifficulty), UserAgent: "gbtpool-demo",
		})
		if err != nil {
			return err
		}
		rig, err := client.NewMiner(client.MinerConfig{Client: c, Threads: 1, HashRate: m.rate})
		if err != nil {
			return err
		}
		d.rigs = append(d.rigs, rig)
	}
	return nil
}

// report sums the shares up at intervals.
func (d *demo) report(ctx context.Context) error {
	every := 10 * time.Second
	if d.board.screen.terminal {
		every = time.Second
	}
	d.told = make(map[uint64]bool)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			accounts, err := d.gateway.Figures().Accounts(ctx, demoShown)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if err == nil {
				d.board.summary(accounts)
			}
			if err := d.payments(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// verdict shows blocks as they are found.
func (d *demo) verdict(s gbt.Submission, v gbt.Verdict) {
	switch {
	case !v.Block:
	case v.Accepted() && v.BlockReason == "" && v.BlockErr == nil:
		d.board.block(v.Share, s.Worker)
	default:
		d.board.note(fmt.Sprintf("a block of %s was not accepted: %s %s", s.Worker, v.Reason, v.BlockReason))
	}
}
