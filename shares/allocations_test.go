package shares

import (
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what each work and each share takes to what it may allocate.
func TestAllocations(t *testing.T) {
	v, intake, work := newTestVardiff(t), hotIntake(t), zeros(40).Work()
	allocs.Check(t, []allocs.Bound{
		{Path: "target of a worker", Why: "each work", Run: func() { v.Target("a", "w") }},
		{Path: "step of vardiff", Most: 3, Bytes: 128, Why: "each share: its work as a float", Run: func() {
			v.now = v.now.Add(10 * time.Second)
			v.Accepted("a", "w", work, v.now)
		}},
		{Path: "take a share in", Most: 5, Bytes: 1 << 10, Why: "each share, beside what judge and ledger take: its record for the spool", Run: func() {
			if v := intake.Submit(t.Context(), gbt.Submission{}); !v.Accepted() {
				t.Errorf("%+v", v)
			}
		}},
	})
}
