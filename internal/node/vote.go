package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// How the nodes decide.
//
// A node votes if it answers within ProbeTimeout, is on the configured chain, has caught up with the
// network, and has peers (on main). Half of the configured nodes must vote, or nothing is known
// (payouts.ErrNoQuorum).
//
// A vote weighs as much as the work of the chain that its node follows. Nodes tell work from a block on
// that their chains have in common, not from the first one on, and what two chains differ by is next to
// nothing beside that. So more votes weigh more than fewer, and between two halves the work decides: see
// outweighs. A majority is more than half of the weight of all votes, abstentions too.
//
// Of a block a node says that it is on its best chain, or that the best chain has another one at that
// height. It abstains if it does not know the block. It counts as little if its best chain is not that
// high: whoever lags knows nothing of a block above it, though it may have the header. What a majority says is so, and what
// none says is not known. The tip is the newest best block of a node that a majority has on its best
// chain, and a depth the greatest that a majority has reached: one node that is ahead, or claims to be,
// makes no block deeper.

// maxBallots is how often a node is asked anew because its best block changes while it is asked.
const maxBallots = 3

// side is what a node says of a block.
type side int

const (
	abstains side = iota
	onBest        // it is on the best chain
	offBest       // the best chain has another block at its height
)

// word is what a node says of a block and where it places it; the height is 0 if it abstains.
type word struct {
	side   side
	height int32
}

// vote is a node's answer at one moment.
type vote struct {
	node *watcher
	tip  tip
	word word // of the block that was asked about
}

// outweighs reports whether some of the votes weigh more than half of all: see above.
func outweighs(some, all []vote) bool {
	if 2*len(some) != len(all) {
		return 2*len(some) > len(all)
	}
	ours := totalWork(some)
	return ours.Lsh(ours, 1).Cmp(totalWork(all)) > 0
}

func totalWork(votes []vote) *big.Int {
	sum := new(big.Int)
	for i := range votes {
		sum.Add(sum, votes[i].tip.work)
	}
	return sum
}

// Tip implements payouts.Chain.
func (s *Set) Tip(ctx context.Context) (payouts.Place, error) {
	votes, err := s.votes(ctx, nil)
	if err != nil {
		return payouts.Place{}, err
	}
	var best tip
	asked := make(map[chainhash.Hash]bool)
	for i := range votes {
		at := votes[i].tip
		if asked[at.hash] {
			continue
		}
		asked[at.hash] = true
		if outweighs(s.having(ctx, votes, at.hash), votes) {
			best = heavier(best, at)
		}
	}
	if best.work == nil {
		return payouts.Place{}, fmt.Errorf("%w: they have %d best blocks, none of them on the chain of most", payouts.ErrNoQuorum, len(asked))
	}
	return payouts.Place{Hash: best.hash, Height: best.height}, nil
}

// having returns the votes of nodes whose best chain has a block. Only those with another best block are
// asked; one that does not answer does not have it.
func (s *Set) having(ctx context.Context, votes []vote, block chainhash.Hash) []vote {
	has := make([]bool, len(votes))
	var all sync.WaitGroup
	for i := range votes {
		if has[i] = votes[i].tip.hash == block; has[i] {
			continue
		}
		all.Go(func() {
			h, err := within(ctx, s.cfg.ProbeTimeout, func(ctx context.Context) (Header, error) {
				return votes[i].node.node.Header(ctx, block)
			})
			has[i] = err == nil && h.Confirmations > 0
		})
	}
	all.Wait()
	var out []vote
	for i := range votes {
		if has[i] {
			out = append(out, votes[i])
		}
	}
	return out
}

// Standing implements payouts.Chain.
func (s *Set) Standing(ctx context.Context, block chainhash.Hash) (payouts.Standing, error) {
	votes, err := s.votes(ctx, &block)
	if err != nil {
		return payouts.Standing{}, err
	}
	return count(votes), nil
}

// count returns what a majority says.
func count(votes []vote) payouts.Standing {
	var out payouts.Standing // with a depth of 0, which a block above a best chain does not exceed
	for i := range votes {
		v := &votes[i]
		if v.word.side == abstains {
			continue
		}
		var like []vote // who says the same, at no less depth
		for _, other := range votes {
			if other.word == v.word && other.tip.height >= v.tip.height {
				like = append(like, other)
			}
		}
		depth := v.tip.height - v.word.height + 1
		if depth > out.Depth && outweighs(like, votes) {
			out = payouts.Standing{Known: true, Best: v.word.side == onBest, Height: v.word.height, Depth: depth}
		}
	}
	return out
}

// votes asks all nodes for their best blocks and, unless it is nil, what they say of a block. Too few
// votes are payouts.ErrNoQuorum.
func (s *Set) votes(ctx context.Context, block *chainhash.Hash) ([]vote, error) {
	votes, err := askAll(ctx, s, func(ctx context.Context, w *watcher) (vote, error) { return w.vote(ctx, block) })
	if 2*len(votes) < len(s.watchers) {
		return nil, fmt.Errorf("%w: %d of %d answer: %w", payouts.ErrNoQuorum, len(votes), len(s.watchers), err)
	}
	return votes, nil
}

// askAll asks all nodes at once, each for ProbeTimeout at most. It returns the answers in the order of
// the configuration, and the errors of those that gave none.
func askAll[T any](ctx context.Context, s *Set, ask func(context.Context, *watcher) (T, error)) ([]T, error) {
	answers := make([]T, len(s.watchers))
	errs := make([]error, len(s.watchers))
	var all sync.WaitGroup
	for i, w := range s.watchers {
		all.Go(func() {
			answers[i], errs[i] = within(ctx, s.cfg.ProbeTimeout, func(ctx context.Context) (T, error) { return ask(ctx, w) })
		})
	}
	all.Wait()
	var given []T
	for i := range answers {
		if errs[i] == nil {
			given = append(given, answers[i])
		} else {
			errs[i] = fmt.Errorf("%s: %w", s.watchers[i].node.Name(), errs[i])
		}
	}
	return given, errors.Join(errs...)
}

// vote asks the node for its vote. The best block is the same before and after what it says of block, so
// that both are of one chain.
func (w *watcher) vote(ctx context.Context, block *chainhash.Hash) (vote, error) {
	for range maxBallots {
		info, err := w.node.Info(ctx)
		if err == nil {
			err = unfit(&info, w.set.cfg.Chain)
		}
		if err != nil {
			return vote{}, err
		}
		v := vote{node: w}
		if v.tip, err = w.index.locate(ctx, w.node, info.Best, w.set.cfg.ProbeTimeout); err != nil || block == nil {
			return v, err
		}
		if v.word, err = w.say(ctx, *block); err != nil {
			return vote{}, err
		}
		best, err := w.node.BestBlock(ctx)
		if err != nil || best == info.Best {
			return v, err
		}
	}
	return vote{}, errors.New("its best block changes faster than it can be asked")
}

// say returns what the node says of a block.
func (w *watcher) say(ctx context.Context, block chainhash.Hash) (word, error) {
	h, err := w.node.Header(ctx, block)
	switch {
	case errors.Is(err, ErrUnknownBlock):
		return word{}, nil
	case err != nil:
		return word{}, err
	case h.Confirmations > 0:
		return word{onBest, h.Height}, nil
	}
	return word{offBest, h.Height}, nil
}
