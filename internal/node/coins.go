package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// maxFeeRate is the highest estimate that is believed, in satoshis per 1000 virtual bytes: 1 BTC.
const maxFeeRate = 100_000_000

// Block implements payouts.Chain. The block's hash and merkle root are checked, but not its proof of work:
// whoever asks has its hash from somewhere.
func (s *Set) Block(ctx context.Context, block chainhash.Hash) (*wire.MsgBlock, error) {
	out, err := inTurn(ctx, s, func(ctx context.Context, n Node) (*wire.MsgBlock, error) {
		raw, err := n.Block(ctx, block)
		if err != nil {
			return nil, err
		}
		return parseBlock(raw, block)
	})
	if errors.Is(err, ErrUnknownBlock) {
		return nil, fmt.Errorf("%w: %s: %w", payouts.ErrUnknownBlock, block, err)
	}
	return out, err
}

// parseBlock decodes a block and checks that its hash commits to all of it but witnesses.
func parseBlock(raw []byte, want chainhash.Hash) (*wire.MsgBlock, error) {
	var block wire.MsgBlock
	r := bytes.NewReader(raw)
	if err := block.Deserialize(r); err != nil {
		return nil, fmt.Errorf("%w: block: %w", ErrMalformed, err)
	}
	if r.Len() != 0 || len(block.Transactions) == 0 {
		return nil, fmt.Errorf("%w: the block has %d transactions, and %d bytes follow", ErrMalformed, len(block.Transactions), r.Len())
	}
	if got := block.BlockHash(); got != want {
		return nil, fmt.Errorf("%w: it is block %s", ErrMalformed, got)
	}
	txs := btcutil.NewBlock(&block).Transactions()
	if blockchain.CalcMerkleRoot(txs, false) != block.Header.MerkleRoot {
		return nil, fmt.Errorf("%w: the merkle root is not that of the block's transactions", ErrMalformed)
	}
	// A list whose end is repeated may have the same root (CVE-2012-2459).
	seen := make(map[chainhash.Hash]bool, len(txs))
	for _, tx := range txs {
		if seen[*tx.Hash()] {
			return nil, fmt.Errorf("%w: transaction %s is in the block twice", ErrMalformed, tx.Hash())
		}
		seen[*tx.Hash()] = true
	}
	return &block, nil
}

// Unspent implements payouts.Network. If the leading node does not answer, the next one's word counts.
func (s *Set) Unspent(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error) {
	type answer struct {
		coin  payouts.Unspent
		spent error // an answer too, so that no other node is asked
	}
	a, err := inTurn(ctx, s, func(ctx context.Context, n Node) (answer, error) {
		coin, err := n.Output(ctx, at)
		if errors.Is(err, payouts.ErrSpent) {
			return answer{spent: fmt.Errorf("%s: %w", n.Name(), err)}, nil
		}
		return answer{coin: coin}, err
	})
	return a.coin, cmp.Or(err, a.spent)
}

// FeeRate implements payouts.Network. An estimate of nothing, or of more than 1 BTC, is none.
func (s *Set) FeeRate(ctx context.Context, blocks int) (int64, error) {
	rates, err := askAll(ctx, s, func(ctx context.Context, w *watcher) (int64, error) {
		rate, err := w.node.FeeRate(ctx, blocks)
		if err == nil && (rate <= 0 || rate > maxFeeRate) {
			err = fmt.Errorf("%d satoshis per 1000 virtual bytes is no estimate", rate)
		}
		return rate, err
	})
	if len(rates) == 0 {
		return 0, fmt.Errorf("%w: %w", payouts.ErrNoEstimate, err)
	}
	slices.Sort(rates)
	half := len(rates) / 2
	if len(rates)%2 == 0 {
		return (rates[half-1] + rates[half]) / 2, nil
	}
	return rates[half], nil
}

// inTurn asks one node after the other, the leader first, and returns the first answer. The next node is
// asked too if one errs or is slow. The error joins those of all nodes.
func inTurn[T any](ctx context.Context, s *Set, ask func(context.Context, Node) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := s.order()
	answers := make(chan answer, len(order)) // room for all, so that none waits for a reader
	asked, open := 0, 0
	next := func() {
		if asked == len(order) {
			return
		}
		n := order[asked].node
		asked, open = asked+1, open+1
		go func() {
			value, err := within(ctx, s.cfg.CallTimeout, func(ctx context.Context) (T, error) { return ask(ctx, n) })
			if err != nil {
				err = fmt.Errorf("%s: %w", n.Name(), err)
			}
			answers <- answer{value, err}
		}()
	}
	patience := time.NewTicker(checkPatience)
	defer patience.Stop()
	var errs []error
	for next(); open > 0; next() {
		select {
		case a := <-answers:
			open--
			if a.err == nil {
				return a.value, nil
			}
			errs = append(errs, a.err)
			if ctx.Err() != nil {
				asked = len(order) // nobody waits for an answer any more
			}
		case <-patience.C:
		}
	}
	var none T
	return none, errors.Join(errs...)
}

// order returns the nodes, the leader first, then those that are as good, then the others.
func (s *Set) order() []*watcher {
	status := *s.status.Load()
	rank := func(w *watcher) int {
		switch st := &status[w.id]; {
		case st.Leading:
			return 0
		case st.State == OK:
			return 1
		}
		return 2
	}
	out := slices.Clone(s.watchers)
	slices.SortStableFunc(out, func(a, b *watcher) int { return rank(a) - rank(b) })
	return out
}
