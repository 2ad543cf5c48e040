package gbt

import (
	"math/big"
	"math/bits"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Submission is what came in through submitblock, or as a proposal (BIP 23, Block Proposal).
type Submission struct {
	// Account and Worker are who submits, as authenticated.
	Account Account
	Worker  string
	// Data is the block in hexadecimal as received, in full or abbreviated (BIP 23, Submission
	// Abbreviation).
	Data string
	// WorkID is the workid parameter; empty if the client sent none.
	WorkID string
	// CoinbaseSig is the coinbasesig parameter, the whole scriptSig in hexadecimal, and CoinbaseAdd
	// is coinbaseadd, what the miner appended to the issued one. Either goes with a bare header
	// (BIP 23, submit/truncate); both are empty if the client sent none.
	CoinbaseSig, CoinbaseAdd string
	// Received is when the submission had arrived in full.
	Received time.Time
	// UserAgent is the client program's name for itself, for the log.
	UserAgent string
}

// Verdict is the ruling on a submission.
type Verdict struct {
	// Reason is empty if the submission is accepted.
	Reason Reason
	// Detail says more than Reason, for the log and for whoever asks why.
	Detail string
	// Share is the proven work, set if and only if the submission is accepted.
	Share Share
	// Hash is the header's hash; zero if the submission could not be decoded that far.
	Hash chainhash.Hash
	// Block reports whether the header met the network target, whatever the verdict.
	Block bool
	// BlockReason is what the nodes said of such a block: empty means accepted.
	BlockReason Reason
	// BlockErr is set if no node could be asked about such a block.
	BlockErr error
	// Err is set if nothing can be ruled now and sending the submission again later will help; it
	// matches ErrUnavailable. Reason is empty then and Share is not set.
	Err error
}

// Accepted reports whether the submission counts as a share.
func (v Verdict) Accepted() bool { return v.Reason == "" && v.Err == nil }

// Share is proven work on issued work, before it is recorded.
type Share struct {
	// Hash is the hash of the canonical 80-byte header: the share's identity.
	Hash chainhash.Hash
	// PreviousBlock and Height place the block that it would be.
	PreviousBlock chainhash.Hash
	Height        int32
	// Account and Worker are credited.
	Account Account
	Worker  string
	// Target is the share target issued with the work, which alone decides the share's weight.
	Target Target
	// Time is when the submission had arrived.
	Time time.Time
	// Bits is the network target in compact form, and Block reports whether the hash meets it.
	Bits  uint32
	Block bool
	// Value is what the coinbase pays in total, in satoshis.
	Value int64
	// Paid is what of it goes to the pool's outputs, and Full what the pool's own full template
	// paid when the work was issued or declared, in satoshis. A share counts by the two: see Work.
	Paid, Full int64
	// Transactions is the number of transactions in the block, the coinbase among them.
	Transactions int
}

// Work returns what the share counts: the expected number of hashes of its Target, times what its
// block pays the pool of what it could, at most all, rounded down.
func (s *Share) Work() *big.Int {
	work := s.Target.Work()
	if s.Paid >= s.Full {
		return work
	}
	work.Mul(work, big.NewInt(max(0, s.Paid)))
	return work.Div(work, big.NewInt(s.Full))
}

// Hashes is Work as an integer of 64 bits; false if that is not known to fit.
func (s *Share) Hashes() (uint64, bool) {
	work, ok := s.Target.Hashes()
	if !ok || s.Paid >= s.Full {
		return work, ok
	}
	high, low := bits.Mul64(work, uint64(max(0, s.Paid)))
	part, _ := bits.Div64(high, low, uint64(s.Full)) // which is less than work, for less is paid than could be
	return part, true
}
