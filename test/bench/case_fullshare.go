package main

import (
	"context"
	"fmt"
	"time"
)

// fullShareClients is how many connections send full blocks.
const fullShareClients = 4

// fullShareCase has miners send shares with all transactions, and a bare handler read, decode and hash the same.
func fullShareCase(ctx context.Context, l *lab) ([]row, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	g, err := l.gateway(ctx, gatewayConfig{node: node, redis: l.redis(ctx, "everysec"), first: true})
	if err != nil {
		return nil, err
	}
	s := shareLoad{form: whole, clients: fullShareClients, each: l.pick(30, 1)}
	rate := row{What: "shares with all transactions, issued set", Unit: "/s", Bars: []bar{atLeast(0.5, ratioToLimit)}}
	p99 := row{What: "the same, 99 of 100 within", Unit: "ms"}
	size, err := l.compareShares(ctx, g, "decode", s, &rate, &p99)
	rate.LimitIs = fmt.Sprintf("a bare net/http handler that reads the same %d bytes, decodes the block from hexadecimal and hashes it twice", size)
	if err == nil {
		err = l.submitToPeer(ctx, &rate)
	}
	return []row{rate, p99}, err
}

// submitToPeer measures how fast btcd rules on a full block. It has the block already, so it checks nothing of it.
func (l *lab) submitToPeer(ctx context.Context, rate *row) error {
	btcd, err := l.btcd(ctx, l.pick(4000, 40))
	if err != nil {
		return fmt.Errorf("btcd: %w", err)
	}
	request, err := btcd.knownBlock(ctx)
	if err != nil {
		return fmt.Errorf("btcd: %w", err)
	}
	rate.PeerIs = fmt.Sprintf("btcd's submitblock of %d bytes, a block that it has already and does not check again; measured after, not in turn", len(request))
	return l.rounds(func(int) error {
		return l.within(func() error {
			clients, err := l.dialClients(ctx, btcd.addr, fullShareClients)
			if err != nil {
				return err
			}
			w := load{next: func(int) []byte { return request }, check: checkKnown, lasts: l.span(3*time.Second, 100*time.Millisecond)}
			got, err := drive(ctx, clients, w)
			if err != nil {
				return fmt.Errorf("btcd: %w", err)
			}
			rate.Peer = append(rate.Peer, got.answersPerSecond())
			return nil
		})
	})
}
