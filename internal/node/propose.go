package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// checkPatience is how long a node may check a block before the next one is asked too. A block
// whose transactions the node knows takes well under a second.
const checkPatience = 3 * time.Second

// Propose implements gbt.Network. The leading node is asked first. If it errs, is slow, or says
// that it did not check the block because its best block is another, so is the next node that is on
// the block's chain; what the first says counts if it still says something. The error means that no
// node answered.
func (s *Set) Propose(ctx context.Context, block []byte) (gbt.Reason, error) {
	checkers := s.checkers(previousOf(block))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan outcome, len(checkers)) // room for all, so that none waits for a reader
	asked, open := 0, 0
	ask := func() {
		if asked < len(checkers) {
			w := checkers[asked]
			asked, open = asked+1, open+1
			go func() { answers <- w.checkBlock(ctx, block) }()
		}
	}
	patience := time.NewTicker(checkPatience)
	defer patience.Stop()
	var unchecked gbt.Reason
	var errs []error
	for ask(); open > 0; ask() {
		select {
		case o := <-answers:
			open--
			switch {
			case o.last:
				return o.reason, nil
			case o.err == nil && unchecked == "":
				unchecked = o.reason
			case o.err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", s.watchers[o.node].node.Name(), o.err))
			}
			if ctx.Err() != nil {
				return "", fmt.Errorf("nobody waits for the check any more: %w", errors.Join(errs...))
			}
		case <-patience.C:
		}
	}
	switch {
	case unchecked != "":
		return unchecked, nil
	case len(errs) == 0:
		errs = append(errs, s.Healthy())
	}
	return "", fmt.Errorf("no node checks the block: %w", errors.Join(errs...))
}

// checkBlock has the node check a block. The outcome is the last word unless the node did not check it.
func (w *watcher) checkBlock(ctx context.Context, block []byte) outcome {
	reason, err := within(ctx, w.set.cfg.CallTimeout, func(ctx context.Context) (gbt.Reason, error) {
		return w.node.Propose(ctx, block)
	})
	if errors.Is(err, ErrUndecodable) {
		reason, err = gbt.Rejected, nil
	}
	return outcome{node: w.id, reason: reason, err: err, last: err == nil && !otherBest(reason)}
}

// otherBest reports whether a reason says of a proposal nothing but that the node has another best
// block than the one it builds on.
func otherBest(reason gbt.Reason) bool {
	return reason == gbt.BadPrevblk || reason == PrevUnknown || strings.HasPrefix(string(reason), string(Inconclusive))
}

// checkers returns the nodes that can check a block on previous, the leader first: those that are
// usable and have that best block, or the leader's.
func (s *Set) checkers(previous chainhash.Hash) []*watcher {
	status := *s.status.Load()
	var first, rest []*watcher
	best := previous
	for i := range status {
		if status[i].Leading {
			first, best = append(first, s.watchers[i]), status[i].Best
		}
	}
	for i := range status {
		if status[i].State == OK && !status[i].Leading && (status[i].Best == previous || status[i].Best == best) {
			rest = append(rest, s.watchers[i])
		}
	}
	return append(first, rest...)
}

// headerSize is the length of a serialised block header.
const headerSize = 80

// previousOf returns the previous block's hash of a serialised block; zero if it has no header.
func previousOf(block []byte) (previous chainhash.Hash) {
	if len(block) >= headerSize {
		copy(previous[:], block[4:])
	}
	return previous
}
