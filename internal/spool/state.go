package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// State returns what SetState has kept last; nil if there never was any.
func (s *Spool) State() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.state)
}

// SetState keeps at most MaxRecord bytes beside the log, in place of those kept before, and returns
// once they outlive a crash. After an error State is what it was; the next Open may find either.
func (s *Spool) SetState(ctx context.Context, state []byte) error {
	if len(state) > MaxRecord {
		return fmt.Errorf("spool: a state of %d bytes, at most %d are kept", len(state), MaxRecord)
	}
	select {
	case s.aside <- struct{}{}:
		defer func() { <-s.aside }()
	case <-ctx.Done():
		return fmt.Errorf("spool: %w", ctx.Err())
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("spool: %w", os.ErrClosed)
	}
	f, err := replace(s.cfg.Disk, filepath.Join(s.cfg.Dir, stateName), frame(state))
	if err != nil {
		return fmt.Errorf("spool: the state is not kept: %w", err)
	}
	s.mu.Lock()
	s.state = append([]byte{}, state...)
	s.mu.Unlock()
	if err := f.Close(); err != nil { // it is kept all the same
		s.cfg.Log.Warn("spool state was not closed well", slog.Any("error", err))
	}
	return nil
}

// readState reads the state's file.
func (s *Spool) readState() ([]byte, error) {
	path := filepath.Join(s.cfg.Dir, stateName)
	f, err := s.cfg.Disk.Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	records := newFrames(f, 0, info.Size())
	state, err := records.next(nil)
	if err == nil && records.left > 0 {
		err = fmt.Errorf("%w: %d bytes too many", errDamaged, records.left)
	}
	if errors.Is(err, errDamaged) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %s: %w; restore the file from a copy, or move it elsewhere to go on without it", ErrCorrupt, path, err)
	}
	return state, errors.Join(err, f.Close())
}
