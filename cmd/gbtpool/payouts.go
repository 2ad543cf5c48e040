package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/mirror"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// payoutsCmd is what operators do with money.
type payoutsCmd struct {
	List      payoutsListCmd      `cmd:"" help:"Show what is owed, the blocks on their way, and the settlements."`
	Show      payoutsShowCmd      `cmd:"" help:"Show one settlement whole; --psbt writes it for an offline signer."`
	Plan      payoutsPlanCmd      `cmd:"" help:"Show who would be paid now; --yes plans it."`
	Approve   payoutsApproveCmd   `cmd:"" help:"Let a settlement that waits for approval be signed."`
	Seal      payoutsSealCmd      `cmd:"" help:"Bring back a settlement that was signed offline; it is checked to the last byte."`
	Publish   payoutsPublishCmd   `cmd:"" help:"Send a sealed settlement to all nodes now, as often as you like."`
	Cancel    payoutsCancelCmd    `cmd:"" help:"Take back a settlement that was never signed."`
	Return    payoutsReturnCmd    `cmd:"" help:"Give debits back that a settlement can never pay, because something else has spent its coins."`
	Settle    payoutsSettleCmd    `cmd:"" help:"Book a settlement as paid by a transaction that was made elsewhere."`
	Pause     payoutsPauseCmd     `cmd:"" help:"Plan, sign and send nothing new."`
	Resume    payoutsResumeCmd    `cmd:"" help:"End a pause."`
	Deposit   payoutsDepositCmd   `cmd:"" help:"Book the operator's own money in: to the pool, or to the reserve."`
	Withdraw  payoutsWithdrawCmd  `cmd:"" help:"Book the pool's money out: what was taken from the wallet."`
	Threshold payoutsThresholdCmd `cmd:"" help:"Set from which balance on an account is paid."`
	Coin      payoutsCoinCmd      `cmd:"" help:"Make a coin known that the pool got otherwise than by a block."`
	Key       payoutsKeyCmd       `cmd:"" help:"Make a key file for settlements, or show its address."`
	Repair    payoutsRepairCmd    `cmd:"" help:"Bring back what Redis lost of the journal, from the mirror in data_dir."`
	Simulate  payoutsSimulateCmd  `cmd:"" help:"Show what each reward scheme pays whom, and how evenly."`
}

// payoutsFlags say where the pool's money is.
type payoutsFlags struct {
	Config      kong.ConfigFlag `short:"c" placeholder:"FILE" help:"YAML file, as for serve."`
	config.Pool `embed:"" group:"config"`
}

// books opens the journal for a while, without nodes and wallet.
func (f *payoutsFlags) books(ctx context.Context, do func(*redisstore.Journal, *payouts.Operator) error) error {
	flags := &ledgerFlags{Pool: f.Pool}
	return flags.with(ctx, func(l *redisstore.Ledger) error {
		journal, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: l})
		if err != nil {
			return err
		}
		operator, err := payouts.NewOperator(journal, payouts.KeeperConfig{Halts: l, By: operatorName(), Now: time.Now})
		if err != nil {
			return err
		}
		return do(journal, operator)
	})
}

// operatorName is who acts, in the journal.
func operatorName() string {
	if u, err := user.Current(); err == nil {
		return "operator " + u.Username
	}
	return "operator"
}

// cashier opens all that moves money, beside a worker that has the mirror.
func (f *payoutsFlags) cashier(ctx context.Context, do func(*app.Cashier) error) error {
	settings, err := f.Validate()
	if err != nil {
		return err
	}
	flags := &ledgerFlags{Pool: f.Pool}
	return flags.with(ctx, func(l *redisstore.Ledger) (err error) {
		cfg := app.Config{Watch: node.SetConfig{Chain: f.Chain, CallTimeout: f.NodeTimeout, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
		for _, n := range f.Nodes {
			n.ZMQ = "" // nothing is waited for
			if err := addNode(&cfg, &f.Pool, n); err != nil {
				return err
			}
		}
		nodes, err := node.NewSet(cfg.Watch)
		if err != nil {
			return err
		}
		c, err := app.NewCashier(ctx, app.CashierConfig{
			Payouts: payoutsOf(&f.Pool, &settings), Chain: settings.Chain, Ledger: l, LedgerID: l.ID(), Unit: shares.UnitOf(settings.Chain),
			Nodes: nodes, By: operatorName(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		return do(c)
	})
}

// payoutsOf returns how blocks are divided and accounts are paid.
func payoutsOf(pool *config.Pool, s *config.Settings) app.Payouts {
	p := app.Payouts{
		Terms: s.Payouts.Terms, Policy: s.Payouts.Policy, Schedule: s.Payouts.Schedule,
		Pool: append([][]byte{s.PayoutScript}, s.Payouts.Former...), Maturity: pool.Maturity, Final: pool.PayoutConfirmations,
		BumpAfter: pool.FeeBumpAfter, FeeBlocks: pool.FeeBlocks, Mirror: s.Payouts.Mirror, Every: pool.PayoutLook,
	}
	if pool.Redis == "" {
		p.Mirror = "" // what is in memory is not to be mixed up with what was there before
	}
	if pool.CoinbasePayments {
		p.Coinbase = &app.CoinbasePayments{Minimum: pool.CoinbaseMinimum, Outputs: pool.CoinbaseOutputs, Weight: pool.CoinbaseWeight}
	}
	switch pool.Wallet {
	case "node":
		p.Wallet.RPC = &node.RPCConfig{
			Name: "wallet", URL: pool.WalletURL, User: pool.WalletUser, Password: s.Payouts.WalletPassword,
			CookieFile: pool.WalletCookieFile, Chain: pool.Chain, Timeout: pool.NodeTimeout,
		}
	case "key":
		p.Wallet.KeyFile, p.Wallet.Form = pool.WalletKeyFile, wallet.Form(pool.WalletKeyForm)
	case "offline":
		p.Wallet.Offline = s.PayoutScript
	}
	return p
}

// payoutsApproveCmd approves a settlement.
type payoutsApproveCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
}

// Run implements the command.
func (c *payoutsApproveCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
		if err := o.Approve(ctx, c.ID); err != nil {
			return err
		}
		out.printf("%s settlement %d: it is signed and sent as soon as a worker looks", out.paint(green, "approved"), c.ID)
		return nil
	})
}

// payoutsCancelCmd cancels a settlement.
type payoutsCancelCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
	Why          string `arg:"" help:"Why, for whoever looks later."`
	NeverSigned  bool   `required:"" help:"Say that nobody has signed it, here or offline: a signature that is about could pay it all the same."`
}

// Run implements the command.
func (c *payoutsCancelCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
		if err := o.Cancel(ctx, c.ID, c.Why); err != nil {
			return err
		}
		out.printf("%s settlement %d: its debits are back on the accounts", out.paint(yellow, "cancelled"), c.ID)
		return nil
	})
}

// payoutsReturnCmd gives debits back.
type payoutsReturnCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
	Why          string `arg:"" help:"Why, for whoever looks later."`
	NotPaid      bool   `required:"" help:"Say that its payees were not paid by what has spent its coins: they are paid again."`
}

// Run implements the command.
func (c *payoutsReturnCmd) Run(ctx context.Context, out *screen) error {
	return c.cashier(ctx, func(cash *app.Cashier) error {
		if err := cash.Settler.GiveBack(ctx, c.ID, c.Why); err != nil {
			return err
		}
		out.printf("%s settlement %d: its debits are back on the accounts", out.paint(yellow, "returned"), c.ID)
		return nil
	})
}

// payoutsSettleCmd books a settlement as paid elsewhere.
type payoutsSettleCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
	TxID         string `arg:"" name:"txid" help:"The transaction that pays its payees."`
}

// Run implements the command.
func (c *payoutsSettleCmd) Run(ctx context.Context, out *screen) error {
	txid, err := chainhash.NewHashFromStr(c.TxID)
	if err != nil {
		return fmt.Errorf("%q is no txid: %w", c.TxID, err)
	}
	return c.cashier(ctx, func(cash *app.Cashier) error {
		if err := cash.Settler.Settle(ctx, c.ID, *txid); err != nil {
			return err
		}
		out.printf("%s settlement %d as paid by %s", out.paint(green, "booked"), c.ID, txid)
		return nil
	})
}

// payoutsPauseCmd pauses payouts.
type payoutsPauseCmd struct {
	payoutsFlags `embed:""`
	Why          string `arg:"" help:"Why, for whoever looks later."`
}

// Run implements the command.
func (c *payoutsPauseCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
		if err := o.Pause(ctx, c.Why); err != nil {
			return err
		}
		out.printf("%s: nothing new is planned, signed or sent. Blocks are credited, and what was sent is watched, all the same.", out.paint(yellow, "paused"))
		return nil
	})
}

// payoutsResumeCmd ends a pause.
type payoutsResumeCmd struct {
	payoutsFlags `embed:""`
}

// Run implements the command.
func (c *payoutsResumeCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
		if err := o.Resume(ctx); err != nil {
			return err
		}
		out.printf("%s: payouts go on", out.paint(green, "resumed"))
		return nil
	})
}

// payoutsDepositCmd books money in.
type payoutsDepositCmd struct {
	payoutsFlags `embed:""`
	Amount       int64  `arg:"" help:"Satoshis that were put into the wallet."`
	To           string `default:"pool" enum:"pool,reserve" help:"Which of the pool's accounts they are for: ${enum}."`
}

// Run implements the command.
func (c *payoutsDepositCmd) Run(ctx context.Context, out *screen) error {
	return c.book(ctx, out, payouts.Outside, payouts.Account(c.To), c.Amount)
}

// payoutsWithdrawCmd books money out.
type payoutsWithdrawCmd struct {
	payoutsFlags `embed:""`
	Amount       int64  `arg:"" help:"Satoshis that were taken from the wallet, or will be."`
	From         string `default:"fee" enum:"fee,pool,reserve" help:"Which of the pool's accounts they are from: ${enum}."`
}

// Run implements the command.
func (c *payoutsWithdrawCmd) Run(ctx context.Context, out *screen) error {
	return c.book(ctx, out, payouts.Account(c.From), payouts.Outside, c.Amount)
}

// book books an amount and shows what the account has then.
func (f *payoutsFlags) book(ctx context.Context, out *screen, from, to payouts.Account, amount int64) error {
	return f.books(ctx, func(j *redisstore.Journal, o *payouts.Operator) error {
		if err := o.Book(ctx, from, to, amount); err != nil {
			return err
		}
		out.printf("%s %s from %s to %s", out.paint(green, "booked"), satoshis(amount), from, to)
		for _, a := range []payouts.Account{from, to} {
			if a == payouts.Outside {
				continue
			}
			has, err := j.Balance(ctx, a)
			if err != nil {
				return err
			}
			out.printf("  %-8s has %s", a, satoshis(has))
		}
		return nil
	})
}

// payoutsThresholdCmd sets an account's threshold.
type payoutsThresholdCmd struct {
	payoutsFlags `embed:""`
	Account      string `arg:"" help:"The account: a payout address."`
	Amount       int64  `arg:"" help:"Satoshis; 0 for the default again."`
}

// Run implements the command.
func (c *payoutsThresholdCmd) Run(ctx context.Context, out *screen) error {
	chain, err := config.ChainParams(c.Chain)
	if err != nil {
		return err
	}
	if _, err := app.AccountScript(chain)(c.Account); err != nil {
		return err
	}
	return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
		if err := o.SetThreshold(ctx, c.Account, c.Amount); err != nil {
			return err
		}
		from := "the default"
		if c.Amount > 0 {
			from = satoshis(c.Amount)
		}
		out.printf("%s: %s is paid from %s on", out.paint(green, "set"), c.Account, from)
		return nil
	})
}

// payoutsKeyCmd makes a key file.
type payoutsKeyCmd struct {
	File  string `arg:"" type:"path" help:"File for the key. One that is there is not changed."`
	Chain string `default:"main" enum:"main,test,testnet4,signet,regtest,simnet" help:"Chain in use: ${enum}."`
	Form  string `default:"p2wpkh" enum:"p2wpkh,p2tr" help:"Form of the address: ${enum}."`
}

// Run implements the command.
func (c *payoutsKeyCmd) Run(out *screen) error {
	chain, err := config.ChainParams(c.Chain)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.File); errors.Is(err, os.ErrNotExist) {
		if err := wallet.MakeKeyFile(c.File); err != nil {
			return err
		}
		out.printf("%s %s: whoever reads it has the pool's coins; keep a copy where it is safe", out.paint(green, "made"), c.File)
	}
	key, err := wallet.NewHotKey(wallet.HotKeyConfig{Path: c.File, Form: wallet.Form(c.Form), Chain: chain, Unspent: noLookup})
	if err != nil {
		return err
	}
	out.printf("payout_address: %s", out.paint(bold, key.Address()))
	return nil
}

// payoutsRepairCmd repairs the journal.
type payoutsRepairCmd struct {
	payoutsFlags `embed:""`
	Replace      bool `help:"Replace a journal that is not the one which the mirror is of: shows what would be undone."`
	Yes          bool `help:"With --replace: do it."`
}

// Run implements the command.
func (c *payoutsRepairCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(j *redisstore.Journal, _ *payouts.Operator) (err error) {
		genesis, err := j.Genesis(ctx)
		if err != nil {
			return err
		}
		dir := filepath.Join(c.DataDir, "journal")
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("data_dir: there is no mirror there: %w", err)
		}
		m, err := mirror.Open(ctx, mirror.Config{Dir: dir, Ledger: genesis.Ledger, Log: slog.New(slog.DiscardHandler)})
		if errors.Is(err, spool.ErrLocked) {
			return fmt.Errorf("%w: stop the gateway of this data_dir first", err)
		}
		if err != nil {
			return err
		}
		out.printf("the mirror in %s has %d records", dir, m.Head().Seq)
		defer func() { err = errors.Join(err, m.Close()) }()
		if c.Replace {
			return c.replace(ctx, out, j, m)
		}
		n, err := payouts.Repair(ctx, j, m)
		if err != nil {
			return fmt.Errorf("after %d records: %w", n, err)
		}
		if n == 0 {
			out.printf("the journal lacks nothing that the mirror has")
			return nil
		}
		out.printf("%s %d records; look at `gbtpool ledger audit`, and let payouts go on with `gbtpool ledger resume --yes`", out.paint(green, "brought back"), n)
		return nil
	})
}

// replace puts the mirror's records in the place of the journal's.
func (c *payoutsRepairCmd) replace(ctx context.Context, out *screen, j *redisstore.Journal, m *mirror.Mirror) error {
	undone, err := payouts.Replace(ctx, j, m, !c.Yes)
	for _, r := range undone {
		out.printf("  %8d  %s  %-10s %s", r.Seq, r.Time.Format(time.RFC3339), r.By, r.Key)
	}
	switch {
	case err != nil:
		return err
	case !c.Yes:
		out.printf("these %d records are not in the mirror, and would be undone; nothing was changed, --yes does it", len(undone))
	default:
		out.printf("%s: the journal is the mirror's again, without %d records; what was there before is kept in Redis beside it", out.paint(green, "replaced"), len(undone))
	}
	return nil
}
