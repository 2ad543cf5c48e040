package docs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/test/docs"
)

// root is the folder of the module.
const root = "../.."

// quickStarts are the pages whose commands are run.
func quickStarts() []string { return []string{"docs/miners.md", "docs/api.md", "docs/tokens.md"} }

// read reads a page.
func read(t *testing.T, path string) docs.Page {
	t.Helper()
	page, err := docs.Read(root, path)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestLinks follows each link of the pages to a file and a heading that are there.
func TestLinks(t *testing.T) {
	count := 0
	for _, path := range append(quickStarts(), "docs/architecture.md", "docs/clients.md", "CHANGELOG.md") {
		page := read(t, path)
		for _, link := range page.Links() {
			count++
			if err := page.Follow(link); err != nil {
				t.Errorf("%s: %s: %v", path, link, err)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d links were found", count)
	}
}

// TestReasons compares what docs/miners.md says of each reason with what the pool says of it.
func TestReasons(t *testing.T) {
	rows, err := read(t, "docs/miners.md").Table("reason", "what it means")
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[gbt.Reason]bool)
	for _, row := range rows {
		for _, word := range docs.Code(row[0]) {
			said[gbt.Reason(word)] = true
			if want := gbt.Explain(gbt.Reason(word), ""); row[1] != want {
				t.Errorf("of %s the page says %q and the pool %q", word, row[1], want)
			}
		}
	}
	for _, reason := range []gbt.Reason{
		gbt.BadCbFlag, gbt.BadCbLength, gbt.BadCbPrefix, gbt.BadDiffbits, gbt.BadPrevblk, gbt.BadTxnmrklroot, gbt.BadTxns, gbt.BadVersion, gbt.Duplicate,
		gbt.HighHash, gbt.Rejected, gbt.StalePrevblk, gbt.StaleWork, gbt.TimeInvalid, gbt.TimeTooNew, gbt.TimeTooOld, gbt.UnknownUser, gbt.UnknownWork,
	} {
		if !said[reason] {
			t.Errorf("the page says nothing of %s", reason)
		}
	}
}

// TestEveryResource finds a command in docs/api.md for each resource of the contract that is read.
func TestEveryResource(t *testing.T) {
	contract, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		t.Fatal(err)
	}
	var commands strings.Builder
	for _, block := range read(t, "docs/api.md").Blocks() {
		for _, c := range block.Commands() {
			commands.WriteString(strings.ReplaceAll(c.Text, "'", " ") + "\n")
		}
	}
	names := strings.NewReplacer("{address}", "ADDRESS", "{worker}", "rig1", "{hash}", "BLOCK", "{id}", "1", "{metric}", "hash_rate")
	count := 0
	for path, item := range contract.Paths.Map() {
		if item.Get == nil || slices.Contains(item.Get.Tags, "operation") || slices.Contains(item.Get.Tags, "admin") {
			continue
		}
		count++
		address := "http://pool.example:9332" + names.Replace(path)
		if !slices.ContainsFunc([]string{" ", "\n", "?"}, func(end string) bool { return strings.Contains(commands.String(), address+end) }) {
			t.Errorf("docs/api.md shows no command for %s", path)
		}
	}
	if count < 30 {
		t.Errorf("only %d resources were found", count)
	}
}

// TestSettings finds each setting that the pages name, in text and in files, in docs/configuration.md.
func TestSettings(t *testing.T) {
	settings := read(t, "docs/configuration.md").Text
	count := 0
	for _, path := range quickStarts() {
		page := read(t, path)
		names := make([]string, 0, 16)
		for _, word := range docs.Code(page.Prose()) {
			if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") == "" && slices.ContainsFunc([]string{"token_", "private_", "api_", "admin_", "data_"}, func(begin string) bool { return strings.HasPrefix(word, begin) }) {
				names = append(names, word)
			}
		}
		for _, block := range page.Blocks() {
			for _, line := range block.Lines {
				if name, _, ok := strings.Cut(line, ": "); ok && block.Kind == "yaml" {
					names = append(names, name)
				}
			}
		}
		for _, name := range names {
			count++
			if !strings.Contains(settings, "| `"+name+"` |") {
				t.Errorf("%s: there is no setting %s", path, name)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d settings were found", count)
	}
}

// TestSameLines compares the command lines of mining programs that no test here runs with those of docs/clients.md, whose
// programs are imitated.
func TestSameLines(t *testing.T) {
	var known []string
	for line := range strings.Lines(read(t, "docs/clients.md").Text) {
		known = append(known, strings.Join(strings.Fields(strings.ReplaceAll(line, "HOST", "pool.example")), " "))
	}
	count := 0
	for _, block := range read(t, "docs/miners.md").Blocks() {
		for _, c := range block.Commands() {
			if program := c.Programs()[0]; !slices.Contains([]string{"minerd", "cpuminer-multi", "bfgminer"}, program) {
				continue
			}
			count++
			if !slices.Contains(known, c.Text) {
				t.Errorf("docs/clients.md has no line %q", c.Text)
			}
		}
	}
	if count != 4 {
		t.Errorf("%d command lines of mining programs, want 4", count)
	}
}

// TestExceptions compares the programs that a page says are not run with those that the tests do not run.
func TestExceptions(t *testing.T) {
	for _, path := range quickStarts() {
		page := read(t, path)
		var want []string
		for _, block := range page.Blocks() {
			for _, c := range block.Commands() {
				for _, program := range c.Programs() {
					if _, ok := notRun()[program]; ok && !slices.Contains(want, program) {
						want = append(want, program)
					}
				}
			}
		}
		var got []string
		if rows, err := page.Table("program", "not run here, because"); err == nil {
			for _, row := range rows {
				if row[1] == "" {
					t.Errorf("%s: no reason why %s is not run", path, row[0])
				}
				got = append(got, docs.Code(row[0])...)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: programs that are not run, and those that the page says are not:\n%s", path, diff)
		}
	}
}
