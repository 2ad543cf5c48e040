package events

import (
	"context"
	"time"
)

// resume sends what came after a place, if there is one, and then lets the stream have what comes from now on: from
// memory as far as that goes, from the log otherwise. While the log does not answer it sends heartbeats.
func (h *Hub) resume(ctx context.Context, s *stream, out *writer, after *place) error {
	lull := lull{out: out, every: h.cfg.Limits.Heartbeat, last: time.Now(), pause: h.cfg.Limits.Poll, most: h.cfg.Limits.Away}
	end := false // whether after is where the log ends
	for {
		backlog, next, attached, covered := h.attach(s, after, end)
		if covered {
			if err := out.frames(backlog); attached || err != nil {
				return err
			}
			after = &next
			continue
		}
		if after != nil {
			moved, ends, err := h.recall(ctx, s, out, after)
			if err != nil {
				return err
			}
			again := moved || ends && !end // it may be attached now
			if end = ends; again {
				continue
			}
		}
		if err := lull.wait(ctx); err != nil {
			return err
		}
	}
}

// recall sends a page of what the log has after a place, which it moves on. end says that nothing follows that
// place. An error is the client's: that the log does not answer is waited out.
func (h *Hub) recall(ctx context.Context, s *stream, out *writer, after *place) (moved, end bool, err error) {
	select {
	case h.reading <- struct{}{}:
	default:
		return false, false, nil // others read: it is its turn later
	}
	news, gap, last, err := h.lookUp(ctx, *after)
	<-h.reading
	if err != nil {
		return false, false, context.Cause(ctx)
	}
	var texts [][]byte
	if gap {
		texts = append(texts, gapText(*after))
	}
	for _, f := range news {
		if s.wants(f) {
			texts = append(texts, f.text)
		}
	}
	if len(texts) > 0 {
		if err := out.send(texts...); err != nil {
			return false, false, err
		}
	}
	switch {
	case len(news) > 0:
		*after = news[len(news)-1].place
		return true, false, nil
	case gap || last == *after:
		moved = last != *after
		*after = last
		return moved, true, nil
	default:
		return false, false, nil // something has come between the two looks
	}
}

// lookUp reads a page of what comes after a place in the log, and where the log ends if there is nothing.
func (h *Hub) lookUp(ctx context.Context, after place) (news []*frame, gap bool, last place, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(patience, h.cfg.Limits.Heartbeat))
	defer cancel()
	if news, gap, err = h.read(ctx, after); err != nil || len(news) > 0 {
		return news, gap, place{}, err
	}
	last, err = h.last(ctx)
	return nil, gap, last, err
}

// lull is a time without events.
type lull struct {
	out   *writer
	every time.Duration // between heartbeats
	last  time.Time     // of a heartbeat
	// pause is the next wait: each is twice the one before, up to most.
	pause, most time.Duration
}

// wait waits, and sends a heartbeat if one is due.
func (l *lull) wait(ctx context.Context) error {
	pause(ctx, l.pause)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.pause = min(2*l.pause, max(l.pause, l.most))
	if time.Since(l.last) < l.every {
		return nil
	}
	l.last = time.Now()
	return l.out.beat(place{}, false)
}
