package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	// MaxRecord is how many bytes a record may have.
	MaxRecord = 1 << 20

	magic      = "gbtspool"
	version    = 1
	headerSize = int64(len(magic) + 4 + 8 + 4)
	frameSize  = 8 // what comes before the data of each record
)

// errDamaged says that bytes are not what this package writes.
var errDamaged = errors.New("damaged")

// header returns what a segment's file begins with.
func header(base Place) []byte {
	out := append(make([]byte, 0, headerSize), magic...)
	out = binary.BigEndian.AppendUint32(out, version)
	out = binary.BigEndian.AppendUint64(out, uint64(base))
	return binary.BigEndian.AppendUint32(out, checksum(out, nil))
}

// checkHeader fails with errDamaged if a file does not begin with the header of the segment at base.
func checkHeader(f io.ReaderAt, base Place) error {
	got := make([]byte, headerSize)
	if _, err := f.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	sum := binary.BigEndian.Uint32(got[headerSize-4:])
	switch at := Place(binary.BigEndian.Uint64(got[len(magic)+4:])); {
	case string(got[:len(magic)]) != magic || sum != checksum(got[:headerSize-4], nil):
		return fmt.Errorf("%w: it has no segment's header", errDamaged)
	case binary.BigEndian.Uint32(got[len(magic):]) != version:
		return fmt.Errorf("%w: its version is not %d, it was written by a later release", errDamaged, version)
	case at != base:
		return fmt.Errorf("%w: it is the segment at %d", errDamaged, at)
	}
	return nil
}

// frame returns a record as it is in a file.
func frame(data []byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, frameSize+len(data)), uint32(len(data)))
	out = binary.BigEndian.AppendUint32(out, checksum(out, data))
	return append(out, data...)
}

// frames reads records that stand back to back.
type frames struct {
	r    *bufio.Reader
	left int64 // bytes before the end
}

// newFrames reads the records of a file from one offset to another.
func newFrames(f io.ReaderAt, from, to int64) *frames {
	return &frames{r: bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), 1<<16), left: to - from}
}

// next returns the data of the next record, in buf if that has room. io.EOF after the last one, and
// errDamaged if what comes is no whole record.
func (s *frames) next(buf []byte) ([]byte, error) {
	if s.left == 0 {
		return nil, io.EOF
	}
	var head [frameSize]byte
	if err := s.fill(head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > min(MaxRecord, s.left) {
		return nil, fmt.Errorf("%w: a record of %d bytes where there are %d and it may have %d", errDamaged, size, s.left, MaxRecord)
	}
	if buf == nil || size > int64(cap(buf)) {
		buf = make([]byte, size)
	}
	data := buf[:size]
	if err := s.fill(data); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(head[4:]) != checksum(head[:4], data) {
		return nil, fmt.Errorf("%w: a record's checksum is wrong", errDamaged)
	}
	return data, nil
}

// fill reads exactly as many bytes as p has.
func (s *frames) fill(p []byte) error {
	n, err := io.ReadFull(s.r, p)
	s.left -= int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: a record is cut short", errDamaged)
	}
	return err
}

func checksum(head, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, table), table, data)
}
