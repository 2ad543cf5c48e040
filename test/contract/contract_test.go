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
	directive := regexp.MustCompile(`(?m)^//go:generate go (run \S+) --config (\S+) (\S+)$`)
	for _, dir := range []string{"api/oas", "api/oas/adminoas"} {
		t.Run(dir, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, dir, "generate.go"))
			if err != nil {
				t.Fatal(err)
			}
			m := directive.FindStringSubmatch(string(text))
			if m == nil {
				t.Fatal("generate.go does not say how the code is made")
			}
			name := filepath.Base(dir) + ".gen.go"
			made := filepath.Join(t.TempDir(), name)
			settings, err := os.ReadFile(filepath.Join(root, dir, m[2]))
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := filepath.Join(t.TempDir(), m[2])
			settings = []byte(strings.Replace(string(settings), "output: "+name, "output: "+made, 1))
			if err := os.WriteFile(elsewhere, settings, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, filepath.Join(root, dir), "go", append(strings.Fields(m[1]), "--config", elsewhere, m[3])...)
			want, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s/%s is not what openapi.yaml leads to: run `go generate ./%s`", dir, name, dir)
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
