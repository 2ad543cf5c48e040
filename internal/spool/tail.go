package spool

import (
	"log/slog"
)

// tail is the segment that is written to. It belongs to the flusher, and while there is none to who
// opens or closes the spool.
type tail struct {
	file  File // nil after a failure, until there is another segment
	base  Place
	size  int64 // bytes of records, fsynced or not
	notes int64 // notes since the last fsync
	buf   []byte
}

func (t *tail) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

// written returns the place behind the last record.
func (t *tail) written() Place { return t.base + Place(t.size) }

// ready makes sure that there is a segment to write to. A new one begins where the log ends for
// good, whatever the failed one before it still holds behind that.
func (s *Spool) ready() error {
	if s.tail.file != nil {
		return nil
	}
	s.mu.Lock()
	base := s.end
	s.mu.Unlock()
	f, err := replace(s.cfg.Disk, s.path(base), header(base))
	if err != nil {
		return err
	}
	s.tail.file, s.tail.base, s.tail.size, s.tail.notes = f, base, 0, 0
	s.mu.Lock()
	// One that never got a record for good has been replaced by this one.
	if n := len(s.bases); n == 0 || s.bases[n-1] != base {
		s.bases = append(s.bases, base)
	}
	s.mu.Unlock()
	return nil
}

// rotate ends the segment and begins another.
func (s *Spool) rotate() error {
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.tail.close(); err != nil {
		s.cfg.Log.Warn("spool segment was not closed well", slog.Any("error", err))
	}
	return s.ready()
}

// write appends entries to the segment and fsyncs it if one of them waits for that, or it is time.
func (s *Spool) write(part []*entry) error {
	t := &s.tail
	t.buf = t.buf[:0]
	waits := false
	var notes int64
	for _, e := range part {
		e.place = t.written() + Place(len(t.buf))
		t.buf = append(t.buf, e.frame...)
		switch {
		case e.done != nil:
			waits = true
		case e.frame != nil:
			notes++
		}
	}
	if len(t.buf) > 0 {
		if _, err := t.file.WriteAt(t.buf, headerSize+t.size); err != nil {
			// The segment ends here, with the notes before if they can be kept.
			if s.sync() == nil {
				s.abandon()
			}
			return err
		}
		t.size += int64(len(t.buf))
	}
	s.mu.Lock()
	due := waits || t.written()-s.end >= unsynced
	s.mu.Unlock()
	if due {
		if err := s.sync(); err != nil {
			return err
		}
		notes = 0
	}
	t.notes += notes
	s.mu.Lock()
	s.written = t.written()
	s.queued -= int64(len(t.buf))
	s.mu.Unlock()
	if cap(t.buf) > backlog {
		t.buf = nil
	}
	return nil
}

// sync makes what was written outlive a crash. A file whose fsync failed is never trusted again: the
// system may have forgotten what it could not write, and a later fsync would not say so.
func (s *Spool) sync() error {
	t := &s.tail
	s.mu.Lock()
	clean := s.end == t.written()
	s.mu.Unlock()
	if clean {
		return nil
	}
	if err := t.file.Sync(); err != nil {
		s.abandon()
		return err
	}
	t.notes = 0
	s.mu.Lock()
	s.end = t.written()
	s.mu.Unlock()
	return nil
}

// abandon closes the segment and gives up what it holds behind the last fsync.
func (s *Spool) abandon() {
	t := &s.tail
	s.mu.Lock()
	s.written = s.end
	if t.written() != s.end {
		s.dropped += t.notes
	}
	size := int64(s.end - t.base)
	s.mu.Unlock()
	// Both may fail like what came before, and do not matter: a segment ends where the next begins.
	if err := t.file.Truncate(headerSize + size); err != nil {
		s.cfg.Log.Debug("spool segment was not cut", slog.Any("error", err))
	}
	if err := t.close(); err != nil {
		s.cfg.Log.Debug("spool segment was not closed well", slog.Any("error", err))
	}
}
