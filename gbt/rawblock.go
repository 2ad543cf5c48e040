package gbt

import "github.com/btcsuite/btcd/chainhash/v2"

// RawBlock is a serialised block in the pieces that it is kept in: a found block is on its way to the nodes before
// anybody has put it together, which takes longer than all that comes before. It is immutable.
type RawBlock struct {
	// head is what comes first: the header, the number of transactions and the coinbase, or all of the block.
	head []byte
	// txs and rest follow: transactions that are known here, and what came as it is.
	txs  []*Transaction
	rest []byte
	size int
}

// NewRawBlock returns a block that is there in one piece.
func NewRawBlock(raw []byte) RawBlock { return RawBlock{head: raw, size: len(raw)} }

// Size is its length in bytes.
func (b RawBlock) Size() int { return b.size }

// Hash returns the hash of its header, or of what there is of one.
func (b RawBlock) Hash() chainhash.Hash {
	const header = 80
	return doubleHash(b.head[:min(len(b.head), header)])
}

// Piece returns the piece of a number from 0 on; false if there are not as many. It may be empty.
func (b RawBlock) Piece(number int) ([]byte, bool) {
	switch {
	case number == 0:
		return b.head, true
	case number <= len(b.txs):
		return b.txs[number-1].Raw, true
	default:
		return b.rest, number == len(b.txs)+1
	}
}

// Bytes puts it together.
func (b RawBlock) Bytes() []byte {
	out := make([]byte, 0, b.size)
	for i := 0; ; i++ {
		piece, ok := b.Piece(i)
		if !ok {
			return out
		}
		out = append(out, piece...)
	}
}
