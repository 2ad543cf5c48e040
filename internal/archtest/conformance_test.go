package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conformancePackages are the folders that the table's short names stand for.
func conformancePackages() map[string]string {
	return map[string]string{
		"gbt": "gbt", "client": "gbt/client", "api": "api", "node": "internal/node",
		"hostile": "test/hostile", "fieldclients": "test/fieldclients", "e2e": "test/e2e",
	}
}

// TestConformance holds each row of the conformance table to naming tests that are there.
func TestConformance(t *testing.T) {
	raw, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]string) // sources by short name
	for name, dir := range conformancePackages() {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests[name] += string(source)
		}
	}
	named := regexp.MustCompile("`([a-z0-9]+)\\.(Test[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 3 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| Clause") {
			continue
		}
		rows++
		if len(cells) != 6 {
			t.Errorf("not four columns: %s", line)
			continue
		}
		found := named.FindAllStringSubmatch(cells[4], -1)
		if len(found) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, test := range found {
			if !strings.Contains(tests[test[1]], "func "+test[2]+"(t *testing.T)") {
				t.Errorf("%s.%s is no test: %s", test[1], test[2], line)
			}
		}
	}
	if rows < 70 {
		t.Errorf("%d rows: the table was not read", rows)
	}
}
