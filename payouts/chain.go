package payouts

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Place is where a block is: its hash and height.
type Place struct {
	Hash   chainhash.Hash
	Height int32
}

// Standing is where a block stands as the nodes' majority has it.
type Standing struct {
	// Known is false if no majority knows the block: that says nothing about it.
	Known bool
	// Best is true if it is on the best chain.
	Best   bool
	Height int32
	// Depth counts the blocks of the best chain from the block's height to the tip, both included: the
	// confirmations of a block on the best chain, and of its competitor if it is not.
	Depth int32
}

var (
	// ErrUnknownBlock says that no node that answers has a block.
	ErrUnknownBlock = errors.New("no node has this block")
	// ErrNoQuorum says that too few nodes answer, or that they do not agree, so that nothing is known of
	// the chain for now.
	ErrNoQuorum = errors.New("the nodes have no majority")
	// ErrNoEstimate says that no node can say what fees are paid.
	ErrNoEstimate = errors.New("no node estimates fees")
	// ErrSpent says that a coin is spent, on the best chain or in the mempool, or was never there.
	ErrSpent = errors.New("the coin is spent or unknown")
)

// Chain is what the full nodes' majority, each node's word weighed by the work of the chain that it
// follows, knows of the best chain. Implementations are safe for concurrent use.
type Chain interface {
	// Tip returns the newest block of the best chain, or ErrNoQuorum.
	Tip(ctx context.Context) (Place, error)
	// Standing returns where a block stands. That a node does not know it is no word against it.
	Standing(ctx context.Context, block chainhash.Hash) (Standing, error)
	// Block returns a block from whichever node has it, its hash checked; ErrUnknownBlock if none has it.
	Block(ctx context.Context, block chainhash.Hash) (*wire.MsgBlock, error)
}

// Network is the full nodes as the way to other nodes' mempools. Implementations are safe for concurrent
// use.
type Network interface {
	// Broadcast gives a serialised transaction to all nodes, and returns nil if at least one has it then,
	// whether in its mempool or in a block. It fails with a *RefusedError if all that answer refuse it, and
	// with another error if nothing is known: the transaction may be out.
	Broadcast(ctx context.Context, raw []byte) error
	// Unspent returns a coin as the leading node has it, or ErrSpent. What its mempool spends is spent.
	Unspent(ctx context.Context, at wire.OutPoint) (Unspent, error)
	// FeeRate estimates the fee rate for a transaction to be confirmed within some blocks, in satoshis per
	// 1000 virtual bytes: the median of what the nodes say. ErrNoEstimate if none does.
	FeeRate(ctx context.Context, blocks int) (int64, error)
}

// RefusedError says that nodes refuse a transaction.
type RefusedError struct {
	// Reason is a node's text, such as "bad-txns-inputs-missingorspent".
	Reason string
}

// Error implements error.
func (e *RefusedError) Error() string { return "the nodes refuse the transaction: " + e.Reason }

// Unspent is a coin as a node has it.
type Unspent struct {
	Value         int64 // satoshis
	Script        []byte
	Confirmations int64 // 0 in the mempool
	Coinbase      bool
}
