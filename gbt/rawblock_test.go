package gbt

import (
	"bytes"
	"slices"
	"testing"
)

// TestRawBlock: a block that goes out in pieces is the same whether the pool has its transactions or the miner has sent
// them.
func TestRawBlock(t *testing.T) {
	p := fullPoolOf(t, easyBits)
	d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
	var first RawBlock
	for _, sent := range []struct {
		what               string
		abbreviated, known bool
	}{{"in full", false, true}, {"in full, not known", false, false}, {"abbreviated", true, true}} {
		d.abbreviated = sent.abbreviated
		s := d.submission(t)
		c, err := readHeader(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.judge.read(t.Context(), p.feed.state.Load(), s, c); err != nil {
			t.Fatal(err)
		}
		if !sent.known {
			c.known = nil
		}
		b, err := c.block()
		if err != nil {
			t.Fatal(err)
		}
		if err := checkBlock(b.Bytes()); err != nil || b.Hash() != c.hash || b.Size() != len(b.Bytes()) {
			t.Errorf("%s: %d bytes of %s: %v", sent.what, b.Size(), b.Hash(), err)
		}
		if first.Size() == 0 {
			first = b
		}
		if !bytes.Equal(b.Bytes(), first.Bytes()) {
			t.Errorf("%s: another block", sent.what)
		}
		var pieces [][]byte
		for piece, ok := b.Piece(0); ok; piece, ok = b.Piece(len(pieces)) {
			pieces = append(pieces, piece)
		}
		if joined := slices.Concat(pieces...); !bytes.Equal(joined, b.Bytes()) {
			t.Errorf("%s: the pieces have %d bytes of %d", sent.what, len(joined), b.Size())
		}
	}
}
