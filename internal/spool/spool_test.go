package spool

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// opened opens a spool of small segments; disk may be nil.
func opened(t *testing.T, dir string, disk Disk) *Spool {
	t.Helper()
	s, err := Open(Config{Dir: dir, Segment: 100, Most: 1000, Disk: disk, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func appended(t *testing.T, s *Spool, records ...string) []Place {
	t.Helper()
	var places []Place
	for _, r := range records {
		p, err := s.Append(t.Context(), []byte(r))
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	return places
}

// records reads the records from a place on.
func records(s *Spool, from Place) ([]string, error) {
	var out []string
	for r, err := range s.Records(from) {
		if err != nil {
			return out, err
		}
		out = append(out, string(r.Data))
	}
	return out, nil
}

func holds(t *testing.T, s *Spool, from Place, want ...string) {
	t.Helper()
	got, err := records(s, from)
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records from %d (-want +got):\n%s", from, diff)
	}
}

// segments returns the names of the segments in a folder, oldest first.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestLog appends and notes over several segments, reads from every place, and again after a restart.
func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := opened(t, dir, nil)
	if s.Oldest() != 0 || s.End() != 0 || s.Bytes() != 0 || s.State() != nil || s.Healthy() != nil {
		t.Errorf("a new one: oldest %d, end %d, %d bytes, state %q, %v", s.Oldest(), s.End(), s.Bytes(), s.State(), s.Healthy())
	}
	want := []string{"first", "", strings.Repeat("x", 200), strings.Repeat("y", 80), "noted", "last"}
	places := appended(t, s, want[:4]...)
	s.Note([]byte(want[4]))
	places = append(places, 0)
	places = append(places, appended(t, s, want[5])...)
	places[4] = places[3] + 8 + 80
	if diff := cmp.Diff([]Place{0, 13, 21, 229, 317, 330}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	for range 2 {
		if s.Oldest() != 0 || s.End() != 342 || s.Bytes() != 342 {
			t.Errorf("oldest %d, end %d, %d bytes", s.Oldest(), s.End(), s.Bytes())
		}
		for i, place := range places {
			holds(t, s, place, want[i:]...)
		}
		holds(t, s, s.End())
		closed(t, s)
		s = opened(t, dir, nil)
	}
	if got := len(segments(t, dir)); got != 4 {
		t.Errorf("%d segments, want 4", got)
	}
	for r, err := range s.Records(0) {
		if err != nil || string(r.Data) != want[0] || r.Place != 0 || r.Next != places[1] {
			t.Errorf("the first is %+v, %v", r, err)
		}
		break // and nothing is left open
	}
	if _, err := records(s, s.End()+1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("from beyond the end: %v, want ErrCorrupt", err)
	}
	if _, err := records(s, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("from within a record: %v, want ErrCorrupt", err)
	}
	closed(t, s)
	for path, want := range map[string]os.FileMode{
		dir: 0o700, filepath.Dir(dir): 0o700, segments(t, dir)[0]: 0o600, filepath.Join(dir, lockName): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// TestRelease deletes what lies wholly before a place and leaves the places of the rest alone, also
// when the log is empty.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	places := appended(t, s, strings.Repeat("a", 60), strings.Repeat("b", 40), strings.Repeat("c", 30), strings.Repeat("d", 60))
	for _, step := range []struct{ before, oldest Place }{
		{places[1] - 1, 0}, {places[1], places[1]}, {places[2], places[1]}, {places[3], places[3]}, {s.End(), places[3]},
	} {
		if err := s.Release(step.before); err != nil {
			t.Fatal(err)
		}
		if s.Oldest() != step.oldest {
			t.Errorf("after Release(%d) the oldest is at %d, want %d", step.before, s.Oldest(), step.oldest)
		}
	}
	if got, want := s.Bytes(), int64(68); got != want || len(segments(t, dir)) != 1 {
		t.Errorf("%d bytes in %d segments, want %d in 1", got, len(segments(t, dir)), want)
	}
	holds(t, s, 0, strings.Repeat("d", 60))
	closed(t, s)
	s = opened(t, dir, nil)
	holds(t, s, 0, strings.Repeat("d", 60))
	closed(t, s)
}

// TestReleaseWhileReading leaves out what is released, and goes on with the rest.
func TestReleaseWhileReading(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	defer closed(t, s)
	a, b, c := strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60)
	places := appended(t, s, a, b, c)
	var got []string
	for r, err := range s.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(r.Data))
		if err := s.Release(places[2]); err != nil {
			t.Fatal(err)
		}
		appended(t, s, "later") // which is not part of it
	}
	if diff := cmp.Diff([]string{a, c}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestFull refuses what there is no room for, says so, and takes more once records are released.
func TestFull(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	defer closed(t, s)
	record := strings.Repeat("x", 92)
	var places []Place
	for range 10 {
		places = append(places, appended(t, s, record)...)
	}
	if s.Healthy() != nil {
		t.Errorf("nothing was refused: %v", s.Healthy())
	}
	s.Note([]byte("no room"))
	if s.Dropped() != 1 || !errors.Is(s.Healthy(), ErrFull) {
		t.Errorf("%d dropped, %v", s.Dropped(), s.Healthy())
	}
	if _, err := s.Append(t.Context(), nil); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	if err := s.Release(places[1]); err != nil {
		t.Fatal(err)
	}
	if s.Healthy() != nil {
		t.Errorf("after Release: %v", s.Healthy())
	}
	appended(t, s, record)
	if s.Bytes() != 1000 {
		t.Errorf("%d bytes", s.Bytes())
	}
	if err := s.Release(s.End()); err != nil {
		t.Fatal(err)
	}
	appended(t, s, record)
	holds(t, s, 0, record, record)
}

// TestReserve keeps room free for what AppendReserved writes: nothing else gets it, also after a restart,
// and Healthy says that the rest is full.
func TestReserve(t *testing.T) {
	disk := newTestDisk()
	cfg := Config{Dir: t.TempDir(), Segment: 100, Most: 1000, Reserve: 200, Disk: disk, Log: slog.New(slog.DiscardHandler)}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	record := strings.Repeat("x", 92)
	for range 10 {
		appended(t, s, record)
	}
	for i := range 2 {
		for range 2 {
			if _, err := s.Append(t.Context(), nil); !errors.Is(err, ErrFull) {
				t.Errorf("with %d in the reserve: error %v, want ErrFull", i, err)
			}
			s.Note(nil)
			if err := s.Healthy(); !errors.Is(err, ErrFull) {
				t.Errorf("with %d in the reserve: Healthy: %v, want ErrFull", i, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(cfg); err != nil {
				t.Fatal(err)
			}
		}
		disk.arm(2, false, false, 0) // the new segment that it needs is opened, and written
		if _, err := s.AppendReserved(t.Context(), []byte(record)); !errors.Is(err, disk.err) || errors.Is(err, ErrFull) {
			t.Errorf("on a full disk: %v", err)
		}
		place, err := s.AppendReserved(t.Context(), []byte(record))
		if want := Place(1000 + 100*i); err != nil || place != want {
			t.Errorf("number %d goes to %d, want %d, %v", i, place, want, err)
		}
		if err := s.Healthy(); !errors.Is(err, ErrFull) {
			t.Errorf("Healthy: %v, want ErrFull", err)
		}
	}
	if _, err := s.AppendReserved(t.Context(), nil); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "1200 of 1200 bytes") {
		t.Errorf("error %v, want ErrFull that names both bounds", err)
	}
	if s.Bytes() != 1200 || s.End() != 1200 {
		t.Errorf("%d bytes, end %d", s.Bytes(), s.End())
	}
	if err := s.Release(200); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), nil); !errors.Is(err, ErrFull) {
		t.Errorf("with the reserve free again: %v, want ErrFull", err)
	}
	if err := s.Release(300); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("after Release: %v", err)
	}
	appended(t, s, record)
	closed(t, s)
}

// TestReserveFreed is as full as before, once what went into the reserve is gone from it.
func TestReserveFreed(t *testing.T) {
	s, err := Open(Config{
		Dir: t.TempDir(), Segment: 100, Most: 1000, Reserve: 100, Disk: newTestDisk(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	record := strings.Repeat("x", 92)
	for range 10 {
		appended(t, s, record)
	}
	s.Note(nil)
	if _, err := s.AppendReserved(t.Context(), []byte(record)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{ErrFull, ErrFull, nil} {
		if err := s.Release(Place(100 * i)); err != nil {
			t.Fatal(err)
		}
		if err := s.Healthy(); !errors.Is(err, want) {
			t.Errorf("with %d bytes: %v, want %v", s.Bytes(), err, want)
		}
	}
}

// TestNoReserve gives AppendReserved no more than others if there is no reserve, and the room that
// others may use too.
func TestNoReserve(t *testing.T) {
	s := opened(t, t.TempDir(), newTestDisk())
	defer closed(t, s)
	for range 10 {
		if _, err := s.AppendReserved(t.Context(), make([]byte, 92)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
	if _, err := s.AppendReserved(t.Context(), nil); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
}

// TestTooLarge refuses records and states that are longer than they may be, and keeps those that are
// as long.
func TestTooLarge(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Segment: 100, Most: 8 * MaxRecord, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	large := bytes.Repeat([]byte("x"), MaxRecord+1)
	if _, err := s.Append(t.Context(), large); err == nil {
		t.Error("Append took it")
	}
	s.Note(large)
	if err := s.SetState(t.Context(), large); err == nil {
		t.Error("SetState took it")
	}
	if s.Dropped() != 1 || s.End() != 0 {
		t.Errorf("%d dropped, end %d", s.Dropped(), s.End())
	}
	appended(t, s, string(large[1:]))
	holds(t, s, 0, string(large[1:]))
	if err := s.SetState(t.Context(), large[1:]); err != nil {
		t.Error(err)
	}
}

// TestState keeps the last state over restarts, and an empty one is not none.
func TestState(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	for _, want := range [][]byte{[]byte("one"), []byte("another"), {}} {
		if err := s.SetState(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if diff := cmp.Diff(want, s.State()); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			closed(t, s)
			s = opened(t, dir, nil)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.aside <- struct{}{}
	if err := s.SetState(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("behind another one: %v", err)
	}
	<-s.aside
	closed(t, s)
}

// TestOpen refuses a folder in use, one that cannot be, and a Config that makes no sense.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	log := slog.New(slog.DiscardHandler)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no Dir": {Segment: 1, Most: 2, Log: log}, "no Log": {Dir: dir, Segment: 1, Most: 2},
		"no Segment": {Dir: dir, Most: 2, Log: log}, "less than two": {Dir: dir, Segment: 2, Most: 3, Log: log},
		"a reserve below zero": {Dir: dir, Segment: 1, Most: 2, Reserve: -1, Log: log},
		"a file":               {Dir: file, Segment: 1, Most: 2, Log: log}, "in a file": {Dir: filepath.Join(file, "x"), Segment: 1, Most: 2, Log: log},
	} {
		if _, err := Open(cfg); err == nil || errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(Config{Dir: dir, Segment: 1, Most: 2, Log: log}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v, want ErrLocked", err)
	}
	closed(t, s)
	closed(t, opened(t, dir, nil))
}

// TestNewFolders makes folders that a crash does not take back.
func TestNewFolders(t *testing.T) {
	disk := newTestDisk()
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	s := opened(t, dir, disk)
	if len(disk.dirs) > 0 {
		t.Errorf("%q are not fsynced", disk.dirs)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	closed(t, s)
}

// TestClosed refuses all.
func TestClosed(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	appended(t, s, "kept")
	s.Note([]byte("noted"))
	closed(t, s)
	closed(t, s)
	s.Note([]byte("too late"))
	if s.Dropped() != 1 {
		t.Errorf("%d dropped", s.Dropped())
	}
	for name, call := range map[string]func() error{
		"Append":   func() error { _, err := s.Append(t.Context(), nil); return err },
		"Reserved": func() error { _, err := s.AppendReserved(t.Context(), nil); return err },
		"Sync":     func() error { return s.Sync(t.Context()) },
		"Records":  func() error { _, err := records(s, 0); return err },
		"Release":  func() error { return s.Release(0) },
		"SetState": func() error { return s.SetState(t.Context(), nil) },
		"Healthy":  s.Healthy,
	} {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want os.ErrClosed", name, err)
		}
	}
	s = opened(t, s.cfg.Dir, nil)
	holds(t, s, 0, "kept", "noted")
	closed(t, s)
}
