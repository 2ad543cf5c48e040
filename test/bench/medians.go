package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// result is what a benchmark has measured, by unit and in the order of its output.
type result struct {
	name   string
	units  []string
	values map[string][]float64
}

// report writes the median of each unit of each benchmark of a run. It fails if the run has.
func report(in io.Reader, out io.Writer) error {
	var results []*result
	byName := make(map[string]*result)
	pack, failed := "", false
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "FAIL") || strings.Contains(line, "--- FAIL: ") {
			failed = true
			continue
		}
		if of, ok := strings.CutPrefix(line, "pkg: "); ok {
			pack = of[strings.LastIndex(of, "/")+1:]
			continue
		}
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
			continue
		}
		name := pack + "." + strings.TrimPrefix(fields[0], "Benchmark")
		r, ok := byName[name]
		if !ok {
			r = &result{name: name, values: make(map[string][]float64)}
			byName[name], results = r, append(results, r)
		}
		if err := r.add(fields[2:]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, r := range results {
		if _, err := fmt.Fprintln(out, r.name); err != nil {
			return err
		}
		for _, unit := range r.units {
			v := r.values[unit]
			slices.Sort(v)
			if _, err := fmt.Fprintf(out, "  %14s %-14s (%s to %s, %d times)\n", text(v[len(v)/2]), unit, text(v[0]), text(v[len(v)-1]), len(v)); err != nil {
				return err
			}
		}
	}
	if failed || len(results) == 0 {
		return errors.New("the benchmarks failed: see what go test says")
	}
	return nil
}

// add takes the values of a line, each before its unit.
func (r *result) add(fields []string) error {
	for pair := range slices.Chunk(fields, 2) {
		if len(pair) < 2 {
			return fmt.Errorf("%q has no unit", pair[0])
		}
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return err
		}
		if _, ok := r.values[pair[1]]; !ok {
			r.units = append(r.units, pair[1])
		}
		r.values[pair[1]] = append(r.values[pair[1]], v)
	}
	return nil
}

// text writes a number as people read it: with four digits if it is small.
func text(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
