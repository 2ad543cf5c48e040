package payouts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// BlockShare is an account's part of a found block.
type BlockShare struct {
	Account string
	// Weight is its work that counted, in units of BlockShares.Unit, and Credit what that was worth, in satoshis.
	Weight shares.Weight
	Credit int64
}

// BlockShares is whom a found block credits. It is immutable.
type BlockShares struct {
	// Shares come by account.
	Shares []BlockShare
	// Total is the sum of the weights, and Credits that of the credits.
	Total   shares.Weight
	Credits int64
	Unit    shares.Unit
	// Weighed is false if the work behind it is folded by now, so that no weights are known. The credits are what
	// the journal has then: without what the coinbase paid accounts directly.
	Weighed bool
	// Estimated is true if the block is not credited yet.
	Estimated bool
}

// Block returns whom a found block credits. It takes as long as the window takes to read. It fails with
// shares.ErrUnknown if there is no such block, and with shares.ErrFolded if neither the work behind it is known any
// more nor has anybody been credited for it.
func (f *Forecaster) Block(ctx context.Context, hash chainhash.Hash) (*BlockShares, error) {
	blocks, err := f.cfg.Ledger.Blocks(ctx, allBlocks)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(blocks, func(b shares.Block) bool { return b.Hash == hash })
	if at < 0 || blocks[at].Found == nil {
		return nil, fmt.Errorf("block %s: %w", hash, shares.ErrUnknown)
	}
	st, err := field[BlockState](ctx, f.cfg.Journal, TableBlocks, hash.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	out := &BlockShares{Unit: f.cfg.Unit, Weighed: true, Estimated: st.Stage != BlockCredited && st.Stage != BlockLost}
	d, err := f.division(ctx, &blocks[at], st)
	switch {
	case errors.Is(err, shares.ErrFolded):
		return f.fromJournal(ctx, hash, st, out, err)
	case err != nil:
		return nil, err
	}
	out.fill(d)
	return out, nil
}

// fill joins weights and credits, both of which come by account.
func (s *BlockShares) fill(d *division) {
	weights, credits := d.weights, d.Credits
	for len(weights) > 0 || len(credits) > 0 {
		var next BlockShare
		var order int
		switch {
		case len(weights) == 0:
			order = 1
		case len(credits) == 0:
			order = -1
		default:
			order = strings.Compare(weights[0].Account, credits[0].Account)
		}
		if order <= 0 {
			next.Account, next.Weight = weights[0].Account, weights[0].Weight
			weights = weights[1:]
		}
		if order >= 0 {
			next.Account, next.Credit = credits[0].Account, credits[0].Amount
			credits = credits[1:]
		}
		s.Total += next.Weight
		s.Credits += next.Credit
		s.Shares = append(s.Shares, next)
	}
}

// fromJournal reads the credits of a block from the records that made them. It fails with folded if there are none.
func (f *Forecaster) fromJournal(ctx context.Context, hash chainhash.Hash, st BlockState, out *BlockShares, folded error) (*BlockShares, error) {
	kind, parts := KindCredit, st.Part
	if st.Terms != nil && st.Terms.PerShare() {
		kind, parts = KindAccrue, st.Accrued
	}
	o := own{state: st}
	o.Hash = hash
	key := o.key(kind)
	if kind == KindAccrue {
		key = fmt.Sprintf("%s:%s", KindAccrue, hash)
	}
	out.Weighed = false
	for part := 1; part <= parts; part++ {
		r, err := f.cfg.Journal.Posted(ctx, fmt.Sprintf("%s/%d", key, part))
		if errors.Is(err, ErrNotFound) {
			return nil, folded
		}
		if err != nil {
			return nil, err
		}
		for _, l := range r.Legs {
			if name, miner := l.Account.Miner(); miner && l.Amount > 0 {
				out.Shares = append(out.Shares, BlockShare{Account: name, Credit: l.Amount})
				out.Credits += l.Amount
			}
		}
	}
	if len(out.Shares) == 0 {
		return nil, folded
	}
	slices.SortFunc(out.Shares, func(a, b BlockShare) int { return strings.Compare(a.Account, b.Account) })
	return out, nil
}
