package shares

import (
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Share is proven work as the ledger records it, once. Its identity is Hash.
type Share struct {
	// Hash is the hash of the canonical 80-byte header.
	Hash chainhash.Hash
	// Account is the payout address that is credited; Worker tells its machines apart and may be
	// empty.
	Account, Worker string
	// Weight is what the share counts, in units of Unit: the work of the share target that was
	// issued, less what the block pays short of what it could.
	Weight Weight
	Unit   Unit
	// Target is the share target that was issued.
	Target gbt.Target
	// PreviousBlock and Height place the block that it would be.
	PreviousBlock chainhash.Hash
	Height        int32
	// Time is when the submission had arrived, in whole milliseconds.
	Time time.Time
	// Found is set if the share is a block that the nodes have not refused.
	Found *Found
}

// Found is what the ledger keeps of a found block beside its share. Recording it freezes the round
// and the window.
type Found struct {
	// Bits is the network target in compact form.
	Bits uint32
	// Value is what its coinbase pays in total and Paid what of it goes to the pool, in satoshis.
	Value, Paid int64
	// Window is the size of the window to freeze.
	Window Weight
}

// Position places a share in the ledger: in which partition, and where. Positions order all shares
// of a pool: by Millis, then Seq, then Partition. Recording makes them, so that within a partition
// each is above all before it, whatever the clock does.
type Position struct {
	// Millis is when the share was recorded by the ledger's clock, in milliseconds since 1970.
	Millis int64
	// Seq tells shares of one millisecond and partition apart.
	Seq int64
	// Partition is the part of the ledger that the account belongs to.
	Partition int
}

// Compare returns -1, 0 or 1 as p comes before, is, or comes after q.
func (p Position) Compare(q Position) int {
	switch {
	case p.Millis != q.Millis:
		return sign(p.Millis, q.Millis)
	case p.Seq != q.Seq:
		return sign(p.Seq, q.Seq)
	default:
		return sign(int64(p.Partition), int64(q.Partition))
	}
}

func sign(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// String returns the position within its partition as Redis writes stream IDs.
func (p Position) String() string { return fmt.Sprintf("%d-%d", p.Millis, p.Seq) }

// Entry is a recorded share with its place.
type Entry struct {
	Position
	Share
}

// Receipt is what recording returns: where the share is.
type Receipt struct {
	Position
	// Hash is the share's.
	Hash chainhash.Hash
}
