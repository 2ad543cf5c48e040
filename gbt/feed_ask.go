package gbt

import (
	"context"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Current returns the template in force, or an error that matches ErrUnavailable.
func (f *Feed) Current() (*Template, error) {
	s := f.state.Load()
	if err := s.unavailable(); err != nil {
		return nil, err
	}
	return s.template, nil
}

func (s *feedState) unavailable() error {
	if s.err == nil || s.closed {
		return s.err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, s.err)
}

// Wait returns as soon as a template is in force other than the one that longPollID names; an
// empty id names none. While there is no template at all it waits for Patience, counted from when
// the last was lost, and then returns an error that matches ErrUnavailable. It returns ctx's error
// when ctx ends first.
func (f *Feed) Wait(ctx context.Context, longPollID string) error {
	return f.wait(ctx, &Watch{LongPollID: longPollID})
}

// wait is Wait for all that a Watch is for. Ten thousand are in it at a time, and it is where they wake, so it
// takes little of a stack and allocates nothing.
func (f *Feed) wait(ctx context.Context, w *Watch) error {
	id, early := w.LongPollID, w.Early
	for {
		s := f.state.Load()
		var patience <-chan time.Time
		switch {
		case s.closed:
			return ErrClosed
		case s.err == nil && s.pollID != id:
			return nil
		case s.err != nil:
			left := f.cfg.Patience - f.cfg.Now().Sub(s.errSince)
			if left <= 0 {
				return s.unavailable()
			}
			patience = time.After(left)
		}
		select {
		case <-s.changed:
		case <-patience:
		case <-early:
			id, early = "", nil // any template will do from here on
		case <-w.Due:
			return ErrInterrupted
		case <-w.Stop:
			return ErrInterrupted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// find returns the template on a previous block that a token marks, if it is remembered.
func (s *feedState) find(previous chainhash.Hash, mark uint32) (*Template, bool) {
	for _, t := range s.recent {
		if t.PreviousBlock == previous && t.mark() == mark {
			return t, true
		}
	}
	t, _ := s.shelf.get(shelved{previous, mark})
	return t, t != nil
}

// Previous returns the template before the one in force, whatever block it is on; false if there
// is none.
func (f *Feed) Previous() (*Template, bool) {
	s := f.state.Load()
	if len(s.recent) < 2 {
		return nil, false
	}
	return s.recent[1], true
}

// onBlock returns the newest remembered template on a previous block.
func (s *feedState) onBlock(previous chainhash.Hash) (*Template, bool) {
	for _, t := range s.recent {
		if t.PreviousBlock == previous {
			return t, true
		}
	}
	return nil, false
}
