package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// earlyCase has a node that announces blocks and takes a while to make its template, and one miner who waits: he gets an
// empty template at once, and the full one when the node has it.
func earlyCase(ctx context.Context, l *lab) ([]row, error) {
	// In the smoke test the node takes long, so that it is never done before the gateway, however busy the machine is.
	making := l.span(250*time.Millisecond, time.Second)
	early := row{What: "announcement to the first byte of the early template at a waiting miner", Unit: "ms",
		Note: fmt.Sprintf("from when the node writes hashblock to ZeroMQ; medians of several blocks in each round; the node takes %s to make its template", making)}
	node := row{What: "announcement to the node's answer", Unit: "ms", Note: "the node's own time"}
	full := row{What: "announcement to the first byte of the full template at the same miner", Unit: "ms",
		Note: "he polls again when he has the early one; the node's own time is in it"}
	rest := row{What: "the same without the node's own time", Unit: "ms"}
	err := l.rounds(func(int) error {
		var heard [4][]float64
		// Each round has a chain of its own: none comes to a height where rules may change, where nothing is early.
		err := l.within(func() error {
			n, err := l.announcing(ctx, making)
			if err != nil {
				return err
			}
			for range l.pick(9, 1) {
				h, err := n.hear(ctx)
				if err != nil {
					return err
				}
				for i, took := range []time.Duration{h.early, h.node, h.full, h.full - h.node} {
					heard[i] = append(heard[i], milliseconds(took))
				}
			}
			return nil
		})
		for i, r := range []*row{&early, &node, &full, &rest} {
			if err == nil {
				r.Ours = append(r.Ours, median(heard[i]))
			}
		}
		return err
	})
	return []row{early, node, full, rest}, err
}

// announcing starts a gateway whose node announces blocks by ZeroMQ and takes a while to make a template on them, of a
// chain on which early templates are made: no block is easier than another.
func (l *lab) announcing(ctx context.Context, making time.Duration, lines ...string) (*newsroom, error) {
	node, err := l.startNode(ctx, easyBits)
	if err != nil {
		return nil, err
	}
	node.making = making
	if node.zmq, err = l.announcer(ctx); err != nil {
		return nil, err
	}
	g, err := l.gateway(ctx, gatewayConfig{node: node, lines: "keep_alive: 0s\n" + strings.Join(lines, "")})
	if err != nil {
		return nil, err
	}
	n := &newsroom{node: node, g: g, full: true}
	_, err = n.announce(ctx)
	return n, err
}

// heard is how long after the announcement of a block a miner heard of it, and when the node began its answer.
type heard struct{ early, node, full time.Duration }

// hear has a miner wait for a block, and then for the full template.
func (n *newsroom) hear(ctx context.Context) (h heard, err error) {
	id, err := n.settled(ctx)
	if err != nil {
		return h, err
	}
	polled := n.poll(ctx, id)
	err = await(ctx, "the poll to wait", func(ctx context.Context) (bool, error) {
		waiting, err := n.g.waiting(ctx)
		return waiting > 0, err
	})
	if err != nil {
		return h, err
	}
	start, err := n.node.announce(ctx, true)
	if err != nil {
		return h, err
	}
	early := <-polled
	switch {
	case early.err != nil:
		return h, early.err
	case !early.empty():
		return h, errors.New("no early template has come")
	}
	if id, err = textOf(early.body, "longpollid"); err != nil {
		return h, err
	}
	full := <-n.poll(ctx, id)
	switch {
	case full.err != nil:
		return h, full.err
	case full.empty():
		return h, errors.New("after the early template comes another one without transactions")
	}
	answered, err := n.answered(ctx)
	return heard{early.first.Sub(start), answered.Sub(start), full.first.Sub(start)}, err
}

// polled is the answer to a long poll.
type polled struct {
	captured
	first time.Time
	err   error
}

// poll has a miner wait for another template than id names.
func (n *newsroom) poll(ctx context.Context, id string) <-chan polled {
	out := make(chan polled, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		sent, first, err := captureFirst(ctx, n.g.addr, n.g.login, "identity", askTemplate(id))
		out <- polled{sent, first, err}
	}()
	return out
}
