package shares

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

func TestScale(t *testing.T) {
	for name, tt := range map[string]struct {
		start, easiest, hardest gbt.Target
		want                    []gbt.Target
		at                      int
	}{
		"one":        {gbt.Target{31: 5}, gbt.Target{31: 5}, gbt.Target{31: 5}, []gbt.Target{{31: 5}}, 0},
		"bounds are": {gbt.Target{31: 4}, gbt.Target{31: 8}, gbt.Target{31: 2}, []gbt.Target{{31: 8}, {31: 4}, {31: 2}}, 1},
		"bounds are not": {
			gbt.Target{31: 5}, gbt.Target{31: 19}, gbt.Target{31: 2}, []gbt.Target{{31: 10}, {31: 5}, {31: 2}}, 1,
		},
		"all there is": {gbt.Target{0: 0x81}, gbt.Target{0: 0xff}, gbt.Target{0: 0x40}, []gbt.Target{{0: 0x81}, {0: 0x40, 1: 0x80}}, 0},
	} {
		got, err := newScale(tt.start, tt.easiest, tt.hardest)
		if diff := cmp.Diff(tt.want, got.targets); err != nil || diff != "" || got.start != tt.at || len(got.works) != len(tt.want) {
			t.Errorf("%s: at %d, %v: %s", name, got.start, err, diff)
		}
	}
	for ratio, want := range map[float64]int{
		1: 0, 1.4: 0, 1.42: 1, 0.72: 0, 0.7: -1, 1024: 10, 0: -256, -1: -256, math.Inf(1): 256, 1e300: 256,
	} {
		if got := steps(ratio); got != want {
			t.Errorf("a ratio of %g is %d steps, want %d", ratio, got, want)
		}
	}
	if got := steps(math.NaN()); got != -256 {
		t.Errorf("no number is %d steps", got)
	}
}

// TestVardiffEasiest has nobody be told of a target that is hardly harder where two or three hashes do: in whole hashes
// one such takes twice as many as the other.
func TestVardiffEasiest(t *testing.T) {
	start := gbt.Target{0x55, 0x50} // three hashes, and a bit
	v := newTestVardiff(t, func(c *VardiffConfig) { c.Start, c.Easiest, c.Hardest = start, start, gbt.Target{0x0a, 0xaa} })
	v.Target("a", "1")
	if isClosed(v.Changed("a", "1", gbt.Target{0x80})) { // two hashes, less a bit
		t.Error("told, at 1.5 times as hard")
	}
	if !isClosed(v.Changed("a", "1", gbt.Target{0xff, 0xff})) { // one hash
		t.Error("not told, at three times as hard")
	}
}
