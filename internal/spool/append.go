package spool

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
)

const (
	// backlog is how many bytes may wait for the disk before notes are dropped.
	backlog = 4 << 20
	// unsynced is how many bytes of notes are written before they are fsynced without an append.
	unsynced = 1 << 20
)

// entry is what waits for the flusher: an append, a note, which nobody waits for, or nothing at all,
// which has what came before it fsynced.
type entry struct {
	frame []byte
	place Place
	err   error
	done  chan struct{} // closed once place and err are set; nil if nobody waits
}

// Append writes a record of at most MaxRecord bytes and returns its place once it outlives a crash.
// Appends that come while the disk works share one fsync. After an error that matches ErrFull or
// os.ErrClosed the record is not in the log; after one of the disk, or of the context when it ends
// while the record is being written, it may be.
func (s *Spool) Append(ctx context.Context, rec []byte) (Place, error) {
	if len(rec) > MaxRecord {
		return 0, fmt.Errorf("spool: a record of %d bytes, at most %d are kept", len(rec), MaxRecord)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	e := &entry{frame: frame(rec), done: make(chan struct{})}
	if err := s.admit(e); err != nil {
		return 0, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		if s.withdraw(e) {
			return 0, fmt.Errorf("spool: %w", ctx.Err())
		}
		select {
		case <-e.done:
		default:
			return 0, fmt.Errorf("spool: the disk did not answer, the record may be kept or not: %w", ctx.Err())
		}
	}
	if e.err != nil {
		return 0, fmt.Errorf("spool: %w", e.err)
	}
	return e.place, nil
}

// Note has a record of at most MaxRecord bytes written and does not wait for it: a crash may lose it
// if no append follows. It is dropped, and counted in Dropped, if there is no room for it, if it is
// too large, or while the disk fails or falls far behind.
func (s *Spool) Note(rec []byte) {
	e := &entry{}
	if len(rec) <= MaxRecord {
		e.frame = frame(rec)
	}
	if e.frame == nil || s.admit(e) != nil {
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
	}
}

// admit queues an entry if there is room for it.
func (s *Spool) admit(e *entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(e.frame))
	switch {
	case s.closed:
		return fmt.Errorf("spool: %w", os.ErrClosed)
	case s.bytes()+size > s.cfg.Most:
		s.refused = size
		return s.full(size)
	case e.done == nil && s.failed != nil:
		return s.failed
	case e.done == nil && s.queued+size > backlog:
		return fmt.Errorf("%d bytes wait for the disk", s.queued)
	}
	s.refused = 0
	s.enqueue(e)
	return nil
}

// enqueue queues an entry and sees to it that there is a flusher. The caller holds mu and knows that
// the spool is open.
func (s *Spool) enqueue(e *entry) {
	s.pending = append(s.pending, e)
	s.queued += int64(len(e.frame))
	if !s.flushing {
		s.flushing = true
		s.flusher.Go(s.flush)
	}
}

// withdraw takes back an entry that no flusher has taken yet.
func (s *Spool) withdraw(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.pending, e)
	if i < 0 {
		return false
	}
	s.pending = slices.Delete(s.pending, i, i+1)
	s.queued -= int64(len(e.frame))
	return true
}

// settle returns once all that was queued before is on the disk, or has failed.
func (s *Spool) settle() error {
	e := &entry{done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return os.ErrClosed
	}
	s.enqueue(e)
	s.mu.Unlock()
	<-e.done
	return e.err
}

// flush is the flusher: it writes what is queued, and all that is queued meanwhile. There is one at a
// time, which alone writes to the tail.
func (s *Spool) flush() {
	for {
		s.mu.Lock()
		batch := s.pending
		s.pending = nil
		s.flushing = len(batch) > 0
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		s.commit(batch)
	}
}

// commit writes a batch and tells those who wait.
func (s *Spool) commit(batch []*entry) {
	err := s.ready()
	for err == nil && len(batch) > 0 {
		part := s.fitting(batch)
		if len(part) == 0 {
			err = s.rotate()
			continue
		}
		if err = s.write(part); err == nil {
			s.report(nil)
			s.finish(part, nil)
			batch = batch[len(part):]
		}
	}
	if err != nil {
		s.report(err)
		s.finish(batch, err)
	}
}

// fitting returns those entries at the beginning of a batch that the tail has room for.
func (s *Spool) fitting(batch []*entry) []*entry {
	size := s.tail.size
	for i, e := range batch {
		size += int64(len(e.frame))
		if size > s.cfg.Segment && size > int64(len(e.frame)) && len(e.frame) > 0 {
			return batch[:i]
		}
	}
	return batch
}

// finish tells the entries of a batch how they ended.
func (s *Spool) finish(batch []*entry, err error) {
	if err != nil {
		s.mu.Lock()
		for _, e := range batch {
			s.queued -= int64(len(e.frame))
			if e.done == nil && e.frame != nil {
				s.dropped++
			}
		}
		s.mu.Unlock()
	}
	for _, e := range batch {
		if e.done != nil {
			e.err = err
			close(e.done)
		}
	}
}

// report keeps how the last try to write ended, and logs when that changes.
func (s *Spool) report(err error) {
	s.mu.Lock()
	before := s.failed
	s.failed = err
	s.mu.Unlock()
	switch {
	case before == nil && err != nil:
		s.cfg.Log.Error("spool cannot be written to", slog.String("dir", s.cfg.Dir), slog.Any("error", err))
	case before != nil && err == nil:
		s.cfg.Log.Info("spool can be written to again", slog.String("dir", s.cfg.Dir))
	}
}
