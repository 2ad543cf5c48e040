package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// pollPause is the shortest time between two answers to long polls about the same block, for
	// nodes that answer them at once.
	pollPause = time.Second
	// pollEvery is how often a node is asked that offers no long polls.
	pollEvery = 5 * time.Second
)

// answer is what a node said to a template request.
type answer struct {
	template *template
	err      error
	// taken gets whether the template was accepted.
	taken chan bool
}

// fetch gets templates: a plain one whenever watch wants one, and then one long poll at a time for
// as long as they are accepted; none while the node is idle.
func (w *watcher) fetch(ctx context.Context) {
	var good *template // to long-poll from
	for ctx.Err() == nil {
		if w.idle.Load() {
			good = nil
			select {
			case <-w.resume:
			case <-ctx.Done():
				return
			}
			continue
		}
		if good == nil {
			select {
			case <-w.want:
			case <-ctx.Done():
				return
			}
			if w.idle.Load() {
				continue
			}
		}
		start := w.set.cfg.Now()
		a, interrupted := w.ask(ctx, good)
		if interrupted {
			signal(w.want)
			good = nil
			continue
		}
		before := good
		good = w.offer(ctx, a)
		switch {
		case good == nil:
		case good.longPollID == "":
			w.rest(ctx, pollEvery)
			signal(w.want)
			good = nil
		case before != nil && good.previous == before.previous:
			w.rest(ctx, pollPause-w.set.cfg.Now().Sub(start))
		}
	}
}

// ask requests a template: with good by a long poll, which a new want interrupts, else at once.
func (w *watcher) ask(ctx context.Context, good *template) (a answer, interrupted bool) {
	if good == nil {
		raw, err := within(ctx, w.set.cfg.CallTimeout, func(ctx context.Context) (json.RawMessage, error) {
			return w.node.Template(ctx, "")
		})
		return w.decode(raw, err), false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		raw, err := w.node.Template(ctx, good.longPollID)
		done <- w.decode(raw, err)
	}()
	select {
	case a = <-done:
		return a, false
	case <-w.want:
		cancel()
		<-done
		return answer{}, true
	}
}

// decode makes an answer of a template call's outcome.
func (w *watcher) decode(raw json.RawMessage, err error) answer {
	a := answer{err: err, taken: make(chan bool, 1)}
	if err == nil {
		a.template, a.err = peek(raw)
	}
	if a.err == nil {
		a.template.received = w.set.cfg.Now()
	}
	return a
}

// offer has watch judge an answer and returns its template if that was accepted.
func (w *watcher) offer(ctx context.Context, a answer) *template {
	select {
	case w.answers <- a:
	case <-ctx.Done():
		return nil
	}
	select {
	case ok := <-a.taken:
		if ok {
			return a.template
		}
	case <-ctx.Done():
	}
	return nil
}

// rest waits, but not beyond a new want.
func (w *watcher) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.want:
		signal(w.want)
	case <-ctx.Done():
	}
}

// peek reads from a getblocktemplate result what is needed to follow the node.
func peek(raw json.RawMessage) (*template, error) {
	outline, err := gbt.ReadOutline(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: template: %w", ErrMalformed, err)
	}
	return &template{raw: raw, previous: outline.Previous, longPollID: outline.LongPollID}, nil
}
