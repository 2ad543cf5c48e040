package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
)

// Node is one full node. Every method honours its context and is safe for concurrent use.
type Node interface {
	// Name tells the node from the others in logs and metrics; it holds no secret.
	Name() string
	Chain
	Miner
	Coins
}

// Chain is what a node knows of its best chain.
type Chain interface {
	// Info reports the node's kind, chain and health.
	Info(ctx context.Context) (Info, error)
	// BestBlock returns the hash of the tip of the best chain. It is cheap.
	BestBlock(ctx context.Context) (chainhash.Hash, error)
	// Header returns a block header that the node knows, on the best chain or not; an error that
	// matches ErrUnknownBlock if it knows none.
	Header(ctx context.Context, hash chainhash.Hash) (Header, error)
}

// Miner is what a node does for miners. Bytes that are no block give an error that matches
// ErrUndecodable.
type Miner interface {
	// Template returns a getblocktemplate result as the node sent it. A non-empty longPollID
	// makes it wait until the template which that id names should be replaced (BIP 22, Long
	// Polling); the caller's context is its only limit then.
	Template(ctx context.Context, longPollID string) (json.RawMessage, error)
	// Propose checks a serialised block except for its proof of work (BIP 23, Block Proposal).
	// The empty Reason means valid.
	Propose(ctx context.Context, block []byte) (gbt.Reason, error)
	// SubmitBlock offers a block. The empty Reason means that the node accepted it;
	// gbt.Duplicate that it had it already.
	SubmitBlock(ctx context.Context, block gbt.RawBlock) (gbt.Reason, error)
}

// Coins is what a node does for whoever pays: blocks and transactions in full, and what is unspent.
type Coins interface {
	// Block returns a serialised block that the node has, on the best chain or not; an error that
	// matches ErrUnknownBlock if it does not have it, or not any more because it is pruned. The bytes
	// are as the node sent them: whoever needs the block checks them.
	Block(ctx context.Context, hash chainhash.Hash) ([]byte, error)
	// SendTransaction offers a serialised transaction, whatever fee it pays. It succeeds too if the node
	// has it already, in its mempool or in a block with an output that nothing has spent. It fails with
	// a *payouts.RefusedError if the node refuses it; after any other error nothing is known.
	SendTransaction(ctx context.Context, raw []byte) error
	// Output returns an output that neither the best chain nor the mempool spends, or an error that
	// matches payouts.ErrSpent.
	Output(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error)
	// FeeRate estimates the fee rate for a transaction to be confirmed within some blocks, in satoshis
	// per 1000 virtual bytes; an error that matches payouts.ErrNoEstimate if the node cannot say.
	FeeRate(ctx context.Context, blocks int) (int64, error)
}

// Kind is a node's software.
type Kind string

// The kinds of node that are told apart.
const (
	Core   Kind = "core"
	Knots  Kind = "knots"
	Btcd   Kind = "btcd"
	Devnet Kind = "devnet"
	Other  Kind = "other"
)

// Info is a node's account of itself.
type Info struct {
	Kind    Kind
	Version string // as the node calls itself, such as "/Satoshi:31.0.0/"
	// Chain is the chain in Bitcoin Core's words: main, test, testnet4, signet, regtest, or simnet.
	Chain   string
	Height  int32 // of the best block
	Headers int32 // height of the best header known
	Best    chainhash.Hash
	// InitialDownload is true while the node is catching up with the network.
	InitialDownload bool
	// Progress estimates how much of the chain is verified, from 0 to 1.
	Progress float64
	Peers    int
	// NetworkHashPS is the network's hash rate as the node estimates it, in hashes per second; 0
	// where it cannot say.
	NetworkHashPS float64
}

// Header is a block header with its place in the chain.
type Header struct {
	Hash     chainhash.Hash
	Previous chainhash.Hash // zero for the genesis block
	Height   int32
	Bits     uint32
	Time     time.Time
	// MedianTime is the median of the times of this block and the ten before it; zero if the node does
	// not tell, as btcd.
	MedianTime time.Time
	// Confirmations counts the blocks from this one to the tip of the best chain, 1 at the tip;
	// -1 for a block that is not on the best chain.
	Confirmations int64
}

// ErrUnknownBlock matches the error of Chain.Header for a block that the node does not know, and that of
// Coins.Block for one that it does not have.
var ErrUnknownBlock = errors.New("the node does not know this block")
