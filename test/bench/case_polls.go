package main

import (
	"context"
	"fmt"
	"time"
)

const mib = 1 << 20

// pollsCase has many long polls wait and looks at what they cost the gateway, and a bare server on which as many wait.
func pollsCase(ctx context.Context, l *lab) ([]row, error) {
	memory := row{What: fmt.Sprintf("%d waiting polls, resident memory of each", l.polls), Unit: "KiB", Bars: []bar{atMost(1.3, ratioToLimit)}}
	memory.LimitIs = "a bare net/http server whose handlers wait for a channel"
	memory.Note = "what the process has more than with a fifth of them, since the first ones get what templates have left behind"
	all := row{What: "all of the process", Unit: "MiB"}
	idle := l.span(10*time.Second, 500*time.Millisecond)
	cpu := row{What: fmt.Sprintf("processor time in %s of nothing", idle), Unit: "s", Bars: []bar{atMost(idle.Seconds()/100, itself)}}
	cpu.Note = "the bar is a hundredth of a core; the bytes that keep connections alive are due every 30 s, and not in this time"
	err := l.rounds(func(int) error {
		ours, err := l.pollsAtGateway(ctx, idle)
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		limit, err := l.pollsAtLimit(ctx, idle)
		if err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		each := func(w *waitCost) float64 { return (w.after - w.before) / float64(l.polls-l.polls/5) / 1024 }
		memory.add(each(ours), each(limit))
		all.add(ours.after/mib, limit.after/mib)
		cpu.add(ours.cpu.Seconds(), limit.cpu.Seconds())
		return nil
	})
	return []row{memory, all, cpu}, err
}

// waitCost is what waiting polls cost: resident memory with a fifth of them and with all, and processor time while they waited.
type waitCost struct {
	before, after float64
	cpu           time.Duration
}

func (l *lab) pollsAtGateway(ctx context.Context, idle time.Duration) (w *waitCost, err error) {
	err = l.within(func() error {
		node, err := l.startNode(ctx, hardBits)
		if err != nil {
			return err
		}
		g, err := l.gateway(ctx, gatewayConfig{node: node})
		if err != nil {
			return err
		}
		w, err = l.costOfWaiting(ctx, g.child, g.addr, g.waiting, idle)
		return err
	})
	return w, err
}

func (l *lab) pollsAtLimit(ctx context.Context, idle time.Duration) (w *waitCost, err error) {
	err = l.within(func() error {
		s, err := l.limit(ctx, "wake", captured{body: []byte("{}")})
		if err != nil {
			return err
		}
		w, err = l.costOfWaiting(ctx, s.child, s.addr, s.waiting, idle)
		return err
	})
	return w, err
}

// costOfWaiting measures a process with a fifth of all pollers and with all.
func (l *lab) costOfWaiting(ctx context.Context, c *child, addr string, waiting func(context.Context) (int, error), idle time.Duration) (*waitCost, error) {
	settle := l.span(3*time.Second, 100*time.Millisecond)
	id, err := l.warm(ctx, addr)
	if err != nil {
		return nil, err
	}
	var w waitCost
	few := l.polls / 5
	for _, part := range []struct {
		first, count int
		resident     *float64
	}{{0, few, &w.before}, {few, l.polls - few, &w.after}} {
		crowd, err := l.crowd(ctx, addr, part.first, part.count)
		if err != nil {
			return nil, err
		}
		if err := crowd.poll(ctx, id, waiting); err != nil {
			return nil, err
		}
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
		if *part.resident, err = c.resident(); err != nil {
			return nil, err
		}
	}
	began, err := processorTime(c.pid())
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, idle); err != nil {
		return nil, err
	}
	ended, err := processorTime(c.pid())
	if err != nil {
		return nil, err
	}
	w.cpu = ended - began
	return &w, nil
}

// warm asks a gateway for some templates and returns the id of what to wait on. A limit program that only has people
// wait is left alone: any id will do there.
func (l *lab) warm(ctx context.Context, addr string) (id string, err error) {
	if n, err := get(ctx, "http://"+addr+"/readyz"); err != nil || n != 200 {
		return "x", nil //nolint:nilerr // it is no gateway
	}
	for range 10 {
		if id, err = templateID(ctx, addr); err != nil {
			return "", err
		}
	}
	return id, nil
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
