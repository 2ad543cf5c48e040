package web

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
)

// chart is figures over time: a drawing for who can see it, a sentence and a table for all.
type chart struct {
	ID, Title string
	Metric    string
	Names     []string
	Rows      []chartRow // oldest first
	Lines     []string   // a path for each name, in a box of 1000 by 200
	Top       string     // what the box's upper edge is
	Summary   string
	Spans     []spanLink
	Trouble   *trouble
}

// OK reports whether the figures are there, though there may be none.
func (c chart) OK() bool { return c.Trouble == nil }

// chartRow is one time and its figures.
type chartRow struct {
	At      time.Time
	Cells   []chartCell
	Partial bool
}

// chartCell is a figure as a number, empty if it is not known, and as text.
type chartCell struct {
	V, Text string
}

// spanLink leads to the same page with another span.
type spanLink struct {
	Span, Words, Href string
	Current           bool
}

// Empty reports whether there is nothing to draw.
func (c chart) Empty() bool { return len(c.Lines) == 0 }

// poolSpans are how far back the pool's figures go, accountSpans those of accounts and workers.
func poolSpans() []oas.Span    { return []oas.Span{oas.N1H, oas.N1D, oas.N7D, oas.N30D, oas.N1Y} }
func accountSpans() []oas.Span { return []oas.Span{oas.N1H, oas.N1D, oas.N7D} }

// spanOf returns the span that a request asks for, if it is one of those that there are.
func spanOf(q url.Values, spans []oas.Span) oas.Span {
	if s := oas.Span(q.Get("span")); slices.Contains(spans, s) {
		return s
	}
	return oas.N1D
}

func spanWords(s oas.Span) string {
	switch s {
	case oas.N1H:
		return "hour"
	case oas.N7D:
		return "7 days"
	case oas.N30D:
		return "30 days"
	case oas.N1Y:
		return "year"
	case oas.N1D:
	}
	return "day"
}

func spanLinks(path string, spans []oas.Span, current oas.Span) []spanLink {
	out := make([]spanLink, len(spans))
	for i, s := range spans {
		out[i] = spanLink{Span: string(s), Words: "the last " + spanWords(s), Href: path + "?span=" + string(s), Current: s == current}
	}
	return out
}

// figure writes a figure of a metric.
func figure(metric string, v float64) string {
	switch oas.Metric(metric) {
	case oas.MetricHashRate:
		return rate(v).String()
	case oas.MetricFees:
		return money(int64(min(math.Round(v), 21e14))).String() // for people; the ledger's amounts are elsewhere
	case oas.MetricTemplateDelay:
		return lasting(v)
	case oas.MetricShares, oas.MetricWorkers:
	}
	return digits(v)
}

// newChart makes a chart of a series.
func newChart(id, title string, got part[oas.Series], span oas.Span, links []spanLink) chart {
	c := chart{ID: id, Title: title, Spans: links, Trouble: got.Trouble}
	if got.Trouble != nil {
		return c
	}
	s := drawable(got.V)
	c.Metric, c.Names = s.Metric, s.Names
	known := 0
	for _, pt := range s.Points {
		row := chartRow{At: pt.At, Cells: make([]chartCell, len(s.Names)), Partial: pt.Partial != nil && *pt.Partial}
		for i := range s.Names {
			row.Cells[i] = chartCell{Text: "–"}
			if at := valueAt(pt, i); at != nil {
				v := *at
				row.Cells[i] = chartCell{V: fmt.Sprintf("%.6g", v), Text: figure(s.Metric, v)}
				known++
			}
		}
		c.Rows = append(c.Rows, row)
	}
	if known > 0 {
		c.Lines, c.Top = drawn(s, 1000, 200)
		c.Summary = summary(title, s, span)
	}
	return c
}

// curve is a value of a series that is drawn. One that only grows is drawn by how much it does in a
// minute.
type curve struct {
	value, words string
	grows        bool
}

// curves are what is drawn of a metric: values with one unit.
func curves(metric string) []curve {
	switch oas.Metric(metric) {
	case oas.MetricHashRate:
		return []curve{{value: "hash_rate_hs", words: "hash rate (H/s)"}}
	case oas.MetricShares:
		return []curve{
			{value: "accepted_total", words: "accepted per minute", grows: true},
			{value: "stale_total", words: "stale per minute", grows: true},
			{value: "rejected_total", words: "rejected per minute", grows: true},
		}
	case oas.MetricTemplateDelay:
		return []curve{{value: "mean_seconds", words: "mean (s)"}, {value: "max_seconds", words: "longest (s)"}}
	case oas.MetricFees:
		return []curve{{value: "fees_sat", words: "fees (sat)"}}
	case oas.MetricWorkers:
		return []curve{{value: "workers_count", words: "workers"}, {value: "accounts_count", words: "accounts"}}
	}
	return nil
}

// drawable returns what of a series is drawn. One that has nothing of what it could have is left as
// it is.
func drawable(s oas.Series) oas.Series {
	out := oas.Series{Metric: s.Metric, Span: s.Span, StepSeconds: s.StepSeconds, Points: make([]oas.Point, len(s.Points))}
	for i, pt := range s.Points {
		out.Points[i] = oas.Point{At: pt.At, Partial: pt.Partial}
	}
	for _, c := range curves(s.Metric) {
		at := slices.Index(s.Names, c.value)
		if at < 0 {
			continue
		}
		out.Names = append(out.Names, c.words)
		for i, pt := range s.Points {
			v := valueAt(pt, at)
			if c.grows {
				v = nil
				if i > 0 {
					v = growth(s.Points[i-1], pt, at)
				}
			}
			out.Points[i].Values = append(out.Points[i].Values, v)
		}
	}
	if len(out.Names) == 0 {
		return s
	}
	return out
}

// valueAt returns a value of a point, nil if it is not known.
func valueAt(pt oas.Point, i int) *float64 {
	if i >= len(pt.Values) {
		return nil
	}
	return pt.Values[i]
}

// growth returns by how much a value has grown in a minute, nil if that cannot be told.
func growth(from, to oas.Point, i int) *float64 {
	a, b, minutes := valueAt(from, i), valueAt(to, i), to.At.Sub(from.At).Minutes()
	if a == nil || b == nil || *b < *a || minutes <= 0 {
		return nil
	}
	v := (*b - *a) / minutes
	return &v
}

// extent returns the largest value of a series.
func extent(s oas.Series) float64 {
	top := 0.0
	for _, pt := range s.Points {
		for _, v := range pt.Values {
			if v != nil {
				top = max(top, *v)
			}
		}
	}
	return top
}

// drawn returns SVG paths in a box, with gaps where a value is not known, and what its top is.
func drawn(s oas.Series, width, height float64) (lines []string, top string) {
	most := extent(s)
	scale := most
	if scale == 0 {
		scale = 1
	}
	for i := range s.Names {
		var b strings.Builder
		pen := "M"
		for x, pt := range s.Points {
			if i >= len(pt.Values) || pt.Values[i] == nil {
				pen = "M"
				continue
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", pen, width*float64(x)/float64(max(len(s.Points)-1, 1)), height-(height-4)**pt.Values[i]/scale-2)
			pen = "L"
		}
		lines = append(lines, b.String())
	}
	return lines, figure(s.Metric, most)
}

// summary says in a sentence what the first line of a chart shows.
func summary(title string, s oas.Series, span oas.Span) string {
	low, high, last, n := math.Inf(1), math.Inf(-1), 0.0, 0
	for _, pt := range s.Points {
		if len(pt.Values) == 0 || pt.Values[0] == nil {
			continue
		}
		v := *pt.Values[0]
		low, high, last = min(low, v), max(high, v), v
		n++
	}
	if n == 0 {
		return title + ": no figures yet."
	}
	return fmt.Sprintf("%s over the last %s: lowest %s, highest %s, latest %s.",
		title, spanWords(span), figure(s.Metric, low), figure(s.Metric, high), figure(s.Metric, last))
}

// spark is a drawing as small as a word.
type spark struct {
	Line, Area, Words string
}

// newSpark draws the first figure of a series.
func newSpark(got part[oas.Series]) *spark {
	if !got.OK() || len(got.V.Names) == 0 {
		return nil
	}
	s := drawable(got.V)
	s.Names = s.Names[:1]
	lines, top := drawn(s, 120, 28)
	if len(lines) == 0 || lines[0] == "" {
		return nil
	}
	return &spark{Line: lines[0], Area: under(lines[0]), Words: "at most " + top}
}

// under returns the area below a line, which may have gaps, down to the edge of a spark.
func under(line string) string {
	var b strings.Builder
	for run := range strings.SplitSeq(strings.TrimPrefix(line, "M"), "M") {
		points := strings.Split(run, "L")
		first, _, _ := strings.Cut(points[0], " ")
		last, _, _ := strings.Cut(points[len(points)-1], " ")
		fmt.Fprintf(&b, "M%sL%s 28L%s 28Z", run, last, first)
	}
	return b.String()
}
