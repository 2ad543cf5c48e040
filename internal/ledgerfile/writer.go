package ledgerfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Writer writes an export, line by line. It is for one goroutine. It writes what it is told: whether that
// is sound is for Verify to say.
type Writer struct {
	zstd  *zstd.Encoder
	sum   hash.Hash
	lines int64
	buf   []byte
}

// NewWriter begins an export. Call Close when all is written; without it there is no end, and the file is
// not sound.
func NewWriter(out io.Writer, h *Header) (*Writer, error) {
	// With one at a time it starts no goroutines, so a Writer may be dropped.
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	w := &Writer{zstd: z, sum: sha256.New()}
	return w, w.Write(h)
}

// Write writes the next line. It fails if the record cannot be written down, such as a negative weight, or
// if what it writes to fails.
func (w *Writer) Write(r Record) error {
	if err := w.write(r); err != nil {
		return err
	}
	w.sum.Write(w.buf)
	w.lines++
	return nil
}

func (w *Writer) write(r Record) error {
	var err error
	if w.buf, err = spell(w.buf[:0], r); err != nil {
		return fmt.Errorf("line %d cannot be exported: %w", w.lines+1, err)
	}
	if len(w.buf) > maxLine {
		return fmt.Errorf("line %d cannot be exported: it has %d bytes, more than %d", w.lines+1, len(w.buf), maxLine)
	}
	w.buf = append(w.buf, '\n')
	if _, err := w.zstd.Write(w.buf); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// Close writes the end and returns it. What the Writer writes to stays open.
func (w *Writer) Close() (End, error) {
	if w.sum == nil {
		return End{}, errors.New("export: it is closed already")
	}
	end := End{Lines: w.lines}
	w.sum.Sum(end.SHA256[:0])
	w.sum = nil
	if err := w.write(&end); err != nil {
		return End{}, err
	}
	if err := w.zstd.Close(); err != nil {
		return End{}, fmt.Errorf("export: %w", err)
	}
	return end, nil
}
