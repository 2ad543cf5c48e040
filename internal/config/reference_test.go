package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is generated")

// TestReference compares docs/configuration.md with the settings that there are.
func TestReference(t *testing.T) {
	want, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs/configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/configuration.md does not say what the settings are: go test ./internal/config -run TestReference -update\n%s", diff)
	}
}

// TestReferenceWhole finds each setting once, with its variable and a text, so that none is forgotten by the chapters.
func TestReferenceWhole(t *testing.T) {
	text, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	var cli struct {
		Pool `embed:""`
	}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(text) {
		if row := cells(strings.TrimSpace(strings.ReplaceAll(line, `\|`, ""))); len(row) == 4 && strings.HasPrefix(row[0], "`") {
			if rows[row[0]] != nil {
				t.Errorf("%s is there twice", row[0])
			}
			rows[row[0]] = row
		}
	}
	count := 0
	for _, f := range parser.Model.Flags {
		if f.Name == "help" {
			continue
		}
		count++
		row := rows["`"+key(f)+"`"]
		if row == nil || row[1] != "`GBTPOOL_"+strings.ToUpper(key(f))+"`" || row[2] == "" || row[3] == "" || strings.Contains(row[3], "${") {
			t.Errorf("%s is told as %q", key(f), row)
		}
	}
	if len(rows) != count {
		t.Errorf("%d rows for %d settings", len(rows), count)
	}
}
