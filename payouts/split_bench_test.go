package payouts

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gbtpool/gbtpool/shares"
)

func BenchmarkSplit(b *testing.B) {
	ordered := millionWeights(b)
	unordered := slices.Clone(ordered)
	random := rand.New(rand.NewPCG(3, 4))
	random.Shuffle(len(unordered), func(i, j int) { unordered[i], unordered[j] = unordered[j], unordered[i] })
	for _, bench := range []struct {
		name    string
		weights []shares.Credit
	}{{"million", ordered}, {"million/unordered", unordered}, {"thousand", ordered[:1000]}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Split(318_750_000, bench.weights); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
