package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// programTime is how long a program may take to choose.
	programTime = 30 * time.Second
	// programOutput bounds what it may print, in bytes: a line for each transaction of a full block
	// many times over.
	programOutput = 8 << 20
)

// program is the path of a program that chooses transactions.
type program string

// lookProgram finds a program: a path, a file in the working folder, or by name on the PATH.
func lookProgram(name string) (program, error) {
	if !strings.ContainsRune(name, os.PathSeparator) {
		if path, err := exec.LookPath("." + string(os.PathSeparator) + name); err == nil {
			return program(path), nil
		}
	}
	path, err := exec.LookPath(name)
	return program(path), err
}

// run starts the program with a template's JSON on its standard input and returns what it prints.
func (p program) run(ctx context.Context, template []byte) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, programTime, fmt.Errorf("it took longer than %s", programTime))
	defer cancel()
	var out, complaint tail
	out.most, complaint.most = programOutput, 1<<10
	cmd := exec.CommandContext(ctx, string(p)) //nolint:gosec // it is the user's own program
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(template), &out, &complaint
	cmd.WaitDelay = time.Second // something that it started may keep its output open
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil && complaint.lastLine() != "":
		return "", fmt.Errorf("%w: %s", err, complaint.lastLine())
	case err != nil:
		return "", err
	case out.cut:
		return "", fmt.Errorf("it printed more than %d bytes", programOutput)
	}
	return out.text.String(), nil
}

// tail keeps the last bytes that are written to it.
type tail struct {
	text bytes.Buffer // no part of tail's own methods, of which io.Copy would use others than Write
	most int
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(text []byte) (int, error) {
	n, err := t.text.Write(text)
	if over := t.text.Len() - t.most; over > 0 {
		t.text.Next(over)
		t.cut = true
	}
	return n, err
}

// lastLine returns the last line that says something, in a form that is safe to show.
func (t *tail) lastLine() string {
	lines := strings.Split(strings.TrimSpace(t.text.String()), "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, lines[len(lines)-1])
}
