package client

import (
	"context"
	"errors"
	"time"
)

const (
	// pollEvery is how often a server without long polling is asked.
	pollEvery = 10 * time.Second
	// pollFor is how long a long poll may take: very long, as BIP 22 asks, but not for ever, since
	// something between here and the server may have forgotten it.
	pollFor = time.Hour
)

// follow keeps the work up to date: a template at first, then long polls. Failures of the two are
// counted apart: a server may do the one and not the other.
func (m *Miner) follow(ctx context.Context) error {
	var last *Template
	var fetches, polls backoff
	for serial := uint64(1); ctx.Err() == nil; {
		t, err := m.next(ctx, last)
		if err == nil {
			err = m.adopt(ctx, t, serial)
			serial++
		}
		tries := &fetches
		if last != nil {
			tries = &polls
		}
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx is how a miner ends, not a failure
		case errors.Is(err, errStopped):
			last = nil // a template should be fetched
			continue
		case err == nil && last != nil && last.LongPollID != "" && t.LongPollID == last.LongPollID:
			// The poll was answered although nothing happened. The next may be too.
		case err == nil:
			tries.succeeded()
			last = t
			continue
		case !retriable(err):
			return err
		default:
			m.event(Event{Kind: Trouble, Err: err})
		}
		last = nil
		_ = sleep(ctx, tries.failed()) // the loop looks at ctx
	}
	return nil
}

// retriable reports whether trying again can help. It cannot where the server forbids or the
// miner's own options are at fault.
func retriable(err error) bool {
	var options *optionsError
	return !forbidden(err) && !errors.As(err, &options)
}

// optionsError says that a block cannot be made the way that the Options want it.
type optionsError struct{ error }

// Unwrap returns the reason.
func (e *optionsError) Unwrap() error { return e.error }

// next returns the template after last, or any if last is nil. It fails with errStopped if a
// template should be fetched instead of waiting longer.
func (m *Miner) next(ctx context.Context, last *Template) (*Template, error) {
	if last == nil {
		return m.cfg.Client.Template(ctx, Request{Target: m.cfg.Target}, nil)
	}
	until := time.Now().Add(pollFor)
	if expires := last.Received.Add(last.Expires); last.Expires > 0 && expires.Before(until) {
		until = expires
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until, errStopped)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	watched, wanted := make(chan struct{}), m.work.Load().wanted
	go func() {
		defer close(watched)
		select {
		case <-wanted:
			stop(errStopped)
		case <-ctx.Done():
		}
	}()
	defer func() { stop(nil); <-watched }()
	t, err := m.wait(ctx, last)
	if err != nil && errors.Is(context.Cause(ctx), errStopped) {
		return nil, errStopped
	}
	return t, err
}

// wait waits until a template should be replaced, as the server tells, and returns the next.
func (m *Miner) wait(ctx context.Context, last *Template) (*Template, error) {
	req := Request{LongPollID: last.LongPollID, Target: m.cfg.Target}
	if req.LongPollID == "" {
		if err := sleep(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
	return m.cfg.Client.Template(ctx, req, last)
}

// adopt puts a template in place of the one being mined.
func (m *Miner) adopt(ctx context.Context, t *Template, serial uint64) error {
	a, err := NewAssembler(t, m.cfg.Options)
	switch {
	case errors.Is(err, ErrTemplate):
		return err
	case err != nil:
		return &optionsError{err}
	}
	w := newWork(ctx, a, serial, &m.numbers)
	if !t.SubmitOld {
		m.validFrom.Store(serial)
	}
	m.count(func(s *Stats) { s.Height = t.Height })
	old := m.work.Swap(w)
	old.end()
	close(old.replaced)
	m.event(Event{Kind: NewWork, Template: t})
	return nil
}
