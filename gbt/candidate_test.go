package gbt

import (
	"bytes"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// TestReadCount reads what the wire format has for a number of transactions, in its shortest form alone.
func TestReadCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.SampledFrom([]byte{0, 1, 0xfc, 0xfd, 0xfe, 0xff}).Draw(t, "first")
		raw := append([]byte{first}, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xfc, 0xfd, 0xff}), 0, 12).Draw(t, "rest")...)
		r := bytes.NewReader(raw)
		want, wantErr := wire.ReadVarInt(r, 0)
		var c candidate
		rest, err := c.readCount(raw)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%x: got %v, want %v", raw, err, wantErr)
		}
		if err == nil && (c.count != want || len(rest) != r.Len()) {
			t.Fatalf("%x: %d and %d bytes after it, want %d and %d", raw, c.count, len(rest), want, r.Len())
		}
	})
}
