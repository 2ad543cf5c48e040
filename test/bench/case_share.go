package main

import (
	"context"
	"fmt"
)

// shareClients is how many connections send abbreviated shares.
const shareClients = 64

// shareCase has miners send abbreviated shares, each acknowledged once the ledger has it, and a bare handler take the
// same bytes.
func shareCase(ctx context.Context, l *lab) ([]row, error) {
	var rows []row
	for _, mode := range []struct {
		fsync string
		least float64
	}{{"everysec", 0.5}, {"always", 0.35}} {
		l.say("appendfsync %s", mode.fsync)
		err := l.within(func() error {
			got, err := l.shares(ctx, mode.fsync, mode.least)
			rows = append(rows, got...)
			return err
		})
		if err != nil {
			return rows, fmt.Errorf("appendfsync %s: %w", mode.fsync, err)
		}
	}
	return rows, nil
}

// shares measures one way to sync the ledger.
func (l *lab) shares(ctx context.Context, fsync string, least float64) ([]row, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	g, err := l.gateway(ctx, gatewayConfig{node: node, redis: l.redis(ctx, fsync), first: true})
	if err != nil {
		return nil, err
	}
	s := shareLoad{form: short, clients: shareClients, each: l.pick(200, 2)}
	rate := row{What: "shares, appendfsync " + fsync, Unit: "/s", Bars: []bar{atLeast(least, ratioToLimit)}}
	p99 := row{What: "the same, 99 of 100 within", Unit: "ms"}
	size, err := l.compareShares(ctx, g, "null", s, &rate, &p99)
	rate.LimitIs = fmt.Sprintf("a bare net/http handler that reads the same %d bytes and answers null", size)
	return []row{rate, p99}, err
}

// shareLoad is how many send how many shares in a turn.
type shareLoad struct {
	form    form
	clients int
	each    int
}

// compareShares measures shares against a limit program, as a rate and by the time that 99 of 100 took. It returns
// the size of a request.
func (l *lab) compareShares(ctx context.Context, g *gateway, kind string, s shareLoad, rate, p99 *row) (size int, err error) {
	limit, err := l.limit(ctx, kind, captured{})
	if err != nil {
		return 0, err
	}
	miners, err := newMiners(ctx, []string{g.addr}, s.clients, s.form)
	if err != nil {
		return 0, err
	}
	ours, err := l.dialClients(ctx, g.addr, s.clients)
	if err != nil {
		return 0, err
	}
	bare, err := l.dialClients(ctx, limit.addr, s.clients)
	if err != nil {
		return 0, err
	}
	return len(miners[0].request), l.rounds(func(int) error {
		a, b, err := inTurn(ctx, turns,
			func(ctx context.Context) (*tally, error) { return sendShares(ctx, ours, miners, s.each) },
			func(ctx context.Context) (*tally, error) { return sendShares(ctx, bare, miners, s.each) })
		if err != nil {
			return err
		}
		rate.add(a.answersPerSecond(), b.answersPerSecond())
		p99.add(a.within(0.99), b.within(0.99))
		return nil
	})
}

// sendShares has each client send as many shares of its miner, which were mined before.
func sendShares(ctx context.Context, clients []*asker, miners []*miner, each int) (*tally, error) {
	for _, m := range miners {
		m.mine(each)
	}
	return drive(ctx, clients, load{next: func(i int) []byte { return miners[i].next() }, check: checkAccepted, timed: true})
}
