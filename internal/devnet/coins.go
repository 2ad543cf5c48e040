package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/database"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/payouts"
)

// Block implements node.Coins.
func (c *Chain) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	var raw []byte
	// The chain itself gives only blocks of the best chain.
	err := c.db.View(func(tx database.Tx) error {
		stored, err := tx.FetchBlock(&hash)
		raw = bytes.Clone(stored) // they are the database's
		return err
	})
	var fault database.Error
	switch {
	case errors.As(err, &fault) && fault.ErrorCode == database.ErrBlockNotFound:
		return nil, fmt.Errorf("devnet: %w: %s", node.ErrUnknownBlock, hash)
	case err != nil:
		return nil, fmt.Errorf("devnet: %w", err)
	}
	return raw, nil
}

// SendTransaction implements node.Coins.
func (c *Chain) SendTransaction(ctx context.Context, raw []byte) error {
	if err := ended(ctx); err != nil {
		return err
	}
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() != 0 {
		return &payouts.RefusedError{Reason: "TX decode failed"}
	}
	err := c.AddTransaction(&tx)
	switch {
	case errors.Is(err, errPresent):
		return nil
	case errors.Is(err, ErrRefused):
		return &payouts.RefusedError{Reason: err.Error()}
	}
	return err
}

// Output implements node.Coins.
func (c *Chain) Output(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error) {
	if err := ended(ctx); err != nil {
		return payouts.Unspent{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return payouts.Unspent{}, ErrClosed
	}
	none := fmt.Errorf("devnet: %w: %s", payouts.ErrSpent, at)
	if c.pool.CheckSpend(at) != nil {
		return payouts.Unspent{}, none
	}
	if tx, err := c.pool.FetchTransaction(&at.Hash); err == nil {
		outs := tx.MsgTx().TxOut
		if uint64(at.Index) >= uint64(len(outs)) {
			return payouts.Unspent{}, none
		}
		return payouts.Unspent{Value: outs[at.Index].Value, Script: outs[at.Index].PkScript}, nil
	}
	entry, err := c.chain.FetchUtxoEntry(at)
	switch {
	case err != nil:
		return payouts.Unspent{}, fmt.Errorf("devnet: %w", err)
	case entry == nil || entry.IsSpent():
		return payouts.Unspent{}, none
	}
	return payouts.Unspent{
		Value: entry.Amount(), Script: entry.PkScript(), Coinbase: entry.IsCoinBase(),
		Confirmations: int64(c.chain.BestSnapshot().Height-entry.BlockHeight()) + 1,
	}, nil
}

// FeeRate implements node.Coins: what Config says.
func (c *Chain) FeeRate(ctx context.Context, _ int) (int64, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	if c.cfg.FeeRate == 0 {
		return 0, fmt.Errorf("devnet: %w", payouts.ErrNoEstimate)
	}
	return c.cfg.FeeRate, nil
}
