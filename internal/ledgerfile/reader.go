package ledgerfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Reader reads an export, line by line, in little memory whatever the file is. It checks that each line is
// one of the format, and the line count and the hash at the end; what the lines say is for Verify. It is for
// one goroutine.
type Reader struct {
	source *source
	zstd   *zstd.Decoder
	lines  *bufio.Reader
	decode decoder
	sum    hash.Hash
	count  int64
	ended  bool
}

// source remembers how reading the file itself failed, and how far it came.
type source struct {
	file io.Reader
	read int64
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// NewReader makes a Reader. Close it in the end.
func NewReader(file io.Reader) (*Reader, error) {
	s := &source{file: file}
	begin := bufio.NewReaderSize(s, window/8)
	if magic, err := begin.Peek(4); s.err == nil && (err != nil || !bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd})) {
		if len(magic) == 0 {
			return nil, fmt.Errorf("%w: the file is empty: make the export again", ErrUnsound)
		}
		return nil, fmt.Errorf("%w: this is no zstd file: name one that gbtpool ledger export made", ErrUnsound)
	}
	z, err := zstd.NewReader(begin, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if s.err != nil {
		err = s.err
	}
	if err != nil {
		return nil, fmt.Errorf("the export cannot be read: %w", err)
	}
	return &Reader{source: s, zstd: z, lines: bufio.NewReaderSize(z, maxLine+1), sum: sha256.New()}, nil
}

// Close frees what the Reader holds. The file stays open.
func (r *Reader) Close() { r.zstd.Close() }

// Line returns how many lines were read.
func (r *Reader) Line() int64 { return r.count }

// Next returns the next record, and io.EOF after a right End and nothing more. An error that matches
// ErrUnsound says what is wrong with the file; any other that it could not be read. After an error there is
// nothing more to read.
func (r *Reader) Next() (Record, error) {
	text, err := r.line()
	if err != nil {
		return nil, err
	}
	r.count++
	rec, err := r.decode.record(text)
	if err != nil {
		return nil, r.unsound(err)
	}
	_, first := rec.(*Header)
	if first != (r.count == 1) {
		return nil, r.unsound(errors.New("the first line, and no other, says which ledger it is"))
	}
	if end, ok := rec.(*End); ok {
		return end, r.end(end)
	}
	r.sum.Write(text)
	r.sum.Write([]byte{'\n'})
	return rec, nil
}

// unsound says what is wrong with the line that was read last.
func (r *Reader) unsound(err error) error {
	return fmt.Errorf("%w: line %d: %w", ErrUnsound, r.count, err)
}

// line reads a line without its end.
func (r *Reader) line() ([]byte, error) {
	text, err := r.lines.ReadSlice('\n')
	switch {
	case err == nil && r.ended:
		return nil, fmt.Errorf("%w: there is more after the end, line %d: it was written to afterwards", ErrUnsound, r.count)
	case err == nil:
		return text[:len(text)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: line %d is longer than any line of an export", ErrUnsound, r.count+1)
	case r.source.err != nil:
		return nil, fmt.Errorf("the export cannot be read: %w", r.source.err)
	case errors.Is(err, io.EOF) && r.ended && len(text) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF) && !r.ended, errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it is cut off after %d lines: copy it again, or make it again", ErrUnsound, r.count)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, fmt.Errorf("%w: reading it would take more memory than any export does: it was not made by gbtpool", ErrUnsound)
	default:
		return nil, fmt.Errorf("%w: what is compressed is damaged after line %d (%w): copy it again, or make it again", ErrUnsound, r.count, err)
	}
}

// end checks the last line.
func (r *Reader) end(e *End) error {
	r.ended = true
	var wrong []string
	if before := r.count - 1; e.Lines != before {
		wrong = append(wrong, fmt.Sprintf("it counts %d lines before it, there are %d, so lines were taken out or put in", e.Lines, before))
	}
	if sum := r.sum.Sum(nil); !bytes.Equal(sum, e.SHA256[:]) {
		wrong = append(wrong, fmt.Sprintf("its SHA-256 is %x, that of the lines is %x, so the file was changed", e.SHA256, sum))
	}
	if len(wrong) > 0 {
		return r.unsound(errors.New(strings.Join(wrong, "; ")))
	}
	return nil
}
