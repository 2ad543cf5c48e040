package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// damaged returns the content of the files that were kept of what was cut off, by their names.
func damaged(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+damagedSuffix))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = string(raw)
	}
	return out
}

// TestDamagedTail damages the newest segment in several ways: all from there on is kept in a file that
// the log names, as an error if good records may be among it, and the file is left alone from then on.
func TestDamagedTail(t *testing.T) {
	const name = "0000000000000000.36" + damagedSuffix // behind the header and "kept"
	for test, c := range map[string]struct {
		level  string
		damage func(tail []byte) []byte
	}{
		"a bit of the first record": {"ERROR", func(p []byte) []byte { p[frameSize] ^= 1; return p }},
		"a bit of its checksum":     {"ERROR", func(p []byte) []byte { p[4] ^= 1; return p }},
		"a length that is too low":  {"ERROR", func(p []byte) []byte { p[3] ^= 1; return p }},
		"a hole":                    {"ERROR", func(p []byte) []byte { clear(p[:frameSize+3]); return p }},
		"a bit of the last record":  {"WARN", func(p []byte) []byte { p = p[:frameSize+3]; p[frameSize] ^= 1; return p }},
		"zeros behind it":           {"WARN", func(p []byte) []byte { p[frameSize] ^= 1; clear(p[frameSize+3:]); return p }},
		"zeros":                     {"WARN", func(p []byte) []byte { clear(p); return p }},
		"cut":                       {"WARN", func(p []byte) []byte { return p[:frameSize+1] }},
		"one byte":                  {"WARN", func(p []byte) []byte { return p[:1] }},
	} {
		dir := t.TempDir()
		s := opened(t, dir, newTestDisk())
		appended(t, s, "kept", "bad", "good", "good too")
		closed(t, s)
		path := segments(t, dir)[0]
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tail := c.damage(slices.Clone(raw[36:]))
		if err := os.WriteFile(path, append(raw[:36], tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s, err = Open(Config{Dir: dir, Segment: 100, Most: 1000, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatalf("%s: %v", test, err)
		}
		if got := log.String(); !strings.Contains(got, "level="+c.level) || !strings.Contains(got, "kept="+filepath.Join(dir, name)) {
			t.Errorf("%s: the log %q lacks %s or %s", test, got, c.level, name)
		}
		if s.Bytes() != 12 || s.End() != 12 {
			t.Errorf("%s: %d bytes, end %d", test, s.Bytes(), s.End())
		}
		appended(t, s, strings.Repeat("x", 90))
		if err := s.Release(s.End()); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		s = opened(t, dir, nil)
		holds(t, s, 0, strings.Repeat("x", 90))
		closed(t, s)
		if got := damaged(t, dir); len(got) != 1 || got[name] != string(tail) {
			t.Errorf("%s: kept are %q, want %q", test, got, tail)
		}
	}
}

// flip damages a byte of a file on the disk.
func (d *testDisk) flip(t *testing.T, path string, offset int64) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[filepath.Base(path)]
	n.now[offset] ^= 1
	n.durable[offset] ^= 1
	if err := os.WriteFile(path, n.now, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedAgain damages the same place three times, twice in the same way: what was kept first is
// not replaced, and nothing is kept twice.
func TestDamagedAgain(t *testing.T) {
	disk := newTestDisk()
	dir := t.TempDir()
	for _, records := range [][]string{{"kept", "one", "good"}, {"two", "good"}, {"one", "good"}} {
		s := opened(t, dir, disk)
		appended(t, s, records...)
		closed(t, s)
		disk.flip(t, segments(t, dir)[0], 36+frameSize)
		s = opened(t, dir, disk)
		holds(t, s, 0, "kept")
		closed(t, s)
	}
	got := damaged(t, dir)
	first, second := got["0000000000000000.36.damaged"], got["0000000000000000.36.2.damaged"]
	if len(got) != 2 || !strings.Contains(first, "nne") || !strings.Contains(second, "uwo") {
		t.Errorf("kept are %q", got)
	}
}

// TestDamagedFaults has the disk fail at every step of keeping what is cut off, and crash then or not,
// also when an earlier start has died while it did the same: it is never lost, and kept once.
func TestDamagedFaults(t *testing.T) {
	for _, mode := range []struct {
		stored, dies bool
		short        int
	}{{false, false, 0}, {false, false, 5}, {true, false, 0}, {false, true, 5}, {true, true, 0}} {
		for i, draw := range []func(int) int{nil, func(int) int { return 0 }, func(n int) int { return n - 1 }} {
			for _, before := range []bool{false, true} {
				for fails := 1; ; fails++ {
					name := fmt.Sprintf("step %d, %+v, crash %d, before: %t", fails, mode, i, before)
					disk := newTestDisk()
					arm := func() { disk.arm(fails, mode.stored, mode.dies, mode.short) }
					if !survives(t, name, disk, arm, draw, before) {
						if fails < 6 {
							t.Errorf("%s: only %d steps were counted", name, fails)
						}
						break
					}
				}
			}
		}
	}
}

// survives opens a damaged spool on a disk that fails as arm has it, and once more after a crash, if
// draw is there. It reports whether the disk has failed.
func survives(t *testing.T, name string, disk *testDisk, arm func(), draw func(int) int, before bool) bool {
	t.Helper()
	const kept = "0000000000000000.36" + damagedSuffix
	dir := t.TempDir()
	s := opened(t, dir, disk)
	appended(t, s, "kept", "bad", "good")
	closed(t, s)
	path := segments(t, dir)[0]
	disk.flip(t, path, 36+frameSize)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if before { // its name is not fsynced
		f, err := disk.Open(filepath.Join(dir, kept), os.O_RDWR|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(raw[36:], 0)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	arm()
	s, err = Open(Config{Dir: dir, Segment: 100, Most: 1000, Disk: disk, Log: slog.New(slog.DiscardHandler)})
	struck := disk.struck()
	if struck != (err != nil) || err != nil && !errors.Is(err, disk.err) {
		t.Fatalf("%s: failed: %t, error %v", name, struck, err)
	}
	disk.arm(0, false, false, 0)
	if err == nil {
		closed(t, s)
	}
	if draw != nil {
		dir, disk = disk.crash(t, draw)
	}
	s = opened(t, dir, disk)
	holds(t, s, 0, "kept")
	closed(t, s)
	if got := damaged(t, dir); len(got) != 1 || got[kept] != string(raw[36:]) {
		t.Fatalf("%s: kept are %q, want %q", name, got, raw[36:])
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*"+tempSuffix)); err != nil || len(left) > 0 {
		t.Fatalf("%s: %q are left, %v", name, left, err)
	}
	return struck
}
