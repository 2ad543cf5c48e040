package events

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/gbtpool/gbtpool/shares"
)

// Why streams end.
var (
	errSlow    = errors.New("the client does not keep up")
	errStopped = errors.New("the pool's gateway stops")
	errAged    = errors.New("the stream has lasted for long enough")
)

// Why a stream does not begin.
var (
	errCrowded = errors.New("too many streams")
	errGreedy  = errors.New("too many streams of one client")
)

// stream is one client's.
type stream struct {
	client, account string
	// kinds are those that it gets; none means all.
	kinds []string
	// queue has what is to be sent. Whoever finds it full ends the stream through cancel.
	queue  chan *frame
	cancel context.CancelCauseFunc
	// from is the place after which it gets events from the queue; held by the Hub's mu.
	from place
}

// wants reports whether the stream is to get an event.
func (s *stream) wants(f *frame) bool {
	return f.text != nil && (f.account == "" || f.account == s.account) && s.gets(f.kind)
}

func (s *stream) gets(kind string) bool { return len(s.kinds) == 0 || slices.Contains(s.kinds, kind) }

// watches reports whether gateways have to tell of the account's shares for it.
func (s *stream) watches() bool { return s.account != "" && s.gets(shares.EventShare) }

// enter lets a stream begin, within the limits.
func (h *Hub) enter(s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errStopped
	case len(h.streams) >= h.cfg.Limits.Streams:
		return errCrowded
	case h.byClient[s.client] >= h.cfg.Limits.PerClient:
		return errGreedy
	}
	h.streams[s] = struct{}{}
	h.byClient[s.client]++
	h.metrics.streams.Inc()
	if s.account == "" {
		return nil
	}
	if h.byAccount[s.account] == nil {
		h.byAccount[s.account] = make(map[*stream]struct{})
	}
	h.byAccount[s.account][s] = struct{}{}
	if s.watches() {
		select {
		case h.wanted <- struct{}{}:
		default: // it is told already
		}
	}
	return nil
}

// leave ends what enter began.
func (h *Hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	delete(h.attached, s)
	if delete(h.byAccount[s.account], s); len(h.byAccount[s.account]) == 0 {
		delete(h.byAccount, s.account)
	}
	if h.byClient[s.client]--; h.byClient[s.client] == 0 {
		delete(h.byClient, s.client)
	}
	h.metrics.streams.Dec()
}

// attach lets a stream have what comes from now on, if its client has everything up to a place; without one it
// wants nothing older. attached is false if it lacks more than fits into a queue: backlog has the next of that, up
// to the place next. covered is false if memory does not tell what it lacks. end says that the log ended at the
// place a moment ago, whether or not the Hub has come to that.
func (h *Hub) attach(s *stream, at *place, end bool) (backlog []*frame, next place, attached, covered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.placed {
		return nil, place{}, false, false
	}
	s.from = h.newest
	switch {
	case at == nil:
	case end && at.after(h.newest):
		s.from = *at
	case h.base.after(*at) || at.after(h.newest):
		return nil, *at, false, false
	default:
		first := sort.Search(len(h.ring), func(n int) bool { return h.ring[n].after(*at) })
		for _, f := range h.ring[first:] {
			if len(backlog) == cap(s.queue) {
				return backlog, backlog[len(backlog)-1].place, false, true
			}
			if s.wants(f) {
				backlog = append(backlog, f)
			}
		}
	}
	h.attached[s] = struct{}{}
	return backlog, s.from, true, true
}

// reached returns the newest event's place that was handed out.
func (h *Hub) reached() (at place, placed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest, h.placed
}

// seen returns the place up to which a stream's client has all that is for it, once nothing is queued for it.
func (h *Hub) seen(s *stream) (at place, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(s.queue) > 0 || !h.placed {
		return place{}, false
	}
	if s.from.after(h.newest) {
		return s.from, true
	}
	return h.newest, true
}

// dispatch hands frames out that follow the newest.
func (h *Hub) dispatch(news []*frame) {
	if len(news) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring = append(h.ring, news...)
	h.newest = news[len(news)-1].place
	if over := len(h.ring) - h.cfg.Limits.Ring; over > 0 {
		h.base = h.ring[over-1].place
		h.ring = slices.Delete(h.ring, 0, over)
	}
	for _, f := range news {
		to := h.attached
		if f.account != "" {
			to = h.byAccount[f.account]
		}
		for s := range to {
			if _, ok := h.attached[s]; ok && s.wants(f) && f.after(s.from) {
				h.push(s, f)
			}
		}
	}
}

// push queues a frame, or ends the stream that has no room for it; mu is held.
func (h *Hub) push(s *stream, f *frame) {
	select {
	case s.queue <- f:
	default:
		delete(h.attached, s) // what it misses from here on it gets when it comes back
		s.cancel(errSlow)
	}
}

// skip tells all streams that what came after a place is not kept any more, up to another. That one is the earlier
// if the log has lost its end.
func (h *Hub) skip(after, to place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring, h.base, h.newest = nil, to, to
	gap := &frame{kind: kindGap, text: gapText(after)}
	for s := range h.attached {
		if s.from.after(to) {
			s.from = to
		}
		h.push(s, gap)
	}
}

// watched returns the accounts whose shares gateways have to tell of.
func (h *Hub) watched() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for account, all := range h.byAccount {
		for s := range all {
			if s.watches() {
				out = append(out, account)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// close ends all streams and lets none begin.
func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.streams {
		s.cancel(errStopped)
	}
}
