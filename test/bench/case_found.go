package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lastPiece is how much of a submission is sent last: the time of a found block is taken from there.
const lastPiece = 512

// foundCase has a miner find blocks and looks when the node gets them.
func foundCase(ctx context.Context, l *lab) ([]row, error) {
	node, err := l.startNode(ctx, easyBits)
	if err != nil {
		return nil, err
	}
	node.follow = true
	n := &newsroom{node: node}
	if n.g, err = l.gateway(ctx, gatewayConfig{node: node, redis: l.redis(ctx, "everysec"), first: true}); err != nil {
		return nil, err
	}
	var rows []row
	for _, kind := range []struct {
		name  string
		form  form
		most  float64
		count int
	}{{"abbreviated", short, 1, l.pick(15, 2)}, {"full", whole, 20, l.pick(7, 1)}} {
		r := row{What: kind.name + " block: found to submitblock at the first node", Unit: "ms", Bars: []bar{atMost(kind.most, itself)},
			LimitIs: "as much of an HTTP request that goes to the node directly, over the loopback",
			Note:    fmt.Sprintf("from the last %d bytes of the submission to the head of submitblock at the node", lastPiece)}
		err := l.rounds(func(int) error {
			var ours, bare []float64
			for range kind.count {
				a, b, err := l.find(ctx, n, kind.form)
				if err != nil {
					return err
				}
				ours, bare = append(ours, milliseconds(a)), append(bare, milliseconds(b))
			}
			r.add(median(ours), median(bare))
			return nil
		})
		rows = append(rows, r)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return rows, nil
}

// find has a block found and returns how long it took to the node, and how long a bare request takes.
func (l *lab) find(ctx context.Context, n *newsroom, f form) (ours, bare time.Duration, err error) {
	if _, err := n.settled(ctx); err != nil {
		return 0, 0, err
	}
	miners, err := newMiners(ctx, []string{n.g.addr}, 1, f)
	if err != nil {
		return 0, 0, err
	}
	m := miners[0]
	m.solves = true
	m.mine(1)
	request := m.next()
	if ours, err = n.submit(ctx, n.g.addr, request); err != nil {
		return 0, 0, err
	}
	// Once more, to the node: it knows the block by now.
	text := request[m.nonceAt-2*nonceOffset : m.nonceAt-2*nonceOffset+2*headerSize]
	again := render("bench:password", "", fmt.Appendf(nil, `{"id":1,"method":"submitblock","params":["%s"]}`, text))
	bare, err = n.submit(ctx, n.node.url[len("http://"):], again)
	return ours, bare, err
}

// submit sends a submission on a connection that is there already and returns how long after its last piece the node
// has a block.
func (n *newsroom) submit(ctx context.Context, addr string, request []byte) (time.Duration, error) {
	c, err := dial(ctx, addr, "")
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // nothing is left to be sent
	if err := c.SetDeadline(time.Now().Add(readyLimit)); err != nil {
		return 0, err
	}
	for len(n.node.arrived) > 0 {
		<-n.node.arrived
	}
	most := max(0, len(request)-lastPiece)
	if _, err := c.Write(request[:most]); err != nil {
		return 0, err
	}
	// What came before is on its way, and the server waits for the rest.
	if err := pause(ctx, 20*time.Millisecond); err != nil {
		return 0, err
	}
	start := time.Now()
	var a answer
	if err := c.ask(request[most:], &a); err != nil {
		return 0, err
	}
	if err := checkAccepted(&a); err != nil {
		return 0, fmt.Errorf("status %d %q: %w", a.status, a.head(), err)
	}
	select {
	case block := <-n.node.arrived:
		return block.at.Sub(start), nil
	case <-time.After(readyLimit):
		return 0, errors.New("no block has come to the node")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
