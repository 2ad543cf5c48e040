package payouts

import (
	"crypto/sha256"
	"testing"
)

// millionLeaves credits a million accounts a block.
func millionLeaves(tb testing.TB) []Leaf {
	tb.Helper()
	weights := millionWeights(tb)
	credits, err := Split(318_750_000, weights)
	if err != nil {
		tb.Fatal(err)
	}
	leaves, err := leavesOf(weights, credits)
	if err != nil {
		tb.Fatal(err)
	}
	return leaves
}

// BenchmarkTree makes a tree of a million accounts, beside what hashing as many bytes takes alone: names of 42
// bytes, leaves of 49 and pairs of nodes of 97. Then it proves one account.
func BenchmarkTree(b *testing.B) {
	leaves := millionLeaves(b)
	b.Run("million", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := NewTree(leaves); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("million/sha256", func(b *testing.B) {
		var text [97]byte
		for b.Loop() {
			for range leaves {
				for _, n := range []int{42, 49, 97} {
					h := sha256.Sum256(text[:n])
					copy(text[:], h[:])
				}
			}
		}
	})
	tree, err := NewTree(leaves)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prove", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok := tree.Prove(leaves[i%len(leaves)].Account); !ok {
				b.Fatal("an account is not there")
			}
		}
	})
}
