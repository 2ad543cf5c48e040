package spool

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// bytesFile is a File that is only read.
type bytesFile struct {
	*bytes.Reader
	File
}

func (f bytesFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }

// FuzzSegment reads anything as a segment: what is good of it is what would be written, and the rest
// is damaged.
func FuzzSegment(f *testing.F) {
	whole := append(append(header(7), frame([]byte("first"))...), frame(nil)...)
	f.Add(uint64(7), whole)
	f.Add(uint64(8), whole)
	f.Add(uint64(7), append(whole, make([]byte, 20)...))
	f.Add(uint64(0), append(header(0), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
	f.Add(uint64(0), []byte(magic))
	f.Add(uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, base uint64, raw []byte) {
		file := bytesFile{Reader: bytes.NewReader(raw)}
		good, err := scan(file, Place(base), max(int64(len(raw))-headerSize, 0))
		if (good > 0 && good == int64(len(raw))) != (err == nil) || err != nil && !errors.Is(err, errDamaged) {
			t.Fatalf("%d of %d bytes are good, %v", good, len(raw), err)
		}
		if good == 0 {
			return
		}
		again := header(Place(base))
		for records := newFrames(file, headerSize, good); ; {
			data, err := records.next(nil)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, frame(data)...)
		}
		if !bytes.Equal(again, raw[:good]) {
			t.Errorf("%x is read as %x", raw[:good], again)
		}
	})
}
