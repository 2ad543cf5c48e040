package payouts

import "testing"

// BenchmarkVerify checks an account's proof against the root of a block of a million.
func BenchmarkVerify(b *testing.B) {
	leaves := millionLeaves(b)
	tree, err := NewTree(leaves)
	if err != nil {
		b.Fatal(err)
	}
	of := example(b).basis
	root := tree.Root(&of)
	proof, ok := tree.Prove(leaves[len(leaves)/3].Account)
	if !ok {
		b.Fatal("an account is not there")
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := proof.Verify(&of, root); err != nil {
			b.Fatal(err)
		}
	}
}
