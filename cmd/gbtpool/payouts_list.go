package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
)

// satsPerCoin is how many satoshis a bitcoin has.
const satsPerCoin = 100_000_000

// satoshis writes an amount in bitcoin, exactly: "1.50000000 BTC".
func satoshis(amount int64) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	return fmt.Sprintf("%s%d.%08d BTC", sign, amount/satsPerCoin, amount%satsPerCoin)
}

// noLookup is for a wallet that is only asked for its address.
func noLookup(context.Context, wire.OutPoint) (payouts.Unspent, error) {
	return payouts.Unspent{}, errors.New("no node is asked")
}

// payoutsListCmd shows the money side in short.
type payoutsListCmd struct {
	payoutsFlags `embed:""`
	Limit        int `default:"10" help:"Most blocks and most settlements to show."`
}

// Run implements the command.
func (c *payoutsListCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(j *redisstore.Journal, _ *payouts.Operator) error {
		if err := showOwn(ctx, out, j); err != nil {
			return err
		}
		if err := showBlocks(ctx, out, j, c.Limit); err != nil {
			return err
		}
		return showSettlements(ctx, out, j, c.Limit)
	})
}

// showOwn shows the pool's own accounts, and what keeps payouts from going on.
func showOwn(ctx context.Context, out *screen, j *redisstore.Journal) error {
	owed, accounts := int64(0), make(map[payouts.Account]bool)
	for l, err := range j.Balances(ctx) {
		if err != nil {
			return err
		}
		if _, miner := l.Account.Miner(); miner && l.Amount > 0 && !accounts[l.Account] {
			accounts[l.Account] = true
			owed += l.Amount
		}
	}
	out.printf("%-18s %22s  %d accounts", "owed", satoshis(owed), len(accounts))
	for _, a := range []payouts.Account{payouts.InFlight, payouts.Paid, payouts.TxFees, payouts.Fee, payouts.Pool, payouts.Carry, payouts.Reserve} {
		has, err := j.Balance(ctx, a)
		if err != nil {
			return err
		}
		out.printf("%-18s %22s", a, satoshis(has))
	}
	why, err := j.Field(ctx, payouts.TablePool, payouts.PoolPaused)
	if err != nil && !errors.Is(err, payouts.ErrNotFound) {
		return err
	}
	if why != "" {
		out.printf("%s: %s", out.paint(yellow, "paused"), why)
	}
	notes, err := j.Notes(ctx, payouts.NotesWorker)
	if err != nil {
		return err
	}
	for _, n := range []struct{ field, text string }{{"trouble", "the worker has trouble"}, {"waits", "payouts wait"}} {
		if text := notes[n.field]; text != "" {
			out.printf("%s: %s", out.paint(red, n.text), text)
		}
	}
	out.printf("")
	return nil
}

// showBlocks shows the newest blocks.
func showBlocks(ctx context.Context, out *screen, j *redisstore.Journal, limit int) error {
	blocks, err := payouts.Blocks(ctx, j)
	if err != nil {
		return err
	}
	if len(blocks) == 0 {
		out.printf("no block yet")
	} else {
		out.printf("%9s  %-64s  %20s  %s", "block", "hash", "paid the pool", "stage")
	}
	for _, b := range blocks[:min(limit, len(blocks))] {
		paid, stage := "", string(b.State.Stage)
		if b.State.Reward > 0 {
			paid = satoshis(b.State.Reward)
		}
		if b.Note != "" {
			stage = b.Note
		}
		out.printf("%9d  %s  %20s  %s", b.State.Height, b.Hash, paid, stage)
	}
	out.printf("")
	return nil
}

// showSettlements shows the newest settlements.
func showSettlements(ctx context.Context, out *screen, j *redisstore.Journal, limit int) error {
	list, err := payouts.Settlements(ctx, j)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		out.printf("no settlement yet")
	} else {
		out.printf("%10s  %-10s  %22s  %s", "settlement", "state", "pays", "note")
	}
	for _, s := range list[:min(limit, len(list))] {
		out.printf("%10d  %-10s  %22s  %s", s.ID, s.Status.State, satoshis(s.Status.Total), note(s.Status.Why, s.Note))
	}
	return nil
}

// note joins what there is to say.
func note(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), "; ")
}

// payoutsShowCmd shows a settlement.
type payoutsShowCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
	PSBT         string `name:"psbt" placeholder:"FILE" help:"Write what is to be signed into a file (BIP 174)."`
	Limit        int    `default:"20" help:"Most payees to show."`
}

// Run implements the command.
func (c *payoutsShowCmd) Run(ctx context.Context, out *screen) error {
	return c.books(ctx, func(j *redisstore.Journal, _ *payouts.Operator) error {
		d, err := payouts.Settlement(ctx, j, c.ID)
		if err != nil {
			return err
		}
		showDetail(out, &d, c.Limit)
		if c.PSBT == "" {
			return nil
		}
		draft, err := d.Plan.Draft()
		if err != nil {
			return err
		}
		text, err := wallet.EncodePSBTText(draft.Tx, draft.Coins())
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.PSBT, []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("psbt: %w", err)
		}
		out.printf("wrote %s: sign it, and bring it back with `gbtpool payouts seal FILE`", c.PSBT)
		return nil
	})
}

// showDetail shows a settlement whole.
func showDetail(out *screen, d *payouts.Detail, limit int) {
	row := func(name, format string, args ...any) { out.printf("%-12s %s", name, fmt.Sprintf(format, args...)) }
	row("settlement", "%d, planned %s on height %d", d.ID, d.Plan.Created.Format("2006-01-02 15:04:05 MST"), d.Plan.Height)
	row("state", "%s", out.paint(bold, string(d.Status.State)))
	if text := note(d.Status.Why, d.Note); text != "" {
		row("", "%s", text)
	}
	switch {
	case d.Plan.Approval && d.Status.Approved == "":
		row("approval", "waits for it")
	case d.Plan.Approval:
		row("approval", "by %s", d.Status.Approved)
	}
	row("pays", "%s to %d scripts", satoshis(d.Status.Total), len(d.Plan.Payees))
	row("in flight", "%s", satoshis(d.Status.Flight))
	row("fee", "%s at %s sat/vB, borne by %s", satoshis(d.Plan.Fee), perVByte(d.Plan.FeeRate), d.Plan.Bearer)
	for _, v := range d.Versions {
		row(fmt.Sprintf("version %d", v.Number), "%s, fee %s at %s sat/vB", v.TxID, satoshis(v.Fee), perVByte(v.FeeRate))
	}
	if d.Status.Block != "" {
		row("confirmed", "version %d in block %s at height %d", d.Status.Version, d.Status.Block, d.Status.Height)
	}
	for _, in := range d.Plan.Inputs {
		row("spends", "%s, %s", wire.OutPoint(in.OutPoint), satoshis(in.Value))
	}
	for _, p := range d.Plan.Payees[:min(limit, len(d.Plan.Payees))] {
		row("", "%22s  %s", satoshis(p.Output), p.Debits[0].Account)
	}
	if more := len(d.Plan.Payees) - limit; more > 0 {
		row("", "and %d more", more)
	}
}

// perVByte writes a fee rate of so many satoshis per 1000 virtual bytes.
func perVByte(rate int64) string { return strconv.FormatFloat(float64(rate)/1000, 'f', -1, 64) }

// payoutsPlanCmd plans settlements.
type payoutsPlanCmd struct {
	payoutsFlags `embed:""`
	Yes          bool `help:"Plan it: without this, what would be done is only shown."`
	Limit        int  `default:"20" help:"Most payees to show of each settlement."`
}

// Run implements the command.
func (c *payoutsPlanCmd) Run(ctx context.Context, out *screen) error {
	return c.cashier(ctx, func(cash *app.Cashier) error {
		do := cash.Settler.Outlook
		if c.Yes {
			do = cash.Settler.Pay
		}
		o, err := do(ctx)
		if err != nil {
			return err
		}
		out.printf("%d payees are due of %s owed; the wallet has %s free", o.Due, satoshis(o.Owed), satoshis(o.Coins))
		for i := range o.Plans {
			p := &o.Plans[i]
			d := payouts.Detail{ID: p.ID, Plan: *p, Status: payouts.Status{State: payouts.Planned, Total: p.Outputs(), Flight: p.Debits()}}
			showDetail(out, &d, c.Limit)
		}
		for account, why := range o.Unpayable {
			out.printf("%s %s: %s", out.paint(yellow, "skipped"), account, why)
		}
		if o.Wait != nil {
			out.printf("%s: %s", out.paint(yellow, "waits"), o.Wait)
		}
		switch {
		case len(o.Plans) == 0 && o.Wait == nil:
			out.printf("nothing is to be paid")
		case !c.Yes && len(o.Plans) > 0:
			out.printf("nothing was changed; --yes plans it")
		case len(o.Plans) > 0:
			out.printf("%s: a worker signs and sends it", out.paint(green, "planned"))
		}
		return nil
	})
}

// payoutsSealCmd brings a signed transaction back.
type payoutsSealCmd struct {
	payoutsFlags `embed:""`
	File         string `arg:"" type:"existingfile" help:"The signed PSBT, or the signed transaction in hexadecimal digits."`
}

// Run implements the command.
func (c *payoutsSealCmd) Run(ctx context.Context, out *screen) error {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	return c.cashier(ctx, func(cash *app.Cashier) error {
		list, err := payouts.Settlements(ctx, cash.Store)
		if err != nil {
			return err
		}
		faults := []error{errors.New("no settlement waits for this")}
		for _, s := range list {
			if s.Status.State != payouts.Planned {
				continue
			}
			d, err := payouts.Settlement(ctx, cash.Store, s.ID)
			if err != nil {
				return err
			}
			draft, err := d.Plan.Draft()
			if err != nil {
				return err
			}
			signed, err := wallet.DecodePSBT(data, draft.Tx, draft.Coins())
			if err != nil {
				faults = append(faults, fmt.Errorf("settlement %d: %w", s.ID, err))
				continue
			}
			if err := cash.Settler.Seal(ctx, s.ID, draft, signed); err != nil {
				return err
			}
			out.printf("%s settlement %d: %s; a worker sends it", out.paint(green, "sealed"), s.ID, signed.TxHash())
			return nil
		}
		return errors.Join(faults...)
	})
}

// payoutsPublishCmd sends a settlement.
type payoutsPublishCmd struct {
	payoutsFlags `embed:""`
	ID           uint64 `arg:"" help:"Number of the settlement."`
}

// Run implements the command.
func (c *payoutsPublishCmd) Run(ctx context.Context, out *screen) error {
	return c.cashier(ctx, func(cash *app.Cashier) error {
		if err := cash.Settler.Publish(ctx, c.ID); err != nil {
			return err
		}
		out.printf("%s settlement %d: a node has it", out.paint(green, "published"), c.ID)
		return nil
	})
}

// payoutsCoinCmd makes a coin known.
type payoutsCoinCmd struct {
	payoutsFlags `embed:""`
	OutPoint     string `arg:"" help:"TXID:VOUT of a coin with the payout address's script."`
	Spent        bool   `help:"Say instead that the operator has spent it, so that it is no reason to stop."`
}

// Run implements the command.
func (c *payoutsCoinCmd) Run(ctx context.Context, out *screen) error {
	at, err := wire.NewOutPointFromString(c.OutPoint)
	if err != nil {
		return fmt.Errorf("%q: want TXID:VOUT: %w", c.OutPoint, err)
	}
	if c.Spent {
		return c.books(ctx, func(_ *redisstore.Journal, o *payouts.Operator) error {
			if err := o.DropCoin(ctx, *at); err != nil {
				return err
			}
			out.printf("%s %s; book what left the pool with `gbtpool payouts withdraw`", out.paint(green, "dropped"), at)
			return nil
		})
	}
	return c.cashier(ctx, func(cash *app.Cashier) error {
		coin, err := cash.Nodes.Unspent(ctx, *at)
		if err != nil {
			return err
		}
		if err := cash.AddCoin(ctx, *at, coin); err != nil {
			return err
		}
		out.printf("%s %s of %s; if it is money that the books do not have yet, book it with `gbtpool payouts deposit %d`", out.paint(green, "added"), at, satoshis(coin.Value), coin.Value)
		return nil
	})
}
