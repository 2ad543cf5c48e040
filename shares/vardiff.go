package shares

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// muchHarder is by how many powers of two a target has to have become harder for work at the old
// one to be worth replacing before there is other news.
const muchHarder = 2

// VardiffConfig configures a Vardiff. All is required.
type VardiffConfig struct {
	// PerMinute is how many shares a minute each worker is to find: 1/60 to 6000.
	PerMinute float64
	// Start is the target for a worker that nothing is known of. Targets are Start by powers of two,
	// from Hardest to Easiest.
	Start, Easiest, Hardest gbt.Target
	// Most is how many workers are remembered. Those least recently seen are forgotten first, but
	// half of the places are kept for workers that have proven work, because names cost nothing.
	Most int
	// Now is the clock.
	Now func() time.Time
}

// Vardiff is variable share difficulty: it sets each worker's share target so that it finds shares
// at about one rate, whatever its hash rate. It judges by work over time, not by how many shares
// come, because shares of older and easier work keep coming. A target changes by powers of two, and
// only when chance hardly explains that the rate is not within a factor of two of the aim. Targets
// are for work that is issued later: issued work keeps its own.
type Vardiff struct {
	cfg      VardiffConfig
	scale    scale
	interval time.Duration
	closed   chan struct{}

	mu sync.Mutex
	// All below is held by mu.
	workers map[workerName]*paced
	// asking are the workers that have asked for work alone, proven those that have proven some.
	asking, proven queue
}

type workerName struct{ account, worker string }

// paced is a worker as it is remembered.
type paced struct {
	name workerName
	pace
	issued int  // the level that Target returned last
	proved bool // it is in proven, and not in asking
	// waits are who waits for a harder target: mostly one, if any.
	waits      []retarget
	prev, next *paced
}

// retarget is closed when a worker's level is muchHarder than the one that it has.
type retarget struct {
	have int
	done chan struct{}
}

// NewVardiff makes a Vardiff that knows no worker.
func NewVardiff(cfg VardiffConfig) (*Vardiff, error) {
	const least, most = 1.0 / 60, 6000
	switch {
	case !(cfg.PerMinute >= least && cfg.PerMinute <= most):
		return nil, fmt.Errorf("vardiff: %g shares a minute are aimed at, want 1/60 to %d", cfg.PerMinute, most)
	case cfg.Most < 1:
		return nil, fmt.Errorf("vardiff: %d workers are to be remembered, want at least 1", cfg.Most)
	case cfg.Now == nil:
		return nil, errors.New("vardiff: Now is required")
	}
	s, err := newScale(cfg.Start, cfg.Easiest, cfg.Hardest)
	if err != nil {
		return nil, fmt.Errorf("vardiff: %w: start %s, easiest %s, hardest %s", err, cfg.Start, cfg.Easiest, cfg.Hardest)
	}
	v := &Vardiff{
		cfg: cfg, scale: s, interval: time.Duration(float64(time.Minute) / cfg.PerMinute),
		closed: make(chan struct{}), workers: make(map[workerName]*paced),
	}
	close(v.closed)
	return v, nil
}

// Target returns the target for work that is issued to a worker now. A worker that asks and asks
// but finds nothing gets easier ones.
func (v *Vardiff) Target(account, worker string) gbt.Target {
	now := v.cfg.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	w, _ := v.seen(account, worker, now)
	if n := w.ease(); n != 0 {
		v.move(w, w.level+n)
	}
	w.issued = w.level
	return v.scale.targets[w.level]
}

// Accepted tells of a share: the expected hashes of the target that it was issued with, and when it
// arrived. Each share counts once, so tell of a duplicate nothing.
func (v *Vardiff) Accepted(account, worker string, work *big.Int, at time.Time) {
	n := hashes(work)
	if !(n > 0) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w, known := v.seen(account, worker, at)
	if !known {
		// It was issued this work before it was forgotten, or by another gateway, which knew.
		w.level = v.scale.bound(v.scale.nearest(n))
		w.issued = w.level
	}
	if !w.proved {
		v.asking.remove(w)
		v.proven.push(w)
		w.proved = true
	}
	w.share(n / v.scale.works[w.level])
	if n := w.harden(); n != 0 {
		v.move(w, w.level+n)
	}
}

// Issued returns the target that Target returned last for a worker. It is the start for one that
// is not remembered.
func (v *Vardiff) Issued(account, worker string) gbt.Target {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w, ok := v.workers[workerName{account, worker}]; ok {
		return v.scale.targets[w.issued]
	}
	return v.scale.targets[v.scale.start]
}

// Changed returns a channel that is closed as soon as a worker's target is at least four times as
// hard as one that it has, to within rounding; at once if it is already. The channel is never nil,
// costs no goroutine and is one for all who wait alike. It is not closed if the worker is forgotten
// meanwhile.
func (v *Vardiff) Changed(account, worker string, have gbt.Target) <-chan struct{} {
	level := v.scale.level(have)
	now := v.cfg.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	w, _ := v.seen(account, worker, now)
	if w.level >= level+muchHarder {
		return v.closed
	}
	if i := slices.IndexFunc(w.waits, func(r retarget) bool { return r.have == level }); i >= 0 {
		return w.waits[i].done
	}
	done := make(chan struct{})
	w.waits = append(w.waits, retarget{level, done})
	return done
}

// move puts a worker on another level of the scale and wakes who waits for that.
func (v *Vardiff) move(w *paced, level int) {
	w.move(v.scale.bound(level))
	w.waits = slices.DeleteFunc(w.waits, func(r retarget) bool {
		met := w.level >= r.have+muchHarder
		if met {
			close(r.done)
		}
		return met
	})
}

// seen returns a worker that is heard of now, and whether it was known before.
func (v *Vardiff) seen(account, worker string, at time.Time) (w *paced, known bool) {
	w, known = v.workers[workerName{account, worker}]
	if known {
		w.advance(at, v.interval)
		v.queue(w).remove(w)
	} else {
		if len(v.workers) == v.cfg.Most {
			v.forget()
		}
		// The names may be parts of a longer text, which is not to be held on to.
		name := workerName{strings.Clone(account), strings.Clone(worker)}
		w = &paced{name: name, issued: v.scale.start, pace: newPace(v.scale.start, at)}
		v.workers[name] = w
	}
	v.queue(w).push(w)
	return w, known
}

// forget makes room for another worker.
func (v *Vardiff) forget() {
	from := &v.proven
	if v.asking.len > v.cfg.Most/2 {
		from = &v.asking
	}
	w := from.first
	from.remove(w)
	delete(v.workers, w.name)
}

func (v *Vardiff) queue(w *paced) *queue {
	if w.proved {
		return &v.proven
	}
	return &v.asking
}

// queue is a list of workers, the one least recently seen first.
type queue struct {
	first, last *paced
	len         int
}

func (q *queue) push(w *paced) {
	w.prev, w.next = q.last, nil
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.len++
}

func (q *queue) remove(w *paced) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	q.len--
}
