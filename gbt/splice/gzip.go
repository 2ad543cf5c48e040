package splice

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// deflateLevel took the least time of all that look for repetitions and made the smallest output of those
// that take less than 20 ms, for a full template.
const deflateLevel = 2

// What a gzip member is made of (RFC 1952, section 2.3; RFC 1951, section 3.2).
const (
	// gzipHeader says deflate, no flags, no time, no system.
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	// gzipTrailer is the length of the CRC-32 and the size.
	gzipTrailer = 8
	// maxStored is what a stored block may hold and storedHeader what it takes beside that.
	maxStored    = 1<<16 - 1
	storedHeader = 5
	// lastStored marks a stored block as the last; all others begin with 0, padding included.
	lastStored = 1
)

// deflated compresses a text into deflate blocks none of which is the last. They end at a byte's end,
// by an empty stored block.
func (p *Packer) deflated(text []byte, goOn func() bool) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(text)*3/8 + 64)
	p.flate.Reset(&out) // which forgets the window
	if err := feed(text, p.flate.Write, goOn); err != nil {
		return nil, err
	}
	if err := p.flate.Flush(); err != nil {
		return nil, fmt.Errorf("splice: %w", err)
	}
	return out.Bytes(), nil
}

// member returns what goes before and after the blocks to make them a gzip member.
func (t *Text) member(head, end []byte) (first, last []byte) {
	first = make([]byte, 0, len(gzipHeader)+stored(len(head))+stored(len(end))+gzipTrailer) // last is behind it
	first = append(first, gzipHeader...)
	first = appendStored(first, head, 0)
	first, last = cut(first)
	crc := times(t.shift, crc32.ChecksumIEEE(head)) ^ t.crc
	crc = crc32.Update(crc, crc32.IEEETable, end)
	last = appendStored(last, end, lastStored)
	last = binary.LittleEndian.AppendUint32(last, crc)
	return first, binary.LittleEndian.AppendUint32(last, uint32(len(head)+t.size+len(end))) // modulo 2^32
}

// stored returns how many bytes appendStored takes at most for n.
func stored(n int) int { return n + (n/maxStored+1)*storedHeader }

// appendStored appends stored blocks that hold text, of which the last begins with final. Text may be empty.
func appendStored(b, text []byte, final byte) []byte {
	for {
		n := min(len(text), maxStored)
		begin := byte(0)
		if n == len(text) {
			begin = final
		}
		b = append(b, begin)
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(n))
		b = append(b, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			return b
		}
	}
}

// CRC-32 takes texts for polynomials over GF(2), a byte's lowest bit first, and is the remainder modulo a
// polynomial P. The CRC of two texts in turn is that of the first, times x for each bit of the second, plus
// that of the second; the starting and closing complements cancel out. As in a CRC, bit 31 here is the
// coefficient of x^0 and bit 0 that of x^31.
const (
	crcOne = 1 << 31
	crcX   = 1 << 30
)

// times multiplies two polynomials modulo P.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&crcOne != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1 // times x
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}

// zeros returns x to the power of 8n modulo P: what a CRC is multiplied with for n bytes after it.
func zeros(n int) uint32 {
	power, square := uint32(crcOne), uint32(crcX)
	for bits := uint64(n) * 8; bits != 0; bits >>= 1 {
		if bits&1 != 0 {
			power = times(power, square)
		}
		square = times(square, square)
	}
	return power
}
