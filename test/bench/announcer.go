package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/node/zmqtest"
)

// announcer tells one gateway of a node's new blocks over ZeroMQ.
type announcer struct {
	*zmqtest.Publisher

	// subscribed has what came of waiting for the gateway, as soon as that is over.
	subscribed chan subscription
	seq        uint32
}

// subscription is a connection with a subscriber, or why there is none.
type subscription struct {
	conn net.Conn
	err  error
}

// announcer starts one, which waits for its gateway.
func (l *lab) announcer(ctx context.Context) (*announcer, error) {
	p, err := zmqtest.New(ctx)
	if err != nil {
		return nil, err
	}
	a := &announcer{Publisher: p, subscribed: make(chan subscription, 1)}
	go func() {
		c, err := p.Accept(readyLimit)
		a.subscribed <- subscription{c, err}
	}()
	l.atEnd(func() error {
		err := p.Close()
		if s := <-a.subscribed; s.conn != nil {
			_ = s.conn.Close() // the gateway may have closed it
		}
		return err
	})
	return a, nil
}

// subscriber waits until the gateway has subscribed.
func (a *announcer) subscriber(ctx context.Context) (net.Conn, error) {
	select {
	case s := <-a.subscribed:
		a.subscribed <- s
		if s.err != nil {
			return nil, fmt.Errorf("no gateway listens for blocks: %w", s.err)
		}
		return s.conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// announce has the node go on to a new block and returns when it began to tell of it: by ZeroMQ if it speaks that.
func (n *fakeNode) announce(ctx context.Context, full bool) (time.Time, error) {
	if n.zmq == nil {
		err := n.propose(true, full)
		return time.Now(), err
	}
	c, err := n.zmq.subscriber(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if err := n.propose(true, full); err != nil {
		return time.Time{}, err
	}
	state, _ := n.look()
	block, err := chainhash.NewHashFromStr(state.best)
	if err != nil {
		return time.Time{}, err
	}
	message := zmqtest.HashBlock(*block, n.zmq.seq)
	n.zmq.seq++
	at := time.Now()
	_, err = c.Write(message)
	return at, err
}
