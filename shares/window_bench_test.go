package shares_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/gbtpool/gbtpool/shares"
)

// BenchmarkCounter counts windows over 1,200,000 shares of a million accounts, in memory.
func BenchmarkCounter(b *testing.B) {
	const accounts, all = 1_000_000, 1_200_000
	names := make([]string, accounts)
	for i := range names {
		sum := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
		names[i] = "bc1q" + hex.EncodeToString(sum[:19])
	}
	b.ReportAllocs()
	for b.Loop() {
		c := shares.NewCounter(shares.MaxWeight)
		for i := range all {
			c.Add(shares.Position{Millis: int64(all - i)}, names[i%accounts], 1<<20)
		}
		if w := c.Window(); len(w.Credits) != accounts {
			b.Fatalf("%d accounts", len(w.Credits))
		}
	}
}
