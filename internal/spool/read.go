package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
)

// Record is a record of the log.
type Record struct {
	// Place is where it begins, and Next where the record after it does.
	Place, Next Place
	// Data is what was appended. It is the caller's.
	Data []byte
}

// Records reads the records from a place on, in order, up to the last that was appended or noted when
// the iteration began; these are fsynced first, so that no crash takes back what was read. A place
// before Oldest stands for Oldest; any other must be a record's or End. Appending and releasing may go
// on meanwhile; records that are released are left out. An error ends the iteration: ErrCorrupt if a
// file is damaged, or the place is not one of this log.
func (s *Spool) Records(from Place) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		// What could not be written is not there, which is Healthy's to say.
		if err := s.Sync(context.Background()); errors.Is(err, os.ErrClosed) {
			yield(Record{}, err)
			return
		}
		s.mu.Lock()
		bases, end := slices.Clone(s.bases), s.end
		s.mu.Unlock()
		if from > end {
			yield(Record{}, fmt.Errorf("%w: the log in %s ends at %d, and place %d was asked for; restore the folder from a newer copy, or ask for less",
				ErrCorrupt, s.cfg.Dir, end, from))
			return
		}
		for i, base := range bases {
			to := end
			if i+1 < len(bases) {
				to = bases[i+1]
			}
			if to > from && !s.read(max(from, base), base, to, yield) {
				return
			}
		}
	}
}

// read yields the records of the segment at base between two places, and reports whether to go on.
func (s *Spool) read(from, base, to Place, yield func(Record, error) bool) bool {
	f, err := s.cfg.Disk.Open(s.path(base), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) && base < s.Oldest() {
		return true
	}
	if err != nil {
		yield(Record{}, fmt.Errorf("spool: %w", err))
		return false
	}
	on := s.each(f, base, from, to, yield)
	if err := f.Close(); err != nil && on {
		yield(Record{}, fmt.Errorf("spool: %w", err))
		return false
	}
	return on
}

// each is read for an open file.
func (s *Spool) each(f File, base, from, to Place, yield func(Record, error) bool) bool {
	offset := func(p Place) int64 { return headerSize + int64(p-base) }
	records := newFrames(f, offset(from), offset(to))
	for {
		data, err := records.next(nil)
		switch {
		case errors.Is(err, io.EOF):
			return true
		case errors.Is(err, errDamaged):
			yield(Record{}, s.corrupt(base, offset(from), err))
			return false
		case err != nil:
			yield(Record{}, fmt.Errorf("spool: %w", err))
			return false
		}
		next := from + Place(frameSize+len(data))
		if !yield(Record{Place: from, Next: next, Data: data}, nil) {
			return false
		}
		from = next
	}
}
