package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// presenceKept is for how long it is known who was there.
	presenceKept = 24 * time.Hour
	// maxPresent is the most accounts, and twice that the most workers, that are known.
	maxPresent = 100_000
	// presenceGroup is how many presences one run of the script takes: fewer than are forgotten at a time.
	presenceGroup = 250
	// maxAgents is how many programs Agents names.
	maxAgents = 20
)

// PresenceConfig configures Presence. Ledger is required.
type PresenceConfig struct {
	// Ledger is beside which it lies.
	Ledger *Ledger
	// Accounts and Workers are the most that are known of each; 100,000 and 200,000 if 0.
	Accounts, Workers int
}

// Presence keeps who was there in the last day: accounts, their workers, and what programs these run. It is for
// people to look at. Memory: a worker takes some 300 bytes and an account 100. Names cost nothing, so an account has
// only as many workers as have figures of their own, and of more than Accounts and Workers in all those that were
// there longest ago are forgotten.
type Presence struct {
	*Ledger
	accounts, workers int
}

// NewPresence makes a Presence.
func NewPresence(cfg PresenceConfig) (*Presence, error) {
	if cfg.Ledger == nil || cfg.Accounts < 0 || cfg.Workers < 0 {
		return nil, errors.New("presence: Ledger is required, and Accounts and Workers not below 0")
	}
	return &Presence{cfg.Ledger, cmp.Or(cfg.Accounts, maxPresent), cmp.Or(cfg.Workers, 2*maxPresent)}, nil
}

// Seen notes who was there, and forgets who was not for a day. Times that are behind what is known change nothing,
// and those ahead of Redis's clock count as now. An agent that is empty leaves the one that is known. Doing it again
// changes nothing. A presence that is not sound is shares.ErrMalformed, and then none of the list is noted.
func (p *Presence) Seen(ctx context.Context, list []shares.Presence) error {
	o, err := p.opened()
	if err != nil {
		return err
	}
	names := []string{p.keys.pool("genesis"), p.present("accounts"), p.present("workers"), p.present("names"), p.present("agents"), p.present("programs")}
	var calls []invocation
	for group := range slices.Chunk(list, presenceGroup) {
		args := make([]any, 0, 5+4*len(group))
		args = append(args, o.Ledger, presenceKept.Milliseconds(), p.Client.cfg.Workers, p.accounts, p.workers)
		for _, one := range group {
			if err := one.Check(); err != nil {
				return err
			}
			args = append(args, one.Account, one.Worker, shares.AgentText(one.Agent), one.Time.UnixMilli())
		}
		calls = append(calls, invocation{script: p.scripts.seen, keys: names, args: args})
	}
	if len(calls) == 0 {
		return nil
	}
	for _, result := range run(ctx, p.redis, calls) {
		if err := result.Err(); err != nil {
			return fmt.Errorf("presence: %w", translate(err))
		}
	}
	return nil
}

// Active counts the accounts and workers that were there since a time, of the last day.
func (p *Presence) Active(ctx context.Context, since time.Time) (accounts, workers int, err error) {
	if _, err := p.opened(); err != nil {
		return 0, 0, err
	}
	var cmds [2]*redis.IntCmd
	_, err = p.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, name := range []string{"accounts", "workers"} {
			cmds[i] = pipe.ZCount(ctx, p.present(name), millis(since), "+inf")
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("presence: %w", translate(err))
	}
	return int(cmds[0].Val()), int(cmds[1].Val()), nil
}

// ActiveAccounts returns the accounts that were there since a time, of the last day: the last one first, at most
// limit of them.
func (p *Presence) ActiveAccounts(ctx context.Context, since time.Time, limit int) ([]string, error) {
	if _, err := p.opened(); err != nil || limit < 1 {
		return nil, err
	}
	out, err := p.redis.ZRevRangeByScore(ctx, p.present("accounts"), &redis.ZRangeBy{Min: millis(since), Max: "+inf", Count: int64(limit)}).Result()
	if err != nil {
		return nil, fmt.Errorf("presence: %w", translate(err))
	}
	return out, nil
}

// Agents counts the workers of the last day by the program that they run, without its version: the 20 programs of
// the most workers. Workers that did not say are left out.
func (p *Presence) Agents(ctx context.Context) (map[string]int, error) {
	if _, err := p.opened(); err != nil {
		return nil, err
	}
	// One more, for agents that name no program.
	list, err := p.redis.ZRangeWithScores(ctx, p.present("programs"), 0, maxAgents).Result()
	if err != nil {
		return nil, fmt.Errorf("presence: %w", translate(err))
	}
	count := make(map[string]int, maxAgents)
	for _, z := range list {
		if name, ok := z.Member.(string); ok && name != "" && len(count) < maxAgents {
			count[name] = -int(z.Score)
		}
	}
	return count, nil
}

// AgentsOf returns what the programs of an account's workers of the last day call themselves, by worker; empty for a
// worker that did not say.
func (p *Presence) AgentsOf(ctx context.Context, account string) (map[string]string, error) {
	if _, err := p.opened(); err != nil {
		return nil, err
	}
	// All that begin with the account and a dot: the slash comes after the dot.
	members, err := p.redis.ZRangeByLex(ctx, p.present("names"), &redis.ZRangeBy{Min: "[" + account + ".", Max: "(" + account + "/"}).Result()
	if err != nil {
		return nil, fmt.Errorf("presence: %w", translate(err))
	}
	if len(members) == 0 {
		return map[string]string{}, nil
	}
	agents, err := p.redis.HMGet(ctx, p.present("agents"), members...).Result()
	if err != nil {
		return nil, fmt.Errorf("presence: %w", translate(err))
	}
	out := make(map[string]string, len(members))
	for i, member := range members {
		agent, _ := agents[i].(string)
		out[strings.TrimPrefix(member, account+".")] = agent
	}
	return out, nil
}

// present is the key of what is known of who is there.
func (p *Presence) present(name string) string { return p.keys.pool("present:" + name) }

func millis(at time.Time) string { return strconv.FormatInt(max(0, at.UnixMilli()), 10) }
