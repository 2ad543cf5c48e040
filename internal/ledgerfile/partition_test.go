package ledgerfile

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// TestPartitionOf compares with what docs/ledger.md promises.
func TestPartitionOf(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		account, n := rapid.String().Draw(rt, "account"), rapid.IntRange(1, 256).Draw(rt, "partitions")
		if got, want := PartitionOf(account, n), int(crc32.ChecksumIEEE([]byte(account))%uint32(n)); got != want {
			rt.Fatalf("%q is in partition %d of %d, want %d", account, got, n, want)
		}
	})
	if n := testing.AllocsPerRun(10, func() { PartitionOf("bcrt1qxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 16) }); n > 0 {
		t.Errorf("it allocates %g times", n)
	}
}
