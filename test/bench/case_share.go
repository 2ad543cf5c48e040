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
	for _, kind := range []struct {
		name  string
		form  form
		fsync string
		least float64
	}{
		{"shares, appendfsync everysec", short, "everysec", 0.5},
		{"shares, appendfsync always", short, "always", 0.35},
		{"shares with a merkle branch, appendfsync everysec", merkled, "everysec", 0.5},
	} {
		l.say("%s", kind.name)
		err := l.within(func() error {
			got, err := l.shares(ctx, kind.name, kind.fsync, kind.form)
			if err == nil {
				got[0].Bars = []bar{atLeast(kind.least, ratioToLimit)}
			}
			rows = append(rows, got...)
			return err
		})
		if err != nil {
			return rows, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return rows, nil
}

// shares measures shares of one form and one way to sync the ledger.
func (l *lab) shares(ctx context.Context, name, fsync string, f form) ([]row, error) {
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	redis := l.redis(ctx, fsync)
	g, err := l.gateway(ctx, gatewayConfig{node: node, redis: redis, first: true})
	if err != nil {
		return nil, err
	}
	return l.compareShares(ctx, g, shareLoad{
		what: name, pids: []int{g.pid(), redis.PID()}, limit: "null",
		limitIs: "a bare net/http handler that reads the same %d bytes and answers null",
		form:    f, clients: shareClients, each: l.pick(200, 2),
	})
}

// shareLoad is how many send how many shares in a turn.
type shareLoad struct {
	what    string
	limit   string // its kind
	limitIs string // what that does, with %d for a request's size
	pids    []int  // of all that takes part in acknowledging a share
	form    form
	clients int
	each    int
}

// compareShares measures shares against a limit program: as a rate, by the time that 99 of 100 took, and by the
// processor time that one takes. Its rows are in this order.
func (l *lab) compareShares(ctx context.Context, g *gateway, s shareLoad) ([]row, error) {
	rate, p99 := row{What: s.what, Unit: "/s"}, row{What: s.what + ": 99 of 100 within", Unit: "ms"}
	cost := row{What: s.what + ": processor time of the gateway and Redis for one", Unit: "µs"}
	limit, err := l.limit(ctx, s.limit, captured{})
	if err != nil {
		return nil, err
	}
	miners, err := newMiners(ctx, []string{g.addr}, s.clients, s.form)
	if err != nil {
		return nil, err
	}
	ours, err := l.dialClients(ctx, g.addr, s.clients)
	if err != nil {
		return nil, err
	}
	bare, err := l.dialClients(ctx, limit.addr, s.clients)
	if err != nil {
		return nil, err
	}
	rate.LimitIs = fmt.Sprintf(s.limitIs, len(miners[0].request))
	err = l.rounds(func(int) error {
		a, b, err := inTurn(ctx,
			side{"gateway", s.pids, func(ctx context.Context) (*tally, error) { return sendShares(ctx, ours, miners, s.each) }},
			side{"limit", []int{limit.pid()}, func(ctx context.Context) (*tally, error) { return sendShares(ctx, bare, miners, s.each) }})
		if err != nil {
			return err
		}
		rate.add(a.answersPerSecond(), b.answersPerSecond())
		p99.add(a.within(0.99), b.within(0.99))
		cost.add(a.cost(), b.cost())
		return nil
	})
	return []row{rate, p99, cost}, err
}

// sendShares has each client send as many shares of its miner, which were mined before.
func sendShares(ctx context.Context, clients []*asker, miners []*miner, each int) (*tally, error) {
	for _, m := range miners {
		m.mine(each)
	}
	return drive(ctx, clients, load{next: func(i int) []byte { return miners[i].next() }, check: checkAccepted, timed: true})
}
