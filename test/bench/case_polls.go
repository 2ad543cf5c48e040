package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const mib = 1 << 20

// pollsCase has many long polls wait and looks at what they cost the gateway, and a bare server on which as many wait:
// the first polls of new connections, and those after an answer, as nearly all are that wait in a pool.
func pollsCase(ctx context.Context, l *lab) ([]row, error) {
	note := "what the process has more than with a fifth of them, since the first ones get what templates have left behind"
	first := row{What: fmt.Sprintf("%d waiting polls, resident memory of each", l.polls), Unit: "KiB", Bars: []bar{atMost(1.3, ratioToLimit)}, Note: note}
	first.LimitIs = "a bare net/http server whose handlers wait for a channel"
	later := row{What: "the same once each has been answered and polls again", Unit: "KiB", Bars: []bar{atMost(1.3, ratioToLimit)}}
	later.LimitIs = "the same"
	all := row{What: "all of the process", Unit: "MiB"}
	idle := l.span(10*time.Second, 500*time.Millisecond)
	cpu := row{What: fmt.Sprintf("processor time in %s of nothing", idle), Unit: "s", Bars: []bar{atMost(idle.Seconds()/100, itself)}}
	cpu.Note = "the bar is a hundredth of a core; the bytes that keep connections alive are due every 30 s, and not in this time"
	err := l.rounds(func(int) error {
		for _, answered := range []bool{false, true} {
			watched := idle
			if answered {
				watched = 0
			}
			ours, err := l.waitAt(ctx, l.gatewayToWaitAt, answered, watched)
			if err != nil {
				return fmt.Errorf("gateway: %w", err)
			}
			limit, err := l.waitAt(ctx, l.limitToWaitAt, answered, 0)
			if err != nil {
				return fmt.Errorf("limit: %w", err)
			}
			each := func(w *waitCost) float64 { return (w.after - w.before) / float64(l.polls-l.polls/5) / 1024 }
			if answered {
				later.add(each(ours), each(limit))
				continue
			}
			first.add(each(ours), each(limit))
			all.add(ours.after/mib, limit.after/mib)
			// A bare server has one tick of the clock or none, which makes no ratio.
			cpu.Ours = append(cpu.Ours, ours.cpu.Seconds())
		}
		return nil
	})
	return []row{first, later, all, cpu}, err
}

// waitCost is what waiting polls cost: resident memory with a fifth of them and with all, and processor time while they waited.
type waitCost struct {
	before, after float64
	cpu           time.Duration
}

// waitingRoom is a server at which polls wait.
type waitingRoom struct {
	*child
	addr string
	// id names what they wait for another of, wake has all be answered, and waiting says how many wait.
	id      func(context.Context) (string, error)
	wake    func(context.Context) (time.Time, error)
	waiting func(context.Context) (int, error)
}

// gatewayToWaitAt starts a gateway that has given out some templates.
func (l *lab) gatewayToWaitAt(ctx context.Context) (*waitingRoom, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	g, err := l.gateway(ctx, gatewayConfig{node: node})
	if err != nil {
		return nil, err
	}
	for range 10 {
		if _, err := templateID(ctx, g.addr); err != nil {
			return nil, err
		}
	}
	n := &newsroom{node: node, g: g}
	return &waitingRoom{child: g.child, addr: g.addr, id: n.settled, wake: n.announce, waiting: g.waiting}, nil
}

// limitToWaitAt starts a bare server.
func (l *lab) limitToWaitAt(ctx context.Context) (*waitingRoom, error) {
	s, err := l.limit(ctx, "wake", captured{body: []byte("{}")})
	if err != nil {
		return nil, err
	}
	id := func(context.Context) (string, error) { return "x", nil } // any will do there
	return &waitingRoom{child: s.child, addr: s.addr, id: id, wake: s.wake, waiting: s.waiting}, nil
}

// waitAt measures a server with a fifth of all pollers and with all.
func (l *lab) waitAt(ctx context.Context, start func(context.Context) (*waitingRoom, error), answered bool, idle time.Duration) (w *waitCost, err error) {
	err = l.within(func() error {
		r, err := start(ctx)
		if err != nil {
			return err
		}
		w = new(waitCost)
		few, everybody := l.polls/5, new(crowd)
		for _, part := range []struct {
			count    int
			resident *float64
		}{{few, &w.before}, {l.polls - few, &w.after}} {
			if err := l.gather(ctx, r, everybody, part.count, answered); err != nil {
				return err
			}
			if err := pause(ctx, l.span(3*time.Second, 100*time.Millisecond)); err != nil {
				return err
			}
			if *part.resident, err = r.resident(); err != nil {
				return err
			}
		}
		w.cpu, err = r.idle(ctx, idle)
		return err
	})
	return w, err
}

// gather has more pollers join those who wait. If all are to have been answered, they are, and poll again.
func (l *lab) gather(ctx context.Context, r *waitingRoom, everybody *crowd, more int, answered bool) error {
	id, err := r.id(ctx)
	if err != nil {
		return err
	}
	c, err := l.crowd(ctx, r.addr, len(everybody.conns), more)
	if err != nil {
		return err
	}
	if err := c.poll(ctx, id, r.waiting); err != nil {
		return err
	}
	everybody.addr, everybody.conns, everybody.logins = r.addr, append(everybody.conns, c.conns...), append(everybody.logins, c.logins...)
	if !answered {
		return nil
	}
	if _, err := everybody.collect(ctx, checkAnswered, r.wake); err != nil {
		return err
	}
	if id, err = r.id(ctx); err != nil {
		return err
	}
	return everybody.poll(ctx, id, r.waiting)
}

// checkAnswered looks whether a poll was answered.
func checkAnswered(a *answer) error {
	if a.status != http.StatusOK {
		return errors.New("the poll was not answered")
	}
	return nil
}

// idle returns the processor time that a server takes while nothing happens.
func (c *child) idle(ctx context.Context, d time.Duration) (time.Duration, error) {
	began, err := processorTime(c.pid())
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	ended, err := processorTime(c.pid())
	return ended - began, err
}

// templateID returns the long poll id of a gateway's template.
func templateID(ctx context.Context, addr string) (string, error) {
	user, err := account(0)
	if err != nil {
		return "", err
	}
	got, err := capture(ctx, addr, loginOf(user), "identity", askTemplate(""))
	if err != nil {
		return "", err
	}
	return textOf(got.body, "longpollid")
}
