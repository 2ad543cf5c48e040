package scale

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Tables returns what docs/scaling.md has: the arithmetic, and what became of simulated shares.
func Tables(f Figures) string {
	return table(arithmetic(f)) + "\n" + table(simulations(f))
}

// table lays rows out as Markdown whose columns are aligned; the first has the heads.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			out.WriteString("| " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + " ")
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				out.WriteString("|" + strings.Repeat("-", width+2))
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}

// size is a pool in the arithmetic's columns.
type size struct{ gateways, miners, nodes int }

// arithmetic returns what pools of several sizes need, by what their parts take.
func arithmetic(f Figures) [][]string {
	sizes := []size{{1, 10_000, 1}, {10, 100_000, 2}, {100, 1_000_000, 10}}
	seconds := func(v float64) string { return brief(time.Duration(v * float64(time.Second))) }
	over := func(s size, bytes int64) float64 {
		return float64(s.miners/s.gateways) * float64(bytes) * 8 / f.Network
	}
	lines := []struct {
		name string
		of   func(s size) string
	}{
		{"shares a second, at 6 a minute each", func(s size) string { return count(float64(s.miners) / 10) }},
		{"cores of Redis for them", func(s size) string { return fmt.Sprintf("%.1f", float64(s.miners)/10*f.Share.Seconds()) }},
		{"bytes of one full template to all", func(s size) string { return fmt.Sprintf("%s GB", count(float64(s.miners)*float64(f.Identity)/1e9)) }},
		{"a gateway's network busy with that, identity", func(s size) string { return seconds(over(s, f.Identity)) }},
		{"the same, gzip", func(s size) string { return seconds(over(s, f.Gzip)) }},
		{"the same, zstd", func(s size) string { return seconds(over(s, f.Zstd)) }},
		{"of the time, zstd, at a template every " + brief(f.Every), func(s size) string { return percent(over(s, f.Zstd) / f.Every.Seconds()) }},
		{"a gateway's processor busy beside that", func(s size) string { return seconds(float64(s.miners/s.gateways) * f.Serve.Seconds()) }},
		{"memory of a gateway's waiting polls", func(s size) string { return count(float64(s.miners/s.gateways)*float64(f.Poll)/1e6) + " MB" }},
		{"an event to each miner's dashboard, per gateway", func(s size) string { return seconds(float64(s.miners/s.gateways) * f.Stream.Seconds()) }},
		{"nodes", func(s size) string { return count(float64(s.nodes)) }},
		{"until a node has given its gateways a template", func(s size) string {
			return seconds(math.Ceil(float64(s.gateways)/float64(s.nodes)) * f.Node.Seconds())
		}},
		{"bytes of the board read for a template", func(s size) string { return count(float64(s.gateways-1)*float64(f.Packed)/1e6) + " MB" }},
		{"the network of its Redis busy with that", func(s size) string { return seconds(float64(s.gateways-1) * float64(f.Packed) * 8 / f.Network) }},
	}
	rows := append(make([][]string, 0, 1+len(lines)), []string{"miners, gateways"})
	for _, s := range sizes {
		rows[0] = append(rows[0], count(float64(s.miners))+", "+count(float64(s.gateways)))
	}
	for _, l := range lines {
		row := append(make([]string, 0, 1+len(sizes)), l.name)
		for _, s := range sizes {
			row = append(row, l.of(s))
		}
		rows = append(rows, row)
	}
	return rows
}

// simulations returns what becomes of the shares of several pools.
func simulations(f Figures) [][]string {
	pools := []Pool{
		{Miners: 10_000, Gateways: 1, Masters: 1, Partitions: 16},
		{Miners: 100_000, Gateways: 1, Masters: 1, Partitions: 16},
		{Miners: 100_000, Gateways: 10, Masters: 1, Partitions: 16},
		{Miners: 100_000, Gateways: 100, Masters: 1, Partitions: 16},
		{Miners: 1_000_000, Gateways: 100, Masters: 4, Partitions: 64},
		{Miners: 1_000_000, Gateways: 100, Masters: 6, Partitions: 16},
		{Miners: 1_000_000, Gateways: 100, Masters: 6, Partitions: 96},
		{Miners: 1_000_000, Gateways: 100, Masters: 8, Partitions: 64},
		{Miners: 1_000_000, Gateways: 100, Masters: 8, Partitions: 64, Largest: 0.1},
		{Miners: 1_000_000, Gateways: 100, Masters: 4, Partitions: 64, Share: f.Share / 2},
		{Miners: 1_000_000, Gateways: 100, Masters: 1, Partitions: 64, PerMinute: 1},
	}
	heads := []string{"miners", "gateways", "masters", "partitions", "a share", "fsync", "largest", "shares/s", "busiest", "a group", "half", "99 %", "99.9 %"}
	rows := append(make([][]string, 0, 1+2*len(pools)), heads)
	for _, p := range pools {
		if p.PerMinute == 0 {
			p.PerMinute = 6
		}
		if p.Share == 0 {
			p.Share = f.Share
		}
		for _, p.Always = range []bool{false, true} {
			rows = append(rows, shareRow(p, f))
		}
	}
	return rows
}

// shareRow is one pool's row.
func shareRow(p Pool, f Figures) []string {
	fsync, largest := "everysec", ""
	if p.Always {
		fsync = "always"
	}
	if p.Largest != 0 {
		largest = percent(p.Largest)
	}
	row := []string{
		count(float64(p.Miners)), count(float64(p.Gateways)), count(float64(p.Masters)), count(float64(p.Partitions)),
		brief(p.Share), fsync, largest, count(p.Rate()),
	}
	if p.Demand(f) >= 1 {
		return append(row, "too busy", "", "", "", "")
	}
	r := Simulate(p, f, 1)
	return append(row, percent(r.Busy), fmt.Sprintf("%.1f", r.Group), brief(r.Half), brief(r.P99), brief(r.P999))
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

// count writes a number with its thousands apart.
func count(v float64) string {
	text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// brief writes a duration with two digits.
func brief(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		switch v := float64(d) / float64(unit.of); {
		case v >= 9.95:
			return count(v) + " " + unit.name
		case v >= 0.9995:
			return fmt.Sprintf("%.1f %s", v, unit.name)
		}
	}
	return "0"
}
