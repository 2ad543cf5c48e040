package scale

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// simulated are the shares of a simulation; the first of them, unheeded, only fill the queues.
	simulated = 60_000
	unheeded  = simulated / 2
	// largestGroup is the most shares that the ledger puts into one pipeline.
	largestGroup = 512
)

// Result is what became of a pool's shares.
type Result struct {
	// Busy is the part of the time that the busiest master is at work, without what it waits for its disk.
	Busy float64
	// Group is how many shares go to Redis at a time, on average.
	Group float64
	// Half, P99 and P999 are within what half, 99 of 100 and 999 of 1,000 shares are recorded.
	Half, P99, P999 time.Duration
}

// happening is what an event is.
type happening int

const (
	arrived  happening = iota // a share, at a gateway
	received                  // a group, at its master
	turned                    // a master's loop, once around
	answered                  // a group, back at its gateway
)

// event is something that happens at a time, in nanoseconds; those of one time happen in the order of their numbers.
type event struct {
	at, number int64
	what       happening
	queue      int // of arrived and answered
	master     int
	group      []int64 // when its shares arrived
	works      int64   // how long of a turn was work
}

// agenda is a heap of events.
type agenda []event

// Len implements heap.Interface, and so do Less and Swap.
func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].number < a[j].number
}

func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(e any) { *a = append(*a, e.(event)) } //nolint:errcheck,forcetypeassert // nothing else is pushed

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// queue is what a gateway has for one partition: one group is on its way, and the next gathers.
type queue struct {
	away    bool
	waiting []int64
}

// master is one of the cluster's: its loop reads what is there, runs it, syncs once and answers.
type master struct {
	at   bool
	in   []event
	busy int64
}

// simulation is a pool at a moment.
type simulation struct {
	pool    Pool
	figures Figures
	random  *rand.Rand
	agenda  agenda
	number  int64
	queues  []queue
	masters []master
	groups  int // that were answered
	took    []int64
}

// Simulate records the shares of a pool: each comes at a random time, whoever's and wherever, since what miners find
// has no memory. Equal seeds give equal results.
func Simulate(p Pool, f Figures, seed uint64) Result {
	if p.Share != 0 {
		f.Share = p.Share
	}
	s := &simulation{
		pool: p, figures: f, random: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // it has to be repeatable
		queues: make([]queue, p.Gateways*p.Partitions), masters: make([]master, p.Masters),
	}
	s.next(0)
	var now int64
	for len(s.took) < simulated && s.agenda.Len() > 0 {
		e := heap.Pop(&s.agenda).(event) //nolint:errcheck,forcetypeassert // nothing else is pushed
		now = e.at
		s.happen(&e)
	}
	r := Result{Group: float64(len(s.took)) / float64(s.groups)}
	for i := range s.masters {
		r.Busy = max(r.Busy, float64(s.masters[i].busy)/float64(now))
	}
	took := slices.Sorted(slices.Values(s.took[unheeded:]))
	at := func(perMille int) time.Duration { return time.Duration(took[len(took)*perMille/1000]) }
	r.Half, r.P99, r.P999 = at(500), at(990), at(999)
	return r
}

// plan has something happen after a while.
func (s *simulation) plan(after, now int64, e event) {
	s.number++
	e.at, e.number = now+after, s.number
	heap.Push(&s.agenda, e)
}

// next plans the next share.
func (s *simulation) next(now int64) {
	partition := s.random.IntN(s.pool.Partitions)
	if s.random.Float64() < s.pool.Largest {
		partition = 0
	}
	gateway := s.random.IntN(s.pool.Gateways)
	after := int64(s.random.ExpFloat64() * float64(time.Second) / s.pool.Rate())
	s.plan(after, now, event{what: arrived, queue: gateway*s.pool.Partitions + partition})
}

// happen has an event happen.
func (s *simulation) happen(e *event) {
	switch e.what {
	case arrived:
		s.next(e.at)
		q := &s.queues[e.queue]
		q.waiting = append(q.waiting, e.at)
		s.send(e.queue, e.at)
	case received:
		m := &s.masters[e.master]
		m.in = append(m.in, *e)
		s.turn(e.master, e.at)
	case turned:
		s.masters[e.master].at = false
		s.masters[e.master].busy += e.works
		s.turn(e.master, e.at)
	case answered:
		for _, since := range e.group {
			s.took = append(s.took, e.at-since)
		}
		s.groups++
		s.queues[e.queue].away = false
		s.send(e.queue, e.at)
	default:
	}
}

// send sends what waits in a queue, unless a group of it is away.
func (s *simulation) send(at int, now int64) {
	q := &s.queues[at]
	n := min(len(q.waiting), largestGroup)
	if q.away || n == 0 {
		return
	}
	group := q.waiting[:n:n]
	q.away, q.waiting = true, slices.Clone(q.waiting[n:])
	s.plan(int64(s.figures.RoundTrip)/2, now, event{
		what: received, queue: at, master: at % s.pool.Partitions % s.pool.Masters, group: group,
	})
}

// turn has a master's loop go around once if it rests and there is something to do.
func (s *simulation) turn(at int, now int64) {
	m := &s.masters[at]
	if m.at || len(m.in) == 0 {
		return
	}
	var works time.Duration
	for i := range m.in {
		works += s.figures.Group + time.Duration(len(m.in[i].group))*s.figures.Share
	}
	lasts := works
	if s.pool.Always {
		lasts += s.figures.Sync
	}
	for i := range m.in {
		s.plan(int64(lasts+s.figures.RoundTrip/2), now, event{what: answered, queue: m.in[i].queue, group: m.in[i].group})
	}
	m.at, m.in = true, nil
	s.plan(int64(lasts), now, event{what: turned, master: at, works: int64(works)})
}
