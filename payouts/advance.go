package payouts

import (
	"context"
	"errors"
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
		if errors.Is(err, ErrNotFound) {
			err = ErrNotFound
		}
		return nil, fmt.Errorf("settlement %d: %w", id, err)
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
	if err := s.tidyNotes(ctx, statuses); err != nil {
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
	return s.finals(ctx, tip, statuses)
}

// tidyNotes clears, once for each worker, what an earlier one has left said of what is over by now.
func (s *Settler) tidyNotes(ctx context.Context, statuses map[string]Status) error {
	if s.tidy {
		return nil
	}
	settlements, err := s.cfg.Store.Notes(ctx, NotesSettlements)
	if err != nil {
		return err
	}
	for name := range settlements {
		if !statuses[name].State.Open() {
			s.note(ctx, NotesSettlements, name, "")
		}
	}
	blocks, err := s.cfg.Store.Notes(ctx, NotesBlocks)
	if err != nil {
		return err
	}
	states, err := table[BlockState](ctx, s.cfg.Store, TableBlocks)
	if err != nil {
		return err
	}
	for name := range blocks {
		if states[name].Stage == BlockCredited {
			s.note(ctx, NotesBlocks, name, "")
		}
	}
	s.tidy = true
	return nil
}

// finals sends again what was final and has left the best chain all the same. It confirms again, because
// nothing else spends its inputs; nothing is booked.
func (s *Settler) finals(ctx context.Context, tip Place, statuses map[string]Status) error {
	if s.final == tip {
		return nil
	}
	for name, status := range statuses {
		if status.State != Final || status.Version == 0 || tip.Height-status.Height > s.conflictDepth() {
			continue
		}
		hash, err := chainhash.NewHashFromStr(status.Block)
		if err != nil {
			return fmt.Errorf("settlement %s: %w", name, err)
		}
		standing, err := s.cfg.Chain.Standing(ctx, *hash)
		if err != nil {
			return err
		}
		note := ""
		if standing.Known && !standing.Best {
			id, err := strconv.ParseUint(name, 10, 64)
			if err != nil {
				return fmt.Errorf("settlement %q: %w", name, err)
			}
			st, err := load(ctx, s.cfg.Store, id)
			if err != nil {
				return err
			}
			note = fmt.Sprintf("block %s, in which it was final, has left the best chain: it is sent again", status.Block)
			if err := s.cfg.Network.Broadcast(ctx, st.versions[status.Version-1].Raw); err != nil {
				note += ": " + err.Error()
			}
		}
		s.note(ctx, NotesSettlements, name, note)
	}
	s.final = tip
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
		if before.State == Confirmed && st.status.State == Published {
			return nil // the chain has moved on since tip: what it says now is for the next look
		}
	}
}

// step makes one step: at most one record. What a settlement waits for is an error.
func (s *Settler) step(ctx context.Context, tip Place, st *settlement) error {
	if st.status.State == Confirmed {
		return s.confirmed(ctx, tip, st)
	}
	spent, err := s.watch.find(ctx, tip, &st.plan, st.inputs())
	if err != nil {
		return err
	}
	done, wait, err := s.seen(ctx, tip, st, spent)
	if done || err != nil {
		return err
	}
	if err := s.send(ctx, tip, st); err != nil {
		return errors.Join(wait, err)
	}
	return wait
}

// send seals and publishes, as far as nobody has paused that.
func (s *Settler) send(ctx context.Context, tip Place, st *settlement) error {
	why, err := s.paused(ctx)
	switch {
	case err != nil:
		return err
	case why != "" && !st.status.Sent:
		return fmt.Errorf("payouts are paused: %s", why)
	case st.status.State == Planned:
		return s.seal(ctx, st)
	}
	// What is out stays out, paused or not.
	err = s.publish(ctx, st)
	var refused *RefusedError
	if err != nil && !errors.As(err, &refused) || why != "" {
		return err
	}
	// One that nodes refuse may pay too little by now.
	if bumped := s.bump(ctx, tip, st); bumped != nil {
		return errors.Join(err, bumped)
	}
	return err
}

// seen acts on what blocks say of a settlement's inputs: a version of it is in one, or something else has
// spent them. It reports whether that was all there is to do; wait says what a conflict waits for.
func (s *Settler) seen(ctx context.Context, tip Place, st *settlement, spent map[wire.OutPoint]spend) (done bool, wait, err error) {
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
		return true, nil, s.record(ctx, st, next, next.Confirms, Entry{Kind: KindConfirm})
	}
	if done, err := s.adopt(ctx, st, foreign); done || err != nil {
		return true, nil, err
	}
	return s.conflict(ctx, tip, st, foreign)
}

// record posts what has become of a settlement. mark tells records of one kind apart; 0 if there is one.
func (s *Settler) record(ctx context.Context, st *settlement, next Status, mark int, e Entry) error {
	f, err := set(TableSettlements, settlementField(st.id), next)
	if err != nil {
		return err
	}
	e.Key, e.Sets = fmt.Sprintf("%s:%d", e.Kind, st.id), append(e.Sets, f)
	if mark != 0 {
		e.Key += ":" + strconv.Itoa(mark)
	}
	return s.post(ctx, func() (Entry, error) {
		now, err := field[Status](ctx, s.cfg.Store, TableSettlements, settlementField(st.id))
		if err == nil && now != st.status {
			err = ErrMoved // somebody has brought it further meanwhile
		}
		return e, err
	})
}

// confirmed looks whether a settlement's block is deep enough, or gone.
func (s *Settler) confirmed(ctx context.Context, tip Place, st *settlement) error {
	block, err := chainhash.NewHashFromStr(st.status.Block)
	if err != nil {
		return fmt.Errorf("settlement %d: %w", st.id, err)
	}
	standing, err := s.cfg.Chain.Standing(ctx, *block)
	switch {
	case err != nil:
		return err
	case standing.Known && !standing.Best, !standing.Known && tip.Height >= st.status.Height+s.cfg.Final:
		next := st.status
		next.State, next.Version, next.Block, next.Height = Published, 0, "", 0
		return s.record(ctx, st, next, next.Confirms, Entry{Kind: KindReopen})
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
	sets, err := free(ctx, s.cfg.Store, st, func(at wire.OutPoint) bool { return spent[at] })
	if err != nil {
		return err
	}
	if v.Change != nil {
		c, err := s.changeCoin(ctx, st.id, v)
		if err != nil {
			return err
		}
		sets = append(sets, c)
	}
	return s.record(ctx, st, next, 0, Entry{Kind: KindFinal, Legs: legsOf(changes), Sets: sets})
}

// changeCoin makes a version's change known as a coin.
func (s *Settler) changeCoin(ctx context.Context, id uint64, v *Version) (Set, error) {
	tx, err := v.Transaction()
	if err != nil {
		return Set{}, err
	}
	for i, out := range tx.TxOut {
		if out.Value == v.Change.Value && string(out.PkScript) == string(v.Change.Script) {
			at := OutPoint(*wire.NewOutPoint(&v.TxID, uint32(i)))
			if text, err := optional(s.cfg.Store.Field(ctx, TableCoins, wire.OutPoint(at).String())); err != nil || text != "" {
				return Set{TableCoins, wire.OutPoint(at).String(), text}, err // as it is
			}
			return coinSet(at, CoinState{Value: out.Value, Script: out.PkScript, From: "settlement " + settlementField(id)})
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
