package payouts

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// proofs proves what a pool's blocks count, and keeps so many leaves.
func (p *pool) proofs(leaves int) *Proofs {
	p.t.Helper()
	out, err := NewProofs(ProofsConfig{Roots: p.store, Trees: p.trees, Leaves: leaves})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// TestProofsOfALostBlock names the record that has published the root, whatever became of the block since.
func TestProofsOfALostBlock(t *testing.T) {
	p := mature(t, noWallet)
	p.work()
	block := p.ledger.blocks[0].Hash
	proofs := p.proofs(0)
	want, err := proofs.Of(t.Context(), block, "alice")
	if err != nil || want.Stage != BlockCredited || want.Record.Key != "credit:"+block.String()+"/1" || want.Height != 1 {
		t.Fatalf("%+v, %v", want, err)
	}
	old := p.chain.best[len(p.chain.best)-1]
	p.chain.reorganize(101)
	p.work()
	p.chain.follow(p.grow(old, 3))
	for _, stage := range []BlockStage{BlockLost, BlockCredited} {
		if stage == BlockCredited {
			p.work()
		}
		for _, proofs := range []*Proofs{proofs, p.proofs(0)} {
			got, err := proofs.Of(t.Context(), block, "alice")
			if err != nil || got.Stage != stage || got.Record != want.Record || got.Root != want.Root || got.Verify() != nil {
				t.Errorf("%s: %+v, %v", stage, got, err)
			}
		}
	}
}

// TestProofsOfATurnedBlock names the record of a block that was void and came back before it was credited.
func TestProofsOfATurnedBlock(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, window()...)
	p.work()
	p.chain.reorganize(1)
	p.chain.mine(98)
	p.work()
	p.chain.follow(p.grow(block, 150))
	p.work()
	p.chain.mine(1)
	p.work()
	if got, err := p.proofs(0).Of(t.Context(), block, "bob"); err != nil || got.Record.Key != "credit:"+block.String()+":1/1" || got.Verify() != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestProofsFail says why there is no proof.
func TestProofsFail(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, window()...)
	p.work()
	proofs := p.proofs(0)
	if _, err := proofs.Of(t.Context(), chainhash.Hash{1}, "alice"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such block: %v", err)
	}
	if _, err := proofs.Of(t.Context(), block, "alice"); !errors.Is(err, ErrNoTree) {
		t.Errorf("not credited: %v", err)
	}
	p.chain.mine(100)
	p.work()
	root := p.state(block).Tree.Hash
	leaves := p.trees.trees[root]
	for name, wrong := range map[string][]Leaf{
		"lost": nil, "cut": leaves[:1], "twice": {leaves[0], leaves[0]},
		"damaged": {leaves[0], {leaves[1].Account, leaves[1].Weight, leaves[1].Credit + 1}},
	} {
		if p.trees.trees[root] = wrong; wrong == nil {
			delete(p.trees.trees, root)
		}
		if _, err := proofs.Of(t.Context(), block, "alice"); !errors.Is(err, ErrTreeLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.trees.trees[root] = leaves
	if got, err := proofs.Of(t.Context(), block, "alice"); err != nil || got.Verify() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, cfg := range []ProofsConfig{{}, {Roots: p.store}, {Trees: p.trees}, {Roots: p.store, Trees: p.trees, Leaves: -1}} {
		if _, err := NewProofs(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

// TestProofsForAll makes a tree once for all who ask, and keeps as many as there is room for.
func TestProofsForAll(t *testing.T) {
	p := newPool(t, noWallet)
	var blocks []chainhash.Hash
	for range 3 {
		blocks = append(blocks, p.find(reward, window()...))
	}
	p.chain.mine(100)
	p.work()
	ask := func(proofs *Proofs, block chainhash.Hash) {
		t.Helper()
		if got, err := proofs.Of(t.Context(), block, "alice"); err != nil || got.Verify() != nil || !got.Counted() || got.Block != block {
			t.Errorf("%+v, %v", got, err)
		}
	}
	proofs := p.proofs(4) // two blocks of two, beside the newest
	p.trees.read = 0
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() { ask(proofs, blocks[0]) })
	}
	group.Wait()
	if p.trees.read != 1 {
		t.Errorf("the leaves are read %d times", p.trees.read)
	}
	for _, n := range []int{1, 2, 0, 1, 2} {
		ask(proofs, blocks[n])
	}
	if p.trees.read != 3 {
		t.Errorf("the leaves of three are read %d times", p.trees.read)
	}
	proofs = p.proofs(1)
	p.trees.read = 0
	for _, n := range []int{0, 0, 1, 1, 0} {
		ask(proofs, blocks[n])
	}
	if p.trees.read != 3 {
		t.Errorf("with room for one the leaves are read %d times", p.trees.read)
	}
}

// TestProofsCancelled lets go who does not want to wait any more, and not the others.
func TestProofsCancelled(t *testing.T) {
	p := mature(t, noWallet)
	p.work()
	block := p.ledger.blocks[0].Hash
	proofs := p.proofs(0)
	proofs.making <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := proofs.Of(ctx, block, "alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
	<-proofs.making
	if _, err := proofs.Of(t.Context(), block, "alice"); err != nil {
		t.Error(err)
	}
}

// TestSummaryHasTheRoot shows the root of each block to whoever lists them.
func TestSummaryHasTheRoot(t *testing.T) {
	p := mature(t, noWallet)
	p.work()
	all, err := Blocks(t.Context(), p.store)
	if err != nil || len(all) != 1 || all[0].State.Tree == nil || all[0].State.Tree.Count != 2 || all[0].State.Tree.Weight != shares.Weight(4) {
		t.Errorf("%+v, %v", all, err)
	}
}
