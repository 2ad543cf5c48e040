package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Hint is a notification that a node may have a new best block.
type Hint struct {
	// Block is the block that was announced; zero if it is not known which.
	Block chainhash.Hash
	// At is when the notification arrived.
	At time.Time
}

// maxBackoff is the longest pause between attempts to reach a node.
const maxBackoff = 5 * time.Second

// watcher follows one node with two goroutines: watch asks for the best block and is the only one
// to report, so that reports are in order; fetch gets templates and has watch check them.
type watcher struct {
	set   *Set
	id    int
	node  Node
	index *workIndex
	// poke has watch ask for the best block now.
	poke chan struct{}
	// want has fetch get a template at once, in place of a long poll in flight.
	want chan struct{}
	// answers brings templates from fetch to watch.
	answers chan answer
	// idle has fetch ask for nothing, and resume has it look whether that is over.
	idle   atomic.Bool
	resume chan struct{}

	// What follows is owned by watch.

	infoAt   time.Time // when the node last told of itself; zero if that is to be asked anew
	usable   bool      // by what it told
	best     tip
	failures int // in a row
	// need is whether fetch has no template on best; refusals counts those in a row that it was
	// not given, and retryAt is when it may ask again.
	need     bool
	refusals int
	retryAt  time.Time
}

func newWatcher(s *Set, id int, n Node, index *workIndex) *watcher {
	return &watcher{
		set: s, id: id, node: n, index: index, need: true,
		poke: make(chan struct{}, 1), want: make(chan struct{}, 1), answers: make(chan answer),
		resume: make(chan struct{}, 1),
	}
}

// signal leaves a token in a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// within makes a call that must answer in time.
func within[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	slow := fmt.Errorf("no answer within %s, the node hangs or is overloaded: %w", limit, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, slow)
	defer cancel()
	out, err := call(ctx)
	if err != nil && context.Cause(ctx) == slow && !errors.Is(err, slow) { //nolint:errorlint // is it this very timeout
		err = slow
	}
	return out, err
}

// backoff returns a pause before the next attempt after n failures in a row. It varies, lest many
// programs come back to a node at the same moment.
func backoff(first time.Duration, n int, most time.Duration) time.Duration {
	d := most
	if n < 16 {
		d = min(most, first<<max(0, n-1))
	}
	return d - time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // no secret depends on it
}

// watch asks for the best block at intervals, on hints and after each template.
func (w *watcher) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	hints := w.set.cfg.Hints[w.node.Name()]
	for {
		r := report{node: w.id, source: watchdog}
		var a *answer
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.poke:
		case hint, ok := <-hints:
			if !ok {
				hints = nil
			}
			r.hint = hint
		case got := <-w.answers:
			a, r.source = &got, longPoll
		}
		r.at = w.set.cfg.Now()
		w.check(ctx, &r)
		w.take(a, &r)
		if ctx.Err() != nil {
			return // what failed failed because of that
		}
		select {
		case w.set.reports <- r:
		case <-ctx.Done():
			return
		}
		timer.Reset(w.pause())
	}
}

// pause returns how long to wait until the node is asked again.
func (w *watcher) pause() time.Duration {
	switch {
	case w.failures > 0:
		return backoff(w.set.cfg.WatchEvery, w.failures, maxBackoff)
	case !w.usable:
		return maxBackoff
	}
	return w.set.cfg.WatchEvery
}

// check asks the node for what is due and fills in r.
func (w *watcher) check(ctx context.Context, r *report) {
	cfg := &w.set.cfg
	every := cfg.InfoEvery
	if r.source == longPoll {
		every *= 2 // miners wait for the template that has come; the watchdog asks soon
	}
	if w.infoAt.IsZero() || !w.usable || r.at.Sub(w.infoAt) >= every {
		info, err := within(ctx, cfg.ProbeTimeout, w.node.Info)
		if err != nil {
			w.fail(r, err)
			return
		}
		r.info, w.infoAt, w.usable = &info, r.at, unfit(&info, cfg.Chain) == nil
	}
	if !w.usable {
		w.failures = 0
		return // on another chain its blocks mean nothing, and the rest is in its Info
	}
	hash, err := within(ctx, cfg.ProbeTimeout, w.node.BestBlock)
	if err != nil {
		w.fail(r, err)
		return
	}
	if hash != w.best.hash || w.best.work == nil {
		best, err := w.index.locate(ctx, w.node, hash, cfg.ProbeTimeout)
		if err != nil {
			w.fail(r, err)
			return
		}
		w.best, w.need, w.retryAt = best, true, time.Time{}
	}
	w.failures = 0
	best := w.best
	r.tip = &best
}

// fail notes that the node did not answer. It may come back as another, so it will be asked who
// it is.
func (w *watcher) fail(r *report, err error) {
	*r = report{node: r.node, at: r.at, err: err}
	w.failures++
	w.infoAt = time.Time{}
}

// take judges the answer that fetch brings, if any, and has fetch get a template if there is need.
func (w *watcher) take(a *answer, r *report) {
	if a != nil {
		w.judge(a, r)
		a.taken <- !w.need
	}
	if w.need && r.tip != nil && !r.at.Before(w.retryAt) {
		signal(w.want)
	}
}

// judge accepts a template if it builds on what the node says now is its best block. The node is
// asked after the template came, so none on an old tip passes.
func (w *watcher) judge(a *answer, r *report) {
	select {
	case <-w.want: // from before the answer
	default:
	}
	if a.err == nil && r.tip != nil && a.template.previous == r.tip.hash {
		w.need, w.refusals, r.template = false, 0, a.template
		return
	}
	w.need = true
	w.refusals++
	if r.tip == nil {
		return // the node failed or must not be used, which says it all
	}
	switch {
	case a.err != nil:
		r.templateErr = a.err
	case w.refusals == 1:
		return // a block came in between: ask again at once
	default:
		r.templateErr = fmt.Errorf("it gives a template on block %s but says its best block is %s", a.template.previous, r.tip.hash)
	}
	w.retryAt = r.at.Add(backoff(w.set.cfg.WatchEvery, w.refusals, maxBackoff))
}
