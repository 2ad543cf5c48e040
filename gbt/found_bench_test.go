package gbt

import (
	"context"
	"testing"
	"time"
)

// departures notes when blocks are offered.
type departures struct {
	Network
	at time.Time
}

func (d *departures) SubmitBlock(context.Context, RawBlock) (Reason, error) {
	d.at = time.Now()
	return "", nil
}

// BenchmarkFoundBlock has a block found in an abbreviated and a full submission. What counts is left-ns, the time
// until it is offered to the nodes, of all that they need.
func BenchmarkFoundBlock(b *testing.B) {
	for name, abbreviated := range map[string]bool{"Abbreviated": true, "Full": false} {
		b.Run(name, func(b *testing.B) {
			p := fullPoolOf(b, easyBits)
			d := draftOf(b, testAccount(1), p.issue(testAccount(1), "segwit"))
			d.abbreviated = abbreviated
			s := d.submission(b)
			out := &departures{Network: p.judge.cfg.Network}
			p.judge.cfg.Network = out
			var left time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if v := p.judge.Judge(b.Context(), s); !v.Accepted() || !v.Block {
					b.Fatalf("%+v", v)
				}
				left += out.at.Sub(start)
			}
			b.ReportMetric(float64(left.Nanoseconds())/float64(b.N), "left-ns")
		})
	}
}
