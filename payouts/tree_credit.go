package payouts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/gbtpool/gbtpool/shares"
)

// errOtherTree says that a block's credit was begun with another root than it would go on with.
var errOtherTree = errors.New("its shares do not lead to the root that was published: run `gbtpool ledger audit`")

// plant makes the tree of a block that is credited, and puts its root into what the first part says of it. A
// credit that goes on has to lead to the same root; one that was begun by a version without roots has none. Where
// work is paid per share a block credits nobody, and the root is its round's.
func (s *Settler) plant(o *own, next *BlockState, weights []shares.Credit, credits []Credit) ([]Leaf, error) {
	if next.Terms.PerShare() {
		return nil, nil
	}
	return s.root(o, next, o.state.Stage == BlockFound, weights, credits)
}

// plantRound does so for a block's round that is paid per share.
func (s *Settler) plantRound(o *own, next *BlockState, network shares.Weight, weights []shares.Credit, credits []Credit) ([]Leaf, error) {
	begins := o.state.Accrued == 0
	if begins {
		next.Network, next.Worth = network, s.subsidy(o.Height)
		if next.Terms.Scheme == FPPS {
			next.Worth += next.Fees
		}
	}
	return s.root(o, next, begins, weights, credits)
}

// root makes a tree and notes its root, or compares it with that which was noted.
func (s *Settler) root(o *own, next *BlockState, begins bool, weights []shares.Credit, credits []Credit) ([]Leaf, error) {
	if !begins && next.Tree == nil {
		return nil, nil
	}
	leaves, err := leavesOf(weights, credits)
	if err != nil {
		return nil, err
	}
	tree, err := NewTree(leaves)
	if err != nil {
		return nil, err
	}
	b := basisOf(o.Hash, next)
	b.Unit = s.cfg.Unit
	root := tree.Root(&b)
	if !begins && *next.Tree != root {
		return nil, fmt.Errorf("block %s: %w", o.Hash, errOtherTree)
	}
	next.Tree = &root
	return leaves, nil
}

// keepTree stores a tree, before the record is posted that has its root. There is nothing to do without one.
func (s *Settler) keepTree(ctx context.Context, root *Root, leaves []Leaf) error {
	if root == nil || s.kept[root.Hash] {
		return nil
	}
	has, err := s.cfg.Trees.Has(ctx, root.Hash)
	if err == nil && !has {
		err = s.cfg.Trees.Put(ctx, root.Hash, leaves)
	}
	if err == nil {
		s.kept[root.Hash] = true
	}
	return err
}

// remake makes the tree of a credited block again if the store has lost it: from the shares, as long as they are
// there in detail. Nobody's money waits for that.
func (s *Settler) remake(ctx context.Context, o *own) error {
	root := o.state.Tree
	if root == nil || s.kept[root.Hash] {
		return nil
	}
	has, err := s.cfg.Trees.Has(ctx, root.Hash)
	if err == nil && !has {
		var leaves []Leaf
		if leaves, err = s.again(ctx, o); err == nil {
			err = s.keepTree(ctx, root, leaves)
		}
	}
	if err != nil && stops(err) {
		return err
	}
	s.kept[root.Hash] = true
	if err != nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the tree of a block is lost: nobody can be shown what it has counted",
			slog.String("block", o.name()), slog.Any("error", err))
	} else if !has {
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "the tree of a block was lost and is made again", slog.String("block", o.name()))
	}
	return nil
}

// again returns the leaves of a block that has a root.
func (s *Settler) again(ctx context.Context, o *own) ([]Leaf, error) {
	if !o.state.Terms.PerShare() {
		c, err := s.divide(ctx, o)
		if err != nil {
			return nil, err
		}
		return c.leaves, nil
	}
	round, err := s.cfg.Ledger.Round(ctx, o.Hash)
	if err != nil {
		return nil, err
	}
	credits, _, err := o.state.Terms.Accrue(round.Credits, o.state.Network, s.subsidy(o.Height), o.state.Fees)
	if err != nil {
		return nil, err
	}
	next := o.state
	return s.root(o, &next, false, round.Credits, credits)
}
