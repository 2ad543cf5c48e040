package payouts

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// owing returns what says what coinbases may pay.
func (p *pool) owing(lists ListStore, store Store, minimum int64) *Owing {
	p.t.Helper()
	o, err := NewOwing(OwingConfig{Store: store, Ledger: p.ledger, Lists: lists, Chain: p.chain, Minimum: minimum, Pool: p.cfg.Pool})
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// owes fails unless that is owed on the tip.
func (p *pool) owes(o *Owing, what string, want ...Credit) {
	p.t.Helper()
	got, err := o.Owed(p.t.Context(), p.chain.best[len(p.chain.best)-1])
	if d := cmp.Diff(want, slices.Clip(got)); err != nil || len(want)+len(got) > 0 && d != "" {
		p.t.Errorf("%s: %v (-want +got):\n%s", what, err, d)
	}
}

// promising has a pool that owes alice and bob, with a block found since that pays by a list.
func promising(t *testing.T, carry int64) (*pool, fakeLists, *List) {
	t.Helper()
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	l := p.list(lists, carry)
	return p, lists, l
}

// TestOwes owes what miners have, of a minimum on, as it is now.
func TestOwes(t *testing.T) {
	p, lists, _ := promising(t, 0)
	alice, bob := Credit{"alice", 37.125e8}, Credit{"bob", 12.375e8}
	o := p.owing(lists, p.store, 20e8)
	p.owes(o, "of a minimum on", alice)
	o = p.owing(lists, p.store, 1)
	p.owes(o, "everybody", alice, bob)
	if err := p.operator().Book(t.Context(), Outside, Miner("carol"), 5); err != nil {
		t.Fatal(err)
	}
	p.owes(o, "what is new too", alice, bob, Credit{"carol", 5})
}

// TestOwesNothingOnAnUnknownBlock pays nothing beside the window on a block of the pool's that is not in the
// ledger: what it has paid is not known.
func TestOwesNothingOnAnUnknownBlock(t *testing.T) {
	p, lists, _ := promising(t, 0)
	p.find(reward)
	p.ledger.blocks = p.ledger.blocks[1:]
	p.owes(p.owing(lists, p.store, 1), "on the pool's own")
	p.chain.reorganize(1)
	p.owes(p.owing(lists, p.store, 1), "on another's", Credit{"alice", 37.125e8}, Credit{"bob", 12.375e8})
}

// TestPromises takes off what blocks pay that are not credited yet: each of them, by the list that promises most.
func TestPromises(t *testing.T) {
	p, lists, l := promising(t, 10e8)
	o := p.owing(lists, p.store, 10e8)
	p.findListed(l, reward)
	bob := Credit{"bob", 12.375e8}
	p.owes(o, "found, and not seen by the worker", Credit{"alice", 27.125e8}, bob)
	p.work()
	p.owes(o, "found", Credit{"alice", 27.125e8}, bob)
	next := p.list(lists, 3e8) // by this or the one before
	p.findListed(next, reward)
	p.work()
	p.owes(o, "twice", Credit{"alice", 17.125e8}, bob)
	larger := p.list(lists, 4e8)
	p.findListed(larger, reward)
	p.work()
	p.owes(o, "a third whose own list promises more", Credit{"alice", 13.125e8}, bob)
	p.ledger.blocks = p.ledger.blocks[1:]
	p.chain.reorganize(1)
	p.find(reward) // by no list: there is none on the blocks before it
	p.owes(o, "a third that is not seen by the worker", Credit{"alice", 17.125e8}, bob)
	p.work()
	for _, b := range p.ledger.blocks[:3] {
		f, err := set(TableBlocks, b.Hash.String(), BlockState{Stage: BlockCrediting, Lists: p.state(b.Hash).Lists})
		if err != nil {
			t.Fatal(err)
		}
		p.store.sheet.Tables[TableBlocks][f.Field] = f.Value
	}
	p.owes(o, "while they are credited", Credit{"alice", 17.125e8}, bob)
	for _, stage := range []BlockStage{BlockCredited, BlockVoid, BlockLost} {
		for _, b := range p.ledger.blocks[:3] {
			f, err := set(TableBlocks, b.Hash.String(), BlockState{Stage: stage, Lists: 2})
			if err != nil {
				t.Fatal(err)
			}
			p.store.sheet.Tables[TableBlocks][f.Field] = f.Value
		}
		p.owes(o, "once they are "+string(stage), Credit{"alice", 37.125e8}, bob)
	}
}

// movingStore has a block credited while promises are read.
type movingStore struct {
	*memory
	meanwhile func()
}

func (s *movingStore) Head(ctx context.Context) (Head, error) {
	h, err := s.memory.Head(ctx)
	if f := s.meanwhile; f != nil {
		s.meanwhile = nil
		f()
	}
	return h, err
}

// TestOwesAtOneMoment does not take a credit for owed whose block has been credited in between.
func TestOwesAtOneMoment(t *testing.T) {
	p, lists, l := promising(t, 37e8)
	p.findListed(l, 10*reward)
	p.chain.mine(98)
	p.work()
	store := &movingStore{memory: p.store}
	o := p.owing(lists, store, 1)
	p.owes(o, "promised", Credit{"alice", 0.125e8}, Credit{"bob", 12.375e8})
	store.meanwhile = func() {
		p.chain.mine(1)
		p.work()
	}
	got, err := o.Owed(t.Context(), p.chain.best[len(p.chain.best)-1])
	if i := slices.IndexFunc(got, func(c Credit) bool { return c.Account == "alice" }); err != nil || i < 0 || got[i].Amount != 0.125e8 {
		t.Errorf("credited meanwhile: %v is owed, %v", got, err)
	}
}
