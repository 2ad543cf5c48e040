package payouts

import (
	"testing"

	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what a block's payment takes to what it may allocate: nothing for each account.
func TestAllocations(t *testing.T) {
	weights := millionWeights(t)
	of := func(n int) func() {
		return func() {
			if credits, err := Split(318_750_000, weights[:n]); err != nil || len(credits) == 0 {
				t.Error(len(credits), err)
			}
		}
	}
	credits, err := Split(318_750_000, weights[:1000])
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := leavesOf(weights[:1000], credits)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(leaves)
	if err != nil {
		t.Fatal(err)
	}
	why := "each block: a list of credits, one of remainders, and their order"
	allocs.Check(t, []allocs.Bound{
		{Path: "split over a thousand accounts", Most: 6, Bytes: 1000 * 48, Why: why, Run: of(1000)},
		{Path: "split over a hundred thousand accounts", Most: 6, Bytes: 100_000 * 48, Why: why, Run: of(100_000)},
		{Path: "prove an account", Most: 8, Bytes: 4 << 10, Why: "each look at an account's proof: the way up", Run: func() {
			if _, ok := tree.Prove(weights[7].Account); !ok {
				t.Error("the account is not there")
			}
		}},
	})
}
