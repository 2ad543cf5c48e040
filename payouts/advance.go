package payouts

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// settlement is an open settlement with all that the journal says of it.
type settlement struct {
	id       uint64
	plan     Plan
	status   Status
	versions []Version
}

// load reads a settlement.
func load(ctx context.Context, tables Tables, id uint64) (*settlement, error) {
	s := &settlement{id: id}
	var err error
	if s.status, err = field[Status](ctx, tables, TableSettlements, settlementField(id)); err != nil {
		return nil, err
	}
	if s.plan, err = field[Plan](ctx, tables, TablePlans, settlementField(id)); err != nil {
		return nil, err
	}
	for n := 1; n <= s.status.Versions; n++ {
		v, err := field[Version](ctx, tables, TableVersions, versionField(id, n))
		if err != nil {
			return nil, err
		}
		s.versions = append(s.versions, v)
	}
	return s, nil
}

// inputs returns the outpoints of all versions, and of the plan.
func (st *settlement) inputs() []wire.OutPoint {
	seen := make(map[wire.OutPoint]bool)
	var out []wire.OutPoint
	add := func(inputs []Input) {
		for _, in := range inputs {
			if at := wire.OutPoint(in.OutPoint); !seen[at] {
				seen[at] = true
				out = append(out, at)
			}
		}
	}
	add(st.plan.Inputs)
	for i := range st.versions {
		add(st.versions[i].Inputs)
	}
	return out
}

// settlements brings each open settlement as far as it goes now.
func (s *Settler) settlements(ctx context.Context, tip Place) error {
	statuses, err := table[Status](ctx, s.cfg.Store, TableSettlements)
	if err != nil {
		return err
	}
	var open []uint64
	for name, st := range statuses {
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return fmt.Errorf("settlement %q: %w", name, err)
		}
		if st.State.Open() {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	for _, id := range open {
		note := ""
		if err := s.settle(ctx, tip, id); err != nil {
			if stops(err) {
				return err
			}
			note = err.Error()
		}
		s.note(ctx, NotesSettlements, settlementField(id), note)
	}
	s.watch.sweep()
	return nil
}

// settle brings one settlement as far as it goes now. The error says what it waits for.
func (s *Settler) settle(ctx context.Context, tip Place, id uint64) error {
	for {
		st, err := load(ctx, s.cfg.Store, id)
		if err != nil {
			return err
		}
		before := st.status
		if err := s.step(ctx, tip, st); err != nil {
			return err
		}
		if st, err = load(ctx, s.cfg.Store, id); err != nil || st.status == before || !st.status.State.Open() {
			return err
		}
	}
}

// step makes one step: at most one record. What a settlement waits for is an error.
func (s *Settler) step(ctx context.Context, tip Place, st *settlement) error {
	if st.status.State == Confirmed {
		return s.confirmed(ctx, st)
	}
	spent, err := s.watch.find(ctx, tip, st.plan.Height, st.inputs())
	if err != nil {
		return err
	}
	if done, err := s.seen(ctx, st, spent); done || err != nil {
		return err
	}
	why, err := s.paused(ctx)
	switch {
	case err != nil:
		return err
	case st.status.State == Published:
		// What is out stays out, paused or not.
		if err := s.publish(ctx, st); err != nil {
			return err
		}
		return s.bump(ctx, tip, st)
	case why != "":
		return fmt.Errorf("payouts are paused: %s", why)
	case st.status.State == Planned:
		return s.seal(ctx, st)
	default:
		return s.publish(ctx, st)
	}
}

// seen acts on what blocks say of a settlement's inputs: a version of it is in one, or something else has
// spent them.
func (s *Settler) seen(ctx context.Context, st *settlement, spent map[wire.OutPoint]spend) (bool, error) {
	foreign := make(map[wire.OutPoint]spend)
	for _, at := range slices.SortedFunc(maps.Keys(spent), compareOutPoints) {
		by := spent[at]
		i := slices.IndexFunc(st.versions, func(v Version) bool { return v.TxID == by.by })
		if i < 0 {
			foreign[at] = by
			continue
		}
		next := st.status
		next.State, next.Version, next.Block, next.Height = Confirmed, i+1, by.block.Hash.String(), by.block.Height
		next.Confirms++
		return true, s.record(ctx, st.id, next, next.Confirms, Entry{Kind: KindConfirm})
	}
	if len(foreign) == 0 {
		return false, nil
	}
	if done, err := s.adopt(ctx, st, foreign); done || err != nil {
		return true, err
	}
	return s.conflict(ctx, st, foreign)
}

// adopt looks whether what has spent a settlement's inputs pays its payees all the same: an offline signer
// may have sent what was to be brought back here. That is sealed then. What pays them in another way is an
// operator's to judge: returning the debits would pay them twice.
func (s *Settler) adopt(ctx context.Context, st *settlement, foreign map[wire.OutPoint]spend) (bool, error) {
	draft, err := st.plan.Draft()
	if err != nil {
		return false, err
	}
	for _, at := range slices.SortedFunc(maps.Keys(foreign), compareOutPoints) {
		by := foreign[at]
		block, err := s.cfg.Chain.Block(ctx, by.block.Hash)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(block.Transactions, func(tx *wire.MsgTx) bool { return tx.TxHash() == by.by })
		switch {
		case i < 0:
			return false, fmt.Errorf("block %s has no transaction %s: %w", by.block.Hash, by.by, ErrRecord)
		case by.by == draft.Tx.TxHash() && len(st.versions) == 0:
			return true, s.Seal(ctx, st.id, draft, block.Transactions[i])
		case st.plan.paidBy(block.Transactions[i]):
			return false, fmt.Errorf("%s in block %s pays the payees of this settlement, but was not sealed here: nothing more is done with it before an operator has looked; see the runbook", by.by, by.block.Hash)
		}
	}
	return false, nil
}

// paidBy reports whether a transaction pays all payees of a plan what it says.
func (p *Plan) paidBy(tx *wire.MsgTx) bool {
	for i := range p.Payees {
		paid := slices.ContainsFunc(tx.TxOut, func(out *wire.TxOut) bool {
			return out.Value == p.Payees[i].Output && bytes.Equal(out.PkScript, p.Payees[i].Script)
		})
		if !paid {
			return false
		}
	}
	return true
}

// conflict deals with a settlement some of whose inputs are spent by something else. It is dead once each
// version, or the plan if there is none, has an input that is spent so deep that this is final: then the
// debits go back, once.
func (s *Settler) conflict(ctx context.Context, st *settlement, foreign map[wire.OutPoint]spend) (bool, error) {
	sets := make([][]Input, 0, len(st.versions)+1)
	for i := range st.versions {
		sets = append(sets, st.versions[i].Inputs)
	}
	if len(sets) == 0 {
		sets = append(sets, st.plan.Inputs)
	}
	final := make(map[wire.OutPoint]bool)
	var one wire.OutPoint
	for _, at := range slices.SortedFunc(maps.Keys(foreign), compareOutPoints) {
		one = at
		by := foreign[at]
		standing, err := s.cfg.Chain.Standing(ctx, by.block.Hash)
		if err != nil {
			return false, err
		}
		final[at] = standing.Best && standing.Depth >= s.cfg.Final
	}
	for _, inputs := range sets {
		dead := slices.ContainsFunc(inputs, func(in Input) bool { return final[wire.OutPoint(in.OutPoint)] })
		if !dead {
			return true, fmt.Errorf("coin %s was spent by %s, in block %s: the debits go back once that is %d deep", one, foreign[one].by, foreign[one].block.Hash, s.cfg.Final)
		}
	}
	next := st.status
	next.State, next.Why = Returned, fmt.Sprintf("coin %s was spent by %s", one, foreign[one].by)
	changes := map[Account]int64{InFlight: -st.status.Flight, Fee: st.status.Flight - st.plan.Debits()}
	for _, p := range st.plan.Payees {
		for _, d := range p.Debits {
			changes[Miner(d.Account)] += d.Amount
		}
	}
	freed, err := s.free(ctx, st, func(at wire.OutPoint) bool { _, gone := foreign[at]; return gone })
	if err != nil {
		return true, err
	}
	return true, s.record(ctx, st.id, next, 0, Entry{Kind: KindReturn, Legs: legsOf(changes), Sets: freed})
}

// free makes the changes that free a settlement's coins, and forget those that are gone.
func (s *Settler) free(ctx context.Context, st *settlement, gone func(wire.OutPoint) bool) ([]Set, error) {
	var out []Set
	for _, at := range st.inputs() {
		name := at.String()
		c, err := field[CoinState](ctx, s.cfg.Store, TableCoins, name)
		if err != nil {
			return nil, err
		}
		c.Reserved = 0
		f := Set{Table: TableCoins, Field: name}
		if !gone(at) && c.Known {
			if f, err = coinSet(OutPoint(at), c); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// record posts what has become of a settlement. mark tells records of one kind apart; 0 if there is one.
func (s *Settler) record(ctx context.Context, id uint64, next Status, mark int, e Entry) error {
	f, err := set(TableSettlements, settlementField(id), next)
	if err != nil {
		return err
	}
	e.Key, e.Sets = fmt.Sprintf("%s:%d", e.Kind, id), append(e.Sets, f)
	if mark != 0 {
		e.Key += ":" + strconv.Itoa(mark)
	}
	return s.post(ctx, func() (Entry, error) { return e, nil })
}

// confirmed looks whether a settlement's block is deep enough, or gone.
func (s *Settler) confirmed(ctx context.Context, st *settlement) error {
	block, err := chainhash.NewHashFromStr(st.status.Block)
	if err != nil {
		return fmt.Errorf("settlement %d: %w", st.id, err)
	}
	standing, err := s.cfg.Chain.Standing(ctx, *block)
	switch {
	case err != nil:
		return err
	case standing.Known && !standing.Best:
		next := st.status
		next.State, next.Version, next.Block, next.Height = Published, 0, "", 0
		return s.record(ctx, st.id, next, next.Confirms, Entry{Kind: KindReopen})
	case standing.Best && standing.Depth >= s.cfg.Final:
		return s.finish(ctx, st)
	}
	return nil
}

// finish books what was paid.
func (s *Settler) finish(ctx context.Context, st *settlement) error {
	v := &st.versions[st.status.Version-1]
	next := st.status
	next.State = Final
	changes := map[Account]int64{
		InFlight: -st.status.Flight, Paid: st.status.Total, TxFees: v.Fee, Fee: st.status.Flight - st.status.Total - v.Fee,
	}
	spent := make(map[wire.OutPoint]bool)
	for _, in := range v.Inputs {
		spent[wire.OutPoint(in.OutPoint)] = true
	}
	sets, err := s.free(ctx, st, func(at wire.OutPoint) bool { return spent[at] })
	if err != nil {
		return err
	}
	if v.Change != nil {
		c, err := s.changeCoin(st.id, v)
		if err != nil {
			return err
		}
		sets = append(sets, c)
	}
	return s.record(ctx, st.id, next, 0, Entry{Kind: KindFinal, Legs: legsOf(changes), Sets: sets})
}

// changeCoin makes a version's change known as a coin.
func (s *Settler) changeCoin(id uint64, v *Version) (Set, error) {
	tx, err := v.Transaction()
	if err != nil {
		return Set{}, err
	}
	for i, out := range tx.TxOut {
		if out.Value == v.Change.Value && string(out.PkScript) == string(v.Change.Script) {
			at := OutPoint(*wire.NewOutPoint(&v.TxID, uint32(i)))
			return coinSet(at, CoinState{Value: out.Value, Script: out.PkScript, From: "settlement " + settlementField(id), Known: true})
		}
	}
	return Set{}, fmt.Errorf("settlement %d: version %d has no change of %d sat: %w", id, v.Number, v.Change.Value, ErrRecord)
}

// compareOutPoints orders outpoints as BIP 69 does.
func compareOutPoints(a, b wire.OutPoint) int {
	for i := chainhash.HashSize - 1; i >= 0; i-- {
		if a.Hash[i] != b.Hash[i] {
			return int(a.Hash[i]) - int(b.Hash[i])
		}
	}
	return int(int64(a.Index) - int64(b.Index))
}
