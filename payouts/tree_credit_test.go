package payouts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// proven proves all that blocks count, of each block whose credit or round is whole: every leaf holds, a stranger
// is not counted, the record that is named has published the root, and its records give each account what its
// leaf says.
func (p *pool) proven(fail func(format string, args ...any)) {
	proofs, err := NewProofs(ProofsConfig{Roots: p.store, Trees: p.trees})
	if err != nil {
		fail("%v", err)
		return
	}
	for _, f := range fieldsOf(p.store.sheet, TableBlocks) {
		st, err := unmarshal[BlockState](f)
		if err != nil {
			fail("%v", err)
		}
		perShare := st.Terms != nil && st.Terms.PerShare()
		whole := perShare && st.AccruedAll || !perShare && (st.Stage == BlockCredited || st.Stage == BlockLost)
		if whole && st.Tree == nil {
			fail("block %s has no root: %+v", f.Field, st)
		}
		if !whole || st.Tree == nil || p.shown[st.Tree.Hash] {
			continue
		}
		if p.shown == nil {
			p.shown = make(map[Digest]bool)
		}
		p.shown[st.Tree.Hash] = true
		p.provenBlock(proofs, f.Field, &st, fail)
	}
}

func (p *pool) provenBlock(proofs *Proofs, name string, st *BlockState, fail func(format string, args ...any)) {
	hash, err := chainhash.NewHashFromStr(name)
	if err != nil {
		fail("%v", err)
		return
	}
	got, sum := p.creditedBy(name), int64(0)
	leaves := p.trees.trees[st.Tree.Hash]
	for i, l := range leaves {
		sum += l.Credit
		if st.Direct == 0 && got[l.Account] != l.Credit {
			fail("block %s: %s is credited %d sat, and its proof is of %d sat", name, l.Account, got[l.Account], l.Credit)
		}
		if i%(1+len(leaves)/100) != 0 {
			continue // a hundred of many will do
		}
		proof, err := proofs.Of(p.t.Context(), *hash, l.Account)
		if err == nil {
			err = proof.Verify()
		}
		switch {
		case err != nil:
			fail("block %s, %s: %v", name, l.Account, err)
			return
		case !proof.Counted() || proof.Proof.Credit != l.Credit || proof.Root != *st.Tree:
			fail("block %s, %s: %+v", name, l.Account, proof)
		}
	}
	if sum != st.Tree.Credit {
		fail("block %s: the leaves have %d sat, the root %d sat", name, sum, st.Tree.Credit)
	}
	stranger, err := proofs.Of(p.t.Context(), *hash, "stranger")
	if err != nil || stranger.Counted() || stranger.Verify() != nil {
		fail("block %s: a stranger is shown %+v, %v", name, stranger, err)
		return
	}
	r := p.store.records[stranger.Record.Seq-1]
	head, err := r.Head()
	if err != nil || head.Hash != stranger.Record.Hash || r.Key != stranger.Record.Key ||
		!slices.ContainsFunc(r.Sets, func(s Set) bool { return s.Field == name && strings.Contains(s.Value, st.Tree.Hash.String()) }) {
		fail("block %s: record %+v has not published its root, %v", name, stranger.Record, err)
	}
}

// creditedBy returns what the records of a block's credit or round give miners.
func (p *pool) creditedBy(name string) map[string]int64 {
	out := make(map[string]int64)
	for _, r := range p.store.records {
		if !strings.HasPrefix(r.Key, "credit:"+name) && !strings.HasPrefix(r.Key, "accrue:"+name) {
			continue
		}
		for _, l := range r.Legs {
			if account, miner := l.Account.Miner(); miner {
				out[account] += l.Amount
			}
		}
	}
	return out
}

// TestTreeBeforeItsRecord has the tree stored before anything is credited, and nothing credited while it cannot be.
func TestTreeBeforeItsRecord(t *testing.T) {
	for _, terms := range []Terms{{Scheme: PPLNS, Multiple: 8}, {Scheme: PPS}} {
		for _, stored := range []bool{false, true} {
			p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, terms })
			if err := p.operator().Book(t.Context(), Outside, Reserve, MaxMoney/2); err != nil {
				t.Fatal(err)
			}
			block := p.find(reward, window()...)
			p.chain.mine(100)
			p.at, p.stored = p.count+4, stored // what was booked and found is mirrored, then the tree
			if err := p.Work(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.says(block, errBroken.Error())
			p.wants(map[Account]int64{Miner("alice"): 0, Rewards: 0})
			if got := len(p.trees.trees); (got == 1) != stored {
				t.Errorf("%s, stored %t: %d trees are there", terms.Scheme, stored, got)
			}
			p.work()
			if st := p.state(block); st.Stage != BlockCredited || st.Tree == nil || len(p.trees.trees) != 1 {
				t.Errorf("%s, stored %t: the block is %+v, %d trees", terms.Scheme, stored, st, len(p.trees.trees))
			}
		}
	}
}

// awayTrees are trees that cannot be reached.
type awayTrees struct{ *memoryTrees }

func (awayTrees) Has(context.Context, Digest) (bool, error) { return false, shares.ErrAway }

// TestTreesAway ends a look when the store of trees is away, as that of the ledger does, and credits nothing.
func TestTreesAway(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Wallet = nil })
	p.with(func(c *SettlerConfig) { c.Trees = awayTrees{p.trees} })
	if err := p.Work(t.Context()); !errors.Is(err, shares.ErrAway) {
		t.Errorf("error %v, want ErrAway", err)
	}
	p.wants(map[Account]int64{Rewards: 0})
	p.with(func(c *SettlerConfig) { c.Trees = p.trees })
	p.work()
	p.wants(map[Account]int64{Rewards: -reward})
	// Nor is one looked for that may be there.
	p.with(func(c *SettlerConfig) { c.Trees = awayTrees{p.trees} })
	p.chain.mine(1)
	if err := p.Work(t.Context()); !errors.Is(err, shares.ErrAway) {
		t.Errorf("error %v, want ErrAway", err)
	}
}

// TestLostTree makes the tree of a block again that the store has lost, by each scheme, and does nothing else.
func TestLostTree(t *testing.T) {
	for _, terms := range []Terms{{Scheme: PPLNS, Multiple: 8, Fee: 100, Bonus: 7}, {Scheme: SOLO}, {Scheme: PROP}, {Scheme: PPS, Fee: 100}, {Scheme: FPPS}} {
		p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, terms })
		if err := p.operator().Book(t.Context(), Outside, Reserve, MaxMoney/2); err != nil {
			t.Fatal(err)
		}
		p.find(reward) // so that something is carried
		p.chain.mine(1)
		block := p.find(reward+5, window()...)
		p.chain.mine(100)
		p.work()
		root := p.state(block).Tree.Hash
		want := p.trees.trees[root]
		if len(want) == 0 {
			t.Fatalf("%s: nobody is counted", terms.Scheme)
		}
		delete(p.trees.trees, root)
		if terms.PerShare() || terms.Scheme == PROP {
			clear(p.ledger.released) // a round goes as soon as it is not needed: this one is still there
			for i := range p.ledger.blocks {
				p.ledger.blocks[i].Released = true
			}
		}
		// It is not looked for by who has just put it, until there is trouble.
		p.chain.mine(1)
		p.work()
		if len(p.trees.trees[root]) != 0 {
			t.Fatalf("%s: it is looked for at each look", terms.Scheme)
		}
		records := len(p.store.records)
		p.with(func(c *SettlerConfig) { c.Terms = Terms{Scheme: SOLO, Fee: 77} })
		p.chain.mine(1)
		p.work()
		if got := p.trees.trees[root]; !slices.Equal(got, want) || len(p.store.records) != records {
			t.Errorf("%s: %v is made again, want %v; %d records, want %d", terms.Scheme, got, want, len(p.store.records), records)
		}
	}
}

// TestTreeLostInTrouble looks for trees again once there was trouble: what Redis had may be lost then.
func TestTreeLostInTrouble(t *testing.T) {
	p := mature(t, noWallet)
	if !p.tick(t.Context()) {
		t.Fatal("the ledger is not there")
	}
	clear(p.trees.trees)
	p.ledger.holder = "another"
	p.tick(t.Context())
	p.ledger.holder = ""
	p.chain.mine(1)
	p.tick(t.Context())
	if len(p.trees.trees) != 1 {
		t.Errorf("%d trees are there", len(p.trees.trees))
	}
	p.sound()
}

// TestLostForGood leaves a tree that cannot be made again, and says so once.
func TestLostForGood(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Wallet = nil })
	l := p.oddly()
	p.work()
	block := p.ledger.blocks[0].Hash
	clear(p.trees.trees)
	l.windowErr = shares.ErrFolded
	p.restart()
	for range 3 {
		p.chain.mine(1)
		p.work()
	}
	if len(p.trees.trees) != 0 || p.state(block).Stage != BlockCredited {
		t.Errorf("%d trees, %+v", len(p.trees.trees), p.state(block))
	}
	// Other work than what was credited is not taken for it.
	l.windowErr = nil
	p.ledger.windows[block] = []shares.Credit{{Account: "mallory", Weight: 1}}
	p.restart()
	p.chain.mine(1)
	p.work()
	if len(p.trees.trees) != 0 {
		t.Errorf("%v is kept", p.trees.trees)
	}
	proofs, err := NewProofs(ProofsConfig{Roots: p.store, Trees: p.trees})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proofs.Of(t.Context(), block, "alice"); !errors.Is(err, ErrTreeLost) {
		t.Errorf("error %v, want ErrTreeLost", err)
	}
}

// TestOtherWork does not go on with a credit when the ledger says something else than at its first part.
func TestOtherWork(t *testing.T) {
	p := newPool(t, noWallet)
	p.at = 5 // found and mirrored, the tree, a part and mirrored
	window := many(2*partLegs + 1)
	block := p.find(reward, window...)
	p.chain.mine(100)
	if err := p.Work(t.Context()); err != nil || p.balance(Crediting) == 0 {
		t.Fatalf("nothing is credited in part: %v", err)
	}
	crediting := p.balance(Crediting)
	other := slices.Clone(window)
	other[5].Weight++
	p.ledger.windows[block] = other
	p.restart()
	p.work()
	p.says(block, "do not lead to the root")
	p.wants(map[Account]int64{Crediting: crediting})
	p.ledger.windows[block] = window
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Crediting: 0})
}

// rootless takes what earlier versions do not write out of a journal's records.
func (p *pool) rootless() {
	p.t.Helper()
	sheet, m := NewSheet(), newMemory(p.faults)
	for _, r := range p.store.records {
		c := *r
		c.Seq, c.Previous, c.Sets = sheet.Head.Seq+1, sheet.Head.Hash, slices.Clone(r.Sets)
		for i, s := range c.Sets {
			if s.Table != TableBlocks {
				continue
			}
			st, err := unmarshal[BlockState](s)
			if err != nil {
				p.t.Fatal(err)
			}
			st.Tree, st.Worth, st.Network = nil, 0, 0
			if c.Sets[i], err = set(TableBlocks, s.Field, st); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := errors.Join(sheet.Apply(p.t.Context(), &c), m.Post(p.t.Context(), 0, &c)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.store.sheet, p.store.records, p.store.keys = m.sheet, m.records, m.keys
	p.mirror = &memoryMirror{faults: p.faults}
	clear(p.trees.trees)
	p.cfg.Mirror, p.old = p.mirror, true
	p.restart()
}

// TestJournalsWithoutRoots goes on from journals of earlier versions: what was credited stays so and is sound, a
// credit in parts and a round in parts that were begun without a root end without one, and what begins then has
// one.
func TestJournalsWithoutRoots(t *testing.T) {
	for _, terms := range []Terms{{Scheme: PPLNS, Multiple: 8, Fee: 100}, {Scheme: PPS, Fee: 100}} {
		p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, terms })
		if err := p.operator().Book(t.Context(), Outside, Reserve, MaxMoney/2); err != nil {
			t.Fatal(err)
		}
		p.find(reward/1000, window()...)
		p.chain.mine(100)
		p.work()
		block := p.find(reward/1000, many(3*partLegs)...)
		for i := range p.ledger.windows[block] {
			p.ledger.windows[block][i].Weight = 1
		}
		p.chain.mine(100)
		p.at = p.count + 6 // found and mirrored, the tree, a part and mirrored, and one part is not there
		if err := p.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
		st := p.state(block)
		if terms.PerShare() && (st.Accrued != 1 || st.AccruedAll) || !terms.PerShare() && st.Part != 1 {
			t.Fatalf("%s: the block is %+v", terms.Scheme, st)
		}
		p.rootless()
		p.work()
		next := p.find(reward/1000, window()...)
		p.chain.mine(100)
		p.work()
		if st := p.state(block); st.Stage != BlockCredited || st.Tree != nil {
			t.Errorf("%s: the block is %+v, notes %v", terms.Scheme, st, p.store.notes)
		}
		if st := p.state(next); st.Stage != BlockCredited || st.Tree == nil {
			t.Errorf("%s: the next block is %+v", terms.Scheme, st)
		}
		p.wants(map[Account]int64{Crediting: 0})
		proofs, err := NewProofs(ProofsConfig{Roots: p.store, Trees: p.trees})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proofs.Of(t.Context(), block, "alice"); !errors.Is(err, ErrNoTree) {
			t.Errorf("error %v, want ErrNoTree", err)
		}
	}
}

// TestRoundKeepsItsTree has a round that waits for the reserve keep no tree until it is paid.
func TestRoundKeepsItsTree(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
	block := p.find(reward, shares.Credit{Account: "alice", Weight: 200})
	p.chain.mine(100)
	p.work()
	if st := p.state(block); st.Stage != BlockCredited || st.Tree != nil || len(p.trees.trees) != 0 {
		t.Errorf("the block is %+v, %d trees", st, len(p.trees.trees))
	}
	if err := p.operator().Book(t.Context(), Outside, Reserve, 200*reward); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(1)
	p.work()
	st := p.state(block)
	if !st.AccruedAll || st.Tree == nil || st.Tree.Credit != 100*reward || st.Worth != reward || st.Network != 2 {
		t.Errorf("the block is %+v, %v", st, fmt.Sprint(p.store.notes))
	}
}
