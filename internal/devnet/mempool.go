package devnet

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrRefused matches the error of AddTransaction for a transaction that the mempool does not take.
var ErrRefused = errors.New("devnet: transaction refused")

// errPresent says that the mempool or an unspent output of the best chain shows the transaction to be there.
var errPresent = errors.New("the transaction is there already")

// AddTransaction offers a transaction to the mempool, as btcd's sendrawtransaction does. One that replaces
// others (BIP 125) takes their place. The caller must not modify it any more.
func (c *Chain) AddTransaction(msg *wire.MsgTx) error {
	tx := btcutil.NewTx(msg)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.pool.IsTransactionInPool(tx.Hash()) {
		return fmt.Errorf("%w: %s: %w", ErrRefused, tx.Hash(), errPresent)
	}
	missing, _, err := c.pool.MaybeAcceptTransaction(tx, true, false)
	switch {
	case err != nil && strings.Contains(err.Error(), "already exists in blockchain"):
		return fmt.Errorf("%w: %s: %w", ErrRefused, tx.Hash(), errPresent)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrRefused, tx.Hash(), err)
	case len(missing) > 0:
		return fmt.Errorf("%w: %s: outputs of %d transactions are unknown or spent", ErrRefused, tx.Hash(), len(missing))
	}
	c.touch()
	return nil
}

// unspentCoinbase returns the first output of a best chain's block if neither a block nor the
// mempool spends it; nil if one does.
func (c *Chain) unspentCoinbase(height int32) (wire.OutPoint, *wire.TxOut, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return wire.OutPoint{}, nil, ErrClosed
	}
	block, err := c.chain.BlockByHeight(height)
	if err != nil {
		return wire.OutPoint{}, nil, fmt.Errorf("devnet: %w", err)
	}
	coinbase := block.Transactions()[0]
	at := wire.OutPoint{Hash: *coinbase.Hash()}
	entry, err := c.chain.FetchUtxoEntry(at)
	switch {
	case err != nil:
		return at, nil, fmt.Errorf("devnet: %w", err)
	case entry == nil || entry.IsSpent() || c.pool.CheckSpend(at) != nil:
		return at, nil, nil
	}
	return at, coinbase.MsgTx().TxOut[0], nil
}
