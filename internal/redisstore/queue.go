package redisstore

import (
	"sync"

	"github.com/gbtpool/gbtpool/shares"
)

// pending is a share on its way into the ledger.
type pending struct {
	share     *shares.Share
	partition int
	// done has room for what becomes of it.
	done chan shares.Recorded
}

func (w *pending) answer(receipt shares.Receipt, err error) {
	w.done <- shares.Recorded{Receipt: receipt, Err: err}
}

// queue holds the shares that wait, of each partition in their order. A partition has one trip at a time, so its
// shares keep that order.
type queue struct {
	mu      sync.Mutex
	waiting [][]*pending
	// busy are the partitions that are on a trip, and trips how many trips there are.
	busy  []bool
	trips int
	// first is the partition that the next trip asks first, so that none waits behind the same others every time.
	first int
	// marks are the newest places by partition that are known to be there. They are the trip's that the partition is on.
	marks []shares.Position
	// closed is what shares fail with once nobody takes them any more.
	closed error
	// wake holds a token when there may be something to take.
	wake chan struct{}
}

func newQueue() *queue {
	return &queue{
		waiting: make([][]*pending, MaxPartitions), busy: make([]bool, MaxPartitions),
		marks: make([]shares.Position, MaxPartitions), wake: make(chan struct{}, 1),
	}
}

// put queues shares; nil stands for none.
func (q *queue) put(list ...*pending) {
	q.mu.Lock()
	err := q.closed
	for _, w := range list {
		switch {
		case w == nil:
		case err != nil:
			w.answer(shares.Receipt{}, err)
		default:
			q.waiting[w.partition] = append(q.waiting[w.partition], w)
		}
	}
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take fills a trip with what waits in partitions that are not on one, of so many partitions at most. It is false if
// there is nothing to take, or there are as many trips as there may be.
func (q *queue) take(t *trip, trips, partitions int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.trips >= trips {
		return false
	}
	for i := range t.parts {
		p := (q.first + i) % len(t.parts)
		if q.busy[p] || len(q.waiting[p]) == 0 {
			continue
		}
		if len(t.on) == partitions {
			q.signal() // there is more, for somebody else
			break
		}
		q.waiting[p] = t.load(p, q.waiting[p])
		q.busy[p] = true
	}
	if len(t.on) == 0 {
		return false
	}
	q.first = (t.on[len(t.on)-1] + 1) % len(t.parts)
	q.trips++
	return true
}

// free ends a trip. Whoever was on it looks what is there next.
func (q *queue) free(t *trip) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range t.on {
		q.busy[p] = false
	}
	q.trips--
	t.unload()
}

// turnAway answers all that wait in some partitions with an error.
func (q *queue) turnAway(partitions []int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range partitions {
		for _, w := range q.waiting[p] {
			w.answer(shares.Receipt{}, err)
		}
		clear(q.waiting[p])
		q.waiting[p] = q.waiting[p][:0]
	}
}

// close answers all that wait, and all that come later, with an error.
func (q *queue) close(err error) {
	q.mu.Lock()
	q.closed = err
	q.mu.Unlock()
	all := make([]int, len(q.waiting))
	for p := range all {
		all[p] = p
	}
	q.turnAway(all, err)
}
