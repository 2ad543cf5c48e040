package fieldclients

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestDocs holds docs/clients.md to tests that are there and to the rows that the gateway has.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile("../../docs/clients.md")
	must(t, err)
	page := string(raw)
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var source strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		source.Write(raw)
	}
	tests := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(page, -1)
	if len(tests) < 40 {
		t.Errorf("%d tests are named", len(tests))
	}
	for _, name := range tests {
		if !strings.Contains(source.String(), "func "+name[1]+"(t *testing.T)") {
			t.Errorf("%s is no test", name[1])
		}
	}
	for _, row := range gbt.DefaultProfiles() {
		line := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.Name) + ` +\|.*$`).FindString(page)
		for _, want := range append([]string{row.Agent}, row.Withhold...) {
			if line == "" || !strings.Contains(line, want) {
				t.Errorf("the row of %s is %q, which lacks %q", row.Name, line, want)
			}
		}
	}
	// Tables are read as text, too.
	width := 0
	for line := range strings.Lines(page) {
		switch n := len([]rune(line)); {
		case !strings.HasPrefix(line, "|"):
			width = 0
		case width == 0:
			width = n
		case width != n:
			t.Errorf("the table is not aligned: %s", line)
		}
	}
}
