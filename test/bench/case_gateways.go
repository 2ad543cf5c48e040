package main

import (
	"context"
	"runtime"
	"strconv"
)

// gatewaysCase has miners send shares to two gateways on one Redis, and to one of them.
func gatewaysCase(ctx context.Context, l *lab) ([]row, error) {
	r := row{What: "shares at two gateways on one Redis, appendfsync everysec", Unit: "/s", LimitIs: "as many clients at one of them",
		Bars: []bar{atLeast(1.7, ratioToLimit)},
		Note: "the bar is for where cores allow: here " + strconv.Itoa(runtime.NumCPU()) + " have the gateways, Redis and the clients"}
	node, err := l.startNode(ctx, hardBits)
	if err != nil {
		return nil, err
	}
	redis := l.redis(ctx, "everysec")
	addrs := make([]string, 2)
	for i := range addrs {
		g, err := l.gateway(ctx, gatewayConfig{node: node, redis: redis, first: i == 0, name: strconv.Itoa(i)})
		if err != nil {
			return nil, err
		}
		addrs[i] = g.addr
	}
	sides := make([]side, len(addrs))
	each := l.pick(200, 2)
	for i := range sides {
		at := addrs[:i+1]
		miners, err := newMiners(ctx, at, shareClients, short)
		if err != nil {
			return nil, err
		}
		clients := make([]*asker, 0, shareClients)
		for j := range shareClients {
			one, err := l.dialClients(ctx, at[j%len(at)], 1)
			if err != nil {
				return nil, err
			}
			clients = append(clients, one...)
		}
		sides[i] = side{strconv.Itoa(i+1) + " at work", nil, func(ctx context.Context) (*tally, error) {
			return sendShares(ctx, clients, miners, each)
		}}
	}
	err = l.rounds(func(int) error {
		two, one, err := inTurn(ctx, sides[1], sides[0])
		if err != nil {
			return err
		}
		r.add(two.answersPerSecond(), one.answersPerSecond())
		return nil
	})
	return []row{r}, err
}
