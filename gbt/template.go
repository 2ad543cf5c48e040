package gbt

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// Template is a node's proposal for the next block, fitted to the pool's coinbase and numbered by
// the Feed. It never changes once published; nobody may modify what its fields refer to.
type Template struct {
	// Seq is the template's number: the Feed's numbers only grow, over restarts too.
	Seq uint64
	// Node is the name of the node that proposed it.
	Node string
	// Received is when the node's answer arrived.
	Received time.Time
	// Published is when the Feed put it in force.
	Published time.Time

	// Early is set if the pool made it, empty, because no node had one yet on the block.
	Early bool

	PreviousBlock chainhash.Hash
	Height        int32 // of the block to be found
	Version       int32
	Bits          uint32
	// NetworkTarget is Bits expanded: the target of a block ("fulltarget").
	NetworkTarget Target
	CurTime       int64 // the node's time for the header when it answered
	MinTime       int64 // the lowest time that the header may carry
	// Value is what the coinbase may claim: the subsidy and Fees, in satoshis.
	Value int64
	// Fees is the sum of the transactions' fees in satoshis; exact only if FeesKnown.
	Fees      int64
	FeesKnown bool

	// Rules are the active deployments as the node named them, prefixes included (BIP 9).
	Rules       []string
	VBAvailable map[string]int
	VBRequired  uint32

	// The block's limits: bytes, BIP 141 sigop cost, weight units.
	SizeLimit, SigopLimit, WeightLimit int64

	// Transactions are all but the coinbase, in block order.
	Transactions []Transaction
	// Branch links the coinbase's txid to the merkle root: the transaction set's name.
	Branch []chainhash.Hash
	// WitnessCommitment is the scriptPubKey of the commitment output (BIP 141) for these
	// transactions; nil if no transaction has a witness.
	WitnessCommitment []byte
	// Dropped counts the node's transactions that were left out, and Crowded those of them that were left
	// out to make room for the coinbase.
	Dropped, Crowded int

	// identity is the same for two answers of nodes that lead to the same work.
	identity [sha256.Size]byte
	// set is Transactions as judging needs them.
	set *txSet
	// required are the txids of those that have to stay in the block.
	required []chainhash.Hash
	// payees are whom coinbases on its previous block pay.
	payees Payees
	// coinbase is the coinbase transaction of all work on the template, but for its token.
	coinbase skeleton
	// answers is the rendered JSON that all work on the template shares; nil once it is old.
	answers *answers
	// variants are the smaller forms of the template; nil in those themselves.
	variants *variants
	// reduce makes them.
	reduce func(shape) (*Template, error)
	// index finds transactions by either id.
	index func() map[chainhash.Hash]*Transaction
}

// Transaction is one transaction of a template.
type Transaction struct {
	// Raw is the transaction as serialised with its witness, if it has one.
	Raw []byte
	// TxID and Hash identify it without and with its witness (txid and wtxid).
	TxID, Hash chainhash.Hash
	// Depends are the positions in Template.Transactions, from 0, of those that this one spends.
	Depends []int
	Fee     int64 // satoshis; meaningful only if FeeKnown
	Sigops  int64 // BIP 141 sigop cost
	Weight  int64 // weight units
	// FeeKnown reports whether the node told the fee (BIP 22: an absent fee is unknown, not 0).
	FeeKnown bool
	// Required transactions must stay in the block (BIP 22).
	Required bool
}

// mark is the part of the template's identity that tokens carry. Gateways that were given the same
// template know each other's work by it, which their own numbers would not tell.
func (t *Template) mark() uint32 { return binary.BigEndian.Uint32(t.identity[:4]) }

// HeaderTime returns the time for a header at a given moment: the node's clock at that moment, as
// far as its answer told, and never below MinTime.
func (t *Template) HeaderTime(now time.Time) int64 {
	elapsed := max(0, now.Sub(t.Received))
	return t.CurTime + int64(elapsed/time.Second) // CurTime is at least MinTime
}

// LongPollID names the event that a long poll for this template waits on: its replacement. It is
// the previous block's hash followed by the template's number, so it is never used again.
func (t *Template) LongPollID() string {
	var text [chainhash.MaxHashStringSize + 20]byte
	return string(t.appendLongPollID(text[:0]))
}

// appendLongPollID appends LongPollID.
func (t *Template) appendLongPollID(b []byte) []byte {
	return strconv.AppendUint(appendHash(b, t.PreviousBlock), t.Seq, 10)
}

// Outputs returns what the coinbase of work on the template pays, the witness commitment not among
// them. The slice is the caller's; the scripts must not be modified.
func (t *Template) Outputs() []Output { return slices.Clone(t.coinbase.outputs) }

// Weight returns the weight units and Size the bytes that a block of the template takes at most,
// with room for what the miner adds to the coinbase.
func (t *Template) Weight() int64 {
	return t.Reserve() + t.set.weight
}

// Reserve returns the weight units that a block's header, its transaction count and its coinbase take at
// most, with room for what the miner adds: what a node has to leave free of its templates.
func (t *Template) Reserve() int64 {
	return t.coinbase.measure(t.WitnessCommitment).weight + headerSize*blockchain.WitnessScaleFactor
}

// Size returns the bytes that a block of the template takes at most.
func (t *Template) Size() int64 {
	return t.coinbase.measure(t.WitnessCommitment).size + headerSize + t.set.size
}

// Sigops returns what the template's transactions count, in BIP 141 sigop cost.
func (t *Template) Sigops() int64 { return t.set.sigops }
