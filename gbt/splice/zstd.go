package splice

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdLevel is the fastest: with a full template the others take twice the time and more for no gain.
	zstdLevel = zstd.SpeedFastest
	// windowLog is the window as a power of two: a megabyte, which every decoder gives. HTTP allows 8
	// (RFC 9659). More makes templates no smaller.
	windowLog = 20
)

// What a frame is made of (RFC 8878, section 3.1.1).
const (
	// frameHeader is the magic number, a descriptor that says 8 bytes of content size and no checksum, and
	// the window. Decoders that read all at once want to know the size.
	frameHeader = "\x28\xb5\x2f\xfd\xc0" + string(rune((windowLog-10)<<3))
	contentSize = 8
	// blockHeader is the length of a block's header: the lowest bit marks the last block, two are its type
	// and the rest is its size.
	blockHeader = 3
	lastBlock   = 1
	typeShift   = 1
	typeMask    = 3
	typeRLE     = 1 // one byte stands for a block of them
	typeNone    = 3 // reserved
	sizeShift   = 3
	// maxBlock is what a block may decode to.
	maxBlock = 128 << 10
)

// blocks compresses a text into blocks none of which is the last.
//
// They mean the same in another frame after blocks that are not compressed, because such leave alone what
// compressed blocks inherit: repeated offsets are at their first values, and there is no table to repeat.
// Offsets count backwards, and reach nothing before the text as there was nothing.
func (p *Packer) blocks(text []byte, goOn func() bool) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(text)*3/8 + 64)
	p.zstd.Reset(&out)
	if err := feed(text, p.zstd.Write, goOn); err != nil {
		return nil, err
	}
	if err := p.zstd.Close(); err != nil {
		return nil, fmt.Errorf("splice: %w", err)
	}
	return takeBlocks(out.Bytes())
}

// takeBlocks returns the blocks of a frame, with the mark of the last one cleared in place. The frame has to
// have a window of at most windowLog, no dictionary, and no checksum. An empty frame has none.
func takeBlocks(frame []byte) ([]byte, error) {
	if len(frame) == 0 {
		return nil, nil
	}
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("%w: %w", errShape, err)
	}
	if h.Skippable || h.HasCheckSum || h.DictionaryID != 0 || h.WindowSize > 1<<windowLog {
		return nil, fmt.Errorf("%w: %+v", errShape, h)
	}
	blocks := frame[h.HeaderSize:]
	for at := 0; len(blocks)-at >= blockHeader; {
		header := uint32(blocks[at]) | uint32(blocks[at+1])<<8 | uint32(blocks[at+2])<<16
		kind, size := header>>typeShift&typeMask, int(header>>sizeShift)
		if kind == typeNone || size > maxBlock {
			break
		}
		if kind == typeRLE {
			size = 1
		}
		next := at + blockHeader + size
		if header&lastBlock == 0 {
			at = next
			continue
		}
		if next != len(blocks) {
			break
		}
		blocks[at] &^= lastBlock
		return blocks, nil
	}
	return nil, fmt.Errorf("%w: its blocks do not fill the frame", errShape)
}

// frame returns what goes before and after the blocks to make them a frame.
func (t *Text) frame(head, end []byte) (first, last []byte) {
	first = make([]byte, 0, len(frameHeader)+contentSize+raw(len(head))+raw(len(end))) // last is behind it
	first = append(first, frameHeader...)
	first = binary.LittleEndian.AppendUint64(first, uint64(len(head)+t.size+len(end)))
	if len(head) > 0 {
		first = appendRaw(first, head, 0)
	}
	first, last = cut(first)
	return first, appendRaw(last, end, lastBlock)
}

// raw returns how many bytes appendRaw takes at most for n.
func raw(n int) int { return n + (n/maxBlock+1)*blockHeader }

// appendRaw appends blocks that hold text as it is, the last of which is marked with final. Text may be
// empty, which only a last block should be.
func appendRaw(b, text []byte, final uint32) []byte {
	for {
		n := min(len(text), maxBlock)
		header := uint32(n) << sizeShift // of type 0
		if n == len(text) {
			header |= final
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16))
		b = append(b, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			return b
		}
	}
}
