package payouts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// adopt looks whether what has spent a settlement's inputs pays its payees all the same: an offline signer
// may have sent what was to be brought back here. That is sealed then. What pays any of them in another way
// is an operator's to judge: returning the debits would pay them twice.
func (s *Settler) adopt(ctx context.Context, st *settlement, foreign map[wire.OutPoint]spend) (bool, error) {
	if len(foreign) == 0 {
		return false, nil
	}
	draft, err := st.plan.Draft()
	if err != nil {
		return false, err
	}
	for _, at := range slices.SortedFunc(maps.Keys(foreign), compareOutPoints) {
		by := foreign[at]
		tx, err := s.transaction(ctx, by)
		switch {
		case err != nil:
			return false, err
		case by.by == draft.Tx.TxHash() && len(st.versions) == 0:
			return true, s.Seal(ctx, st.id, draft, tx)
		case st.plan.pays(tx):
			return false, fmt.Errorf("%s in block %s pays payees of this settlement, but was not sealed here: nothing more is done with it before an operator has looked: gbtpool payouts settle %d %s, if it pays all of them", by.by, by.block.Hash, st.id, by.by)
		}
	}
	return false, nil
}

// transaction returns what has spent something.
func (s *Settler) transaction(ctx context.Context, by spend) (*wire.MsgTx, error) {
	block, err := s.cfg.Chain.Block(ctx, by.block.Hash)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(block.Transactions, func(tx *wire.MsgTx) bool { return tx.TxHash() == by.by })
	if i < 0 {
		return nil, fmt.Errorf("block %s has no transaction %s: %w", by.block.Hash, by.by, ErrRecord)
	}
	return block.Transactions[i], nil
}

// pays reports whether a transaction pays any payee of a plan, whatever amount.
func (p *Plan) pays(tx *wire.MsgTx) bool {
	scripts := make(map[string]bool, len(p.Payees))
	for i := range p.Payees {
		scripts[string(p.Payees[i].Script)] = true
	}
	return slices.ContainsFunc(tx.TxOut, func(out *wire.TxOut) bool { return scripts[string(out.PkScript)] })
}

// conflict deals with a settlement some of whose inputs are spent by something else, or are of a block that is
// lost. It is dead once each version, or the plan if there is none, has an input that is gone so deep that
// this is final: then the debits go back, once.
func (s *Settler) conflict(ctx context.Context, tip Place, st *settlement, foreign map[wire.OutPoint]spend) (done bool, wait, err error) {
	final, why, err := s.lost(ctx, tip, st)
	if err != nil {
		return false, nil, err
	}
	for _, at := range slices.SortedFunc(maps.Keys(foreign), compareOutPoints) {
		by := foreign[at]
		standing, err := s.cfg.Chain.Standing(ctx, by.block.Hash)
		if err != nil {
			return false, nil, err
		}
		final[at] = standing.Best && standing.Depth >= s.conflictDepth()
		why = fmt.Sprintf("coin %s was spent by %s in block %s", at, by.by, by.block.Hash)
	}
	switch {
	case why == "":
		return false, nil, nil
	case !st.dead(final):
		return false, fmt.Errorf("%s: the debits go back once that is %d deep, unless a version confirms", why, s.conflictDepth()), nil
	}
	e, next, err := returning(ctx, s.cfg.Store, st, why, func(at wire.OutPoint) bool { return final[at] })
	if err != nil {
		return true, nil, err
	}
	return true, nil, s.record(ctx, st, next, 0, e)
}

// lost returns which inputs of a settlement are gone with the block that made them, and says so. That is final
// only once the chain has grown on without it for long: the other branch may win yet.
func (s *Settler) lost(ctx context.Context, tip Place, st *settlement) (map[wire.OutPoint]bool, string, error) {
	gone, why := make(map[wire.OutPoint]bool), ""
	for _, at := range st.inputs() {
		c, err := field[CoinState](ctx, s.cfg.Store, TableCoins, at.String())
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		b, err := field[BlockState](ctx, s.cfg.Store, TableBlocks, c.From)
		if errors.Is(err, ErrNotFound) {
			continue // it is not of a block
		}
		if err != nil {
			return nil, "", err
		}
		if b.Stage != BlockLost {
			continue
		}
		gone[at] = tip.Height-b.LostAt >= s.conflictDepth()
		why = fmt.Sprintf("coin %s is of block %s, which is lost", at, c.From)
	}
	return gone, why, nil
}

// dead reports whether no version of a settlement can confirm, given which coins are gone for good.
func (st *settlement) dead(gone map[wire.OutPoint]bool) bool {
	spends := func(inputs []Input) bool {
		return slices.ContainsFunc(inputs, func(in Input) bool { return gone[wire.OutPoint(in.OutPoint)] })
	}
	for i := range st.versions {
		if !spends(st.versions[i].Inputs) {
			return false
		}
	}
	return len(st.versions) > 0 || spends(st.plan.Inputs)
}

// conflictDepth is how deep a conflict has to be to be final: a version that is out must never confirm after
// its debits went back, so it is no less than what coinbases wait for.
func (s *Settler) conflictDepth() int32 { return max(s.cfg.Final, s.cfg.Maturity) }

// returning makes the entry by which a settlement's debits go back, and what becomes of it.
func returning(ctx context.Context, tables Tables, st *settlement, why string, gone func(wire.OutPoint) bool) (Entry, Status, error) {
	next := st.status
	next.State, next.Why = Returned, why
	changes := map[Account]int64{InFlight: -st.status.Flight, Fee: st.status.Flight - st.plan.Debits()}
	for _, p := range st.plan.Payees {
		for _, d := range p.Debits {
			changes[Miner(d.Account)] += d.Amount
		}
	}
	freed, err := free(ctx, tables, st, gone)
	return Entry{Kind: KindReturn, Legs: legsOf(changes), Sets: freed}, next, err
}

// free makes the changes that free a settlement's coins, and forget those that are gone.
func free(ctx context.Context, tables Tables, st *settlement, gone func(wire.OutPoint) bool) ([]Set, error) {
	inputs := st.inputs()
	out := make([]Set, 0, len(inputs))
	for _, at := range inputs {
		name := at.String()
		c, err := field[CoinState](ctx, tables, TableCoins, name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.Reserved = 0 // and known from here on: the wallet may have it locked, and not list it any more
		f := Set{Table: TableCoins, Field: name}
		if !gone(at) {
			if f, err = coinSet(OutPoint(at), c); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// Settle books a settlement as paid by a transaction that was not sealed here, for an operator: a replacement
// that somebody has made in the wallet itself, say. It has to spend an input, to pay each payee what the plan
// says at least, and to be final. What was in flight beside is booked as transaction fees.
func (s *Settler) Settle(ctx context.Context, id uint64, txid chainhash.Hash) error {
	tip, err := s.cfg.Chain.Tip(ctx)
	if err != nil {
		return err
	}
	return s.post(ctx, func() (Entry, error) {
		st, err := load(ctx, s.cfg.Store, id)
		if err != nil {
			return Entry{}, err
		}
		if !st.status.State.Open() || st.status.State == Confirmed {
			return Entry{}, fmt.Errorf("settlement %d is %s", id, st.status.State)
		}
		spent, err := s.watch.find(ctx, tip, &st.plan, st.inputs())
		if err != nil {
			return Entry{}, err
		}
		for _, by := range spent {
			if by.by == txid {
				return s.settledBy(ctx, st, by, spent)
			}
		}
		return Entry{}, fmt.Errorf("no block since the settlement was planned has a transaction %s that spends one of its inputs: %w", txid, ErrNotFound)
	})
}

// GiveBack gives the debits of a settlement back that can never confirm, because something else has spent its
// coins for good, for an operator who has seen that this has not paid its payees, or has seen to it otherwise.
func (s *Settler) GiveBack(ctx context.Context, id uint64, why string) error {
	tip, err := s.cfg.Chain.Tip(ctx)
	if err != nil {
		return err
	}
	st, err := load(ctx, s.cfg.Store, id)
	if err != nil {
		return err
	}
	if !st.status.State.Open() || st.status.State == Confirmed {
		return fmt.Errorf("settlement %d is %s", id, st.status.State)
	}
	spent, err := s.watch.find(ctx, tip, &st.plan, st.inputs())
	if err != nil {
		return err
	}
	gone := make(map[wire.OutPoint]bool)
	for at, by := range spent {
		standing, err := s.cfg.Chain.Standing(ctx, by.block.Hash)
		if err != nil {
			return err
		}
		own := slices.ContainsFunc(st.versions, func(v Version) bool { return v.TxID == by.by })
		gone[at] = !own && standing.Best && standing.Depth >= s.conflictDepth()
	}
	if !st.dead(gone) {
		return fmt.Errorf("settlement %d may still confirm: a coin of each of its versions has to be spent by something else, %d blocks deep", id, s.conflictDepth())
	}
	e, next, err := returning(ctx, s.cfg.Store, st, "given back: "+why, func(at wire.OutPoint) bool { return gone[at] })
	if err != nil {
		return err
	}
	return s.record(ctx, st, next, 0, e)
}

// settledBy makes the entry that books a settlement as paid by a transaction.
func (s *Settler) settledBy(ctx context.Context, st *settlement, by spend, spent map[wire.OutPoint]spend) (Entry, error) {
	tx, err := s.transaction(ctx, by)
	if err != nil {
		return Entry{}, err
	}
	for i := range st.plan.Payees {
		p, got := &st.plan.Payees[i], int64(0)
		for _, out := range tx.TxOut {
			if bytes.Equal(out.PkScript, p.Script) {
				got += out.Value
			}
		}
		if got < p.Output {
			return Entry{}, fmt.Errorf("%s pays %d sat to %x, and the settlement %d sat: pay what is missing by hand, and book it", by.by, got, []byte(p.Script), p.Output)
		}
	}
	standing, err := s.cfg.Chain.Standing(ctx, by.block.Hash)
	if err != nil {
		return Entry{}, err
	}
	if !standing.Best || standing.Depth < s.conflictDepth() {
		return Entry{}, fmt.Errorf("%s is %d deep: wait until it is %d deep", by.by, standing.Depth, s.conflictDepth())
	}
	gone := make(map[wire.OutPoint]bool)
	for at, other := range spent {
		if other.by == by.by {
			gone[at] = true
		}
	}
	if !st.dead(gone) {
		return Entry{}, fmt.Errorf("%s does not spend a coin of each version of settlement %d: one of them may still confirm, and pay twice", by.by, st.id)
	}
	next := st.status
	next.State, next.Why, next.Block, next.Height = Final, "settled by "+by.by.String(), by.block.Hash.String(), by.block.Height
	sets, err := free(ctx, s.cfg.Store, st, func(at wire.OutPoint) bool { _, gone := spent[at]; return gone })
	if err != nil {
		return Entry{}, err
	}
	more, given, err := s.given(ctx, st, tx)
	if err != nil {
		return Entry{}, err
	}
	sets = append(sets, more...)
	rest := st.status.Flight - st.status.Total
	fee := costOf(st, tx, given, rest)
	changes := map[Account]int64{InFlight: -st.status.Flight, Paid: st.status.Total, TxFees: fee}
	if err := s.bear(ctx, changes, fee-rest); err != nil {
		return Entry{}, err
	}
	f, err := set(TableSettlements, settlementField(st.id), next)
	return Entry{Key: fmt.Sprintf("%s:%d", KindSettle, st.id), Kind: KindSettle, Legs: legsOf(changes), Sets: append(sets, f)}, err
}

// given makes known what a transaction gives back to the pool, and returns how much that is.
func (s *Settler) given(ctx context.Context, st *settlement, tx *wire.MsgTx) ([]Set, int64, error) {
	var out []Set
	sum, txid := int64(0), tx.TxHash()
	paid := make(map[string]int64)
	for _, p := range st.plan.Payees {
		paid[string(p.Script)] = p.Output
	}
	for i, o := range tx.TxOut {
		if amount := paid[string(o.PkScript)]; amount > 0 && o.Value >= amount {
			delete(paid, string(o.PkScript)) // a payee's, also if that is the pool
			continue
		}
		if !s.ours(o.PkScript) && !st.changes(o.PkScript) {
			continue
		}
		sum += o.Value
		at := OutPoint(*wire.NewOutPoint(&txid, uint32(i)))
		known, err := optional(s.cfg.Store.Field(ctx, TableCoins, wire.OutPoint(at).String()))
		if err != nil {
			return nil, 0, err
		}
		if known != "" {
			continue // as it is
		}
		f, err := coinSet(at, CoinState{Value: o.Value, Script: o.PkScript, From: "settlement " + settlementField(st.id)})
		if err != nil {
			return nil, 0, err
		}
		out = append(out, f)
	}
	return out, sum, nil
}

// changes reports whether a script is one that a settlement's change goes to.
func (st *settlement) changes(script []byte) bool {
	is := func(c *Change) bool { return c != nil && bytes.Equal(c.Script, script) }
	return is(st.plan.Change) || slices.ContainsFunc(st.versions, func(v Version) bool { return is(v.Change) })
}

// costOf returns what a transaction took from a settlement's coins beside what payees were to get and what it
// gives back, if it spends only those, and else what is left of what was in flight.
func costOf(st *settlement, tx *wire.MsgTx, given, left int64) int64 {
	values := make(map[wire.OutPoint]int64)
	for i := range st.versions {
		for _, in := range st.versions[i].Inputs {
			values[wire.OutPoint(in.OutPoint)] = in.Value
		}
	}
	for _, in := range st.plan.Inputs {
		values[wire.OutPoint(in.OutPoint)] = in.Value
	}
	cost := -given - st.status.Total
	for _, in := range tx.TxIn {
		value, ok := values[in.PreviousOutPoint]
		if !ok {
			return left
		}
		cost += value
	}
	return cost
}

// Cancel takes back a settlement that was never signed, for an operator who has made sure of that: what was
// signed may be sent by whoever has it, and would pay twice.
func (o *Operator) Cancel(ctx context.Context, id uint64, why string) error {
	return o.post(ctx, func() (Entry, error) {
		st, err := load(ctx, o.store, id)
		if err != nil {
			return Entry{}, err
		}
		if st.status.State != Planned || len(st.versions) > 0 {
			return Entry{}, fmt.Errorf("settlement %d is %s: only one that was never signed can be cancelled", id, st.status.State)
		}
		e, next, err := returning(ctx, o.store, st, "cancelled: "+why, func(wire.OutPoint) bool { return false })
		if err != nil {
			return Entry{}, err
		}
		f, err := set(TableSettlements, settlementField(id), next)
		e.Key, e.Sets = fmt.Sprintf("%s:%d", e.Kind, id), append(e.Sets, f)
		return e, err
	})
}
