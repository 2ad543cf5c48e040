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
