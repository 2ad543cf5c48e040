package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	const run = `goos: linux
pkg: github.com/gbtpool/gbtpool/gbt
BenchmarkIssue-2   	 100	 3000000 ns/op	 5.25 MB/s
BenchmarkIssue-2   	 100	 1000 ns/op	 7 MB/s
BenchmarkIssue-2   	 100	 2000 ns/op	 6 MB/s
PASS
pkg: github.com/gbtpool/gbtpool/api
BenchmarkIssue-2   	 1	 0.12345 ratio
`
	const want = `gbt.Issue-2
            2000 ns/op          (1000 to 3000000, 3 times)
               6 MB/s           (5.25 to 7, 3 times)
api.Issue-2
          0.1235 ratio          (0.1235 to 0.1235, 1 times)
`
	var got strings.Builder
	if err := report(strings.NewReader(run), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Fatal(d)
	}
}

func TestReportFails(t *testing.T) {
	for name, run := range map[string]string{
		"nothing measured": "",
		"a failed run":     "BenchmarkIssue-2 1 2 ns/op\nFAIL\tgithub.com/gbtpool/gbtpool/gbt\t1s\n",
		"a failed one":     "BenchmarkIssue-2 1 2 ns/op\nBenchmarkSubmit-2 \t--- FAIL: BenchmarkSubmit\n",
		"no number":        "BenchmarkIssue-2 1 x ns/op\n",
		"no unit":          "BenchmarkIssue-2 1 2 ns/op 3\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := report(strings.NewReader(run), new(strings.Builder)); err == nil {
				t.Fatal("no error")
			}
		})
	}
}
