package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written writes a result of the bench.
func written(t *testing.T, machine, rows string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"machine":{%s},"rows":[%s]}`, machine, rows), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	const (
		rate     = `{"case":"share","what":"rate","unit":"/s","ours":[50,60,70],"limit":[100,100,100]}`
		slower   = `{"case":"share","what":"rate","unit":"/s","ours":[30,31,32],"limit":[100,100,100]}`
		halved   = `{"case":"share","what":"rate","unit":"/s","ours":[29,28,70],"limit":[100,100,100]}`
		machine2 = `{"case":"share","what":"rate","unit":"/s","ours":[5],"limit":[10]}`
		wait     = `{"case":"polls","what":"last","unit":"ms","ours":[12],"limit":[10],"peer":[100]}`
		longer   = `{"case":"polls","what":"last","unit":"ms","ours":[25],"limit":[10],"peer":[100]}`
		alone    = `{"case":"polls","what":"last","unit":"ms","ours":[12],"limit":[10]}`
		told     = `{"case":"memory","what":"told","unit":"MB","ours":[12]}`
	)
	for _, test := range []struct {
		name, before, after string
		machine             string
		want                []string // in the error; none for success
	}{
		{"the same", rate + "," + wait, wait + "," + rate, "", nil},
		{"a little slower", rate, slower, "", nil},
		{"another machine", rate, machine2, "", nil},
		{"a rate halved", rate, halved, "", []string{"share, rate: 0.48 times as good beside the limit"}},
		{"a wait doubled", wait, longer, "", []string{"polls, last: 0.48 times as good beside the limit", "beside the peer"}},
		{"a row less", rate + "," + wait, rate, "", []string{"polls, last: not measured any more"}},
		{"a peer less", wait, alone, "", []string{"no ratio to the peer any more"}},
		{"a row more", rate, rate + "," + wait, "", nil},
		{"without ratios", told, told, "", []string{"has no ratio"}},
		{"one name for two", rate + "," + slower, rate, "", []string{"two rows are called share, rate"}},
		{"one name for two afresh", rate, rate + "," + slower, "", []string{"two rows are called share, rate"}},
		{"a smoke test", rate, rate, `"smoke":true`, []string{"a smoke test measures nothing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := check(written(t, "", test.before), written(t, test.machine, test.after), &out)
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
		})
	}
}

func TestCheckFiles(t *testing.T) {
	good := written(t, "", `{"case":"a","what":"b","unit":"/s","ours":[1],"limit":[1]}`)
	broken := written(t, "", `{`)
	for _, files := range [][2]string{{"nowhere", good}, {good, "nowhere"}, {broken, good}, {good, broken}} {
		if err := check(files[0], files[1], io.Discard); err == nil {
			t.Errorf("%q passes", files)
		}
	}
}
