package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// deafPollers is how many of the pollers do not read, where that is measured.
const deafPollers = 8

// blockCase has many wait for a new block, and as many on a bare server that wakes them and sends the same bytes.
func blockCase(ctx context.Context, l *lab) ([]row, error) {
	var rows []row
	for _, kind := range []struct {
		name string
		full bool
	}{{"empty", false}, {"full", true}} {
		l.say("%s template", kind.name)
		err := l.within(func() error {
			got, err := l.blocks(ctx, kind.name, kind.full)
			rows = append(rows, got...)
			return err
		})
		if err != nil {
			return rows, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	l.say("with %d who do not read", deafPollers)
	slow, err := l.slowPollers(ctx)
	return append(rows, slow), err
}

// newsroom is a gateway with its node, where new blocks are announced.
type newsroom struct {
	node *fakeNode
	g    *gateway
	full bool
}

func (l *lab) newsroom(ctx context.Context, full bool) (*newsroom, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	// No byte is to be due that keeps connections alive, which would look like the answer's first.
	g, err := l.gateway(ctx, gatewayConfig{node: node, lines: "keep_alive: 0s\n"})
	if err != nil {
		return nil, err
	}
	n := &newsroom{node: node, g: g, full: full}
	_, err = n.announce(ctx) // so that the template in force is of the kind that is measured
	return n, err
}

// announce has the node answer with a template on a new block and returns when it began to.
func (n *newsroom) announce(ctx context.Context) (time.Time, error) {
	if _, err := n.node.announce(ctx, n.full); err != nil {
		return time.Time{}, err
	}
	return n.answered(ctx)
}

// answered waits until the node begins to answer with what it has now.
func (n *newsroom) answered(ctx context.Context) (time.Time, error) {
	select {
	case at := <-n.node.answered:
		return at, nil
	case <-time.After(readyLimit):
		return time.Time{}, errors.New("the gateway has not asked the node for a template")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// settled waits until the gateway gives out the node's template, and not an early one in its place, and returns its id.
func (n *newsroom) settled(ctx context.Context) (id string, err error) {
	err = await(ctx, "the template", func(ctx context.Context) (bool, error) {
		state, _ := n.node.look()
		got, err := capture(ctx, n.g.addr, n.g.login, "identity", askTemplate(""))
		if err != nil {
			return false, err
		}
		id, err = textOf(got.body, "longpollid")
		return strings.HasPrefix(id, state.best) && got.empty() != state.full, err
	})
	return id, err
}

// blocks measures new blocks with one kind of template.
func (l *lab) blocks(ctx context.Context, name string, full bool) ([]row, error) {
	last := row{What: fmt.Sprintf("%s template: first byte at the last of %d pollers", name, l.polls), Unit: "ms", Bars: []bar{atMost(1.3, ratioToLimit)}}
	half := row{What: name + " template: first byte at half of them", Unit: "ms"}
	last.Note = "from when the node begins its answer, which takes it no time to make; parsing, checking and rendering are in it"
	n, err := l.newsroom(ctx, full)
	if err != nil {
		return nil, err
	}
	if _, err := n.settled(ctx); err != nil {
		return nil, err
	}
	sent, err := capture(ctx, n.g.addr, n.g.login, "identity", askTemplate(""))
	if err != nil {
		return nil, err
	}
	limit, err := l.limit(ctx, "wake", sent)
	if err != nil {
		return nil, err
	}
	last.LimitIs = fmt.Sprintf("a bare net/http server that wakes as many handlers and sends the same %d bytes, from when it is told to", len(sent.body))
	expected := &news{captured: sent}
	err = l.rounds(func(int) error {
		ours, err := l.wake(ctx, n, l.polls, 0, expected.check)
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		bare, err := l.wakeLimit(ctx, limit, sent.check)
		if err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		last.add(milliseconds(ours[len(ours)-1]), milliseconds(bare[len(bare)-1]))
		half.add(milliseconds(ours[len(ours)/2]), milliseconds(bare[len(bare)/2]))
		return nil
	})
	expected.note(&last)
	return []row{last, half}, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// wake has pollers wait at the gateway, announces a block, and returns when their first bytes had come.
func (l *lab) wake(ctx context.Context, n *newsroom, count, deaf int, check func(*answer) error) (times []time.Duration, err error) {
	err = l.within(func() error {
		id, err := n.settled(ctx)
		if err != nil {
			return err
		}
		c, err := l.crowd(ctx, n.g.addr, 0, count)
		if err != nil {
			return err
		}
		if err := c.poll(ctx, id, n.g.waiting); err != nil {
			return err
		}
		c.deaf = deaf
		times, err = c.collect(ctx, check, n.announce)
		return err
	})
	return times, err
}

// wakeLimit is wake for the limit program.
func (l *lab) wakeLimit(ctx context.Context, s *limitServer, check func(*answer) error) (times []time.Duration, err error) {
	err = l.within(func() error {
		c, err := l.crowd(ctx, s.addr, 0, l.polls)
		if err != nil {
			return err
		}
		if err := c.poll(ctx, "x", s.waiting); err != nil {
			return err
		}
		times, err = c.collect(ctx, check, s.wake)
		return err
	})
	return times, err
}

// wake has a limit program answer all who wait, and returns when it was told to.
func (s *limitServer) wake(ctx context.Context) (time.Time, error) {
	at := time.Now()
	status, err := get(ctx, "http://"+s.addr+wakePath)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: status %d", wakePath, status)
	}
	return at, err
}

// slowPollers measures whether those who read wait for some who do not.
func (l *lab) slowPollers(ctx context.Context) (row, error) {
	count := max(l.polls/10, 2*deafPollers)
	r := row{What: fmt.Sprintf("full template: first byte at the last of %d pollers, %d more do not read", count, deafPollers), Unit: "ms",
		LimitIs: "the same gateway without those who do not read", Bars: []bar{atMost(1.3, ratioToLimit)}}
	n, err := l.newsroom(ctx, true)
	if err != nil {
		return r, err
	}
	if _, err := n.settled(ctx); err != nil {
		return r, err
	}
	sent, err := capture(ctx, n.g.addr, n.g.login, "identity", askTemplate(""))
	if err != nil {
		return r, err
	}
	expected := &news{captured: sent}
	err = l.rounds(func(int) error {
		with, err := l.wake(ctx, n, count+deafPollers, deafPollers, expected.check)
		if err != nil {
			return err
		}
		without, err := l.wake(ctx, n, count, 0, expected.check)
		if err != nil {
			return err
		}
		r.add(milliseconds(with[len(with)-1]), milliseconds(without[len(without)-1]))
		return nil
	})
	expected.note(&r)
	return r, err
}
