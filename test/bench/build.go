package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build is what is measured: the programs made from the tree that the command stands in.
type build struct {
	root    string // of the module
	gateway string // gbtpool
	self    string // this program, which is the limit programs too
	// load is the load average before anything is measured, which building adds to.
	load string
	// recorded is the template that its nodes give out.
	recorded *recording
}

func newBuild(ctx context.Context, dir string) (*build, error) {
	mod, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	b := &build{load: loadAverage(), root: filepath.Dir(mod), gateway: filepath.Join(dir, "gbtpool")}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.recorded, err = readRecording(filepath.Join(b.root, "gbt", "testdata", "gbt-full-block.json.gz")); err != nil {
		return nil, err
	}
	_, err = output(ctx, b.root, "go", "build", "-o", b.gateway, "./cmd/gbtpool")
	return b, err
}

// output runs a program in a folder and returns what it prints, without white space around it.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // no argument comes from outside
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
