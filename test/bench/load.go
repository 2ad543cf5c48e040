package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// asker is somebody who asks again as soon as the last answer is there.
type asker struct {
	addr    string
	conn    *conn
	answers int
	bytes   int
	times   []time.Duration // of each answer; kept if it is not nil
}

// dialClients connects clients with a server.
func (l *lab) dialClients(ctx context.Context, addr string, count int) ([]*asker, error) {
	out := make([]*asker, count)
	for i := range out {
		c, err := dial(ctx, addr, "")
		if err != nil {
			return nil, err
		}
		out[i] = &asker{addr: addr, conn: c}
		l.atEnd(func() error {
			_ = out[i].conn.Close() // the server may have closed it
			return nil
		})
	}
	return out, nil
}

// tally is what came of a load.
type tally struct {
	answers, bytes int
	took           time.Duration
	cpu            time.Duration   // of the servers
	times          []time.Duration // sorted
}

// answersPerSecond and bytesPerSecond are rates.
func (t *tally) answersPerSecond() float64 { return float64(t.answers) / t.took.Seconds() }
func (t *tally) bytesPerSecond() float64   { return float64(t.bytes) / t.took.Seconds() }

// cost returns the servers' processor time for an answer, in microseconds.
func (t *tally) cost() float64 {
	return float64(t.cpu) / float64(time.Microsecond) / float64(max(1, t.answers))
}

// within returns the time that a part of the answers took at most, in milliseconds.
func (t *tally) within(part float64) float64 {
	if len(t.times) == 0 {
		return 0
	}
	at := t.times[min(len(t.times)-1, int(part*float64(len(t.times))))]
	return float64(at) / float64(time.Millisecond)
}

// load is what clients do until it ends.
type load struct {
	// next returns the next request of a client, or nil when it has done all. It is used before the client's next.
	next func(client int) []byte
	// check looks at each answer.
	check func(*answer) error
	// lasts is how long to go on; 0 until next returns nil.
	lasts time.Duration
	// timed has every answer's time kept.
	timed bool
}

// turns is into how many turns a round is cut, so that what else the machine does meets both alike.
const turns = 5

// side is one of two that are measured in turn.
type side struct {
	name string
	// pids are the processes that serve it.
	pids []int
	do   func(context.Context) (*tally, error)
}

// inTurn has the clients of two sides at work in short turns, and returns what came of either.
func inTurn(ctx context.Context, ours, limit side) (a, b *tally, err error) {
	a, b = new(tally), new(tally)
	for range turns {
		if err := ours.turn(ctx, a); err != nil {
			return nil, nil, err
		}
		if err := limit.turn(ctx, b); err != nil {
			return nil, nil, err
		}
	}
	return a, b, nil
}

// turn adds what comes of a turn.
func (s *side) turn(ctx context.Context, sum *tally) error {
	before, err := processorTime(s.pids...)
	if err != nil {
		return err
	}
	t, err := s.do(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := processorTime(s.pids...)
	t.cpu = after - before
	sum.add(t)
	return err
}

// add adds what came of another turn.
func (t *tally) add(more *tally) {
	t.answers += more.answers
	t.bytes += more.bytes
	t.took += more.took
	t.cpu += more.cpu
	t.times = append(t.times, more.times...)
	slices.Sort(t.times)
}

// failure has those who wait for answers give up when one of them fails, or when a context ends.
type failure struct {
	abort  func()
	forget func() bool // has the context's end be of no matter
	mu     sync.Mutex
	err    error // held by mu
}

func giveUp(ctx context.Context, abort func()) *failure {
	f := &failure{abort: abort}
	f.forget = context.AfterFunc(ctx, func() { f.because(ctx.Err()) })
	return f
}

// because has all give up, if err is one.
func (f *failure) because(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		f.abort()
	}
}

// first returns why all have given up, if all together have failed with err.
func (f *failure) first(err error) error {
	f.because(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// drive has all clients at work at once.
func drive(ctx context.Context, clients []*asker, w load) (*tally, error) {
	var g errgroup.Group
	failed := giveUp(ctx, func() {
		for _, c := range clients {
			_ = c.conn.SetDeadline(time.Now()) // it may be closed
		}
	})
	defer failed.forget()
	start := time.Now()
	for i, c := range clients {
		c.answers, c.bytes, c.times = 0, 0, c.times[:0]
		g.Go(func() error {
			err := c.work(ctx, i, start, &w)
			failed.because(err)
			return err
		})
	}
	err := failed.first(g.Wait())
	t := &tally{took: time.Since(start)}
	for _, c := range clients {
		t.answers += c.answers
		t.bytes += c.bytes
		t.times = append(t.times, c.times...)
	}
	slices.Sort(t.times)
	return t, err
}

func (c *asker) work(ctx context.Context, number int, start time.Time, w *load) error {
	var a answer
	for now := time.Now(); w.lasts == 0 || now.Sub(start) < w.lasts; {
		request := w.next(number)
		if request == nil {
			return nil
		}
		if err := c.conn.ask(request, &a); err != nil {
			return err
		}
		if err := w.check(&a); err != nil {
			return fmt.Errorf("status %d, %d bytes %q ... %q: %w", a.status, a.length, a.head(), a.tail(), err)
		}
		c.answers++
		c.bytes += a.length
		after := time.Now()
		if w.timed {
			c.times = append(c.times, after.Sub(now))
		}
		now = after
		if !a.closing {
			continue
		}
		_ = c.conn.Close() // the server has
		again, err := dial(ctx, c.addr, "")
		if err != nil {
			return err
		}
		c.conn = again
	}
	return nil
}
