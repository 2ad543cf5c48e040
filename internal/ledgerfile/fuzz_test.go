package ledgerfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// FuzzLine reads any line. What is taken spells the same again.
func FuzzLine(f *testing.F) {
	for _, line := range unpacked(f, file(f, sample().records())) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rec, err := new(decoder).record(text)
		if err != nil {
			return
		}
		again, err := spell(nil, rec)
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%s became %s (%v)", text, again, err)
		}
	})
}

// FuzzVerify verifies any file, and lines of any kind in any order with an end that fits them.
func FuzzVerify(f *testing.F) {
	whole := file(f, sample().records())
	f.Add(whole, false)
	f.Add([]byte(strings.Join(unpacked(f, whole), "\n")), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = packed(t, sealed(strings.Split(string(data), "\n")))
		}
		report, faults := verified(t, data)
		if faults != "" {
			return
		}
		// What is sound is read to its end.
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) || r.Line() != report.End.Lines+1 {
			t.Fatalf("it is sound, but reading it ended after line %d with %v", r.Line(), err)
		}
	})
}
