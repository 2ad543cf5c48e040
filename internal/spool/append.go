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
	return s.add(ctx, rec, s.cfg.Most)
}

// AppendReserved is Append for a record that must not be lost for want of room: it may use
// Config.Reserve as well, so ErrFull means that the reserve is used up too. The reserve is a bound like
// Config.Most and holds no space on the disk, so a full disk fails it as it fails Append.
func (s *Spool) AppendReserved(ctx context.Context, rec []byte) (Place, error) {
	return s.add(ctx, rec, s.cfg.Most+s.cfg.Reserve)
}

// add is Append for a spool of at most so many bytes.
func (s *Spool) add(ctx context.Context, rec []byte, most int64) (Place, error) {
	if len(rec) > MaxRecord {
		return 0, fmt.Errorf("spool: a record of %d bytes, at most %d are kept", len(rec), MaxRecord)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	e := &entry{frame: frame(rec), done: make(chan struct{})}
	if err := s.admit(e, most); err != nil {
		return 0, err
	}
	if err := s.wait(ctx, e); err != nil {
		return 0, err
	}
	return e.place, nil
}

// Sync returns once all that was appended or noted before is on the disk. Notes that were dropped, before
// or meanwhile, are not: Dropped counts them. After an error of the disk, or of the context, what was not
// on the disk before may be there or not. The error matches os.ErrClosed once the spool is closed.
func (s *Spool) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	e := &entry{done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("spool: %w", os.ErrClosed)
	}
	s.enqueue(e)
	s.mu.Unlock()
	return s.wait(ctx, e)
}

// wait returns once an entry that was queued is on the disk, or has failed, or the context ends.
func (s *Spool) wait(ctx context.Context, e *entry) error {
	select {
	case <-e.done:
	case <-ctx.Done():
		if s.withdraw(e) {
			return fmt.Errorf("spool: %w", ctx.Err())
		}
		select {
		case <-e.done:
		default:
			return fmt.Errorf("spool: the disk did not answer, what was to be written may be kept or not: %w", ctx.Err())
		}
	}
	if e.err != nil {
		return fmt.Errorf("spool: %w", e.err)
	}
	return nil
}

// Note has a record of at most MaxRecord bytes written and does not wait for it: a crash may lose it
// if no append follows. It is dropped, and counted in Dropped, if there is no room for it, if it is
// too large, or while the disk fails or falls far behind.
func (s *Spool) Note(rec []byte) {
	e := &entry{}
	if len(rec) <= MaxRecord {
		e.frame = frame(rec)
	}
	if e.frame == nil || s.admit(e, s.cfg.Most) != nil {
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
	}
}

// admit queues an entry if there is room for it in a spool of at most so many bytes.
func (s *Spool) admit(e *entry, most int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(e.frame))
	switch {
	case s.closed:
		return fmt.Errorf("spool: %w", os.ErrClosed)
	case s.bytes()+size > most:
		s.refused = size
		return s.full(size, most)
	case e.done == nil && s.failed != nil:
		return s.failed
	case e.done == nil && s.queued+size > backlog:
		return fmt.Errorf("%d bytes wait for the disk", s.queued)
	}
	if s.bytes()+size <= s.cfg.Most { // what goes into the reserve says nothing of the room for others
		s.refused = 0
	}
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
