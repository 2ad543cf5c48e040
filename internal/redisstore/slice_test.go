package redisstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// anySlice draws one.
func anySlice(r *rapid.T) *slice {
	at := shares.Position{Partition: 3}
	var entries []shares.Entry
	for range rapid.IntRange(1, 50).Draw(r, "shares") {
		at.Millis += rapid.Int64Range(0, 1<<40).Draw(r, "millis")
		at.Seq++
		entries = append(entries, shares.Entry{Position: at, Share: shares.Share{
			Account: rapid.StringN(1, 5, 20).Draw(r, "account"), Worker: rapid.StringN(0, 5, 20).Draw(r, "worker"),
			Weight: shares.Weight(rapid.Int64Range(0, int64(shares.MaxWeight)).Draw(r, "weight")),
		}})
	}
	return sliceOf(entries)
}

func TestSliceComesBack(t *testing.T) {
	opener, err := newSliceOpener()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		s := anySlice(r)
		packed, err := s.encode()
		if err != nil {
			r.Fatal(err)
		}
		got, err := decodeSlice(opener, packed, 3)
		if err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(s, got, cmp.AllowUnexported(slice{})); d != "" {
			r.Fatal(d)
		}
	})
}

func FuzzDecodeSlice(f *testing.F) {
	packed, err := sliceOf([]shares.Entry{
		{Position: shares.Position{Millis: 5, Seq: 1}, Share: shares.Share{Account: "a", Worker: "b", Weight: 7}},
		{Position: shares.Position{Millis: 5, Seq: 2}, Share: shares.Share{Account: "a", Worker: "c", Weight: 1 << 61}},
	}).encode()
	if err != nil {
		f.Fatal(err)
	}
	opener, err := newSliceOpener()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{sliceVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packed []byte) {
		s, err := decodeSlice(opener, packed, 0)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSlice(opener, again, 0)
		if err != nil {
			t.Fatalf("what was packed does not unpack: %v", err)
		}
		if d := cmp.Diff(s, got, cmp.AllowUnexported(slice{})); d != "" {
			t.Fatal(d)
		}
	})
}
