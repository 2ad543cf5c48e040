package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// lab is where one case is measured: it starts what the case needs and ends it again.
type lab struct {
	options
	build    *build
	dir      string
	name     string // the case's
	progress io.Writer
	started  time.Time
	number   int // of the files and folders made so far
	cleanups []func() error
	// profilers are of the gateways that run, if they are profiled while something is measured, as measuring says that
	// it is. profiles counts the profiles of the case.
	profilers []*profiler
	measuring bool
	profiles  atomic.Int32
}

// measure runs a case and ends what it has started.
func (l *lab) measure(ctx context.Context, c benchCase) (rows []row, err error) {
	defer func() {
		err = errors.Join(err, l.end())
	}()
	defer func() {
		// What is shared with the tests fails by the keeper.
		switch r := recover().(type) {
		case nil:
		case keeperError:
			err = r
		default:
			panic(r)
		}
	}()
	return c.run(ctx, l)
}

// say tells who waits what goes on.
func (l *lab) say(format string, args ...any) {
	//nolint:errcheck // nobody may be watching
	fmt.Fprintf(l.progress, "%-12s %6.1fs  %s\n", l.name, time.Since(l.started).Seconds(), fmt.Sprintf(format, args...))
}

// rounds measures as often as it was asked for.
func (l *lab) rounds(do func(round int) error) error {
	return l.measured(func() error {
		for i := range l.count {
			l.say("round %d of %d", i+1, l.count)
			if err := do(i); err != nil {
				return fmt.Errorf("round %d: %w", i+1, err)
			}
		}
		return nil
	})
}

// pick returns the first of two numbers, in the smoke test the second.
func (l *lab) pick(full, smoke int) int {
	if l.smoke {
		return smoke
	}
	return full
}

// span is pick for times.
func (l *lab) span(full, smoke time.Duration) time.Duration {
	if l.smoke {
		return smoke
	}
	return full
}

// atEnd has something ended with the lab, what was started last first.
func (l *lab) atEnd(do func() error) { l.cleanups = append(l.cleanups, do) }

func (l *lab) end() error { return l.endTo(0) }

// within ends what do has started once it is over, so that it is in nobody's way.
func (l *lab) within(do func() error) error {
	before := len(l.cleanups)
	err := do()
	return errors.Join(err, l.endTo(before))
}

func (l *lab) endTo(count int) error {
	var err error
	for len(l.cleanups) > count {
		last := len(l.cleanups) - 1
		do := l.cleanups[last]
		l.cleanups = slices.Delete(l.cleanups, last, last+1)
		err = errors.Join(err, do())
	}
	return err
}

// path returns the name of a file that nothing else has.
func (l *lab) path(name string) string {
	l.number++
	return filepath.Join(l.dir, fmt.Sprintf("%d-%s", l.number, name))
}

// file writes a file.
func (l *lab) file(name string, content []byte) (string, error) {
	path := l.path(name)
	return path, os.WriteFile(path, content, 0o600)
}

// keeper lets the servers that tests start be started by the lab.
type keeper struct {
	testing.TB // nil: what is not below is not used by them

	lab *lab
	ctx context.Context //nolint:containedctx // testing.TB has one
}

// keeperError is what a keeper fails with.
type keeperError string

// Error implements error.
func (e keeperError) Error() string { return string(e) }

func (l *lab) keeper(ctx context.Context) keeper { return keeper{lab: l, ctx: ctx} }

// Helper implements testing.TB.
func (keeper) Helper() {}

// Failed implements testing.TB.
func (keeper) Failed() bool { return false }

// Context implements testing.TB.
func (k keeper) Context() context.Context { return k.ctx }

// Fatalf implements testing.TB.
func (keeper) Fatalf(format string, args ...any) { panic(keeperError(fmt.Sprintf(format, args...))) }

// Fatal implements testing.TB.
func (keeper) Fatal(args ...any) { panic(keeperError(fmt.Sprint(args...))) }

// Errorf implements testing.TB.
func (keeper) Errorf(format string, args ...any) { panic(keeperError(fmt.Sprintf(format, args...))) }

// Logf implements testing.TB.
func (k keeper) Logf(format string, args ...any) { k.lab.say(format, args...) }

// Cleanup implements testing.TB.
func (k keeper) Cleanup(do func()) { k.lab.atEnd(func() error { do(); return nil }) }

// TempDir implements testing.TB.
func (k keeper) TempDir() string {
	dir := k.lab.path("dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		panic(keeperError(err.Error()))
	}
	return dir
}
