package docs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/test/docs"
)

// TestPage reads a page that has everything.
func TestPage(t *testing.T) {
	page := docs.Page{Path: "docs/x.md", Text: "# A page: `of` *its own*\n\n[one](a.md#b) [two](https://x.example)\n\n" +
		"```console\n$ first \\\n    --more\n{\"a\": 1}\n$ second | third\n```\n\n| a | b |\n|---|---|\n| `x` | 1 |\n| `y` | 2 |\n\n" +
		"```sh\nfourth\n```\n\n```py name.py\n[no](link)\n```\n"}
	if diff := cmp.Diff([]string{"a-page-of-its-own"}, page.Anchors()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a.md#b"}, page.Links()); diff != "" {
		t.Error(diff)
	}
	rows, err := page.Table("a", "b")
	if diff := cmp.Diff([][]string{{"`x`", "1"}, {"`y`", "2"}}, rows); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := page.Table("b"); err == nil {
		t.Error("a table without that head was found")
	}
	var commands []docs.Command
	var programs []string
	for _, b := range page.Blocks() {
		for _, c := range b.Commands() {
			commands, programs = append(commands, c), append(programs, c.Programs()...)
		}
	}
	want := []docs.Command{
		{Line: 6, Text: "first \\\n    --more", Output: []string{`{"a": 1}`}},
		{Line: 9, Text: "second | third"},
		{Line: 18, Text: "fourth"},
	}
	if diff := cmp.Diff(want, commands); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"first", "second", "third", "fourth"}, programs); diff != "" {
		t.Error(diff)
	}
	if b := page.Blocks()[2]; b.Kind != "py" || b.Name != "name.py" {
		t.Errorf("a program is read as %+v", b)
	}
}

// TestFollow follows links that lead somewhere, and some that do not.
func TestFollow(t *testing.T) {
	page := read(t, "docs/miners.md")
	for link, ok := range map[string]bool{
		"api.md": true, "../README.md#for-miners": true, "#settings": true, "proofs.md#the-bytes": true,
		"none.md": false, "api.md#none": false, "#none": false, "none.md#settings": false,
	} {
		if err := page.Follow(link); (err == nil) != ok {
			t.Errorf("%s: %v", link, err)
		}
	}
}

// TestCheck compares what commands print with what pages show of it.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		page    []string
		printed string
		ok      bool
	}{
		{nil, "anything", true},
		{[]string{"a … c", "…", "e"}, "a b c\nd\ne\n", true},
		{[]string{"e", "a … c"}, "a b c\ne\n", false},
		{[]string{"a … c"}, "a b c d\n", false},
		{[]string{"a.c"}, "abc\n", false},
		{[]string{`{"a": 1, …}`}, `{"b":2,"a":3}`, true},
		{[]string{`{"a": 1, …}`}, `{"b":2}`, false},
		{[]string{`{"a": 1}`}, `{"a":"1"}`, false},
		{[]string{`{"a": "found", "b": true}`}, `{"a":"found","b":true}`, true},
		{[]string{`{"a": "found"}`}, `{"a":"lost"}`, false},
		{[]string{`{"b": true}`}, `{"b":false}`, false},
		{[]string{`{"a": "bc1q…", "n": null}`}, `{"a":"bc1qx","n":5}`, true},
		{[]string{`[{"a": 1}, …]`}, `[{"b":1},{"a":2}]`, true},
		{[]string{`[{"a": 1}, …]`}, `[]`, false},
		{[]string{`[…]`}, `[]`, true},
		{[]string{`{"a": [`, `  {"b": "c", …}, …`, `], …}`}, `{"a":[{"b":"c","d":1}],"e":2}`, true},
		{[]string{`{"a": {"b": 1}}`}, `{"a":{"c":1}}`, false},
		{[]string{`{"a": 1}`}, `no JSON`, false},
		{[]string{`{"a": }`}, `{"a":1}`, false},
	} {
		if err := (docs.Command{Output: c.page}).Check(c.printed); (err == nil) != c.ok {
			t.Errorf("%q is printed where a page has %q: %v", c.printed, c.page, err)
		}
	}
}
