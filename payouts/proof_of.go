package payouts

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// TreeStore keeps the leaves of trees for as long as there is the journal that has their roots. What it has is
// never changed. Implementations are safe for concurrent use. While the store cannot be reached errors match
// shares.ErrAway.
type TreeStore interface {
	// Put keeps the leaves of the tree that has a root, by its hash. Any error means that they may be there or
	// not, in part or all, and that putting them again is safe.
	Put(ctx context.Context, root Digest, leaves []Leaf) error
	// Has reports whether all leaves are there.
	Has(ctx context.Context, root Digest) (bool, error)
	// Leaves returns the leaves, or ErrNotFound unless all are there.
	Leaves(ctx context.Context, root Digest) ([]Leaf, error)
}

var (
	// ErrNoTree says that a block has no root: it is not credited yet, or was by a version that published none.
	ErrNoTree = errors.New("no root is published for the block")
	// ErrTreeLost says that a block has a root, and that what is below it is not there any more, or damaged.
	ErrTreeLost = errors.New("the tree of the block is lost")
)

// Roots is where roots are published: a journal and its tables.
type Roots interface {
	// Field is that of Tables, and Posted that of Journal.
	Field(ctx context.Context, table, field string) (string, error)
	Posted(ctx context.Context, key string) (*Record, error)
}

// ProofsConfig configures Proofs.
type ProofsConfig struct {
	// Roots and Trees are where what is to be proven is. Required.
	Roots Roots
	Trees TreeStore
	// Leaves is how many leaves of recent trees are kept in memory together, beside those of one more tree.
	// A million take 56 MB. 0 stands for two million.
	Leaves int
}

// Proofs proves what blocks count. It is safe for concurrent use. A tree is made once for all who ask while it
// is kept, and one at a time.
type Proofs struct {
	cfg ProofsConfig
	// recent are trees that were made, newest first, and making has room for whoever makes one.
	recent atomic.Pointer[[]*published]
	making chan struct{}
}

// usualLeaves is how many leaves are kept if nothing else is said.
const usualLeaves = 2_000_000

// NewProofs makes Proofs.
func NewProofs(cfg ProofsConfig) (*Proofs, error) {
	if cfg.Roots == nil || cfg.Trees == nil || cfg.Leaves < 0 {
		return nil, errors.New("proofs: Roots and Trees are required, and Leaves is 0 at least")
	}
	if cfg.Leaves == 0 {
		cfg.Leaves = usualLeaves
	}
	p := &Proofs{cfg: cfg, making: make(chan struct{}, 1)}
	p.recent.Store(new([]*published))
	return p, nil
}

// published is a tree with what was published of it.
type published struct {
	tree   *Tree
	root   Root
	basis  Basis
	totals Totals
	record Publication
}

// Of proves what a block counts for an account, or that it counts nothing for it. It fails with ErrNotFound if
// the block is not in the journal, with ErrNoTree, with ErrTreeLost, and with shares.ErrAway.
func (p *Proofs) Of(ctx context.Context, block chainhash.Hash, account string) (*BlockProof, error) {
	st, err := field[BlockState](ctx, p.cfg.Roots, TableBlocks, block.String())
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", block, err)
	}
	if st.Tree == nil || st.Terms == nil {
		return nil, fmt.Errorf("block %s: %w: it is %s", block, ErrNoTree, st.Stage)
	}
	t, err := p.tree(ctx, block, &st)
	if err != nil {
		return nil, err
	}
	return t.prove(&st, account), nil
}

// prove makes a proof.
func (t *published) prove(st *BlockState, account string) *BlockProof {
	p := &BlockProof{
		Version: ProofVersion, Block: t.basis.Block, Height: st.Height, Stage: st.Stage,
		Terms: t.basis.Terms, Finder: t.basis.Finder, Reward: t.basis.Reward, CarryIn: t.basis.Carry, Network: t.basis.Network,
		Fee: t.totals.Fee, CarryOut: t.totals.Carry, Root: t.root, Record: t.record, Account: account,
	}
	if proof, counted := t.tree.Prove(account); counted {
		p.Proof = &proof
	} else if absence, absent := t.tree.ProveAbsence(account); absent {
		p.Absence = &absence
	}
	return p
}

// tree returns the tree of a block that has a root.
func (p *Proofs) tree(ctx context.Context, block chainhash.Hash, st *BlockState) (*published, error) {
	if t := p.kept(st.Tree.Hash); t != nil {
		return t, nil
	}
	select {
	case p.making <- struct{}{}:
		defer func() { <-p.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t := p.kept(st.Tree.Hash); t != nil {
		return t, nil // who was before in the queue has made it
	}
	t, err := p.load(ctx, block, st)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", block, err)
	}
	recent, count := []*published{t}, 0
	for _, other := range *p.recent.Load() {
		if count += other.tree.Len(); count > p.cfg.Leaves {
			break
		}
		recent = append(recent, other)
	}
	p.recent.Store(&recent)
	return t, nil
}

// kept returns a tree that is kept; nil if it is not.
func (p *Proofs) kept(root Digest) *published {
	for _, t := range *p.recent.Load() {
		if t.root.Hash == root {
			return t
		}
	}
	return nil
}

// load makes a tree of what is stored, and sees that it is the one that was published.
func (p *Proofs) load(ctx context.Context, block chainhash.Hash, st *BlockState) (*published, error) {
	leaves, err := p.cfg.Trees.Leaves(ctx, st.Tree.Hash)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrTreeLost, err)
	}
	if err != nil {
		return nil, err
	}
	t := &published{root: *st.Tree, basis: basisOf(block, st)}
	t.basis.Unit = st.Tree.Unit
	if t.tree, err = NewTree(leaves); err == nil {
		if got := t.tree.Root(&t.basis); got != t.root {
			err = fmt.Errorf("its root is %s, and %s was published", got.Hash, t.root.Hash)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTreeLost, err)
	}
	if t.totals, err = t.basis.check(t.root); err != nil {
		return nil, err
	}
	t.record, err = publication(ctx, p.cfg.Roots, block, st)
	return t, err
}

// basisOf returns what the root of a block that is credited, or whose round is paid per share, is bound to, but
// for the unit.
func basisOf(block chainhash.Hash, st *BlockState) Basis {
	b := Basis{Block: block, Terms: *st.Terms, Reward: st.Reward, Carry: st.Carry}
	if st.Account != "" {
		b.Finder = Key(st.Account)
	}
	if b.Terms.PerShare() {
		b.Reward, b.Carry, b.Network = st.Worth, 0, st.Network
	}
	return b
}

// publication returns the record that has published a block's root: the first of its credit, from before it
// was lost and came back, or of its round.
func publication(ctx context.Context, roots Roots, block chainhash.Hash, st *BlockState) (Publication, error) {
	o := &own{state: *st}
	o.Hash = block
	kind := KindCredit
	if st.Terms.PerShare() {
		kind, o.state.Turn = KindAccrue, 0
	}
	for ; o.state.Turn >= 0; o.state.Turn-- {
		r, err := roots.Posted(ctx, o.key(kind)+"/1")
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Publication{}, err
		}
		head, err := r.Head()
		return Publication{Seq: r.Seq, Hash: head.Hash, Key: r.Key}, err
	}
	return Publication{}, fmt.Errorf("no record has published root %s: %w", st.Tree.Hash, ErrRecord)
}
