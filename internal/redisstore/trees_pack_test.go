package redisstore

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gbtpool/gbtpool/payouts"
)

// TestTreesFindDamage changes what Redis holds of a tree in every way; reading tells.
func TestTreesFindDamage(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "trees", 1)
	l, err := NewTrees(TreesConfig{Ledger: b.Ledger})
	if err != nil {
		t.Fatal(err)
	}
	ctx, key := t.Context(), l.tree(payouts.Digest{1}.String())
	whole := string(l.packer.EncodeAll(packLeaves([]payouts.Leaf{{Account: "alice", Weight: 300, Credit: 5}}), nil))
	for name, c := range map[string]struct {
		field, value string
		want         error
	}{
		"no piece":        {"0", "", payouts.ErrNotFound},
		"garbage":         {"0", "x", payouts.ErrTreeLost},
		"cut":             {"0", whole[:len(whole)-1], payouts.ErrTreeLost},
		"no leaf's end":   {"0", string(l.packer.EncodeAll([]byte("\x01a\x05"), nil)), payouts.ErrTreeLost},
		"no name's end":   {"0", string(l.packer.EncodeAll([]byte("\x09a\x05"), nil)), payouts.ErrTreeLost},
		"no number":       {"0", string(l.packer.EncodeAll(bytes.Repeat([]byte{255}, 11), nil)), payouts.ErrTreeLost},
		"too large":       {"0", string(l.packer.EncodeAll(make([]byte, maxChunk+1), nil)), payouts.ErrTreeLost},
		"no such number":  {treeSize, "one", payouts.ErrTreeLost},
		"more pieces":     {treeSize, "2", payouts.ErrNotFound},
		"far more":        {treeSize, "1000000000", payouts.ErrNotFound},
		"fewer than none": {treeSize, "-1", payouts.ErrTreeLost},
		"size gone":       {treeSize, "", payouts.ErrNotFound},
	} {
		if err := l.Put(ctx, payouts.Digest{1}, []payouts.Leaf{{Account: "alice", Weight: 300, Credit: 5}}); err != nil {
			t.Fatal(err)
		}
		if c.value == "" {
			err = b.redis.HDel(ctx, key, c.field).Err()
		} else {
			err = b.redis.HSet(ctx, key, c.field, c.value).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Leaves(ctx, payouts.Digest{1}); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %v, error %v, want %v", name, got, err, c.want)
		}
	}
}

// FuzzUnpackLeaves has any text read as leaves. What is one is read the same again.
func FuzzUnpackLeaves(f *testing.F) {
	f.Add(packLeaves([]payouts.Leaf{{Account: "alice", Weight: 1 << 62, Credit: payouts.MaxMoney}, {Account: "", Weight: 0, Credit: 1}}))
	f.Add([]byte{})
	f.Add([]byte("\x05al"))
	f.Add([]byte("\x00\x80\x00\x01"))
	f.Fuzz(func(t *testing.T, text []byte) {
		leaves, err := unpackLeaves(nil, string(text))
		if err != nil {
			if leaves != nil || !errors.Is(err, payouts.ErrTreeLost) {
				t.Fatalf("%v, error %v, want ErrTreeLost", leaves, err)
			}
			return
		}
		again, err := unpackLeaves(nil, string(packLeaves(leaves)))
		if err != nil || len(again) != len(leaves) {
			t.Fatalf("%d leaves become %d, %v", len(leaves), len(again), err)
		}
		for i := range leaves {
			if again[i] != leaves[i] {
				t.Fatalf("leaf %d is %+v, and %+v again", i, leaves[i], again[i])
			}
		}
	})
}
