package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// life is what a spool goes through while its disk fails at one step.
type life struct {
	t      *testing.T
	name   string
	dir    string
	disk   *testDisk
	s      *Spool
	kept   []string // appends that were confirmed
	failed []string // appends that were not
	noted  []string
	states []string // those that may be found
	oldest Place    // what is before may be gone
	struck bool     // the disk has failed
}

// open opens the spool; if the disk fails meanwhile, again.
func (l *life) open() {
	l.t.Helper()
	for range 2 {
		s, err := Open(Config{Dir: l.dir, Segment: 60, Most: 10_000, Disk: l.disk, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			l.s = s
			if len(l.disk.dirs) > 0 && !l.disk.dies {
				l.t.Fatalf("%s: %q are not fsynced", l.name, l.disk.dirs)
			}
			return
		}
		if !errors.Is(err, l.disk.err) || !l.disk.struck() {
			l.t.Fatalf("%s: %v", l.name, err)
		}
		l.struck = true
		if l.disk.dies {
			l.disk.arm(0, false, false, 0) // it recovers
		}
	}
	l.t.Fatalf("%s: it does not open", l.name)
}

func (l *life) add(record string) {
	l.t.Helper()
	if _, err := l.s.Append(l.t.Context(), []byte(record)); err == nil {
		l.kept = append(l.kept, record)
		if err := l.s.Healthy(); err != nil {
			l.t.Fatalf("%s: after an append: %v", l.name, err)
		}
		return
	} else if !errors.Is(err, l.disk.err) {
		l.t.Fatalf("%s: %v", l.name, err)
	}
	l.failed = append(l.failed, record)
	if l.s.Healthy() == nil {
		l.t.Fatalf("%s: it is healthy after a failure", l.name)
	}
	l.s.flusher.Wait() // Healthy has it tried again
	if err := l.s.Healthy(); (err == nil) == l.disk.dies {
		l.t.Fatalf("%s: after another try: %v", l.name, err)
	}
	l.s.flusher.Wait()
}

func (l *life) note(record string) {
	l.s.Note([]byte(record))
	l.s.flusher.Wait()
	l.noted = append(l.noted, record)
}

func (l *life) setState(state string) {
	if err := l.s.SetState(l.t.Context(), []byte(state)); err == nil {
		l.states = nil
		if got := string(l.s.State()); got != state {
			l.t.Fatalf("%s: the state is %q, want %q", l.name, got, state)
		}
	}
	l.states = append(l.states, state)
}

func (l *life) release(before Place) {
	l.t.Helper()
	l.oldest = before
	if err := l.s.Release(before); err != nil && !errors.Is(err, l.disk.err) {
		l.t.Fatalf("%s: %v", l.name, err)
	}
}

func (l *life) close() {
	l.t.Helper()
	if err := l.s.Close(); err != nil && !errors.Is(err, l.disk.err) {
		l.t.Fatalf("%s: %v", l.name, err)
	}
}

// live goes through it.
func (l *life) live() {
	l.open()
	l.add("first")
	l.note("noted")
	l.add(strings.Repeat("second", 9)) // in a segment of its own
	l.setState("one")
	l.add("third")
	l.note(strings.Repeat("noted too", 3))
	l.note(strings.Repeat("noted as well", 3)) // which ends the segment
	l.release(l.s.End())
	l.add("fourth")
	l.close()
	l.open()
	l.add("fifth")
	l.setState("two")
	l.add(strings.Repeat("sixth", 10))
	l.add("seventh")
	l.close()
}

// verify looks at what is left once the disk works: all that was confirmed and not released is there
// once and in order, and nothing that nobody wrote.
func (l *life) verify() {
	l.t.Helper()
	l.open()
	seen := make(map[string]int)
	var found []string
	for r, err := range l.s.Records(0) {
		if err != nil {
			l.t.Fatalf("%s: %v", l.name, err)
		}
		record := string(r.Data)
		switch seen[record]++; {
		case seen[record] > 1:
			l.t.Fatalf("%s: %q is there twice", l.name, record)
		case slices.Contains(l.kept, record):
			found = append(found, record)
		case !slices.Contains(l.failed, record) && !slices.Contains(l.noted, record):
			l.t.Fatalf("%s: %q is nobody's", l.name, record)
		}
	}
	if got := len(l.kept) - len(found); got < 0 || !slices.Equal(l.kept[got:], found) || got > 0 && l.s.Oldest() == 0 || l.s.Oldest() > l.oldest {
		l.t.Fatalf("%s: confirmed were %q, there are %q from %d, released up to %d", l.name, l.kept, found, l.s.Oldest(), l.oldest)
	}
	if got := string(l.s.State()); !slices.Contains(l.states, got) && (got != "" || slices.Contains(l.states, "one")) {
		l.t.Fatalf("%s: the state is %q, want one of %q", l.name, got, l.states)
	}
	l.add("more")
	l.close()
	if files, err := filepath.Glob(filepath.Join(l.dir, "*"+tempSuffix)); err != nil || len(files) > 0 {
		l.t.Fatalf("%s: %q are left, %v", l.name, files, err)
	}
}

// TestFaults has the disk fail at every step of a spool's life, once or for good, with nothing of the
// step done, all of it, or a part of a write: what was confirmed is there afterwards, after a crash
// too, and a disk that has recovered is written to without a restart.
func TestFaults(t *testing.T) {
	for _, mode := range []struct {
		stored, dies bool
		short        int
	}{
		{false, false, 0}, {false, false, 13}, {true, false, 0}, {false, true, 5}, {true, true, 0},
	} {
		for _, crashes := range []bool{false, true} {
			for fails := 1; ; fails++ {
				l := &life{
					t: t, dir: filepath.Join(t.TempDir(), "new"), disk: newTestDisk(),
					name: fmt.Sprintf("step %d, %+v, crashes: %t", fails, mode, crashes),
				}
				l.disk.arm(fails, mode.stored, mode.dies, mode.short)
				l.live()
				l.struck = l.struck || l.disk.struck()
				if !mode.dies && len(l.failed) > 1 {
					t.Fatalf("%s: one fault failed %q", l.name, l.failed)
				}
				l.disk.arm(0, false, false, 0)
				if crashes {
					l.dir, l.disk = l.disk.crash(t, func(n int) int { return n - 1 })
				}
				l.verify()
				if !l.struck {
					if fails < 40 {
						t.Errorf("only %d steps were counted", fails)
					}
					break
				}
			}
		}
	}
}

// TestForgottenFsync has one fsync fail and the next succeed without what the first had failed for,
// as systems do: the record that comes after the failure survives a crash, and the failed one is gone.
func TestForgottenFsync(t *testing.T) {
	disk := newTestDisk()
	disk.err = syscall.EIO
	s := opened(t, t.TempDir(), disk)
	appended(t, s, "before")
	s.Note([]byte("noted"))
	s.flusher.Wait()
	disk.arm(2, false, false, 0) // the write, then the fsync
	if _, err := s.Append(t.Context(), []byte("failed")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v, want that of the disk", err)
	}
	if s.Dropped() != 1 || s.End() != 14 || s.Bytes() != 14 {
		t.Errorf("%d dropped, end %d, %d bytes", s.Dropped(), s.End(), s.Bytes())
	}
	if got := appended(t, s, "after"); got[0] != 14 {
		t.Errorf("the next is at %d", got[0])
	}
	holds(t, s, 0, "before", "after")
	dir, left := disk.crash(t, func(int) int { return 0 })
	closed(t, s)
	s = opened(t, dir, left)
	holds(t, s, 0, "before", "after")
	closed(t, s)
}

// TestFullDisk fills the disk for a while: appends fail and notes are dropped, and Healthy finds the
// space that came back without an append.
func TestFullDisk(t *testing.T) {
	disk := newTestDisk()
	dir := t.TempDir()
	s := opened(t, dir, disk)
	appended(t, s, "before")
	disk.arm(1, false, true, 9)
	for range 3 {
		if _, err := s.Append(t.Context(), []byte("no space")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v, want that of the disk", err)
		}
		s.Note([]byte("no space"))
		if err := s.Healthy(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Healthy: %v, want the error of the disk", err)
		}
		s.flusher.Wait()
	}
	holds(t, s, 0, "before")
	if s.Dropped() != 3 || s.Bytes() != 14 {
		t.Errorf("%d dropped, %d bytes", s.Dropped(), s.Bytes())
	}
	disk.arm(0, false, false, 0)
	if s.Healthy() == nil {
		t.Error("it is healthy before another try")
	}
	s.flusher.Wait()
	if err := s.Healthy(); err != nil {
		t.Errorf("with space again: %v", err)
	}
	appended(t, s, "after")
	holds(t, s, 0, "before", "after")
	closed(t, s)
	info, err := os.Stat(segments(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	// The disk refused to cut it, so a crash is what it looks like; it ends where the next one begins.
	if want := headerSize + 14 + 9; info.Size() != want {
		t.Errorf("%d bytes, want %d", info.Size(), want)
	}
	s = opened(t, dir, nil)
	holds(t, s, 0, "before", "after")
	closed(t, s)
}

// TestPartialWrite cuts off what was written of a record when the disk became full, and keeps the
// notes before it.
func TestPartialWrite(t *testing.T) {
	disk := newTestDisk()
	dir := t.TempDir()
	s := opened(t, dir, disk)
	s.Note([]byte("noted"))
	s.flusher.Wait()
	disk.arm(1, false, false, 9)
	if _, err := s.Append(t.Context(), []byte("no space")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want that of the disk", err)
	}
	info, err := os.Stat(segments(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := headerSize + 13; info.Size() != want || s.Dropped() != 0 {
		t.Errorf("%d bytes, want %d; %d dropped", info.Size(), want, s.Dropped())
	}
	appended(t, s, "after")
	holds(t, s, 0, "noted", "after")
	closed(t, s)
}

// TestRestartAfterFault begins a segment whose name could not be fsynced, and restarts: records that
// are then kept in it survive a crash.
func TestRestartAfterFault(t *testing.T) {
	disk := newTestDisk()
	dir := t.TempDir()
	s := opened(t, dir, disk)
	first := strings.Repeat("x", 90)
	appended(t, s, first)
	disk.arm(5, false, false, 0) // the new segment is opened, written, fsynced and renamed
	if _, err := s.Append(t.Context(), []byte("failed")); !errors.Is(err, syscall.ENOSPC) || len(segments(t, dir)) != 2 {
		t.Fatalf("%d segments, error %v", len(segments(t, dir)), err)
	}
	closed(t, s)
	s = opened(t, dir, disk)
	appended(t, s, "kept")
	dir, left := disk.crash(t, func(int) int { return 0 })
	closed(t, s)
	s = opened(t, dir, left)
	holds(t, s, 0, first, "kept")
	closed(t, s)
}

// TestKilledBeforeFsync restarts where a process was killed that had written and not fsynced: what is
// appended then survives a crash, and so does what it comes after.
func TestKilledBeforeFsync(t *testing.T) {
	disk := newTestDisk()
	dir := t.TempDir()
	s := opened(t, dir, disk)
	s.Note([]byte("noted"))
	s.flusher.Wait()
	disk.kill(true)
	if err := s.Close(); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	disk.kill(false)
	s = opened(t, dir, disk)
	if s.End() != 13 {
		t.Errorf("end %d", s.End())
	}
	dir, left := disk.crash(t, func(int) int { return 0 })
	closed(t, s)
	s = opened(t, dir, left)
	holds(t, s, 0, "noted")
	closed(t, s)
}
