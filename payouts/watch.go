package payouts

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// belowSince is how many blocks below the one that a settlement was planned on are looked through too: the
	// node that was asked for coins may have lagged.
	belowSince = 12
	// pastSince is how many if that block has left the best chain: what spends its inputs may be there then.
	pastSince = 200
)

// spend is that a transaction in a block on the best chain spends a coin.
type spend struct {
	by    chainhash.Hash
	block Place
}

// spends looks through blocks for what spends coins. It remembers what it has looked through. It is used
// by one goroutine at a time.
type spends struct {
	chain Chain
	seen  map[chainhash.Hash]*looked
	// used are those of seen that were asked for since the last sweep.
	used map[chainhash.Hash]*looked
}

// looked is a block that was looked through for some coins.
type looked struct {
	previous chainhash.Hash
	coins    map[wire.OutPoint]bool
	found    map[wire.OutPoint]chainhash.Hash
}

func newSpends(chain Chain) *spends {
	return &spends{chain: chain, seen: make(map[chainhash.Hash]*looked), used: make(map[chainhash.Hash]*looked)}
}

// find returns what spends coins in the blocks from the tip down to the one that a settlement was planned on.
func (w *spends) find(ctx context.Context, tip Place, plan *Plan, coins []wire.OutPoint) (map[wire.OutPoint]spend, error) {
	out := make(map[wire.OutPoint]spend)
	down := max(0, plan.Height-pastSince)
	for at := tip; at.Height > down; {
		if at.Hash == plan.Since {
			down = max(down, at.Height-belowSince)
		}
		l, err := w.look(ctx, at, coins)
		if err != nil {
			return nil, err
		}
		for _, c := range coins {
			if by, ok := l.found[c]; ok {
				out[c] = spend{by: by, block: at}
			}
		}
		at = Place{Hash: l.previous, Height: at.Height - 1}
	}
	return out, nil
}

// look returns what is known of a block, having looked through it for coins.
func (w *spends) look(ctx context.Context, at Place, coins []wire.OutPoint) (*looked, error) {
	l := w.seen[at.Hash]
	missing := false
	for _, c := range coins {
		missing = missing || l == nil || !l.coins[c]
	}
	if l != nil && !missing {
		w.used[at.Hash] = l
		return l, nil
	}
	block, err := w.chain.Block(ctx, at.Hash)
	if err != nil {
		return nil, fmt.Errorf("block %s at height %d: %w", at.Hash, at.Height, err)
	}
	if l == nil {
		l = &looked{previous: block.Header.PrevBlock, coins: make(map[wire.OutPoint]bool), found: make(map[wire.OutPoint]chainhash.Hash)}
		w.seen[at.Hash] = l
	}
	w.used[at.Hash] = l
	for _, c := range coins {
		l.coins[c] = true
	}
	for _, tx := range block.Transactions[1:] {
		for _, in := range tx.TxIn {
			if l.coins[in.PreviousOutPoint] {
				l.found[in.PreviousOutPoint] = tx.TxHash()
			}
		}
	}
	return l, nil
}

// sweep forgets the blocks that nobody has asked for since the last sweep.
func (w *spends) sweep() {
	w.seen, w.used = w.used, make(map[chainhash.Hash]*looked)
}
