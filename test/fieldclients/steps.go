package fieldclients

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// isTimeout reports whether a call took too long.
func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// Fetch takes one attempt to get work, as the program does when it has none or when it has worked
// on the same for long enough. The error matches ErrNoWork, ErrBroken or ErrBlocked, or is ctx's.
func (m *CPUMiner) Fetch(ctx context.Context) error {
	if m.pending != nil {
		return fmt.Errorf("%w: %s", ErrBlocked, m.pending.Reason)
	}
	for m.State().Protocol == GBT {
		result, f := m.call(ctx, m.workio, m.request(m.server.RequestURI(), m.templateRequest(""), m.d.timeout), true)
		if err := ctx.Err(); err != nil {
			return err
		}
		if f == nil {
			err := m.take(result, false)
			var away getworkError
			if !errors.As(err, &away) {
				return m.informed(ctx, err)
			}
			continue // which ends the loop
		}
		if f.code != 0 {
			return fmt.Errorf("%w: %s", ErrNoWork, f.why)
		}
		m.leave(Getwork, "getblocktemplate failed: %s", f.why)
	}
	if m.State().Protocol == Getwork {
		_, f := m.call(ctx, m.workio, m.request(m.server.RequestURI(), getworkRequest, m.d.timeout), false)
		if err := ctx.Err(); err != nil {
			return err
		}
		if f != nil {
			return fmt.Errorf("%w: getwork: %s", ErrNoWork, f.why)
		}
	}
	return fmt.Errorf("%w that is imitated here: the program speaks %s: %s", ErrNoWork, m.State().Protocol, m.State().Why)
}

// informed asks for the best chain, which cpuminer-multi does after each template while it waits for
// no long poll. It passes err on.
func (m *CPUMiner) informed(ctx context.Context, err error) error {
	if m.d.asksInfo && !m.State().LongPolling {
		m.askInfo(ctx)
	}
	return err
}

// askInfo asks for the best chain.
func (m *CPUMiner) askInfo(ctx context.Context) {
	if m.infoRefused {
		return
	}
	result, f := m.call(ctx, m.workio, m.request(m.server.RequestURI(), infoRequest, m.d.timeout), false)
	if f != nil {
		m.infoRefused = f.code == -1
		return
	}
	v, _ := member(result, "blocks")
	if blocks, ok := integer(v); ok {
		m.blocks = blocks
	}
}

// take makes the work that comes next of a template. The error is a getworkError or matches
// ErrBroken.
func (m *CPUMiner) take(result any, polled bool) error {
	w, err := m.decode(result)
	m.next.mu.Lock()
	defer m.next.mu.Unlock()
	if err == nil || m.d.alwaysPolls {
		m.arrangePoll(result)
	}
	var away getworkError
	switch {
	case errors.As(err, &away):
		m.leave(Getwork, "%s", err)
		return err
	case err != nil:
		m.change(func(s *State) { s.Broken = err.Error() })
		return fmt.Errorf("%w: %w", ErrBroken, err)
	case polled && w.workID == "" && m.next.work != nil && m.next.work.workID != "" && m.d.readsRules:
		// minerd frees the workid before it reads the next one, and keeps the pointer.
		const why = "the answer to a long poll has no workid but work before had: freed memory is used for it"
		m.change(func(s *State) { s.Broken = why })
		return fmt.Errorf("%w: %s", ErrBroken, why)
	}
	m.next.work = w
	if !polled || m.d.restarts {
		m.next.since = m.cfg.Now()
	}
	m.change(func(s *State) { s.Broken, s.Height, s.WorkID, s.Templates = "", w.height, w.workID, s.Templates+1 })
	return nil
}

// arrangePoll starts long polls, or has them go on, from a template. The caller holds next.mu.
func (m *CPUMiner) arrangePoll(result any) {
	v, _ := member(result, "longpollid")
	id, ok := text(v)
	if m.cfg.NoLongPoll || !ok {
		return
	}
	m.next.pollID = id
	if m.next.pollPath != "" {
		return
	}
	m.next.pollPath = m.server.RequestURI()
	v, _ = member(result, "longpolluri")
	if uri, ok := text(v); ok {
		path, err := pollPath(m.server, uri)
		if err != nil {
			m.change(func(s *State) { s.Why = err.Error() })
		}
		m.next.pollPath = path
	}
	m.change(func(s *State) { s.LongPolling = m.next.pollPath != "" })
}

// Poll waits for one long poll and takes its work. After a failure it needs a new template first,
// and so does minerd and its kin: the error matches ErrNoLongPoll then.
func (m *CPUMiner) Poll(ctx context.Context) error {
	m.next.mu.Lock()
	path, id := m.next.pollPath, m.next.pollID
	m.next.mu.Unlock()
	if path == "" {
		return ErrNoLongPoll
	}
	if m.d.pollsWithGetwork {
		// What comes of it does not matter, but it has to come: the long poll waits for it.
		_, _ = m.call(ctx, m.poller, m.request(m.server.RequestURI(), getworkRequest, m.d.pollTimeout), false)
	}
	body := m.templateRequest(id)
	if m.State().Protocol != GBT {
		body = getworkRequest
	}
	result, f := m.call(ctx, m.poller, m.request(path, body, m.d.pollTimeout), false)
	if err := ctx.Err(); err != nil {
		return err
	}
	if f != nil {
		m.next.mu.Lock()
		defer m.next.mu.Unlock()
		m.next.since = m.next.since.Add(-scanTime)
		if f.code != curlTimedOut {
			m.next.pollPath = ""
			m.change(func(s *State) { s.LongPolling = false })
		}
		return fmt.Errorf("%w: long poll: %s", ErrNoWork, f.why)
	}
	v, _ := member(result, "submitold")
	m.change(func(s *State) { s.SubmitOld = v == any(true) }) // absent is false
	return m.take(result, true)
}

// due reports whether the work has been worked on for long enough.
func (m *CPUMiner) due() bool {
	m.next.mu.Lock()
	defer m.next.mu.Unlock()
	limit := shortScan
	if m.next.pollPath != "" {
		limit = scanTime
	}
	return m.next.work == nil || m.cfg.Now().Sub(m.next.since) >= limit
}

// pick picks the work to hash. Work of the same 76 bytes goes on where it was, with the old workid.
func (m *CPUMiner) pick() (*work, error) {
	m.next.mu.Lock()
	defer m.next.mu.Unlock()
	if m.next.work == nil {
		return nil, fmt.Errorf("%w yet", ErrNoWork)
	}
	if m.hashed == nil || !slices.Equal(m.hashed.header[:nonceAt], m.next.work.header[:nonceAt]) {
		w := *m.next.work
		m.hashed = &w
		m.change(func(s *State) { s.Works++ })
	}
	return m.hashed, nil
}

// Mine finds one share on the work in hand and submits it. A share that was not ruled on comes
// first, as it does for the program, which does nothing else meanwhile.
func (m *CPUMiner) Mine(ctx context.Context) (Share, error) {
	if s := m.pending; s != nil {
		err := m.send(ctx, s)
		return *s, err
	}
	w, err := m.pick()
	if err != nil {
		return Share{}, err
	}
	if err := w.scan(ctx, m.interrupted(w)); err != nil {
		if errors.Is(err, errExhausted) {
			m.again(true)
		}
		return Share{}, err
	}
	s := newShare(w, m.submitRequest(w))
	if m.stale(ctx, w) {
		s.Verdict = Dropped
		m.count(s)
		return *s, nil
	}
	err = m.send(ctx, s)
	return *s, err
}

// interrupted returns what ends a search before its time: new work, for programs that heed it.
func (m *CPUMiner) interrupted(w *work) func() bool {
	return func() bool {
		if !m.d.restarts {
			return m.due()
		}
		m.next.mu.Lock()
		defer m.next.mu.Unlock()
		return !slices.Equal(w.header[:nonceAt], m.next.work.header[:nonceAt])
	}
}

// stale reports whether the program keeps a share to itself.
func (m *CPUMiner) stale(ctx context.Context, w *work) bool {
	m.next.mu.Lock()
	old := !slices.Equal(w.previous(), m.next.work.previous())
	m.next.mu.Unlock()
	if old && !m.State().SubmitOld {
		return true
	}
	if !m.d.asksInfo {
		return false
	}
	if !m.State().LongPolling {
		m.askInfo(ctx)
	}
	return !m.infoRefused && w.height <= m.blocks
}

// newShare is a share that was just found.
func newShare(w *work, body string) *Share {
	hash := sha256d(w.header[:])
	return &Share{Hash: hex.EncodeToString(reversed(hash[:])), Height: w.height, Body: body}
}

// send submits a share once. It is kept if nothing was ruled on.
func (m *CPUMiner) send(ctx context.Context, s *Share) error {
	result, f := m.call(ctx, m.workio, m.request(m.server.RequestURI(), s.Body, m.d.timeout), false)
	m.pending = nil
	switch {
	case f != nil && ctx.Err() != nil:
		m.pending = s
		return ctx.Err()
	case f != nil:
		s.Verdict, s.Reason = Resending, f.why
		m.pending = s
	case accepts(result):
		s.Verdict, s.Reason = Accepted, ""
	default:
		s.Verdict, s.Reason = Rejected, dump(result)
		if reason, ok := text(result); ok {
			s.Reason = reason
		}
	}
	m.count(s)
	return nil
}

// accepts is how the two cpuminers read the result of submitblock: null is fine, and so is an
// object with a null in it.
func accepts(result any) bool {
	if o, ok := result.(object); ok {
		for _, v := range o {
			if v == nil {
				return true
			}
		}
		return false
	}
	return result == nil
}

// again has the program ask for another template: when a nonce range is exhausted, and with
// cpuminer-multi after each share while it waits for no long poll.
func (m *CPUMiner) again(exhausted bool) {
	m.next.mu.Lock()
	defer m.next.mu.Unlock()
	if exhausted || m.d.asksInfo && m.next.pollPath == "" {
		m.next.since = time.Time{}
	}
}

// Run has the program mine until ctx ends.
func (m *CPUMiner) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := m.Poll(ctx); err != nil {
				wait(ctx, m.pollPause(err))
			}
		}
	}()
	for ctx.Err() == nil {
		if m.pending == nil && m.due() {
			if err := m.Fetch(ctx); err != nil {
				wait(ctx, m.cfg.Pause)
				continue
			}
		}
		switch s, err := m.Mine(ctx); {
		case errors.Is(err, errExhausted), errors.Is(err, errInterrupted):
		case err != nil, s.Verdict == Resending:
			wait(ctx, m.cfg.Pause)
		default:
			m.again(false)
		}
	}
	<-done
	return nil
}

// pollPause is how long no long poll is sent after a failure.
func (m *CPUMiner) pollPause(err error) time.Duration {
	if errors.Is(err, ErrNoLongPoll) {
		return time.Millisecond // until there is a template to wait for the end of
	}
	return m.cfg.Pause
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
