package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// root is the folder of the module.
const root = "../.."

// readText reads a file of the module.
func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// code returns what is between backquotes.
func code(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// cells returns the cells of a table's row; nil if a line is none.
func cells(line string) []string {
	if !strings.HasPrefix(line, "| ") {
		return nil
	}
	out := strings.Split(strings.Trim(line, "|"), "|")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// TestReadmePayouts compares the README's tables of settings with the defaults that they have.
func TestReadmePayouts(t *testing.T) {
	said := make(map[string]string)
	for line := range strings.Lines(readText(t, "README.md")) {
		row := cells(strings.TrimSpace(line))
		if len(row) != 3 {
			continue
		}
		names, defaults := code(row[0]), strings.Split(row[1], ", ")
		if len(names) != len(defaults) {
			continue
		}
		for i, name := range names {
			said[name] = defaults[i]
		}
	}
	var cli struct {
		Payouts `embed:""`
	}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parser.Model.Flags {
		if f.Name == "help" {
			continue
		}
		name, want := strings.ReplaceAll(f.Name, "-", "_"), f.Default
		switch {
		case want == "" && f.IsBool():
			want = "false"
		case want == "":
			want = "none"
		}
		if got := said[name]; got != want {
			t.Errorf("the README says that %s is %q by default, it is %q", name, got, want)
		}
	}
}

// TestReadmePaying reads the settings by which the README begins to pay, after those of the gateway.
func TestReadmePaying(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readText(t, "README.md"), -1)
	if len(blocks) < 2 {
		t.Fatal("the README shows no settings to pay with")
	}
	gateway, _, _ := strings.Cut(blocks[0][1], "payout_address:")
	_, rest, _ := strings.Cut(blocks[0][1], "\nlisten:")
	p, err := parse(t, gateway+"listen:"+rest+blocks[1][1], nil)
	if err != nil {
		t.Fatal(err)
	}
	p.PayoutAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4" // which is left to the reader
	if _, err := p.Validate(); err != nil {
		t.Error(err)
	}
	if p.Wallet != "key" || p.WalletKeyFile == "" || p.PoolFee == 0 {
		t.Errorf("it is read as %+v", p.Payouts)
	}
}

// programText returns the program's source, or its tests'.
func programText(t *testing.T, tests bool) string {
	t.Helper()
	var out strings.Builder
	for _, dir := range []string{"api", "cmd", "gbt", "internal", "payouts", "shares", "test"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") != tests {
				return err
			}
			text, err := os.ReadFile(path)
			out.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// TestRunbookMessages finds each message that the runbook's tables say something of in the program. What
// varies in one is an ellipsis there.
func TestRunbookMessages(t *testing.T) {
	const shortest = 4
	program := strings.ReplaceAll(programText(t, false), `\"`, `"`)
	varies, count, before, messages := regexp.MustCompile(`…|: |; |TXID|ADDRESS`), 0, "", false
	for line := range strings.Lines(readText(t, "docs/runbook-payouts.md")) {
		line = strings.TrimSpace(line)
		row := cells(line)
		switch {
		case strings.HasPrefix(line, "|---"): // below a table's head
			messages = before != "look at" && before != "what"
		case len(row) > 0:
			before = row[0]
		}
		if len(row) == 0 || !messages {
			continue
		}
		for _, message := range code(row[0]) {
			for _, part := range varies.Split(message, -1) {
				part = strings.Trim(part, " /:;,")
				if count++; len(part) >= shortest && !strings.Contains(program, part) {
					t.Errorf("%q of %q is nothing that the program says", part, message)
				}
			}
		}
	}
	if count == 0 {
		t.Error("no message was found")
	}
}

// TestPayoutsDocs finds the commands that the documents name, and the tests.
func TestPayoutsDocs(t *testing.T) {
	tests, commands := programText(t, true), make(map[string]bool)
	for _, group := range []string{"payouts", "ledger"} {
		source := readText(t, "cmd/gbtpool/"+group+".go")
		for _, m := range regexp.MustCompile(`\s(\w+)\s+`+group+`\w+Cmd\s`).FindAllStringSubmatch(source, -1) {
			commands[group+" "+strings.ToLower(m[1])] = true
		}
	}
	for _, path := range []string{"README.md", "docs/payouts.md", "docs/runbook-payouts.md", "docs/ledger.md", "docs/schemes.md"} {
		text := readText(t, path)
		for _, m := range regexp.MustCompile(`gbtpool\s+(payouts|ledger)\s+([a-z]+)`).FindAllStringSubmatch(text, -1) {
			if !commands[m[1]+" "+m[2]] {
				t.Errorf("%s: there is no command %s %s", path, m[1], m[2])
			}
		}
		for _, name := range regexp.MustCompile("`(Test|Fuzz)[A-Z][A-Za-z]+`").FindAllString(text, -1) {
			if name = strings.Trim(name, "`"); !strings.Contains(tests, "func "+name+"(") {
				t.Errorf("%s: there is no test %s", path, name)
			}
		}
	}
}
