package main

import (
	"context"
	"fmt"
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
	return []row{rate, p99}, err
}
