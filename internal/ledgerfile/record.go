package ledgerfile

import (
	"errors"
	"hash/crc32"
	"math/big"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// Version is the version of the format that this package writes and reads.
const Version = 1

const (
	// maxLine is the most bytes of a line, without its end.
	maxLine = 64 << 10
	// window is what zstd may look back: the memory that reading takes.
	window = 8 << 20
)

// ErrUnsound matches every error that says that a file is no whole export, as opposed to one that could
// not be read.
var ErrUnsound = errors.New("the export is not sound")

// PartitionOf returns the partition of an account, of n.
func PartitionOf(account string, n int) int {
	sum := ^uint32(0)
	for i := range len(account) { // as crc32.ChecksumIEEE, which takes no string
		sum = crc32.IEEETable[byte(sum)^account[i]] ^ sum>>8
	}
	return int(^sum % uint32(n))
}

// Record is what a line of an export says: one of the types below, as a pointer.
type Record interface {
	// write spells the record.
	write(l *line)
	// read takes over what a line says.
	read(w *wire) error
}

// Header is the first line.
type Header struct {
	// Ledger is the ledger's id, Chain its chain, and Unit what its weights count in.
	Ledger, Chain string
	Unit          shares.Unit
	// Partitions is how many there are.
	Partitions int
	// Created is when the ledger was made and Exported when the export began, in whole seconds.
	Created, Exported time.Time
}

// Partition begins a partition.
type Partition struct{ Partition int }

// Folded says that the Shares shares after what came before, up to Through, are known by their sums alone.
type Folded struct {
	Through shares.Position
	Shares  int64
}

// SumKind says what a Sum is of.
type SumKind int

const (
	// FoldedSum is of the shares of the last Folded.
	FoldedSum SumKind = iota
	// RoundSum is of the round of the last Block, or of the round that goes on.
	RoundSum
	// AccountSum is of all shares since the beginning.
	AccountSum
)

// Sum is the weight of the shares of one account.
type Sum struct {
	Kind      SumKind
	Partition int
	// Block is the block that ended the round, if it is a RoundSum; zero for the one that goes on.
	Block   chainhash.Hash
	Account string
	Weight  *big.Int
	Unit    shares.Unit
}

// Share is a recorded share. Of those that the ledger has compacted Hash and PreviousBlock, Target, Height,
// Time and Found are zero.
type Share struct{ shares.Entry }

// Block ends a round of one partition.
type Block struct {
	// Entry is the block's own share. In other partitions than the finder's it has only Hash, Unit and
	// Position.Partition.
	shares.Entry
	// From and Cut are the places of the last share before the round and of its last one.
	From, Cut shares.Position
	// Shares and Round are how many the round has in this partition, and their weight.
	Shares int64
	Round  shares.Weight
	// Released says that the pool does not need the round any more.
	Released bool
	// Promoted says that the block's own share was recorded before anybody knew that it is a block. Among the
	// shares it stays one without Found, and others may come between it and the cut. Worker and Time are those
	// of the submission that promoted it, and may be others there.
	Promoted bool
}

// Own reports whether the block's own share is in this partition.
func (b *Block) Own() bool { return b.Found != nil }

// Total ends a partition with what the ledger says of it as a whole.
type Total struct {
	Partition int
	// Shares counts all shares ever recorded and Folded those known by their sums alone. Weight is that of
	// all, in units of Unit.
	Shares, Folded int64
	Weight         *big.Int
	Unit           shares.Unit
	// Last is the place of the newest share.
	Last shares.Position
	// RoundFrom is the place of the last share before the round that goes on, RoundShares how many it has,
	// and Round their weight.
	RoundFrom   shares.Position
	RoundShares int64
	Round       shares.Weight
}

// End is the last line.
type End struct {
	// Lines counts the lines before it.
	Lines int64
	// SHA256 is the hash of all lines before it, uncompressed and each with its end.
	SHA256 [32]byte
}
