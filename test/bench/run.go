package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// benchCase is one thing to measure.
type benchCase struct {
	name string
	// takes is about how long a round takes, to tell who waits.
	takes time.Duration
	run   func(context.Context, *lab) ([]row, error)
}

// cases lists all cases in the table's order.
func cases() []benchCase {
	return []benchCase{
		{"template", 40 * time.Second, templateCase},
		{"polls", 45 * time.Second, pollsCase},
		{"new-block", 2 * time.Minute, blockCase},
		{"node-answer", 25 * time.Second, answerCase},
		{"share", 30 * time.Second, shareCase},
		{"full-share", 20 * time.Second, fullShareCase},
		{"found", 10 * time.Second, foundCase},
		{"gateways", 20 * time.Second, gatewaysCase},
		{"memory", 4 * time.Minute, memoryCase},
		{"soak", 30 * time.Second, soakCase},
	}
}

// run measures the chosen cases, one after the other, and writes the table. What a case has measured is written
// even if another fails.
func run(ctx context.Context, o options, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "gbtpool-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for the moment
	b, err := newBuild(ctx, dir)
	if err != nil {
		return err
	}
	var rows []row
	var failed error
	for _, c := range cases() {
		if !o.cases.MatchString(c.name) {
			continue
		}
		l := &lab{options: o, build: b, dir: filepath.Join(dir, c.name), name: c.name, progress: progress, started: time.Now()}
		if err := os.Mkdir(l.dir, 0o700); err != nil {
			return err
		}
		l.say("about %s", (time.Duration(o.count) * c.takes).Round(time.Second))
		got, err := l.measure(ctx, c)
		for i := range got {
			got[i].Case = c.name
		}
		rows = append(rows, got...)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			l.say("failed: %v", err)
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), failed)
		}
	}
	return errors.Join(failed, publish(ctx, o, b, rows, out))
}

// publish writes what was measured to wherever the options say.
func publish(ctx context.Context, o options, b *build, rows []row, out io.Writer) error {
	at := describeMachine(ctx, b, o)
	if _, err := io.WriteString(out, plainTable(at, rows)); err != nil {
		return err
	}
	if o.json != "" {
		raw, err := json.MarshalIndent(struct {
			Machine machine `json:"machine"`
			Rows    []row   `json:"rows"`
		}{at, rows}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(raw, '\n'), 0o644); err != nil { //nolint:gosec // anybody may read it
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	return replaceSection(o.out, markdownTable(at, rows))
}
