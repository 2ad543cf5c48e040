package payouts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrInsolvent says that the wallet has less than accounts are owed.
var ErrInsolvent = errors.New("the wallet has less than the accounts are owed")

// waitAgain is after how many looks who had to wait is planned for again: a wallet with many coins takes
// its time to list them.
const waitAgain = 12

// ErrStrange says that a coin was spent by something that the journal does not know.
var ErrStrange = errors.New("a coin of the pool's was spent elsewhere")

// Outlook is what paying would do now, or why nobody is paid.
type Outlook struct {
	// Plans are what there is to do.
	Plans []Plan
	// Wait says why not all that are due are paid; nil if they are.
	Wait error
	// Due counts payees that are due, and Owed what all accounts are owed, in satoshis.
	Due  int
	Owed int64
	// Coins is what the wallet has free, in satoshis.
	Coins int64
	// Unpayable are accounts that cannot be paid, with why.
	Unpayable map[string]string
	// FeeRate is what plans were made with, in satoshis per 1000 virtual bytes.
	FeeRate int64
}

// payDue pays who is due, if it is time, and reports whether anything was planned.
func (s *Settler) payDue(ctx context.Context) (bool, error) {
	now := s.cfg.Now()
	if s.cfg.Wallet == nil || now.Sub(s.waited) < waitAgain*s.cfg.Every {
		return false, nil
	}
	if due, err := s.due(ctx, now); err != nil || !due {
		return false, err
	}
	why, err := s.paused(ctx)
	if err != nil {
		return false, err
	}
	if why != "" {
		s.waited = now
		s.note(ctx, NotesWorker, "waits", "payouts are paused: "+why)
		return false, nil
	}
	out, err := s.Pay(ctx)
	if err != nil {
		return false, err
	}
	wait := ""
	if out.Wait != nil {
		s.waited, wait = now, out.Wait.Error()
	}
	s.note(ctx, NotesWorker, "waits", wait)
	if out.Wait == nil || len(out.Plans) > 0 {
		s.note(ctx, NotesWorker, "planned", now.UTC().Format(time.RFC3339))
	}
	return len(out.Plans) > 0, nil
}

// due reports whether it is time to pay.
func (s *Settler) due(ctx context.Context, now time.Time) (bool, error) {
	notes, err := s.cfg.Store.Notes(ctx, NotesWorker)
	if err != nil {
		return false, err
	}
	last := time.Time{}
	if text := notes["planned"]; text != "" {
		if last, err = time.Parse(time.RFC3339, text); err != nil {
			return false, fmt.Errorf("when payouts were planned last: %w", err)
		}
	}
	if last.After(now) {
		last = now // the clock was ahead
		s.note(ctx, NotesWorker, "planned", now.UTC().Format(time.RFC3339))
	}
	next := s.cfg.Schedule.Next(last, now)
	switch {
	case next.IsZero():
		return false, nil
	case !next.After(now):
		return true, nil
	case last.IsZero(): // times of the day count from the first start, which is noted for the next one
		s.note(ctx, NotesWorker, "planned", now.UTC().Format(time.RFC3339))
	}
	s.note(ctx, NotesWorker, "next", next.UTC().Format(time.RFC3339))
	return false, nil
}

// Pay plans settlements for all that are due and posts the plans. Outlook.Wait says why some have to wait.
func (s *Settler) Pay(ctx context.Context) (Outlook, error) {
	head, err := s.keeper.Sync(ctx)
	if err != nil {
		return Outlook{}, err
	}
	out, err := s.Outlook(ctx)
	if err != nil {
		return out, err
	}
	for i := range out.Plans {
		e, err := s.planEntry(ctx, &out.Plans[i])
		if err != nil {
			return out, err
		}
		if head, err = s.keeper.Post(ctx, s.lease.Token, head, e); err != nil {
			return out, err
		}
		s.cfg.Log.Info("planned a settlement", "id", out.Plans[i].ID, "payees", len(out.Plans[i].Payees), "sat", out.Plans[i].Outputs())
	}
	return out, nil
}

// Outlook says what Pay would do now, and changes nothing.
func (s *Settler) Outlook(ctx context.Context) (Outlook, error) {
	var out Outlook
	if s.cfg.Wallet == nil {
		return out, errors.New("there is no wallet: only coinbases pay")
	}
	tip, err := s.cfg.Chain.Tip(ctx)
	if err != nil {
		return out, err
	}
	owed, err := s.owed(ctx, &out)
	if err != nil {
		return out, err
	}
	purse, err := s.purse(ctx)
	if err != nil {
		return out, err
	}
	out.Coins = total(purse.free)
	if out.Wait = purse.strange; out.Wait != nil {
		return out, nil //nolint:nilerr // it is in what is returned
	}
	if have, need := out.Coins+purse.reserved, out.Owed+purse.flight+purse.carried; have < need {
		out.Wait = fmt.Errorf("%w: it has %d sat, and %d sat are owed, carried or in flight: coins were spent outside, have another address, or what the journal says is not the latest", ErrInsolvent, have, need)
		return out, nil
	}
	payees := s.cfg.Policy.Choose(owed)
	out.Due = len(payees)
	if out.Due == 0 {
		return out, nil
	}
	if out.FeeRate, out.Wait = s.cfg.Policy.FeeRate(s.cfg.Network.FeeRate(ctx, s.cfg.FeeBlocks)); out.Wait != nil {
		return out, nil //nolint:nilerr // it is in what is returned
	}
	change, err := s.cfg.Wallet.Change(ctx)
	if err != nil {
		return out, err
	}
	out.Plans, out.Wait = s.cfg.Policy.Plan(PlanInput{
		NextID: purse.next, Created: s.cfg.Now().Truncate(time.Millisecond).UTC(), Since: tip, Payees: payees,
		Coins: purse.free, Change: change, FeeRate: out.FeeRate, PoolFunds: purse.pool,
	})
	return out, nil
}

// owed reads what accounts are owed. Those that cannot be paid are skipped and keep what they have.
func (s *Settler) owed(ctx context.Context, out *Outlook) ([]Owed, error) {
	own := make(map[string]int64)
	for f, err := range s.cfg.Store.Fields(ctx, TableThresholds) {
		if err != nil {
			return nil, err
		}
		if own[f.Field], err = strconv.ParseInt(f.Value, 10, 64); err != nil {
			return nil, fmt.Errorf("threshold of %s: %w", f.Field, err)
		}
	}
	balances := make(map[string]int64)
	for l, err := range s.cfg.Store.Balances(ctx) {
		if err != nil {
			return nil, err
		}
		if name, miner := l.Account.Miner(); miner && l.Amount > 0 {
			balances[name] = l.Amount
		}
	}
	promised, err := s.promised(ctx)
	if err != nil {
		return nil, err
	}
	owed := make([]Owed, 0, len(balances))
	for account, balance := range balances {
		out.Owed += balance
		if balance -= promised[account]; balance <= 0 {
			continue
		}
		script, err := s.cfg.Script(account)
		if err != nil {
			if out.Unpayable == nil {
				out.Unpayable = make(map[string]string)
			}
			out.Unpayable[account] = err.Error()
			continue
		}
		threshold := s.cfg.Policy.Threshold
		if t, ok := own[account]; ok {
			threshold = t
		}
		owed = append(owed, Owed{Account: account, Script: script, Balance: balance, Threshold: threshold})
	}
	slices.SortFunc(owed, func(a, b Owed) int { return strings.Compare(a.Account, b.Account) })
	return owed, nil
}

// promised returns what coinbases of blocks that are not credited yet may have paid of what is owed.
func (s *Settler) promised(ctx context.Context) (map[string]int64, error) {
	if s.cfg.Lists == nil {
		return nil, nil
	}
	found, err := s.cfg.Ledger.Blocks(ctx, recentBlocks)
	if err != nil {
		return nil, err
	}
	return promises(ctx, s.cfg.Store, s.cfg.Lists, s.cfg.Chain, found)
}

// purse is what there is to pay with.
type purse struct {
	free []Coin
	// reserved is what open settlements' inputs hold, flight what they have in flight, carried what belongs to
	// accounts and is on none, and pool what the pool has for fees, in satoshis.
	reserved, flight, carried, pool int64
	// strange says that a coin was spent by something that the journal does not know; nil if none was.
	strange error
	// next is the id of the next settlement.
	next uint64
}

// purse reads what there is to pay with.
func (s *Settler) purse(ctx context.Context) (purse, error) {
	p := purse{next: 1}
	if s.cfg.Wallet == nil {
		return p, errors.New("there is no wallet")
	}
	coins, err := table[CoinState](ctx, s.cfg.Store, TableCoins)
	if err != nil {
		return p, err
	}
	taken := make(map[wire.OutPoint]bool)
	var known []Coin
	for _, name := range slices.Sorted(maps.Keys(coins)) {
		var at OutPoint
		if err := at.UnmarshalText([]byte(name)); err != nil {
			return p, err
		}
		c := coins[name]
		if c.Reserved != 0 {
			taken[wire.OutPoint(at)] = true
			p.reserved += c.Value
			continue
		}
		known = append(known, Coin{OutPoint: wire.OutPoint(at), Value: c.Value, Script: c.Script})
	}
	own, err := s.openSettlements(ctx, &p)
	if err != nil {
		return p, err
	}
	all, err := s.cfg.Wallet.Coins(ctx, known)
	if err != nil {
		return p, fmt.Errorf("wallet: %w", err)
	}
	// Change of what is not final is not spent: a reorganisation, or another version, could take it away.
	p.free = slices.DeleteFunc(slices.Clone(all), func(c Coin) bool { return taken[c.OutPoint] || own[c.OutPoint.Hash] })
	if p.strange, err = s.strange(ctx, known, all); err != nil {
		return p, err
	}
	for account, sum := range map[Account]*int64{Fee: &p.pool, Pool: &p.pool, Carry: &p.carried, Crediting: &p.carried} {
		amount, err := s.cfg.Store.Balance(ctx, account)
		if err != nil {
			return p, err
		}
		*sum += amount
	}
	return p, nil
}

// openSettlements adds to p what open settlements have in flight, and returns the txids of what they may be.
func (s *Settler) openSettlements(ctx context.Context, p *purse) (map[chainhash.Hash]bool, error) {
	statuses, err := table[Status](ctx, s.cfg.Store, TableSettlements)
	if err != nil {
		return nil, err
	}
	own := make(map[chainhash.Hash]bool)
	for name, st := range statuses {
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("settlement %q: %w", name, err)
		}
		p.next = max(p.next, id+1)
		if !st.State.Open() {
			continue
		}
		p.flight += st.Flight
		full, err := load(ctx, s.cfg.Store, id)
		if err != nil {
			return nil, err
		}
		for i := range full.versions {
			own[full.versions[i].TxID] = true
		}
		draft, err := full.plan.Draft()
		if err != nil {
			return nil, err
		}
		own[draft.Tx.TxHash()] = true
	}
	return own, nil
}

// strange returns an error if a coin that the journal takes for free was spent. Whoever did that, nothing is
// planned before an operator has said that it is all right: the journal may be an older copy, that does not
// know what was paid since.
func (s *Settler) strange(ctx context.Context, known, spendable []Coin) (error, error) {
	there := make(map[wire.OutPoint]bool, len(spendable))
	for _, c := range spendable {
		there[c.OutPoint] = true
	}
	for _, c := range known {
		if there[c.OutPoint] {
			continue
		}
		switch _, err := s.cfg.Network.Unspent(ctx, c.OutPoint); {
		case errors.Is(err, ErrSpent):
			return fmt.Errorf("%w: coin %s of %d sat is spent, and the journal does not know by what: if that is as it should be, say so with `gbtpool payouts coin %s --spent` and book it with `gbtpool payouts withdraw`; else the journal may be an older copy",
				ErrStrange, c.OutPoint, c.Value, c.OutPoint), nil
		case err != nil:
			return nil, err
		}
	}
	return nil, nil
}

func total(coins []Coin) int64 {
	sum := int64(0)
	for _, c := range coins {
		sum += c.Value
	}
	return sum
}

// planEntry makes the record of a plan: debits in flight and inputs reserved.
func (s *Settler) planEntry(ctx context.Context, p *Plan) (Entry, error) {
	changes := make(map[Account]int64)
	for _, payee := range p.Payees {
		for _, d := range payee.Debits {
			changes[Miner(d.Account)] -= d.Amount
		}
	}
	flight := p.Debits() + p.poolFee()
	changes[InFlight] += flight
	if err := s.bear(ctx, changes, p.poolFee()); err != nil {
		return Entry{}, err
	}
	id := settlementField(p.ID)
	plan, err1 := set(TablePlans, id, p)
	status, err2 := set(TableSettlements, id, Status{State: Planned, Flight: flight, Total: p.Outputs()})
	coins, err3 := s.reserve(ctx, p.ID, p.Inputs)
	return Entry{Key: "plan:" + id, Kind: KindPlan, Legs: legsOf(changes), Sets: append(coins, plan, status)}, errors.Join(err1, err2, err3)
}

// bear takes an amount from what the pool has for fees: from Fee first, then from Pool. A negative amount
// goes back to Fee.
func (s *Settler) bear(ctx context.Context, changes map[Account]int64, amount int64) error {
	fee, err := s.cfg.Store.Balance(ctx, Fee)
	if err != nil {
		return err
	}
	from := min(amount, fee)
	changes[Fee] -= from
	changes[Pool] -= amount - from
	return nil
}

// reserve makes the changes that reserve coins for a settlement.
func (s *Settler) reserve(ctx context.Context, id uint64, inputs []Input) ([]Set, error) {
	out := make([]Set, 0, len(inputs))
	for _, in := range inputs {
		name, err := in.OutPoint.MarshalText()
		if err != nil {
			return nil, err
		}
		c := CoinState{Value: in.Value, Script: in.Script, From: "wallet"}
		before, err := field[CoinState](ctx, s.cfg.Store, TableCoins, string(name))
		switch {
		case err == nil && before.Reserved != 0 && before.Reserved != id:
			return nil, fmt.Errorf("coin %s is reserved for settlement %d: %w", name, before.Reserved, ErrMoved)
		case err == nil:
			c = before
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
		c.Reserved = id
		f, err := coinSet(in.OutPoint, c)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}
