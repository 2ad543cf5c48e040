package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// benchCase is one thing to measure.
type benchCase struct {
	name string
	// takes is about how long a round takes, to tell who waits.
	takes time.Duration
	// once is set if it is measured once, for as long as the options say beyond that.
	once bool
	run  func(context.Context, *lab) ([]row, error)
}

// lasts is about how long it takes in all.
func (c *benchCase) lasts(o options) time.Duration {
	switch {
	case o.smoke:
		return 3 * time.Second
	case c.once:
		return c.takes + o.soak
	}
	return time.Duration(o.count) * c.takes
}

// cases lists all cases in the table's order.
func cases() []benchCase {
	return []benchCase{
		{name: "template", takes: 40 * time.Second, run: templateCase},
		{name: "polls", takes: 55 * time.Second, run: pollsCase},
		{name: "new-block", takes: 2 * time.Minute, run: blockCase},
		{name: "node-answer", takes: 25 * time.Second, run: answerCase},
		{name: "early", takes: 10 * time.Second, run: earlyCase},
		{name: "share", takes: 45 * time.Second, run: shareCase},
		{name: "full-share", takes: 20 * time.Second, run: fullShareCase},
		{name: "found", takes: 10 * time.Second, run: foundCase},
		{name: "gateways", takes: 20 * time.Second, run: gatewaysCase},
		{name: "memory", takes: 4 * time.Minute, run: memoryCase},
		{name: "soak", takes: 10 * time.Second, once: true, run: soakCase},
	}
}

// run measures the chosen cases, one after the other, and writes the table. What a case has measured is written
// even if another fails.
func run(ctx context.Context, o options, out, progress io.Writer) error {
	if err := ready(o); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gbtpool-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for the moment
	b, err := newBuild(ctx, dir)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(cases(), func(c benchCase) bool { return !o.cases.MatchString(c.name) })
	var all time.Duration
	for _, c := range chosen {
		all += c.lasts(o)
	}
	//nolint:errcheck // nobody may be watching
	fmt.Fprintf(progress, "%d cases take about %s on a machine that does nothing else\n", len(chosen), all.Round(time.Second))
	var rows []row
	var failed error
	for _, c := range chosen {
		l := &lab{options: o, build: b, dir: filepath.Join(dir, c.name), name: c.name, progress: progress, started: time.Now()}
		if err := os.Mkdir(l.dir, 0o700); err != nil {
			return err
		}
		l.say("about %s", c.lasts(o).Round(time.Second))
		got, err := l.measure(ctx, c)
		for _, r := range got {
			if r.Case = c.name; len(r.Ours) > 0 { // else it has failed before
				rows = append(rows, r)
			}
		}
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

// ready finds out whether what is measured can be written in the end, before it takes long to measure it.
func ready(o options) error {
	if o.json != "" {
		if err := os.MkdirAll(filepath.Dir(o.json), 0o755); err != nil { //nolint:gosec // anybody may read it
			return err
		}
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil { //nolint:gosec // anybody may read it
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	_, _, err := aroundSection(o.out)
	return err
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
