package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// ledgerCmd is what operators do with the share ledger.
type ledgerCmd struct {
	Init   ledgerInitCmd   `cmd:"" help:"Make the share ledger, once."`
	Audit  ledgerAuditCmd  `cmd:"" help:"Recompute every sum from the shares, and the books from the journal, and compare; exit 0 if all agree."`
	Window ledgerWindowCmd `cmd:"" help:"Show who did how much of the last shares."`
	Round  ledgerRoundCmd  `cmd:"" help:"Show who did how much since the last found block, or up to one."`
	Export ledgerExportCmd `cmd:"" help:"Write the whole ledger into a file, for others to check and for keeping."`
	Verify ledgerVerifyCmd `cmd:"" help:"Recompute an export from its shares, needing only the file; exit 0 if it is sound."`
	Resume ledgerResumeCmd `cmd:"" help:"Show why payouts stopped because the ledger had lost shares, and let them go on."`
}

// ledgerFlags say where the ledger is.
type ledgerFlags struct {
	Config      kong.ConfigFlag `short:"c" placeholder:"FILE" help:"YAML file, as for serve: chain and redis matter here."`
	config.Pool `embed:"" group:"config"`
}

// dial connects to Redis, without asking it anything.
func (f *ledgerFlags) dial() (*redisstore.Client, error) {
	if f.Redis == "" {
		return nil, errors.New("redis: name the Redis that holds the share ledger, such as redis://127.0.0.1:6379/0")
	}
	password, err := config.Password(f.RedisPasswordFile)
	if err != nil {
		return nil, fmt.Errorf("redis_password_file: %w", err)
	}
	return redisstore.Dial(redisstore.Config{URL: f.Redis, Password: password, Prefix: f.RedisPrefix, Slow: max(f.RedisSlow, leastWait)})
}

// leastWait is how long commands wait for Redis at least: nobody is held up by them.
const leastWait = 10 * time.Second

// with opens the ledger for a while.
func (f *ledgerFlags) with(ctx context.Context, do func(*redisstore.Ledger) error) (err error) {
	chain, err := config.ChainParams(f.Chain)
	if err != nil {
		return err
	}
	client, err := f.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	ledger, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: client, Chain: chain.Name, Unit: shares.UnitOf(chain), Gateway: "operator",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = ledger.Open(ctx)
	}
	if err != nil {
		return err
	}
	return do(ledger)
}

// ledgerInitCmd makes a ledger.
type ledgerInitCmd struct {
	ledgerFlags `embed:""`
	Partitions  int    `default:"16" help:"Parts that accounts are spread over, for good: at least as many as a Redis Cluster will ever have masters."`
	Ledger      string `placeholder:"ID" help:"Bring an emptied ledger back under its id: gateways then record again what their spools have."`
}

// Run implements the command.
func (c *ledgerInitCmd) Run(ctx context.Context, out *screen) (err error) {
	chain, err := config.ChainParams(c.Chain)
	if err != nil {
		return err
	}
	client, err := c.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if genesis, err := client.Genesis(ctx); err == nil && genesis.Ledger != c.Ledger {
		return fmt.Errorf("there is ledger %s already, for chain %s, made %s: choose another redis_prefix, or use it as it is",
			genesis.Ledger, genesis.Chain, genesis.Created.Format(time.RFC3339))
	}
	setup, err := client.Setup(ctx)
	if err != nil {
		return err
	}
	if err := setup.Check(); err != nil && !c.Ephemeral {
		return err
	}
	if err := app.InitLedger(ctx, client, chain, c.Partitions, c.Ledger); err != nil {
		return err
	}
	genesis, err := client.Genesis(ctx)
	if err != nil {
		return err
	}
	out.printf("%s ledger %s for chain %s: %d partitions, weights in units of 2^%d hashes",
		out.paint(green, "made"), out.paint(bold, genesis.Ledger), genesis.Chain, genesis.Partitions, genesis.Unit)
	if notice := setup.Notice(); notice != "" {
		out.printf("%s", notice)
	}
	return nil
}

// ledgerAuditCmd audits a ledger.
type ledgerAuditCmd struct {
	ledgerFlags `embed:""`
}

// Run implements the command.
func (c *ledgerAuditCmd) Run(ctx context.Context, out *screen) error {
	return c.with(ctx, func(l *redisstore.Ledger) error {
		out.printf("%9s  %12s  %12s  %9s  %s", "partition", "shares", "in detail", "accounts", "work")
		var count int64
		faults, work := 0, new(big.Int)
		for p := range l.Partitions() {
			a, err := l.Audit(ctx, p)
			if err != nil {
				return err
			}
			count += a.Shares
			faults += len(a.Faults)
			part := new(big.Int).Lsh(a.Weight, uint(a.Unit))
			work.Add(work, part)
			out.printf("%9d  %12d  %12d  %9d  %s", p, a.Shares, a.Detail, a.Accounts, bigHashes(part))
			for _, fault := range a.Faults {
				out.printf("  %s %s", out.paint(red, "✗"), fault)
			}
		}
		money, err := auditMoney(ctx, out, l)
		if err != nil {
			return err
		}
		if faults > 0 || money > 0 {
			out.printf("%s: %d sums do not agree with the shares, %d faults in the journal", out.paint(red, "ledger "+l.ID()+" is damaged"), faults, money)
			return errSilent
		}
		out.printf("%s: all sums agree with %d shares of %s in all, and the books close", out.paint(green, "ledger "+l.ID()+" is sound"), count, bigHashes(work))
		return nil
	})
}

// auditMoney recomputes the books from the journal and returns how many faults they have.
func auditMoney(ctx context.Context, out *screen, l *redisstore.Ledger) (int, error) {
	journal, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: l})
	if err != nil {
		return 0, err
	}
	// A worker may post meanwhile: what it posts is in the one and not in the other. That is looked at again.
	var a payouts.Audit
	for range auditTries {
		if a, err = payouts.CheckBooks(ctx, journal, journal); err != nil {
			return 0, err
		}
		head, err := journal.Head(ctx)
		if err != nil {
			return 0, err
		}
		if len(a.Faults) == 0 || head == a.Head {
			break
		}
	}
	out.printf("")
	out.printf("%9s  %12s  %12s  %22s  %22s  %22s", "journal", "records", "accounts", "owed", "in flight", "paid")
	out.printf("%9s  %12d  %12d  %22s  %22s  %22s", "", a.Records, a.Sums.Accounts, satoshis(a.Sums.Owed),
		satoshis(a.Sums.Own[payouts.InFlight]), satoshis(a.Sums.Own[payouts.Paid]))
	for _, fault := range a.Faults {
		out.printf("  %s %s", out.paint(red, "✗"), fault)
	}
	return len(a.Faults), nil
}

// auditTries is how often the books are looked at again because a worker has posted meanwhile.
const auditTries = 5

// bigHashes writes an amount of work of any size.
func bigHashes(n *big.Int) string {
	f, _ := new(big.Float).SetInt(n).Float64()
	return hashes(f)
}

// ledgerWindowCmd shows a window.
type ledgerWindowCmd struct {
	ledgerFlags `embed:""`
	Difficulty  float64 `default:"1" help:"Size of the window, as a difficulty."`
	Block       string  `placeholder:"HASH" help:"Found block that the window ends with; by default it ends now."`
	Limit       int     `default:"20" help:"Most accounts to show."`
}

// Run implements the command.
func (c *ledgerWindowCmd) Run(ctx context.Context, out *screen) error {
	block, err := blockHash(c.Block)
	if err != nil {
		return err
	}
	return c.with(ctx, func(l *redisstore.Ledger) error {
		target, err := targetFor(c.Difficulty * hashesPerDifficulty)
		if err != nil {
			return fmt.Errorf("difficulty: %w", err)
		}
		size, err := l.Unit().Weight(target.Work())
		if err != nil {
			return fmt.Errorf("difficulty: %w", err)
		}
		w, err := l.Window(ctx, block, size)
		if err != nil {
			return err
		}
		out.printf("window of %s, %s in it, %d shares", hashes(w.Unit.Hashes(w.Size)), hashes(w.Unit.Hashes(w.Total)), w.Shares)
		if w.Shares > 0 {
			out.printf("from %s to %s", time.UnixMilli(w.Oldest.Millis).UTC().Format(time.RFC3339), time.UnixMilli(w.Newest.Millis).UTC().Format(time.RFC3339))
		}
		showCredits(out, w.Credits, w.Total, w.Unit, c.Limit)
		return nil
	})
}

// ledgerRoundCmd shows a round.
type ledgerRoundCmd struct {
	ledgerFlags `embed:""`
	Block       string `placeholder:"HASH" help:"Found block that ended the round; by default the one that goes on."`
	Limit       int    `default:"20" help:"Most accounts to show."`
}

// Run implements the command.
func (c *ledgerRoundCmd) Run(ctx context.Context, out *screen) error {
	block, err := blockHash(c.Block)
	if err != nil {
		return err
	}
	return c.with(ctx, func(l *redisstore.Ledger) error {
		r, err := l.Round(ctx, block)
		if err != nil {
			return err
		}
		out.printf("round of %s, %d shares", hashes(r.Unit.Hashes(r.Total)), r.Shares)
		showCredits(out, r.Credits, r.Total, r.Unit, c.Limit)
		return nil
	})
}

// blockHash reads a block's hash; empty stands for none.
func blockHash(text string) (chainhash.Hash, error) {
	if text == "" {
		return chainhash.Hash{}, nil
	}
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("block: %w", err)
	}
	return *hash, nil
}

// showCredits prints who did how much, heaviest first.
func showCredits(out *screen, credits []shares.Credit, total shares.Weight, unit shares.Unit, limit int) {
	width := len("account")
	shown := shares.Heaviest(credits)
	shown = shown[:min(len(shown), max(limit, 0))]
	for _, c := range shown {
		width = max(width, len(c.Account))
	}
	if len(shown) == 0 {
		out.printf("nobody has done anything in it")
		return
	}
	out.printf("%-*s  %10s  %20s  %8s", width, "account", "work", "weight", "part")
	for _, c := range shown {
		out.printf("%-*s  %10s  %20s  %6.2f %%", width, c.Account, hashes(unit.Hashes(c.Weight)), strconv.FormatInt(int64(c.Weight), 10),
			100*float64(c.Weight)/float64(max(total, 1)))
	}
	if rest := len(credits) - len(shown); rest > 0 {
		out.printf("and %s more", count(rest, "account"))
	}
}
