package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// heldRetry is how long a long poll that can be neither answered nor refused waits between tries.
const heldRetry = time.Second

// await issues work as soon as there is a template other than the one that req names, or the work
// that the caller has is much too easy for it. Keep-alive bytes go out meanwhile if beat allows.
//
// Before the first byte an error is returned as it comes. After it nothing but work can be said,
// so trouble is waited out until the client leaves or the server stops.
func (s *Server) await(ctx context.Context, c *call, req gbt.TemplateRequest, beat *heartbeat) (*gbt.Work, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var err error
	if c.leave, err = s.waiters.enter(cancel); err != nil {
		return nil, err
	}
	var early <-chan struct{}
	if req.LongPollID != "" {
		early = s.cfg.Desk.Harder(c.caller.account, req)
	}
	for {
		turn, stop := beat.turn(ctx)
		work, err := s.issue(turn, c, req, early)
		due := turn.Err() != nil
		stop()
		switch {
		case err == nil:
			return work, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case due:
		case !beat.begun(), !errors.Is(err, gbt.ErrUnavailable), errors.Is(err, gbt.ErrClosed):
			return nil, err
		default:
			pause(ctx, heldRetry)
		}
		if err := beat.strike(); err != nil {
			return nil, err
		}
	}
}

func (s *Server) issue(ctx context.Context, c *call, req gbt.TemplateRequest, early <-chan struct{}) (*gbt.Work, error) {
	if err := s.cfg.Desk.Await(ctx, req.LongPollID, early); err != nil {
		return nil, err
	}
	c.woken = time.Now()
	return s.cfg.Desk.Issue(c.caller.account, req)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// heartbeat sends keep-alive bytes at an interval. A nil heartbeat never does.
type heartbeat struct {
	out   *stream
	every time.Duration
	next  time.Time
}

// newHeartbeat returns a heartbeat whose first byte is due after every; nil if every is 0.
func newHeartbeat(out *stream, every time.Duration) *heartbeat {
	if every == 0 {
		return nil
	}
	return &heartbeat{out: out, every: every, next: time.Now().Add(every)}
}

// turn returns a context that ends when the next byte is due.
func (h *heartbeat) turn(ctx context.Context) (context.Context, context.CancelFunc) {
	if h == nil {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, h.next)
}

// strike sends a byte if it is due.
func (h *heartbeat) strike() error {
	if h == nil || time.Now().Before(h.next) {
		return nil
	}
	h.next = time.Now().Add(h.every)
	return h.out.beat()
}

func (h *heartbeat) begun() bool { return h != nil && h.out.begun }

// waiters are the requests that wait for a template. They can be sent away all at once.
type waiters struct {
	mu sync.Mutex
	// All below is held by mu.
	cancels map[*context.CancelCauseFunc]struct{}
	closed  bool
	gone    chan struct{} // closed once closed is set and nobody waits
}

func newWaiters() *waiters {
	return &waiters{cancels: make(map[*context.CancelCauseFunc]struct{}), gone: make(chan struct{})}
}

// enter lets a request wait until it calls leave, or until cancel is called on it with
// errDraining. It fails with errDraining once the server stops.
func (w *waiters) enter(cancel context.CancelCauseFunc) (leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errDraining
	}
	w.cancels[&cancel] = struct{}{}
	return func() { w.leave(&cancel) }, nil
}

func (w *waiters) leave(key *context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cancels, key)
	if w.closed && len(w.cancels) == 0 {
		close(w.gone)
	}
}

// drain sends all away and waits until they are gone or ctx ends.
func (w *waiters) drain(ctx context.Context) {
	w.close()
	select {
	case <-w.gone:
	case <-ctx.Done():
	}
}

func (w *waiters) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	for cancel := range w.cancels {
		(*cancel)(errDraining)
	}
	if len(w.cancels) == 0 {
		close(w.gone)
	}
}

// stopping reports whether drain was called.
func (w *waiters) stopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
