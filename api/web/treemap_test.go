package web

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/api/oas"
)

// TestTreemap: whatever is in a block, its drawing has it all, in proportion, within its edges,
// nothing over anything else, and stays small.
func TestTreemap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := oas.TemplateTransactions{}
		n := rapid.IntRange(0, 2000).Draw(t, "transactions")
		seed := rapid.IntRange(1, 1<<20).Draw(t, "seed")
		var used int64
		for i := range n {
			v := int64(i+1) * int64(seed) % 7919
			fee := v * v / 100
			tx := oas.TemplateTransaction{Txid: fmt.Sprintf("%064x", i), WeightWu: 300 + v*3, FeeSat: &fee}
			if i%13 == 0 {
				tx.FeeSat = nil
			}
			used += tx.WeightWu
			block.Transactions = append(block.Transactions, tx)
		}
		block.WeightLimitWu = used + rapid.Int64Range(0, 4_000_000).Draw(t, "free")
		m := newTreemap(block)
		checkTiles(t, m, block)
		count, fees := 0, int64(0)
		for _, b := range m.Bands {
			count += b.Count
			fees += b.Fees
		}
		var want int64
		for _, tx := range block.Transactions {
			if tx.FeeSat != nil {
				want += *tx.FeeSat
			}
		}
		if count != n || fees != want {
			t.Fatalf("the bands have %d of %d transactions, and %d of %d satoshis", count, n, fees, want)
		}
	})
}

func checkTiles(t *rapid.T, m *treemap, block oas.TemplateTransactions) {
	t.Helper()
	if len(m.Tiles) > mapTiles+2*len(m.Bands)+1 {
		t.Fatalf("%d tiles", len(m.Tiles))
	}
	area, single := 0.0, 0
	for i, a := range m.Tiles {
		area += a.W * a.H
		if a.Txid != "" {
			single++
		}
		if a.X < -0.01 || a.Y < -0.01 || a.X+a.W > mapWidth+0.01 || a.Y+a.H > mapHeight+0.01 || a.W < 0 || a.H < 0 {
			t.Fatalf("tile %+v is over the edge", a)
		}
		for _, b := range m.Tiles[:i] {
			w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
			h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
			if w > 0.01 && h > 0.01 {
				t.Fatalf("%+v is over %+v", a, b)
			}
		}
	}
	if block.WeightLimitWu > 0 && math.Abs(area-mapWidth*mapHeight) > 1 {
		t.Fatalf("the tiles cover %.1f of %.1f", area, mapWidth*mapHeight)
	}
	if single+m.Grouped != len(block.Transactions) {
		t.Fatalf("%d alone and %d together are not %d", single, m.Grouped, len(block.Transactions))
	}
	for _, tx := range block.Transactions {
		for _, a := range m.Tiles {
			if a.Txid == tx.Txid {
				want := float64(tx.WeightWu) / float64(block.WeightLimitWu) * mapWidth * mapHeight
				if math.Abs(a.W*a.H-want) > 0.01*want+0.01 {
					t.Fatalf("%s has %.2f, not %.2f", tx.Txid, a.W*a.H, want)
				}
			}
		}
	}
}

// TestChart: a gap stays a gap, and the words and the table say the same as the drawing.
func TestChart(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	s := oas.Series{Metric: "hash_rate", Names: []string{"hash rate (H/s)"}, Points: []oas.Point{
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
