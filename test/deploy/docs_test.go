package deploy

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"

	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// docs are the documents for operators.
func docs() []string {
	return []string{"docs/operators.md", "docs/backup.md", "docs/upgrade.md", "docs/security.md", "docs/metrics.md", "docs/configuration.md"}
}

// payTo returns an address on a node's chain.
func payTo(t *testing.T, node *btcdnode.Node) string {
	t.Helper()
	addr, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), node.Params())
	if err != nil {
		t.Fatal(err)
	}
	return addr.EncodeAddress()
}

// TestLinks follows each link of the documents to a file and a heading that are there.
func TestLinks(t *testing.T) {
	count := 0
	for _, doc := range docs() {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(read(t, doc), -1) {
			if strings.HasPrefix(m[1], "http") {
				continue
			}
			count++
			file, anchor, anchored := strings.Cut(m[1], "#")
			target := doc
			if file != "" {
				target = path.Join(path.Dir(doc), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %v", doc, err)
				continue
			}
			if anchored && !anchors(read(t, target))[anchor] {
				t.Errorf("%s: %s has no heading %s", doc, target, anchor)
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d links were found", count)
	}
}

// TestCommands finds each gbtpool command and flag that the documents name in the program.
func TestCommands(t *testing.T) {
	helps, count := make(map[string]string), 0
	line := regexp.MustCompile("(?:gbtpool|gateway-a-[a-z]+) ((?:ledger|payouts|token) [a-z]+|serve|check|mine|demo)\\b([^\n`]*)")
	for _, doc := range docs() {
		for _, m := range line.FindAllStringSubmatch(read(t, doc), -1) {
			count++
			if helps[m[1]] == "" {
				helps[m[1]] = must(t, ".", binary, append(strings.Fields(m[1]), "--help")...)
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(strings.Split(m[2], "#")[0], -1) {
				if !strings.Contains(helps[m[1]], flag) {
					t.Errorf("%s: gbtpool %s has no %s", doc, m[1], flag)
				}
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d commands were found", count)
	}
}

// TestNamed finds the tests and settings that the documents name.
func TestNamed(t *testing.T) {
	var tests strings.Builder
	for _, dir := range []string{"test/deploy", "test/e2e", "payouts", "internal/app"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	settings := read(t, "docs/configuration.md")
	for _, doc := range docs() {
		for _, m := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(read(t, doc), -1) {
			if !strings.Contains(tests.String(), "func "+m[1]+"(") {
				t.Errorf("%s: there is no test %s", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`").FindAllStringSubmatch(read(t, doc), -1) {
			if !strings.HasPrefix(m[1], "gbtpool_") && !strings.Contains(settings, "| `"+m[1]+"` |") && !strings.Contains(notSettings, " "+m[1]+" ") {
				t.Errorf("%s: there is no setting %s", doc, m[1])
			}
		}
	}
}

// notSettings are words of the documents that look like settings.
const notSettings = " process_start_time_seconds "
