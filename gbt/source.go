package gbt

import (
	"context"
	"encoding/json"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Source brings what the full nodes say about the next block. It is read by one Feed.
type Source interface {
	// Next waits for news newer than what it last returned and returns the latest; news that
	// nobody read in time is dropped, never queued. It fails only when ctx ends.
	Next(ctx context.Context) (News, error)
}

// News is one change in what the full nodes propose.
type News struct {
	// Node is the name of the node that leads, for logs.
	Node string
	// Tip is the best block as the nodes know it. A template on another block is worthless.
	Tip chainhash.Hash
	// Template is the leading node's getblocktemplate result as received, built on Tip; nil while
	// there is none yet.
	Template json.RawMessage
	// Received is when the node's answer arrived.
	Received time.Time
	// Header is what the node says of Tip while Template is nil because it is making one; nil if it is not
	// known.
	Header *Header
	// Err says why Template is nil: the node is making one, all nodes are lost, and so on.
	Err error
}

// Network is the full nodes as the far side of a block: where one is offered or only checked.
// Implementations are safe for concurrent use.
type Network interface {
	// SubmitBlock offers a block to all nodes at once and returns as soon as one has
	// accepted it (an empty reason), or when those that answer have refused it (the reason of the
	// node that leads, in BIP 22's or Bitcoin Core's words), or when ctx ends. The nodes that have
	// not answered by then are offered the block with retries all the same. An error means that
	// no node has answered.
	SubmitBlock(ctx context.Context, block RawBlock) (Reason, error)
	// Propose asks the leading node whether a block is valid except for its proof of work
	// (BIP 23, Block Proposal). An empty reason means that it is.
	Propose(ctx context.Context, block []byte) (Reason, error)
}
