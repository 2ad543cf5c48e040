package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// endLimit is how long a process may take to end, and readyLimit to begin.
const (
	endLimit   = 30 * time.Second
	readyLimit = 2 * time.Minute
)

// child is a process that was started.
type child struct {
	cmd  *exec.Cmd
	log  string // file with what it prints
	done chan error
}

// spawn starts a process, which ends with the lab, not with ctx. What it prints goes to a file.
func (l *lab) spawn(ctx context.Context, exe string, args ...string) (*child, error) {
	c := &child{log: l.path("log"), done: make(chan error, 1)}
	out, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()                                                     //nolint:errcheck // the process has it
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), exe, args...) //nolint:gosec // our own builds, and ended by the lab
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.Env = append(os.Environ(), "HOME="+l.dir)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { c.done <- c.cmd.Wait() }()
	l.atEnd(c.end)
	return c, nil
}

// end ends the process, if it has not by itself.
func (c *child) end() error {
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended
	timer := time.NewTimer(endLimit)
	defer timer.Stop()
	select {
	case err := <-c.done:
		c.done <- err
		return nil // how it ended is of interest only to who waits for it
	case <-timer.C:
		err := c.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("%s did not end within %s", c.cmd.Path, endLimit), err)
	}
}

// explain adds the end of what it printed to an error.
func (c *child) explain(err error) error {
	if err == nil {
		return nil
	}
	text, readErr := os.ReadFile(c.log)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return fmt.Errorf("%s: %w\n%s", c.cmd.Path, err, text[max(0, len(text)-4000):])
}

// until asks again and again until the answer is yes, while the process runs.
func (c *child) until(ctx context.Context, what string, yes func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case err := <-c.done:
			c.done <- err
			return c.explain(fmt.Errorf("it has ended instead of %s: %w", what, errors.Join(err)))
		case <-ctx.Done():
			return c.explain(fmt.Errorf("waited for %s: %w", what, ctx.Err()))
		case <-tick.C:
		}
	}
	return nil
}

// listening returns the address that a limit program prints first.
func (c *child) listening(ctx context.Context) (addr string, err error) {
	err = c.until(ctx, "listening", func() bool {
		f, err := os.Open(c.log)
		if err != nil {
			return false
		}
		defer f.Close() //nolint:errcheck // it is only read
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil {
			return false
		}
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), listeningPrefix)
		addr = rest
		return ok
	})
	return addr, err
}
