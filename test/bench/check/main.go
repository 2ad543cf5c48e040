// Command check compares two results of the bench, a recorded and a fresh one, and fails where a ratio to a limit or a
// peer has become less than half as good. Figures of different machines differ; ratios that were measured side by side
// hardly do, and half leaves room for a busy machine.
//
//	go run ./test/bench/check recorded.json fresh.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// worst is the least that may be left of what was recorded.
const worst = 0.5

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: check recorded.json fresh.json")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

// results are what the bench writes, as far as it matters here.
type results struct {
	Machine struct {
		Smoke bool `json:"smoke"`
	} `json:"machine"`
	Rows []row `json:"rows"`
}

// row is something that was measured in each round: of the gateway and, where there are, of a limit and a peer.
type row struct {
	Case  string    `json:"case"`
	What  string    `json:"what"`
	Unit  string    `json:"unit"`
	Ours  []float64 `json:"ours"`
	Limit []float64 `json:"limit"`
	Peer  []float64 `json:"peer"`
}

// name tells a row from the others.
func (r *row) name() string { return r.Case + ", " + r.What }

// good returns the median of the rounds' ratios to another, so that more is better: rates are better if they are
// higher, all else if it is lower. Rounds without one of the two have none.
func (r *row) good(other []float64) (float64, bool) {
	var of []float64
	for i, ours := range r.Ours {
		if i >= len(other) || ours <= 0 || other[i] <= 0 {
			continue
		}
		if strings.HasSuffix(r.Unit, "/s") {
			of = append(of, ours/other[i])
		} else {
			of = append(of, other[i]/ours)
		}
	}
	if len(of) == 0 {
		return 0, false
	}
	slices.Sort(of)
	return of[len(of)/2], true
}

// read reads a file of the bench.
func read(path string) (*results, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // whoever runs it says which
	if err != nil {
		return nil, fmt.Errorf("%w: the bench writes it", err)
	}
	var r results
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Machine.Smoke {
		return nil, fmt.Errorf("%s: a smoke test measures nothing", path)
	}
	seen := make(map[string]bool)
	for i := range r.Rows {
		name := r.Rows[i].name()
		if seen[name] {
			return nil, fmt.Errorf("%s: two rows are called %s, so that neither can be compared: measure anew", path, name)
		}
		seen[name] = true
	}
	return &r, nil
}

// check writes how each ratio that is in both files has changed. Its error says which are less than half as good, and
// which were recorded and are not measured any more.
func check(recorded, fresh string, out io.Writer) error {
	before, err := read(recorded)
	if err != nil {
		return err
	}
	after, err := read(fresh)
	if err != nil {
		return err
	}
	now := make(map[string]*row)
	for i := range after.Rows {
		now[after.Rows[i].name()] = &after.Rows[i]
	}
	var fell []error
	compared := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range before.Rows {
		was := &before.Rows[i]
		is, ok := now[was.name()]
		if !ok {
			fell = append(fell, fmt.Errorf("%s: not measured any more", was.name()))
			continue
		}
		for _, of := range []struct {
			name    string
			was, is []float64
		}{{"limit", was.Limit, is.Limit}, {"peer", was.Peer, is.Peer}} {
			then, had := was.good(of.was)
			if !had {
				continue
			}
			today, has := is.good(of.is)
			if !has {
				fell = append(fell, fmt.Errorf("%s: there is no ratio to the %s any more", was.name(), of.name))
				continue
			}
			compared++
			if _, err := fmt.Fprintf(w, "%s\t%s\t%.3g\t%.3g\t%.2f times\n", was.name(), of.name, then, today, today/then); err != nil {
				return err
			}
			if today < worst*then {
				fell = append(fell, fmt.Errorf("%s: %.2f times as good beside the %s as recorded, want at least %g", was.name(), today/then, of.name, worst))
			}
		}
	}
	if compared == 0 && len(fell) == 0 {
		fell = append(fell, fmt.Errorf("%s has no ratio", recorded))
	}
	return errors.Join(errors.Join(fell...), w.Flush())
}
