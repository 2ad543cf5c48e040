package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is one of a module of its own, with compare.sh in it.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	script, err := os.ReadFile("compare.sh")
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{t, t.TempDir()}
	r.write("test/bench/compare.sh", string(script))
	r.write("go.mod", "module example.org/m\n\ngo 1.26\n")
	r.write("stat", "#!/bin/sh\nfor side; do echo \"$side\" | sed 's/=.*/:/'; grep ^Benchmark \"${side#*=}\"; done\n")
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

// benchmarks writes a package whose benchmarks do nothing.
func (r *repository) benchmarks(pack string, names ...string) {
	r.t.Helper()
	var text strings.Builder
	text.WriteString("package p\n\nimport \"testing\"\n")
	for _, name := range names {
		text.WriteString("\nfunc Benchmark" + name + "(b *testing.B) {\n\tfor b.Loop() {\n\t}\n}\n")
	}
	r.write(pack+"/p_test.go", text.String())
}

func (r *repository) git(args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
}

func (r *repository) commit(message string) {
	r.t.Helper()
	r.git("add", "-A")
	r.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", message)
}

// compare runs the script with settings, and holds it to leaving nothing behind.
func (r *repository) compare(settings ...string) (out string, ok bool) {
	r.t.Helper()
	temp := r.t.TempDir()
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(r.dir, "test/bench/compare.sh"))
	cmd.Dir = r.t.TempDir() // wherever it is run from
	cmd.Env = append(append(os.Environ(), "BENCHTIME=1x", "COUNT=2", "BENCHSTAT="+filepath.Join(r.dir, "stat"), "TMPDIR="+temp), settings...)
	text, err := cmd.CombinedOutput()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		r.t.Errorf("%v is left behind: %v", left, err)
	}
	trees := exec.CommandContext(r.t.Context(), "git", "worktree", "list")
	trees.Dir = r.dir
	if list, err := trees.Output(); err != nil || strings.Count(string(list), "\n") != 1 {
		r.t.Errorf("work trees: %s %v", list, err)
	}
	return string(text), err == nil
}

// TestCompare compares a tree that is not committed with a commit.
func TestCompare(t *testing.T) {
	r := newRepository(t)
	r.benchmarks("a", "Old", "Both")
	r.benchmarks("gone", "Gone")
	r.commit("the first one")
	r.git("tag", "v1")
	r.benchmarks("a", "New", "Both")
	r.benchmarks("new", "Both")
	if err := os.RemoveAll(filepath.Join(r.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		settings []string
		ok       bool
		want     []string
	}{
		{"all", []string{"REF=v1"}, true, []string{
			"the first one", "a: not at v1, so with nothing to compare: BenchmarkNew", "a: at v1 alone: BenchmarkOld",
			"new: not at v1, so with nothing to compare: BenchmarkBoth", "2 of 2: a",
			"v1:\nBenchmarkOld", "here:\nBenchmarkNew",
		}},
		{"one", []string{"REF=main", "BENCH=^BenchmarkBoth$", "PKG=./a"}, true, []string{"main:\nBenchmarkBoth"}},
		{"no ref", nil, false, []string{"REF is missing"}},
		{"an unknown ref", []string{"REF=v9"}, false, []string{"v9 is no commit, tag or branch here"}},
		{"an option for a ref", []string{"REF=--all"}, false, []string{"--all is no commit, tag or branch here"}},
		{"no such benchmark", []string{"REF=v1", "BENCH=Nothing"}, false, []string{"no benchmark that BENCH=Nothing names"}},
		{"one that is new", []string{"REF=v1", "BENCH=New"}, false, []string{"nothing to compare: BenchmarkNew", "both here and at v1"}},
		{"no such part", []string{"REF=v1", "BENCH=Both/part"}, false, []string{"names no benchmark"}},
		{"no package", []string{"REF=v1", "PKG=./nowhere"}, false, []string{"PKG=./nowhere names no package here"}},
		{"no count", []string{"REF=v1", "COUNT=none"}, false, []string{"COUNT=none is not a number"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &repository{t, r.dir}
			out, ok := r.compare(test.settings...)
			if ok != test.ok {
				t.Errorf("succeeds: %t", ok)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// TestCompareFailing compares what fails, or does not build.
func TestCompareFailing(t *testing.T) {
	r := newRepository(t)
	r.benchmarks("a", "Both")
	r.commit("it works")
	r.write("a/p_test.go", "package p\n\nimport \"testing\"\n\nfunc BenchmarkBoth(b *testing.B) { b.Fatal(\"out of order\") }\n")
	if out, ok := r.compare("REF=main"); ok || !strings.Contains(out, "out of order") || !strings.Contains(out, "a benchmark of a fails: here") {
		t.Error(out)
	}
	r.commit("it fails")
	r.benchmarks("a", "Both")
	if out, ok := r.compare("REF=main"); ok || !strings.Contains(out, "a benchmark of a fails: at main") {
		t.Error(out)
	}
	r.write("a/p_test.go", "package p\n\nfunc BenchmarkBoth(b) {}\n")
	if out, ok := r.compare("REF=main"); ok || !strings.Contains(out, "the tests of a do not build: here") {
		t.Error(out)
	}
}
