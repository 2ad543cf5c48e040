package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// pollEvery is how often a server without long polling is asked.
	pollEvery = 10 * time.Second
	// pollFor is how long a long poll may take: very long, as BIP 22 asks, but not for ever, since
	// something between here and the server may have forgotten it.
	pollFor = time.Hour
)

// follower keeps up with a server's templates: one at first, then long polls.
type follower struct {
	client  *Client
	request Request
	// adopt takes each template.
	adopt func(context.Context, *Template) error
	// wanted returns what is closed when the next template should be fetched instead of waiting
	// longer.
	wanted func() <-chan struct{}
	// trouble hears of what can be tried again; fatal reports what can not.
	trouble func(error)
	fatal   func(error) bool
}

// run follows the server until ctx ends. Failures to fetch and to poll are counted apart: a server
// may do the one and not the other.
func (f *follower) run(ctx context.Context) error {
	var last *Template
	var fetches, polls backoff
	for ctx.Err() == nil {
		t, err := f.next(ctx, last)
		if err == nil {
			err = f.adopt(ctx, t)
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
		case f.fatal(err):
			return err
		default:
			f.trouble(err)
		}
		last = nil
		_ = sleep(ctx, tries.failed()) // the loop looks at ctx
	}
	return nil
}

// next returns the template after last, or any if last is nil. It fails with errStopped if a
// template should be fetched instead of waiting longer.
func (f *follower) next(ctx context.Context, last *Template) (*Template, error) {
	if last == nil {
		return f.client.Template(ctx, f.request, nil)
	}
	until := time.Now().Add(pollFor)
	if expires := last.Received.Add(last.Expires); last.Expires > 0 && expires.Before(until) {
		until = expires
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until, errStopped)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	watched, wanted := make(chan struct{}), f.wanted()
	go func() {
		defer close(watched)
		select {
		case <-wanted:
			stop(errStopped)
		case <-ctx.Done():
		}
	}()
	defer func() { stop(nil); <-watched }()
	t, err := f.wait(ctx, last)
	if err != nil && errors.Is(context.Cause(ctx), errStopped) {
		return nil, errStopped
	}
	return t, err
}

// wait waits until a template should be replaced, as the server tells, and returns the next.
func (f *follower) wait(ctx context.Context, last *Template) (*Template, error) {
	req := f.request
	if req.LongPollID = last.LongPollID; req.LongPollID == "" {
		if err := sleep(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
	return f.client.Template(ctx, req, last)
}

// follow keeps the work up to date.
func (m *Miner) follow(ctx context.Context) error {
	serial := uint64(0)
	f := follower{
		client: m.cfg.Client, request: Request{Target: m.cfg.Target, SizeLimit: m.cfg.SizeLimit, Choose: m.cfg.Policy != nil},
		adopt:  func(ctx context.Context, t *Template) error { serial++; return m.adopt(ctx, t, serial) },
		wanted: func() <-chan struct{} { return m.work.Load().wanted },
		trouble: func(err error) {
			m.event(Event{Kind: Trouble, Err: err})
		},
		fatal: func(err error) bool { return !retriable(err) },
	}
	return f.run(ctx)
}

// followNode keeps up with the miner's own node. Nothing that goes wrong with it stops the mining.
func (m *Miner) followNode(ctx context.Context) error {
	f := follower{
		client: m.cfg.Node,
		adopt: func(_ context.Context, t *Template) error {
			m.own.Store(t)
			m.tell()
			return nil
		},
		wanted: func() <-chan struct{} { return nil },
		trouble: func(err error) {
			m.event(Event{Kind: Trouble, Err: fmt.Errorf("the miner's own node: %w", err)})
		},
		fatal: func(error) bool { return false },
	}
	return f.run(ctx)
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

// adopt puts a template in place of the one being mined, unless that is of the miner's own choice
// and good for as long as the next choice takes.
func (m *Miner) adopt(ctx context.Context, t *Template, serial uint64) error {
	a, err := NewAssembler(t, m.cfg.Options)
	switch {
	case errors.Is(err, ErrTemplate):
		return err
	case err != nil:
		return &optionsError{err}
	}
	if !t.SubmitOld {
		m.validFrom.Store(serial)
	}
	m.count(func(s *Stats) { s.Height = t.Height })
	m.replace(newWork(ctx, a, serial, &m.numbers), func(old *work) bool { return !old.goesOn(t) })
	m.publish(ctx, t, serial)
	return nil
}

// replace puts work in place of what is mined if that may be replaced.
func (m *Miner) replace(w *work, may func(old *work) bool) {
	for {
		old := m.work.Load()
		if !may(old) {
			w.end()
			return
		}
		if m.work.CompareAndSwap(old, w) {
			old.end()
			close(old.replaced)
			m.event(Event{Kind: NewWork, Template: w.template})
			return
		}
	}
}
