package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

var (
	// ErrFull says that there is no room for another record until older ones are released.
	ErrFull = errors.New("the spool is full")
	// ErrLocked says that another process has the folder open.
	ErrLocked = errors.New("the spool's folder is in use by another process")
	// ErrCorrupt says that a file was damaged by something else than a crash.
	ErrCorrupt = errors.New("the spool is damaged")
)

const (
	segmentSuffix = ".spool"
	tempSuffix    = ".tmp"
	damagedSuffix = ".damaged"
	stateName     = "state"
	lockName      = "lock"
)

// Place is where a record begins in the log: how many bytes of records were ever written before it.
// Places grow from record to record, over segments and restarts.
type Place uint64

// Config configures a Spool.
type Config struct {
	// Dir is the folder for the files. It is made if it is missing, and may be used by one Spool at
	// a time. Required.
	Dir string
	// Segment is how many bytes of records go into one file; a larger record has one of its own.
	// Required.
	Segment int64
	// Most is how many bytes of records there may be in all files together, each with 8 bytes before
	// it. At least twice Segment, because the file that is written to is never released. Required.
	Most int64
	// Reserve is how many bytes beyond Most are kept free for what AppendReserved writes; default none.
	Reserve int64
	// Disk is what is written to; default the operating system's.
	Disk Disk
	// Log gets a line when a crash has left something to repair, when the disk fails, and when it
	// works again. Required.
	Log *slog.Logger
}

// Spool is a log of records in a folder. It is safe for concurrent use.
type Spool struct {
	cfg  Config
	lock *os.File
	// aside holds one token, for who replaces or removes files that are not appended to.
	aside    chan struct{}
	released []Place // segments that are to be deleted, oldest first; the token's holder's
	flusher  sync.WaitGroup
	tail     tail // the flusher's

	mu sync.Mutex
	// What follows is held by mu, and no disk is waited for meanwhile. bases are where the segments
	// begin, oldest first, end is where the last record ends that is on the disk for good, and
	// written where the last one ends that was written.
	bases        []Place
	end, written Place
	pending      []*entry
	queued       int64 // bytes of entries that were admitted and not written
	flushing     bool  // there is a flusher
	closed       bool
	failed       error // of the last try to write
	refused      int64 // bytes of the last record that there was no room for, 0 since one was admitted
	dropped      int64
	state        []byte
}

// Open opens the spool of a folder, or begins one, and cuts off what a crash has left unfinished at
// its end. What it cuts off it keeps in a file of its own beside the log, which the log line names; it
// fails if it cannot. It returns ErrLocked if another process has it open, and ErrCorrupt if a file is damaged
// anywhere else.
func Open(cfg Config) (*Spool, error) {
	if cfg.Dir == "" || cfg.Log == nil || cfg.Segment <= 0 || cfg.Most < 2*cfg.Segment || cfg.Reserve < 0 {
		return nil, errors.New("spool: Dir, Segment and Log are required, Most must be at least twice Segment, and Reserve not negative")
	}
	cfg.Dir = filepath.Clean(cfg.Dir)
	if cfg.Disk == nil {
		cfg.Disk = OSDisk{}
	}
	if err := makeDir(cfg.Disk, cfg.Dir); err != nil {
		return nil, fmt.Errorf("spool: %w; use a folder that can be written to", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w; use a folder that can be written to", err)
	}
	s := &Spool{cfg: cfg, lock: lock, aside: make(chan struct{}, 1)}
	if err := lockFile(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: the folder %s: %w; stop that or use another folder", cfg.Dir, err), lock.Close())
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), s.tail.close(), lock.Close())
	}
	return s, nil
}

// Close writes and fsyncs what was appended and noted, and closes the files. Later calls fail with an
// error that matches os.ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	s.flusher.Wait()
	if closed {
		return nil
	}
	s.aside <- struct{}{}
	defer func() { <-s.aside }()
	var err error
	if s.tail.file != nil {
		err = s.sync()
	}
	if err = errors.Join(err, s.tail.close(), s.lock.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Oldest returns the place of the first record that was not released; End if there is none.
func (s *Spool) Oldest() Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bases[0]
}

// End returns the place behind the last record that outlives a crash: that of the next one.
func (s *Spool) End() Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Bytes returns how many bytes are taken, of Config.Most and then of Config.Reserve.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes()
}

// bytes is Bytes for who holds mu.
func (s *Spool) bytes() int64 { return int64(s.written-s.bases[0]) + s.queued }

// Dropped returns how many notes were dropped since the spool was opened.
func (s *Spool) Dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Healthy returns why appends fail now, or nil. The error matches ErrFull if there is no room, and
// else is that of the disk. While a disk fails, each call has it tried again in the background, so
// that who asks now and then finds it well again without appending.
func (s *Spool) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return fmt.Errorf("spool: %w", os.ErrClosed)
	case s.failed != nil:
		if len(s.pending) == 0 {
			s.enqueue(&entry{})
		}
		return fmt.Errorf("spool: the last try to write failed: %w", s.failed)
	case s.bytes() > s.cfg.Most, s.refused > 0 && s.bytes()+s.refused > s.cfg.Most:
		return s.full(max(s.refused, frameSize), s.cfg.Most)
	}
	return nil
}

// full is the error for a record that there is no room for in a spool of at most so many bytes. The
// caller holds mu.
func (s *Spool) full(size, most int64) error {
	return fmt.Errorf("%w: %d of %d bytes in %s are taken and a record needs %d; it empties as its records are released, or raise its bound",
		ErrFull, s.bytes(), most, s.cfg.Dir, size)
}

// Release deletes the segments that lie wholly before a place, except the one that is written to.
// After an error their records are not read any more, but files may be left, which the next Release
// deletes, or the next Open finds.
func (s *Spool) Release(before Place) error {
	s.aside <- struct{}{}
	defer func() { <-s.aside }()
	s.mu.Lock()
	for len(s.bases) > 1 && s.bases[1] <= before {
		s.released = append(s.released, s.bases[0])
		s.bases = s.bases[1:]
	}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("spool: %w", os.ErrClosed)
	}
	for len(s.released) > 0 {
		err := s.cfg.Disk.Remove(s.path(s.released[0]))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			// One at a time, so that what a crash leaves has no gap.
			err = s.cfg.Disk.SyncDir(s.cfg.Dir)
		}
		if err != nil {
			return fmt.Errorf("spool: a segment cannot be deleted: %w", err)
		}
		s.released = s.released[1:]
	}
	return nil
}

// path returns the file of the segment at base.
func (s *Spool) path(base Place) string {
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%016x%s", uint64(base), segmentSuffix))
}
