package spool

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// slowDisk is a testDisk whose fsyncs wait, while it is slow, until they are let go.
type slowDisk struct {
	*testDisk

	slow           atomic.Bool
	entered, leave chan struct{}
}

func newSlowDisk() *slowDisk {
	return &slowDisk{testDisk: newTestDisk(), entered: make(chan struct{}), leave: make(chan struct{})}
}

func (d *slowDisk) Open(path string, flag int) (File, error) {
	f, err := d.testDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return slowFile{f, d}, nil
}

type slowFile struct {
	File

	disk *slowDisk
}

func (f slowFile) Sync() error {
	if f.disk.slow.Load() {
		f.disk.entered <- struct{}{}
		<-f.disk.leave
	}
	return f.File.Sync()
}

// waiting returns once n entries wait for the flusher.
func waiting(s *Spool, n int) {
	for {
		s.mu.Lock()
		got := len(s.pending)
		s.mu.Unlock()
		if got == n {
			return
		}
		runtime.Gosched()
	}
}

// TestGroupCommit appends from many goroutines while an fsync is under way: all of them share the
// next, and come out in the order of their places. Notes wait for none.
func TestGroupCommit(t *testing.T) {
	disk := newSlowDisk()
	s, err := Open(Config{Dir: t.TempDir(), Segment: 1 << 20, Most: 1 << 21, Disk: disk, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var at sync.Map
	add := func(record string) {
		p, err := s.Append(t.Context(), []byte(record))
		if err != nil {
			t.Error(err)
		}
		at.Store(p, record)
	}
	before := disk.syncs
	disk.slow.Store(true)
	wg.Go(func() { add("first") })
	<-disk.entered
	for i := range 100 {
		wg.Go(func() { add(strconv.Itoa(i)) })
	}
	waiting(s, 100)
	s.Note([]byte("noted"))
	if s.End() != 0 {
		t.Errorf("end %d before the fsync", s.End())
	}
	disk.leave <- struct{}{}
	<-disk.entered
	disk.slow.Store(false)
	disk.leave <- struct{}{}
	wg.Wait()
	if got := disk.syncs - before; got != 2 {
		t.Errorf("%d fsyncs for 101 appends, want 2", got)
	}
	got := 0
	for r, err := range s.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := at.Load(r.Place); ok && want != string(r.Data) || !ok && string(r.Data) != "noted" {
			t.Errorf("at %d is %q, want %q", r.Place, r.Data, want)
		}
		got++
	}
	if got != 102 {
		t.Errorf("%d records, want 102", got)
	}
	closed(t, s)
}

// TestContext ends the context of appends before, while and after the flusher has them: only what was
// being written may be kept, and the caller is not told that it is.
func TestContext(t *testing.T) {
	disk := newSlowDisk()
	s := opened(t, t.TempDir(), disk)
	ctx, cancel := context.WithCancel(t.Context())
	disk.slow.Store(true)
	errs := make(chan error)
	add := func(record string) {
		_, err := s.Append(ctx, []byte(record))
		errs <- err
	}
	go add("being written")
	<-disk.entered
	go add("queued")
	waiting(s, 1)
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	}
	go add("late")
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	disk.slow.Store(false)
	disk.leave <- struct{}{}
	holds(t, s, 0, "being written")
	if s.Bytes() != 8+13 {
		t.Errorf("%d bytes", s.Bytes())
	}
	closed(t, s)
}

// TestNotes writes notes without an fsync, until there are so many of them that one is due, and drops
// those that a slow disk cannot take in time.
func TestNotes(t *testing.T) {
	disk := newSlowDisk()
	s, err := Open(Config{Dir: t.TempDir(), Segment: 1 << 30, Most: 1 << 31, Disk: disk, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	before := disk.syncs
	note := bytes.Repeat([]byte("n"), unsynced/8-frameSize)
	for range 7 {
		s.Note(note)
		s.flusher.Wait()
	}
	if disk.syncs != before || s.End() != 0 || s.Bytes() != unsynced/8*7 {
		t.Errorf("%d fsyncs, end %d, %d bytes", disk.syncs-before, s.End(), s.Bytes())
	}
	disk.slow.Store(true)
	s.Note(note)
	<-disk.entered
	for range backlog/len(note) + 10 {
		s.Note(note)
	}
	// The one being written counts among those that wait.
	if got, want := s.Dropped(), int64(10+backlog/len(note)-(backlog/(len(note)+frameSize)-1)); got != want {
		t.Errorf("%d dropped, want %d", got, want)
	}
	disk.slow.Store(false)
	disk.leave <- struct{}{}
	closed(t, s)
	if got := s.Dropped(); s.End() == 0 || got == 0 {
		t.Errorf("end %d, %d dropped", s.End(), got)
	}
}

// TestSync has notes survive a crash, waits for no disk if there is nothing to do, and says when the disk
// fails.
func TestSync(t *testing.T) {
	disk := newTestDisk()
	s := opened(t, t.TempDir(), disk)
	want := []string{"noted", strings.Repeat("in a segment of its own", 5), "noted too"}
	for _, note := range want {
		s.Note([]byte(note))
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.End() != Place(s.Bytes()) {
		t.Errorf("end %d of %d bytes", s.End(), s.Bytes())
	}
	before := disk.syncs
	if err := s.Sync(t.Context()); err != nil || disk.syncs != before {
		t.Errorf("%d fsyncs of nothing, %v", disk.syncs-before, err)
	}
	s.Note([]byte("lost"))
	s.flusher.Wait()
	disk.arm(1, false, false, 0)
	if err := s.Sync(t.Context()); !errors.Is(err, disk.err) || s.Dropped() != 1 {
		t.Errorf("error %v, want that of the disk; %d dropped", err, s.Dropped())
	}
	dir, left := disk.crash(t, func(int) int { return 0 })
	closed(t, s)
	s = opened(t, dir, left)
	holds(t, s, 0, want...)
	closed(t, s)
}

// TestSyncContext ends the context of a Sync that waits for another one's fsync, before its own, and
// before it begins: it returns at once, and leaves nothing queued.
func TestSyncContext(t *testing.T) {
	disk := newSlowDisk()
	s := opened(t, t.TempDir(), disk)
	ctx, cancel := context.WithCancel(t.Context())
	s.Note([]byte("noted"))
	s.flusher.Wait()
	disk.slow.Store(true)
	errs := make(chan error)
	sync := func() { errs <- s.Sync(ctx) }
	go sync()
	<-disk.entered
	go sync()
	waiting(s, 1)
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	}
	waiting(s, 0)
	go sync()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	disk.slow.Store(false)
	disk.leave <- struct{}{}
	holds(t, s, 0, "noted")
	closed(t, s)
}

// TestNotesOverSegments reads notes that nothing was appended after, over several segments.
func TestNotesOverSegments(t *testing.T) {
	s := opened(t, t.TempDir(), newTestDisk())
	defer closed(t, s)
	want := []string{strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60)}
	for _, note := range want {
		s.Note([]byte(note))
	}
	holds(t, s, 0, want...)
}

// BenchmarkAppend appends from 64 goroutines, beside a bare write and fsync of the same bytes by one.
func BenchmarkAppend(b *testing.B) {
	record := bytes.Repeat([]byte("x"), 200)
	b.Run("spool", func(b *testing.B) {
		s, err := Open(Config{Dir: b.TempDir(), Segment: 64 << 20, Most: 1 << 40, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Append(b.Context(), record); err != nil {
					b.Error(err)
					return
				}
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("bare", func(b *testing.B) {
		f, err := replace(OSDisk{}, b.TempDir()+"/file", nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := range b.N {
			if _, err := f.WriteAt(record, int64(i*len(record))); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
