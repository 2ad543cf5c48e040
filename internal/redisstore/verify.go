package redisstore

import (
	"context"
	"fmt"

	"github.com/gbtpool/gbtpool/shares"
)

// Refuse implements shares.Ledger.
func (l *Ledger) Refuse(ctx context.Context, batch int64, refusals []shares.Refusal) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	calls := make(map[int]*invocation)
	for _, r := range refusals {
		p, k := o.of(r.Account)
		c, ok := calls[p]
		if !ok {
			c = &invocation{script: l.scripts.refuse, keys: []string{k.state(), k.figures()}, args: []any{o.Ledger, l.cfg.Gateway, batch}}
			calls[p] = c
		}
		c.keys = append(c.keys, k.account(r.Account), k.worker(r.Account, r.Worker))
		c.args = append(c.args, string(r.Reason), r.Count)
	}
	all := make([]invocation, 0, len(calls))
	for _, c := range calls {
		all = append(all, *c)
	}
	for _, r := range run(ctx, l.redis, all) {
		if err := r.Err(); err != nil {
			return fmt.Errorf("refusals: %w", translate(err))
		}
	}
	return nil
}

// Verify implements shares.Ledger.
func (l *Ledger) Verify(ctx context.Context, receipts []shares.Receipt) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	for _, r := range receipts {
		if r.Partition < 0 || r.Partition >= o.Partitions {
			return fmt.Errorf("%w: there is no partition %d", shares.ErrForeign, r.Partition)
		}
		if err := l.verify(ctx, o.parts[r.Partition], r); err != nil {
			return err
		}
	}
	return nil
}

// verify looks for one share: in the log by its hash, in the slices by its place.
func (l *Ledger) verify(ctx context.Context, k part, r shares.Receipt) error {
	lost := fmt.Errorf("%w: share %s, recorded at %s in partition %d, is not there", shares.ErrWentBack, r.Hash, r.Position, r.Partition)
	messages, err := l.redis.XRange(ctx, k.log(), r.String(), r.String()).Result()
	if err != nil {
		return fmt.Errorf("log: %w", translate(err))
	}
	if len(messages) > 0 {
		if e, err := entryOf(messages[0], r.Partition); err != nil || e.Hash == r.Hash {
			return err
		}
		return lost
	}
	index, err := l.redis.LRange(ctx, k.slices(), 0, -1).Result()
	if err != nil {
		return fmt.Errorf("slices: %w", translate(err))
	}
	for _, name := range index {
		first, last, err := parseSliceName(name, r.Partition)
		if err != nil {
			return err
		}
		if r.Compare(first) < 0 || r.Compare(last) > 0 {
			continue
		}
		s, err := l.slice(ctx, k, name, r.Partition)
		if err != nil {
			return err
		}
		if s.has(r.Position) {
			return nil
		}
		return lost
	}
	trimmed, err := l.redis.HGet(ctx, k.state(), "trimmed").Result()
	if at, parseErr := parsePlace(trimmed); err == nil && parseErr == nil {
		at.Partition = r.Partition
		if r.Compare(at) <= 0 {
			return nil // too old to look up
		}
	}
	return lost
}
