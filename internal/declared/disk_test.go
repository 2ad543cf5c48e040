package declared

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// badDisk fails at one of the steps that a Store takes, and perhaps at all that follow.
type badDisk struct {
	realDisk
	step, fails int
	dies        bool // goes on failing
	short       int  // how many bytes a failing write writes all the same
}

// ok counts a step.
func (d *badDisk) ok() error {
	d.step++
	if d.step == d.fails || d.dies && d.step > d.fails {
		return syscall.ENOSPC
	}
	return nil
}

func (d *badDisk) open(path string) (medium, error) {
	if err := d.ok(); err != nil {
		return nil, err
	}
	m, err := d.realDisk.open(path)
	return badMedium{m, d}, err
}

func (d *badDisk) syncDir(dir string) error {
	if err := d.ok(); err != nil {
		return err
	}
	return d.realDisk.syncDir(dir)
}

// badMedium is a file on a badDisk.
type badMedium struct {
	medium
	disk *badDisk
}

func (m badMedium) WriteAt(p []byte, off int64) (int, error) {
	if err := m.disk.ok(); err != nil {
		n, writeErr := m.medium.WriteAt(p[:min(m.disk.short, len(p))], off)
		return n, errors.Join(err, writeErr)
	}
	return m.medium.WriteAt(p, off)
}

func (m badMedium) Sync() error {
	if err := m.disk.ok(); err != nil {
		return err
	}
	return m.medium.Sync()
}

func (m badMedium) Truncate(size int64) error {
	if err := m.disk.ok(); err != nil {
		return err
	}
	return m.medium.Truncate(size)
}

// TestFaults has the disk fail at every step of a store's life, for a moment or for good, with any
// number of bytes written: every record whose keeping was confirmed is there after a restart, in
// order and whole, and a disk that has recovered takes more.
func TestFaults(t *testing.T) {
	records := []string{"first", "a second one that is longer", "3rd", "the fourth"}
	longest := len(frame([]byte(records[1])))
	for _, dies := range []bool{false, true} {
		for short := range longest + 1 {
			for fails := 1; ; fails++ {
				disk := &badDisk{fails: fails, dies: dies, short: short}
				name := fmt.Sprintf("step %d, %d bytes written, for good: %t", fails, short, dies)
				if confirmed := live(t, disk, records, name); disk.step < fails {
					if len(confirmed) != len(records) {
						t.Fatalf("%d of %d records without a fault", len(confirmed), len(records))
					}
					break
				}
			}
		}
	}
}

// live keeps records on a disk, half of them after a restart, then looks at them on a good disk. It
// returns those whose keeping was confirmed.
func live(t *testing.T, disk *badDisk, records []string, name string) []string {
	t.Helper()
	dir := t.TempDir()
	var confirmed []string
	attempt := func(records []string) {
		s := open(t, dir, nil)
		s.disk = disk
		for _, r := range records {
			if s.Append(t.Context(), chainhash.Hash{1}, []byte(r)) == nil {
				confirmed = append(confirmed, r)
			}
		}
		closed(t, s)
	}
	attempt(records[:2])
	attempt(records[2:])
	s := open(t, dir, nil)
	got, err := s.Records(t.Context(), chainhash.Hash{1}, 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	// What was not confirmed may be there; nobody was told that it is not.
	next := 0
	for _, r := range got {
		if next < len(confirmed) && string(r) == confirmed[next] {
			next++
		} else if !slices.Contains(records, string(r)) {
			t.Errorf("%s: record %q is nobody's", name, r)
		}
	}
	if next != len(confirmed) {
		t.Errorf("%s: confirmed were %q, after the restart there are %q", name, confirmed, got)
	}
	appended(t, s, chainhash.Hash{1}, "more")
	closed(t, s)
	s = open(t, dir, nil)
	again, err := s.Records(t.Context(), chainhash.Hash{1}, 0)
	if err != nil || len(again) != len(got)+1 || string(again[len(got)]) != "more" {
		t.Errorf("%s: after another record there are %q, %v", name, again, err)
	}
	closed(t, s)
	return confirmed
}

// TestForgedRecord writes a record that holds a record, on a disk that fails while it is written and
// while it is removed: the shorter one in its place does not bring the inner one to light.
func TestForgedRecord(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, Bytes: 1000, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	short := "short"
	inner := frame([]byte("forged"))
	outer := append([]byte(short), inner...)
	// open, syncDir, WriteAt, then Sync and Truncate fail.
	s.disk = &badDisk{fails: 4, dies: true}
	if err := s.Append(t.Context(), chainhash.Hash{1}, outer); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, want that of the disk", err)
	}
	if err := s.Append(t.Context(), chainhash.Hash{1}, []byte(short)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, want that of the disk", err)
	}
	bad, ok := s.disk.(*badDisk)
	if !ok {
		t.Fatal("the disk is another")
	}
	bad.dies = false
	appended(t, s, chainhash.Hash{1}, short)
	holds(t, s, chainhash.Hash{1}, short)
	closed(t, s)
	s = open(t, dir, nil)
	holds(t, s, chainhash.Hash{1}, short)
	closed(t, s)
}
