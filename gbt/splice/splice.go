// Package splice joins short texts to a long one that was compressed beforehand, without compressing
// that again.
//
// What comes out is one gzip member (RFC 1952) or one Zstandard frame (RFC 8878): some decoders stop
// after the first of several. The short texts go into it as they are, in blocks that are not compressed.
// The long one is compressed by itself, so that it refers to nothing before it and its blocks mean the
// same wherever they are put.
package splice

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Coding is a content coding by its name in HTTP.
type Coding string

// The codings.
const (
	Gzip Coding = "gzip"
	Zstd Coding = "zstd"
)

// ErrStopped says that a text was not compressed because nobody needs it any more.
var ErrStopped = errors.New("splice: stopped")

// errShape says that a compressor's output is not what is expected of it.
var errShape = errors.New("splice: the compressor's output cannot be taken apart")

// pieceSize is how much is compressed between two looks at whether to go on, in bytes. It takes well
// under a millisecond.
const pieceSize = 64 << 10

// Text is a text that was compressed by itself. It never changes, so any number of goroutines may join to
// it at a time.
type Text struct {
	coding Coding
	// blocks is what goes between other blocks of a member or a frame: whole bytes, and no last block.
	blocks []byte
	// size is that of the text in bytes.
	size int
	// crc is the text's CRC-32 and shift what to multiply that of the text before it with; for gzip only.
	crc, shift uint32
}

// Coding returns what the text was compressed with.
func (t *Text) Coding() Coding { return t.coding }

// Join returns three pieces that in turn decode to head, the text and end. blocks is shared and may not
// be modified; the others are new.
func (t *Text) Join(head, end []byte) (first, blocks, last []byte) {
	if t.coding == Zstd {
		first, last = t.frame(head, end)
	} else {
		first, last = t.member(head, end)
	}
	return first, t.blocks, last
}

// cut returns what is in b, and an empty slice of the room behind it.
func cut(b []byte) (full, empty []byte) { return b[:len(b):len(b)], b[len(b):] }

// Packer compresses texts. Only one goroutine may use it at a time.
type Packer struct {
	flate *flate.Writer
	zstd  *zstd.Encoder
}

// NewPacker makes a Packer. It keeps a few megabytes to work in.
func NewPacker() (*Packer, error) {
	deflate, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		return nil, fmt.Errorf("splice: %w", err)
	}
	// One at a time: the cores are for those who wait for answers.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstdLevel), zstd.WithWindowSize(1<<windowLog),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("splice: %w", err)
	}
	return &Packer{flate: deflate, zstd: encoder}, nil
}

// Pack compresses a text. It asks goOn every so often, and fails with ErrStopped where that says no.
func (p *Packer) Pack(c Coding, text []byte, goOn func() bool) (*Text, error) {
	out := &Text{coding: c, size: len(text)}
	var err error
	switch c {
	case Gzip:
		out.crc, out.shift = crc32.ChecksumIEEE(text), zeros(len(text))
		out.blocks, err = p.deflated(text, goOn)
	case Zstd:
		out.blocks, err = p.blocks(text, goOn)
	default:
		return nil, fmt.Errorf("splice: no coding %q", c)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// feed gives a text to a compressor in pieces.
func feed(text []byte, write func([]byte) (int, error), goOn func() bool) error {
	for len(text) > 0 {
		if !goOn() {
			return ErrStopped
		}
		n := min(len(text), pieceSize)
		if _, err := write(text[:n]); err != nil {
			return fmt.Errorf("splice: %w", err)
		}
		text = text[n:]
	}
	return nil
}
