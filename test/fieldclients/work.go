package fieldclients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	headerSize = 80
	// nonceAt is where the nonce begins in a header: the programs compare what is before it.
	nonceAt = headerSize - 4
	// scriptSigAt is where the programs look for the length of a coinbase's scriptSig: after
	// version, input count and outpoint, in one byte. A serialisation with a witness has another
	// byte there.
	scriptSigAt = 4 + 1 + 36
	// maxScriptSig is the consensus limit that they heed.
	maxScriptSig = 100
)

// work is what a program hashes.
type work struct {
	header [headerSize]byte
	// target is as in the template, most significant byte first.
	target [32]byte
	// txs is what a submission has after the header, in hexadecimal.
	txs    string
	workID string
	height int64
	// nonce is the last one tried.
	nonce uint32
}

// The ends of a search that has found nothing.
var (
	errExhausted   = errors.New("the nonce range is exhausted")
	errInterrupted = errors.New("there is other work to hash")
)

// scan tries nonces from the one after the last, until the header's hash meets the target or
// interrupted says that there is something better to do.
func (w *work) scan(ctx context.Context, interrupted func() bool) error {
	for {
		switch {
		case w.nonce == 0xffffffff:
			return errExhausted
		case w.nonce&0xfff != 0xfff:
		case ctx.Err() != nil:
			return ctx.Err()
		case interrupted():
			return errInterrupted
		}
		w.nonce++
		binary.BigEndian.PutUint32(w.header[nonceAt:], w.nonce)
		hash := sha256d(w.header[:])
		slices.Reverse(hash[:])
		if bytes.Compare(hash[:], w.target[:]) <= 0 {
			return nil
		}
	}
}

// previous returns the part of the header that names the previous block.
func (w *work) previous() []byte { return w.header[4:36] }

// sha256d is SHA-256 twice.
func sha256d(b []byte) [32]byte {
	once := sha256.Sum256(b)
	return sha256.Sum256(once[:])
}

// merkleRoot hashes a list of hashes up to its root. The list is used up.
func merkleRoot(hashes [][32]byte) [32]byte {
	for len(hashes) > 1 {
		if len(hashes)%2 == 1 {
			hashes = append(hashes, hashes[len(hashes)-1])
		}
		for i := range len(hashes) / 2 {
			hashes[i] = sha256d(append(hashes[2*i][:], hashes[2*i+1][:]...))
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0]
}

// layHeader puts a header together, all but the nonce. previous and bits are as in the template,
// most significant byte first.
func layHeader(version uint32, previous []byte, root [32]byte, time uint32, bits []byte) [headerSize]byte {
	var h [headerSize]byte
	binary.LittleEndian.PutUint32(h[:], version)
	copy(h[4:36], reversed(previous))
	copy(h[36:68], root[:])
	binary.LittleEndian.PutUint32(h[68:], time)
	copy(h[72:76], reversed(bits))
	return h
}

// reversed returns the bytes in the other order.
func reversed(b []byte) []byte {
	out := bytes.Clone(b)
	slices.Reverse(out)
	return out
}

// compactSize encodes a count.
func compactSize(n uint64) []byte {
	switch {
	case n < 0xfd:
		return []byte{byte(n)}
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16([]byte{0xfd}, uint16(n))
	case n <= 0xffffffff:
		return binary.LittleEndian.AppendUint32([]byte{0xfe}, uint32(n))
	default:
		return binary.LittleEndian.AppendUint64([]byte{0xff}, n)
	}
}
