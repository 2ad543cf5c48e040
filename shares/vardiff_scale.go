package shares

import (
	"errors"
	"math"
	"math/big"

	"github.com/gbtpool/gbtpool/gbt"
)

// scale is the targets that workers are given: one target by powers of two, from the easiest
// level, 0, to the hardest.
type scale struct {
	targets []gbt.Target
	works   []float64 // of the targets, in hashes
	start   int       // the level of the one target
}

func newScale(start, easiest, hardest gbt.Target) (scale, error) {
	if hardest == (gbt.Target{}) || hardest.Cmp(start) > 0 || start.Cmp(easiest) > 0 {
		return scale{}, errors.New("the start target does not lie between the hardest and the easiest")
	}
	var s scale
	add := func(n *big.Int) {
		var t gbt.Target
		n.FillBytes(t[:])
		s.targets = append(s.targets, t)
		s.works = append(s.works, hashes(t.Work()))
	}
	n, top, bottom := start.Big(), easiest.Big(), hardest.Big()
	for next := new(big.Int).Lsh(n, 1); next.Cmp(top) <= 0; next.Lsh(n, 1) {
		n.Set(next)
		s.start++
	}
	for up := s.start; up > 0; up-- {
		add(new(big.Int).Lsh(start.Big(), uint(up)))
	}
	for n = start.Big(); n.Cmp(bottom) >= 0; n.Rsh(n, 1) {
		add(n)
	}
	return s, nil
}

// expected is how many hashes a target takes on average. Its Work is that in whole hashes, which is far off where a few
// do.
func expected(t gbt.Target) float64 {
	n, _ := t.Big().Float64()
	return math.Ldexp(1, 256) / (n + 1)
}

// hashes rounds a number of hashes. It is for estimates: credit stays in integers.
func hashes(work *big.Int) float64 {
	n, _ := work.Float64()
	return n
}

// nearest returns the level whose target takes about so many hashes, be it on the scale or not.
func (s *scale) nearest(work float64) int {
	return s.start + steps(work/s.works[s.start])
}

// level returns that of a target, be it on the scale or not.
func (s *scale) level(t gbt.Target) int {
	return s.start + steps(expected(t)/expected(s.targets[s.start]))
}

// bound returns the level on the scale that is closest to one.
func (s *scale) bound(level int) int { return min(max(level, 0), len(s.targets)-1) }

// steps returns how many doublings a ratio is, to the nearest; as many as there are bits in a
// target at most.
func steps(ratio float64) int {
	const most = 256
	switch n := math.Round(math.Log2(ratio)); {
	case n > most:
		return most
	case n > -most:
		return int(n)
	default: // no number at all among them
		return -most
	}
}
