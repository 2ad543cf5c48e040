package payouts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// unknownDepth is how deep a block that no node knows is below the tip when it is taken for lost: two
	// weeks. Shorter, a node that is only slow would decide.
	unknownDepth = 2016
	// watchCredited is how many blocks that were credited are looked at again when the tip changes.
	watchCredited = 3
	// lookAgain is after how long blocks are looked at again though the tip is the same.
	lookAgain = time.Minute
	// allBlocks is how many found blocks are read at most, and recentBlocks how many once all have been: more
	// than may be undecided.
	allBlocks, recentBlocks = 1 << 20, unknownDepth + 84
)

// own is a block of the pool's with all that is known of it.
type own struct {
	shares.Block
	state    BlockState
	standing Standing
}

// name is the block's field in tables.
func (o *own) name() string { return o.Hash.String() }

// key names a record of the block's, one for each time that it turned.
func (o *own) key(kind Kind) string {
	if o.state.Turn == 0 {
		return fmt.Sprintf("%s:%s", kind, o.Hash)
	}
	return fmt.Sprintf("%s:%s:%d", kind, o.Hash, o.state.Turn)
}

// blocks brings each found block as far as the chain lets it be.
func (s *Settler) blocks(ctx context.Context, tip Place) error {
	if s.looked == tip && s.cfg.Now().Sub(s.lookedAt) < lookAgain {
		return nil
	}
	clean := true
	limit := recentBlocks
	if s.looked == (Place{}) {
		limit = allBlocks
	}
	found, err := s.cfg.Ledger.Blocks(ctx, limit)
	if err != nil {
		return err
	}
	s.found = found
	states, err := table[BlockState](ctx, s.cfg.Store, TableBlocks)
	if err != nil {
		return err
	}
	found = slices.Clone(found)
	slices.Reverse(found) // oldest first, so that rounds are divided in their order
	if err := s.release(ctx, found, states); err != nil {
		return err
	}
	credited := 0
	for i := len(found) - 1; i >= 0; i-- {
		st := states[found[i].Hash.String()]
		if st.Stage == BlockCredited && (st.Terms == nil || !st.Terms.PerShare() || st.AccruedAll) {
			if credited++; credited > watchCredited {
				found = slices.Delete(found, i, i+1)
			}
		}
	}
	for i := range found {
		o := &own{Block: found[i], state: states[found[i].Hash.String()]}
		if err := s.block(ctx, tip, o); err != nil {
			if stops(err) {
				return err
			}
			clean = false
			s.note(ctx, NotesBlocks, o.name(), err.Error())
		}
	}
	if clean {
		s.looked, s.lookedAt = tip, s.cfg.Now()
	}
	return nil
}

// block brings one block further.
func (s *Settler) block(ctx context.Context, tip Place, o *own) error {
	if o.state.Stage == "" {
		if err := s.register(ctx, o); err != nil {
			return err
		}
	}
	var err error
	if o.standing, err = s.cfg.Chain.Standing(ctx, o.Hash); err != nil {
		return err
	}
	unpaid := s.perShare(ctx, o)
	if unpaid != nil && !errors.Is(unpaid, ErrOverdrawn) && !errors.Is(unpaid, shares.ErrFolded) {
		return unpaid
	}
	if err := s.follow(ctx, tip, o); err != nil {
		return err
	}
	if unpaid != nil { // what it paid itself may be what was missing
		unpaid = s.perShare(ctx, o)
	}
	return unpaid
}

// perShare pays a block's round per share, if that is what was promised when it was found, and not done.
func (s *Settler) perShare(ctx context.Context, o *own) error {
	terms := o.state.Terms
	if terms == nil && o.state.Stage == BlockFound && o.state.Lists == 0 {
		terms = &s.cfg.Terms
	}
	if terms == nil || !terms.PerShare() || o.state.AccruedAll {
		return nil
	}
	return s.accrue(ctx, o)
}

// follow brings one block as far as the chain lets it be.
func (s *Settler) follow(ctx context.Context, tip Place, o *own) error {
	off := o.standing.Known && !o.standing.Best
	deep := o.standing.Best && o.standing.Depth >= s.cfg.Maturity
	switch {
	case o.state.Stage == BlockFound && deep, o.state.Stage == BlockCrediting:
		return s.credit(ctx, o)
	case o.state.Stage == BlockFound && (off && o.standing.Depth >= s.cfg.Maturity || !o.standing.Known && tip.Height-o.Height >= unknownDepth):
		return s.turn(ctx, o, BlockVoid)
	case o.state.Stage == BlockVoid && o.standing.Best:
		if err := s.turn(ctx, o, BlockFound); err != nil {
			return err
		}
		return s.follow(ctx, tip, o) // it may be deep enough already
	case o.state.Stage == BlockCredited && off:
		return s.lose(ctx, tip, o)
	case o.state.Stage == BlockLost && deep:
		return s.restore(ctx, o)
	}
	s.note(ctx, NotesBlocks, o.name(), s.describe(o))
	if o.state.Stage == BlockCredited {
		return s.remake(ctx, o)
	}
	return nil
}

// describe says where a block stands, for people.
func (s *Settler) describe(o *own) string {
	switch {
	case o.state.Stage != BlockFound:
		return ""
	case !o.standing.Known:
		return "candidate"
	case !o.standing.Best:
		return fmt.Sprintf("orphaned %d/%d", o.standing.Depth, s.cfg.Maturity)
	default:
		return fmt.Sprintf("immature %d/%d", o.standing.Depth, s.cfg.Maturity)
	}
}

// register puts a block into the journal, with the lists that its coinbase may pay by: its own, and that of
// the block before, from which a miner may have moved its work.
func (s *Settler) register(ctx context.Context, o *own) error {
	next := BlockState{Stage: BlockFound, Height: o.Height, Account: o.Account}
	var sets []Set
	if s.cfg.Lists != nil {
		texts, unknown, err := listsOn(ctx, s.cfg.Lists, s.cfg.Chain, o.PreviousBlock)
		if err = errors.Join(err, unknown); err != nil {
			return err // whether there is a list on the block before is not known yet
		}
		for i, text := range texts {
			sets = append(sets, Set{TableLists, fmt.Sprintf("%s/%d", o.name(), i+1), string(text)})
		}
		next.Lists = len(texts)
	}
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	err = s.post(ctx, func() (Entry, error) {
		return Entry{Key: o.key(KindFound), Kind: KindFound, Sets: append(sets, b)}, nil
	})
	o.state = next
	return err
}

// listsOn returns the lists on a block and on the one before it, as far as there are any. unknown is ErrUnknownBlock
// if no node has the block, and with that which one is before it; nil else.
func listsOn(ctx context.Context, lists ListStore, chain Chain, previous chainhash.Hash) (out [][]byte, unknown, err error) {
	if out, err = appendList(ctx, lists, out, previous); err != nil {
		return nil, nil, err
	}
	block, err := chain.Block(ctx, previous)
	if errors.Is(err, ErrUnknownBlock) {
		return out, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	out, err = appendList(ctx, lists, out, block.Header.PrevBlock)
	return out, nil, err
}

// appendList appends the list on a block, if there is one.
func appendList(ctx context.Context, lists ListStore, out [][]byte, previous chainhash.Hash) ([][]byte, error) {
	text, err := lists.List(ctx, previous)
	if errors.Is(err, ErrNotFound) {
		return out, nil
	}
	return append(out, text), err
}

// turn says that a block is void, or that it is not any more.
func (s *Settler) turn(ctx context.Context, o *own, stage BlockStage) error {
	kind, next := KindVoid, o.state
	next.Stage = stage
	if stage == BlockFound {
		kind = KindFound
		next.Turn++
	}
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	before := *o
	before.state.Turn = next.Turn
	err = s.post(ctx, func() (Entry, error) {
		return Entry{Key: before.key(kind), Kind: kind, Sets: []Set{b}}, nil
	})
	if err != nil {
		return err
	}
	o.state = next
	s.note(ctx, NotesBlocks, o.name(), s.describe(o))
	return nil
}

// release tells the ledger which blocks' rounds and windows are not needed any more. A void block's round
// is, until it is divided with another's.
func (s *Settler) release(ctx context.Context, found []shares.Block, states map[string]BlockState) error {
	for i := range found {
		hash := found[i].Hash
		st := states[hash.String()]
		void := st.Stage == BlockVoid && (states[st.Merged].Stage == BlockCredited || s.cfg.Terms.Scheme != PROP && st.Merged == "")
		if st.Terms != nil && st.Terms.PerShare() && !st.AccruedAll {
			continue // its round is still to be paid, once the reserve has enough
		}
		if found[i].Released || s.released[hash] || st.Stage != BlockCredited && !void {
			continue
		}
		if err := s.cfg.Ledger.Release(ctx, s.lease, hash); err != nil {
			return err
		}
		s.released[hash] = true
	}
	return nil
}

// lose books a credited block that the best chain has left. What it paid the pool is the reserve's loss,
// so that nobody's balance shrinks; what it paid accounts directly never was, and what of that they had been
// owed from before they are owed again. Payouts pause.
func (s *Settler) lose(ctx context.Context, tip Place, o *own) error {
	next := o.state
	next.Stage, next.LostAt = BlockLost, tip.Height
	next.Turn++
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	lost := *o
	lost.state.Turn = next.Turn
	return s.post(ctx, func() (Entry, error) {
		gone, err := s.gone(ctx, o)
		if err != nil {
			return Entry{}, err
		}
		taken, err := s.moved(ctx, -1, o.key(KindRestore), o.key(KindCredit)+"/1")
		if err != nil {
			return Entry{}, err
		}
		changes := map[Account]int64{Rewards: next.Reward, Paid: -next.Direct, Reserve: next.Direct - next.Reward}
		for _, l := range taken {
			changes[l.Account] += l.Amount
			changes[Reserve] -= l.Amount
		}
		why := fmt.Sprintf("block %s at height %d was credited and is off the best chain now: %d sat are the reserve's loss; see the runbook, and then resume", o.Hash, o.Height, -changes[Reserve])
		return Entry{Key: lost.key(KindLoss), Kind: KindLoss, Legs: legsOf(changes), Sets: append(gone, b, Set{TablePool, PoolPaused, why})}, nil
	})
}

// moved returns what the first of some records that is there has moved of miners' accounts in one direction, as
// positive amounts: what a credit or a restoration took, or a loss gave.
func (s *Settler) moved(ctx context.Context, sign int64, keys ...string) ([]Leg, error) {
	for _, key := range keys {
		r, err := s.cfg.Store.Posted(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var out []Leg
		for _, l := range r.Legs {
			if _, miner := l.Account.Miner(); miner && l.Amount*sign > 0 {
				out = append(out, Leg{l.Account, l.Amount * sign})
			}
		}
		return out, nil
	}
	return nil, nil
}

// gone makes the changes that forget the coins of a block, but for those that a settlement has reserved.
func (s *Settler) gone(ctx context.Context, o *own) ([]Set, error) {
	coins, err := table[CoinState](ctx, s.cfg.Store, TableCoins)
	if err != nil {
		return nil, err
	}
	var out []Set
	for _, name := range slices.Sorted(maps.Keys(coins)) {
		if coins[name].From == o.name() && coins[name].Reserved == 0 {
			out = append(out, Set{Table: TableCoins, Field: name})
		}
	}
	return out, nil
}

// restore undoes a loss: the block is back, and deep. Who was paid meanwhile what the block has paid too keeps
// that, and the reserve bears it.
func (s *Settler) restore(ctx context.Context, o *own) error {
	next := o.state
	next.Stage, next.LostAt = BlockCredited, 0
	b, err := set(TableBlocks, o.name(), next)
	if err != nil {
		return err
	}
	block, err := s.cfg.Chain.Block(ctx, o.Hash)
	if err != nil {
		return err
	}
	return s.post(ctx, func() (Entry, error) {
		back, err := s.coins(ctx, o, block.Transactions[0])
		if err != nil {
			return Entry{}, err
		}
		given, err := s.moved(ctx, 1, o.key(KindLoss))
		if err != nil {
			return Entry{}, err
		}
		changes := map[Account]int64{Rewards: -next.Reward, Paid: next.Direct, Reserve: next.Reward - next.Direct}
		for _, l := range given {
			has, err := s.cfg.Store.Balance(ctx, l.Account)
			if err != nil {
				return Entry{}, err
			}
			changes[l.Account] -= min(has, l.Amount)
			changes[Reserve] += min(has, l.Amount)
		}
		return Entry{Key: o.key(KindRestore), Kind: KindRestore, Legs: legsOf(changes), Sets: append(back, b)}, nil
	})
}

// all returns the blocks of the journal, with their states.
func (s *Settler) all(ctx context.Context) ([]*own, error) {
	states, err := table[BlockState](ctx, s.cfg.Store, TableBlocks)
	if err != nil {
		return nil, err
	}
	out := make([]*own, 0, len(states))
	for _, name := range slices.Sorted(maps.Keys(states)) {
		hash, err := chainhash.NewHashFromStr(name)
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", name, err)
		}
		o := &own{state: states[name]}
		o.Hash = *hash
		out = append(out, o)
	}
	return out, nil
}
