package web

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gbtpool/gbtpool/api/oas"
)

// Sizes of the drawing of a block, in the units of its SVG.
const (
	mapWidth, mapHeight = 1000.0, 500.0
	// mapTiles is how many transactions have a rectangle of their own; the smallest of each band
	// share one, so that the page stays small.
	mapTiles = 320
)

// band is a range of fee rates.
type band struct {
	From   float64 // satoshis per virtual byte
	Words  string
	Class  string
	Count  int
	Weight int64
	Fees   int64
	Share  float64 // of the block's weight limit
	Bar    float64 // per cent of the heaviest band
}

// newBands returns the ranges, cheapest first.
func newBands() []band {
	from := []float64{0, 1, 2, 5, 10, 20, 50, 100}
	out := make([]band, len(from))
	for i, f := range from {
		out[i] = band{From: f, Class: fmt.Sprintf("b%d", i)}
		switch {
		case i == 0:
			out[i].Words = "below 1"
		case i == len(from)-1:
			out[i].Words = fmt.Sprintf("%.0f and more", f)
		default:
			out[i].Words = fmt.Sprintf("%.0f to %.0f", f, from[i+1])
		}
	}
	return out
}

// feeRate returns satoshis per virtual byte, for people; 0 if the fee is not known.
func feeRate(t oas.TemplateTransaction) float64 {
	if t.FeeSat == nil || t.WeightWu <= 0 {
		return 0
	}
	return 4 * float64(*t.FeeSat) / float64(t.WeightWu)
}

// bandOf returns the range of a fee rate.
func bandOf(bands []band, rate float64) int {
	i := len(bands) - 1
	for i > 0 && rate < bands[i].From {
		i--
	}
	return i
}

// tile is a rectangle of the drawing.
type tile struct {
	rect

	Class string
	Txid  string // empty for one that stands for many
	Words string
	Many  bool // it stands for many
}

// rect is a place in the drawing.
type rect struct{ X, Y, W, H float64 }

// treemap is a block as a drawing: area is weight, colour is fee rate.
type treemap struct {
	Tiles   []tile
	Bands   []band // dearest first
	Top     []oas.TemplateTransaction
	Grouped int     // transactions without a rectangle of their own
	Free    float64 // part of the weight limit that is not used
}

// item is what a rectangle is for.
type item struct {
	weight float64
	tile   tile
}

// newTreemap draws the transactions of a block.
func newTreemap(got oas.TemplateTransactions) *treemap {
	m := &treemap{Bands: newBands()}
	groups := make([][]oas.TemplateTransaction, len(m.Bands))
	var total int64
	for _, t := range got.Transactions {
		i := bandOf(m.Bands, feeRate(t))
		groups[i] = append(groups[i], t)
		m.Bands[i].Count++
		m.Bands[i].Weight += t.WeightWu
		if t.FeeSat != nil {
			m.Bands[i].Fees += *t.FeeSat
		}
		total += t.WeightWu
	}
	least := smallest(got.Transactions)
	outer := make([]item, 0, len(groups)+1)
	for _, b := range m.Bands {
		if b.Count > 0 {
			outer = append(outer, item{weight: float64(b.Weight), tile: tile{Class: b.Class}})
		}
	}
	if free := got.WeightLimitWu - total; free > 0 {
		m.Free = ratio(free, got.WeightLimitWu)
		outer = append(outer, item{weight: float64(free), tile: tile{Class: "free", Words: "unused: " + grouped(free) + " WU"}})
	}
	slices.SortStableFunc(outer, func(a, b item) int { return cmp.Compare(b.weight, a.weight) })
	for _, t := range squarify(outer, rect{W: mapWidth, H: mapHeight}) {
		if t.Class == "free" {
			m.Tiles = append(m.Tiles, t)
			continue
		}
		i := slices.IndexFunc(m.Bands, func(b band) bool { return b.Class == t.Class })
		items, rest := bandItems(groups[i], m.Bands[i], least)
		m.Grouped += rest
		m.Tiles = append(m.Tiles, squarify(items, t.rect)...)
	}
	m.Top = dearest(got.Transactions, 20)
	finishBands(m.Bands, got.WeightLimitWu)
	slices.Reverse(m.Bands)
	return m
}

// finishBands fills in what is told of bands in proportion to the others.
func finishBands(bands []band, limit int64) {
	var most int64
	for _, b := range bands {
		most = max(most, b.Weight)
	}
	for i := range bands {
		bands[i].Share, bands[i].Bar = ratio(bands[i].Weight, limit), 100*ratio(bands[i].Weight, most)
	}
}

// smallest returns the weight from which on transactions have rectangles of their own.
func smallest(all []oas.TemplateTransaction) int64 {
	if len(all) <= mapTiles {
		return 0
	}
	weights := make([]int64, len(all))
	for i, t := range all {
		weights[i] = t.WeightWu
	}
	slices.SortFunc(weights, func(a, b int64) int { return cmp.Compare(b, a) })
	return weights[mapTiles] + 1
}

// dearest returns the transactions with the highest fee rates.
func dearest(all []oas.TemplateTransaction, n int) []oas.TemplateTransaction {
	top := slices.Clone(all)
	slices.SortStableFunc(top, func(a, b oas.TemplateTransaction) int { return cmp.Compare(feeRate(b), feeRate(a)) })
	return top[:min(n, len(top))]
}

// bandItems returns what a band is drawn with, heaviest first, and how many transactions share
// the last one.
func bandItems(group []oas.TemplateTransaction, b band, least int64) (items []item, rest int) {
	var weight int64
	for _, t := range group {
		if t.WeightWu < least {
			rest++
			weight += t.WeightWu
			continue
		}
		words := fmt.Sprintf("%s sat/vB, %s WU", digits(feeRate(t)), grouped(t.WeightWu))
		items = append(items, item{weight: float64(t.WeightWu), tile: tile{Class: b.Class, Txid: t.Txid, Words: words}})
	}
	if rest > 0 {
		words := fmt.Sprintf("%s small transactions at %s sat/vB, %s WU together", grouped(rest), b.Words, grouped(weight))
		items = append(items, item{weight: float64(weight), tile: tile{Class: b.Class, Words: words, Many: true}})
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(b.weight, a.weight) })
	return items, rest
}

// squarify fills a rectangle with items, each with an area in proportion to its weight, as near to
// squares as they go (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000). The items are
// sorted, heaviest first.
func squarify(items []item, within rect) []tile {
	total := 0.0
	for _, it := range items {
		total += it.weight
	}
	if total <= 0 {
		return nil
	}
	scale := within.W * within.H / total
	out := make([]tile, 0, len(items))
	for len(items) > 0 {
		side := min(within.W, within.H)
		n, area := 1, items[0].weight*scale
		for n < len(items) {
			next := items[n].weight * scale
			if worst(items[:n+1], scale, area+next, side) > worst(items[:n], scale, area, side) {
				break
			}
			area += next
			n++
		}
		out = append(out, row(items[:n], scale, area, &within)...)
		items = items[n:]
	}
	return out
}

// worst returns the largest ratio of sides in a row of items.
func worst(items []item, scale, area, side float64) float64 {
	if area <= 0 || side <= 0 {
		return 0
	}
	largest, least := items[0].weight*scale, items[len(items)-1].weight*scale
	if least <= 0 {
		return 0
	}
	return max(side*side*largest/(area*area), area*area/(side*side*least))
}

// row lays items along the shorter side, and takes their place away.
func row(items []item, scale, area float64, within *rect) []tile {
	out := make([]tile, 0, len(items))
	if within.W >= within.H {
		w, y := area/max(within.H, 1e-9), within.Y
		for _, it := range items {
			h := it.weight * scale / max(w, 1e-9)
			t := it.tile
			t.rect = rect{X: within.X, Y: y, W: w, H: h}
			out = append(out, t)
			y += h
		}
		within.X += w
		within.W -= w
		return out
	}
	h, x := area/max(within.W, 1e-9), within.X
	for _, it := range items {
		w := it.weight * scale / max(h, 1e-9)
		t := it.tile
		t.rect = rect{X: x, Y: within.Y, W: w, H: h}
		out = append(out, t)
		x += w
	}
	within.Y += h
	within.H -= h
	return out
}
