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
	redis := l.redis(ctx, "everysec")
	g, err := l.gateway(ctx, gatewayConfig{node: node, redis: redis, first: true})
	if err != nil {
		return nil, err
	}
	rows, err := l.compareShares(ctx, g, shareLoad{
		what: "shares with all transactions, issued set", pids: []int{g.pid(), redis.PID()}, limit: "decode",
		limitIs: "a bare net/http handler that reads the same %d bytes, decodes the block from hexadecimal and hashes it twice",
		form:    whole, clients: fullShareClients, each: l.pick(30, 1),
	})
	if err != nil {
		return nil, err
	}
	rows[0].Bars = []bar{atLeast(0.5, ratioToLimit)}
	return rows, l.submitToPeer(ctx, &rows[0])
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
