package api

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// heldRetry is how long a long poll that can be neither answered nor refused waits between tries.
const heldRetry = time.Second

// wait is a template request that waits. It lives on the heap: what waits is to have little on its stack.
type wait struct {
	req   gbt.TemplateRequest
	watch gbt.Watch
	beat  *heartbeat
}

// await answers a template request as soon as there is a template other than the one that it names, or the work
// that the caller has is much too easy for it. Keep-alive bytes go out meanwhile if there is a heartbeat.
//
// Before the first byte an error is returned as it comes. After it nothing but work can be said,
// so trouble is waited out until the client leaves or the server stops.
//
// Ten thousand wait here. The stack of each is as large as the deepest call that it made, until half of it and more
// has been free when garbage is collected: so nothing that need not be is between here and the server.
func (s *Server) await(ctx context.Context, c *call) (pieces, error) {
	if err := s.waiters.enter(); err != nil {
		return nil, err
	}
	c.leave = s.waiters.leave
	w := c.wait
	w.watch.Stop = s.waiters.stop
	if w.req.LongPollID != "" {
		s.metrics.polls.Inc()
		defer s.metrics.polls.Dec()
		s.waiters.silent.Add(1)
		c.silent = &s.waiters.silent
	}
	for {
		w.beat.wind(&w.watch)
		err := s.cfg.Desk.Await(ctx, &w.watch)
		if err == nil {
			var result pieces
			if result, err = s.issue(ctx, c); err == nil {
				return result, nil
			}
		}
		if err := s.survive(ctx, w.beat, err); err != nil {
			return nil, err
		}
	}
}

// issue answers a template request from the template in force.
func (s *Server) issue(ctx context.Context, c *call) (result pieces, err error) {
	defer s.recovered(ctx, c, &err)
	c.woken = time.Now()
	work, err := s.cfg.Desk.Issue(c.caller.account, c.wait.req)
	if err != nil {
		return nil, err
	}
	c.poll, c.work = c.wait.req.LongPollID != "", work
	head, tail := work.Result()
	return pieces{head, tail}, nil
}

// survive returns nil if a wait that ended with err is to go on, and sends the byte that is due.
func (s *Server) survive(ctx context.Context, beat *heartbeat, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.waiters.stopping():
		return errDraining
	case errors.Is(err, gbt.ErrInterrupted):
	case !beat.begun(), !errors.Is(err, gbt.ErrUnavailable), errors.Is(err, gbt.ErrClosed):
		return err
	default:
		s.pause(ctx, heldRetry)
	}
	return beat.strike()
}

// pause waits for d, or until ctx ends or the server stops.
func (s *Server) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.waiters.stop:
	case <-ctx.Done():
	}
}

// heartbeat sends keep-alive bytes at an interval. A nil heartbeat never does.
type heartbeat struct {
	out   *stream
	every time.Duration
	next  time.Time
	timer *time.Timer // of next
}

// newHeartbeat returns a heartbeat whose first byte is due after every; nil if every is 0.
func newHeartbeat(out *stream, every time.Duration) *heartbeat {
	if every == 0 {
		return nil
	}
	return &heartbeat{out: out, every: every, next: time.Now().Add(every), timer: time.NewTimer(every)}
}

// wind has a wait be interrupted when the next byte is due.
func (h *heartbeat) wind(w *gbt.Watch) {
	if h == nil {
		return
	}
	h.timer.Reset(time.Until(h.next))
	w.Due = h.timer.C
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
	stop chan struct{} // closed once they are sent away
	gone chan struct{} // closed once stop is and nobody waits
	// silent is how many long polls have not had the beginning of their answer.
	silent atomic.Int64
	mu     sync.Mutex
	// All below is held by mu.
	count  int
	closed bool
}

func newWaiters() *waiters {
	return &waiters{stop: make(chan struct{}), gone: make(chan struct{})}
}

// enter lets a request wait until stop is closed, and until it calls leave. It fails with errDraining once the
// server stops.
func (w *waiters) enter() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errDraining
	}
	w.count++
	return nil
}

func (w *waiters) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if w.closed && w.count == 0 {
		close(w.gone)
	}
}

// yield lets others go first for as long as there are some who get the beginning of their answer meanwhile. It does
// not wait for those who cannot.
func (w *waiters) yield() {
	for left := w.silent.Load(); ; {
		runtime.Gosched()
		now := w.silent.Load()
		if now >= left {
			return
		}
		left = now
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
	close(w.stop)
	if w.count == 0 {
		close(w.gone)
	}
}

// stopping reports whether drain was called.
func (w *waiters) stopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
