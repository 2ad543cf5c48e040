package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/payouts"
)

// simulated parses a command line and returns what the command writes.
func simulated(t *testing.T, terminal bool, args ...string) (string, error) {
	t.Helper()
	var c payoutsSimulateCmd
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	out, buf := paper(terminal)
	err = c.Run(t.Context(), out)
	return buf.String(), err
}

// TestSimulateIsDocumented holds docs/schemes.md to what the command says without flags.
func TestSimulateIsDocumented(t *testing.T) {
	got, err := simulated(t, false)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/schemes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "\n## See for yourself\n")
	_, rest, _ = strings.Cut(rest, "\n```\n")
	want, _, _ := strings.Cut(rest, "```\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/schemes.md says otherwise (-doc +command):\n%s", diff)
	}
}

func TestSimulateFlags(t *testing.T) {
	args := []string{"--hop-at=1.5", "--blocks=1000", "--seed=9", "--fee=150", "--multiple=3"}
	got, err := simulated(t, false, args...)
	if err != nil {
		t.Fatal(err)
	}
	const want = "1000 blocks, seed 9: fee 1.50 %, PPLNS window of 3 difficulties, hopper there until a round is 1.5 difficulties old\n"
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s\ndoes not begin with\n%s", got, want)
	}
	table := strings.Split(got, "\n")[2:8]
	for _, line := range table {
		if n := len([]rune(line)); n != len([]rune(table[0])) {
			t.Errorf("%d wide, want %d: %s", n, len([]rune(table[0])), line)
		}
	}
	if coloured, err := simulated(t, true, args...); err != nil || !strings.Contains(coloured, "\x1b["+red+"m") {
		t.Errorf("what the hopper takes is not red on a terminal: %v", err)
	}
	for _, flag := range []string{"--blocks=1", "--multiple=9", "--fee=-1", "--hop-at=0"} {
		if got, err := simulated(t, false, flag); err == nil || got != "" {
			t.Errorf("%s: no error, and %q", flag, got)
		}
	}
}

// TestShowSimulation prints each figure of a result in its place.
func TestShowSimulation(t *testing.T) {
	s, buf := paper(false)
	showSimulation(s, []payouts.SimResult{{
		Scheme: payouts.PROP, Hopper: 1.798, Honest: 0.9714, Shortfall: 12.34,
		Stays: []payouts.Stay{{Deviation: 0.776, None: 0.00012}, {Deviation: 31.62, None: 1e-9}},
	}})
	const want = `scheme    hopper    others    ±, stay of 1   nothing  ±, stay of 100   nothing  reserve
prop     179.8 %    97.1 %          77.6 %   0.012 %          3162 %     0.0 %     12.3
`
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Error(diff)
	}
}
