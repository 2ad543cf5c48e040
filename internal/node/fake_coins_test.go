package node

import (
	"context"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// fakeCoins is what a fakeNode knows of blocks and transactions beside headers. It is held by the node's mu.
type fakeCoins struct {
	hidden  map[chainhash.Hash]bool // blocks of the world that the node does not know
	blocks  map[chainhash.Hash][]byte
	sendErr error // of SendTransaction
	sent    int   // how often it answered that
	coin    payouts.Unspent
	coinErr error
	rate    int64
	rateErr error
	// moving is how often its best block grows while it is asked for a header.
	moving int
}

func (f *fakeNode) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	if err := f.enter(ctx, "block"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if raw, ok := f.blocks[hash]; ok {
		return raw, nil
	}
	return nil, ErrUnknownBlock
}

func (f *fakeNode) SendTransaction(ctx context.Context, _ []byte) error {
	if err := f.enter(ctx, "send"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	return f.sendErr
}

func (f *fakeNode) Output(ctx context.Context, _ wire.OutPoint) (payouts.Unspent, error) {
	if err := f.enter(ctx, "output"); err != nil {
		return payouts.Unspent{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.coin, f.coinErr
}

func (f *fakeNode) FeeRate(ctx context.Context, _ int) (int64, error) {
	if err := f.enter(ctx, "fee"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rate, f.rateErr
}
