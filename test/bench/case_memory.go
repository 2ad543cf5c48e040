package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// recentTemplates is how many full templates are published to everybody.
	recentTemplates = 8
	// mb is what memory is counted in where a bar is in megabytes.
	mb = 1e6
)

// memoryCase has many miners fetch templates and wait for the next, and looks at the gateway's memory.
func memoryCase(ctx context.Context, l *lab) ([]row, error) {
	what := fmt.Sprintf("%d miners and %d full templates", l.polls, recentTemplates)
	settled := row{What: what + ", resident while they wait", Unit: "MB", Bars: []bar{atMost(500, itself)}}
	peak := row{What: "the most while they are sent", Unit: "MB"}
	settled.Note = "each miner has an account, has fetched a full template and then each of the others by a long poll"
	err := l.rounds(func(int) error {
		return l.within(func() error {
			after, most, cut, err := l.memoryOf(ctx)
			if cut > 0 {
				settled.Note += fmt.Sprintf("; in one round %d answers were cut off, because the gateway waits 20 s for a quarter of a megabyte to be read", cut)
			}
			if err == nil {
				settled.Ours, peak.Ours = append(settled.Ours, after/mb), append(peak.Ours, most/mb)
			}
			return err
		})
	})
	return []row{settled, peak}, err
}

// memoryOf returns the resident memory of a gateway with all miners, the most that it had meanwhile, and how many answers
// it cut off.
func (l *lab) memoryOf(ctx context.Context) (after, most float64, cut int64, err error) {
	n, err := l.newsroom(ctx, true)
	if err != nil {
		return 0, 0, 0, err
	}
	id, err := n.settled(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	watch := n.g.watchMemory(ctx)
	defer func() { most, err = watch.stop(err) }()
	l.say("%d miners fetch their first template", l.polls)
	body := askTemplate("")
	c, err := l.crowdThat(ctx, n.g.addr, 0, l.polls, func(login string, c *conn) error {
		var a answer
		if err := c.ask(render(login, "", body), &a); err != nil {
			return err
		}
		return checkStatus(&a)
	})
	if err != nil {
		return 0, 0, 0, err
	}
	c.patient = true
	for i := range recentTemplates {
		l.say("template %d of %d", i+1, recentTemplates)
		if err := c.poll(ctx, id, n.g.waiting); err != nil {
			return 0, 0, 0, err
		}
		if _, err := c.collect(ctx, checkStatus, func(ctx context.Context) (time.Time, error) { return n.renew(ctx) }); err != nil {
			return 0, 0, 0, err
		}
		if id, err = templateID(ctx, n.g.addr); err != nil {
			return 0, 0, 0, err
		}
	}
	if err := c.poll(ctx, id, n.g.waiting); err != nil {
		return 0, 0, 0, err
	}
	if err := pause(ctx, l.span(5*time.Second, 100*time.Millisecond)); err != nil {
		return 0, 0, 0, err
	}
	after, err = n.g.resident()
	return after, most, c.cut.Load(), err
}

// renew has the node answer with another template on the same block.
func (n *newsroom) renew(ctx context.Context) (time.Time, error) {
	if err := n.node.next(false); err != nil {
		return time.Time{}, err
	}
	return n.answered(ctx)
}

func checkStatus(a *answer) error {
	if a.status != 200 || a.length == 0 {
		return fmt.Errorf("status %d, %d bytes", a.status, a.length)
	}
	return nil
}

// memoryWatch looks at a process's memory again and again.
type memoryWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	// What follows is for who has stopped it.
	most float64
	err  error
}

func (c *child) watchMemory(ctx context.Context) *memoryWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &memoryWatch{cancel: cancel}
	w.done.Go(func() {
		for ctx.Err() == nil {
			now, err := c.resident()
			if err != nil {
				w.err = err
				return
			}
			w.most = max(w.most, now)
			_ = pause(ctx, 50*time.Millisecond) // its end is the loop's
		}
	})
	return w
}

// stop ends it and returns the most that it saw, and its error if there is no other.
func (w *memoryWatch) stop(err error) (float64, error) {
	w.cancel()
	w.done.Wait()
	if err == nil {
		err = w.err
	}
	return w.most, err
}
