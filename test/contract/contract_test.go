package contract

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

// run runs a command in a folder and returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestGenerated makes the code anew that is generated from openapi.yaml, and compares.
func TestGenerated(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "contract.go"))
	if err != nil {
		t.Fatal(err)
	}
	directives := regexp.MustCompile(`(?m)^//go:generate go (run \S+) --config (\S+) (\S+)$`).FindAllStringSubmatch(string(text), -1)
	if len(directives) != 2 {
		t.Fatalf("contract.go says of %d packages how they are made, want 2", len(directives))
	}
	for _, d := range directives {
		t.Run(d[2], func(t *testing.T) {
			settings, err := os.ReadFile(filepath.Join(root, d[2]))
			if err != nil {
				t.Fatal(err)
			}
			output := regexp.MustCompile(`(?m)^output: (.*)$`).FindStringSubmatch(string(settings))
			if output == nil {
				t.Fatal("it says nothing of where the code goes")
			}
			made := filepath.Join(t.TempDir(), "made.go")
			elsewhere := filepath.Join(t.TempDir(), "settings.yaml")
			if err := os.WriteFile(elsewhere, []byte(strings.Replace(string(settings), output[1], made, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, root, "go", append(strings.Fields(d[1]), "--config", elsewhere, d[3])...)
			want, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, output[1]))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s is not what openapi.yaml leads to: run `go generate .`", output[1])
			}
		})
	}
}

// TestLint has a linter look at openapi.yaml.
func TestLint(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Fatal("the linter comes by npm: install the Debian package npm")
	}
	run(t, ".", "npm", "ci", "--no-audit", "--no-fund")
	out := run(t, ".", "npx", "--no-install", "redocly", "lint", "--config", "redocly.yaml", "--format=stylish", root+"/openapi.yaml")
	if regexp.MustCompile(`(?m)^\s+\d+:\d+\s+warn`).MatchString(out) {
		t.Errorf("%s", out)
	}
}
