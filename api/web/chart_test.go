package web

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/api/oas"
)

// TestChart: a gap stays a gap, and the words and the table say the same as the drawing.
func TestChart(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	s := oas.Series{Metric: "hash_rate", Names: []string{"hash_rate_hs"}, Points: []oas.Point{
		{Values: []*float64{v(1e15)}}, {Values: []*float64{nil}}, {Values: []*float64{}}, {Values: []*float64{v(3e15)}}, {Values: []*float64{v(2e15)}},
	}}
	c := newChart("x", "Hash rate", part[oas.Series]{V: s}, oas.N1D, nil)
	if want := "M0.0 132.7M750.0 2.0L1000.0 67.3"; c.Lines[0] != want {
		t.Errorf("the line is %s, want %s", c.Lines[0], want)
	}
	if want := "Hash rate over the last day: lowest 1.00 PH/s, highest 3.00 PH/s, latest 2.00 PH/s."; c.Summary != want || c.Top != "3.00 PH/s" {
		t.Errorf("the words are %q, the top %q", c.Summary, c.Top)
	}
	if c.Rows[0].Cells[0] != (chartCell{V: "1e+15", Text: "1.00 PH/s"}) || c.Rows[1].Cells[0] != (chartCell{Text: "–"}) || len(c.Rows) != 5 {
		t.Errorf("the table has %+v", c.Rows)
	}
	if c.Names[0] != "hash rate (H/s)" {
		t.Errorf("the names are %v", c.Names)
	}
	none := newChart("x", "Hash rate", part[oas.Series]{V: oas.Series{Names: s.Names, Points: s.Points[1:2]}}, oas.N1D, nil)
	if !none.Empty() || !none.OK() {
		t.Errorf("nothing known is drawn: %+v", none)
	}
	if got := newSpark(part[oas.Series]{V: s}); got == nil || got.Area != "M0.0 18.0L0.0 28L0.0 28ZM90.0 2.0L120.0 10.0L120.0 28L90.0 28Z" {
		t.Errorf("the spark is %+v", got)
	}
	if got := newSpark(part[oas.Series]{V: oas.Series{Names: s.Names}}); got != nil {
		t.Errorf("a spark of nothing is %+v", got)
	}
}

// TestDrawable: of a series values with one unit are drawn, and of those that only grow how much they
// do in a minute.
func TestDrawable(t *testing.T) {
	v := func(f ...float64) []*float64 {
		out := make([]*float64, len(f))
		for i := range f {
			if f[i] >= 0 {
				out[i] = &f[i]
			}
		}
		return out
	}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	minutes := func(m int) time.Time { return at.Add(time.Duration(m) * time.Minute) }
	got := drawable(oas.Series{Metric: "shares", Names: []string{"accepted_total", "refused_total:duplicate", "rejected_total"}, Points: []oas.Point{
		{At: minutes(0), Values: v(100, 1, 5)}, {At: minutes(10), Values: v(150, 1, 5)}, {At: minutes(20), Values: v(-1, 1, 7)},
		{At: minutes(30), Values: v(200, 1, 7)}, {At: minutes(35), Values: v(300, 1, 2)}, {At: minutes(35), Values: v(400, 1, 9)},
	}})
	want := [][]*float64{v(-1, -1), v(5, 0), v(-1, 0.2), v(-1, 0), v(20, -1), v(-1, -1)}
	var values [][]*float64
	for _, pt := range got.Points {
		values = append(values, pt.Values)
	}
	if diff := cmp.Diff(want, values, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"accepted per minute", "rejected per minute"}, got.Names); diff != "" {
		t.Error(diff)
	}
	fees := drawable(oas.Series{Metric: "fees", Names: []string{"fees_sat", "height", "value_sat"}, Points: []oas.Point{{Values: v(4, 101, 5e9)}, {Values: v(9)}}})
	if diff := cmp.Diff([]oas.Point{{Values: v(4)}, {Values: v(9)}}, fees.Points); diff != "" {
		t.Error(diff)
	}
	odd := oas.Series{Metric: "fees", Names: []string{"new"}, Points: []oas.Point{{Values: v(1)}}}
	if diff := cmp.Diff(odd, drawable(odd)); diff != "" {
		t.Error(diff)
	}
}

// TestSpans: a page offers, and takes, spans that there are figures for.
func TestSpans(t *testing.T) {
	for asked, want := range map[string]oas.Span{"": oas.N1D, "7d": oas.N7D, "1y": oas.N1D, "x": oas.N1D} {
		if got := spanOf(url.Values{"span": {asked}}, accountSpans()); got != want {
			t.Errorf("%q: %s", asked, got)
		}
	}
	if links := spanLinks("/", poolSpans(), oas.N1Y); len(links) != 5 || !links[4].Current || links[0].Current || links[4].Href != "/?span=1y" {
		t.Errorf("the links are %+v", links)
	}
}
