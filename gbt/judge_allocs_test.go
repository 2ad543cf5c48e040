package gbt

import "testing"

// TestJudgeAllocations bounds what judging a share takes of the heap: each allocation is work now, and again
// when the garbage is collected.
func TestJudgeAllocations(t *testing.T) {
	tests := map[string]struct {
		abbreviated bool
		most        float64
	}{
		"abbreviated": {true, 12},
		"full":        {false, 14},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := fullPool(t)
			d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
			d.abbreviated = tt.abbreviated
			s := d.submission(t)
			got := testing.AllocsPerRun(10, func() {
				if v := p.judge.Judge(t.Context(), s); !v.Accepted() {
					t.Fatalf("%+v", v)
				}
			})
			if got > tt.most {
				t.Errorf("%.0f allocations, want at most %.0f", got, tt.most)
			}
		})
	}
}
