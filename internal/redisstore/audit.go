package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// auditTries is how often a partition is read again because it was trimmed meanwhile.
const auditTries = 5

// Audited is what an audit found out about one partition.
type Audited struct {
	Partition int
	// Shares counts all ever recorded and Detail those of them that are still there one by one.
	Shares, Detail int64
	// Weight is that of all shares, in units of Unit.
	Weight *big.Int
	Unit   shares.Unit
	// Accounts counts accounts.
	Accounts int
	// Faults are the sums that do not agree with the shares; none if all is well.
	Faults []string
}

// snapshot is what a partition says at one moment.
type snapshot struct {
	state, sums, folded, round, figures map[string]string
}

// Audit recomputes every sum of a partition from its shares and compares. It may run while shares are
// recorded.
func (l *Ledger) Audit(ctx context.Context, partition int) (Audited, error) {
	o, err := l.opened()
	if err != nil {
		return Audited{}, err
	}
	if partition < 0 || partition >= o.Partitions {
		return Audited{}, fmt.Errorf("audit: there is no partition %d", partition)
	}
	k := o.parts[partition]
	for range auditTries {
		snap, err := l.snapshot(ctx, k)
		if err != nil {
			return Audited{}, fmt.Errorf("audit: %w", err)
		}
		a, err := l.audit(ctx, o, partition, snap)
		if err != nil && !errors.Is(err, shares.ErrFolded) {
			return Audited{}, fmt.Errorf("audit: partition %d: %w", partition, err)
		}
		// What was trimmed after the snapshot is in neither.
		trimmed, trimErr := l.redis.HGet(ctx, k.state(), "trimmed").Result()
		if trimErr != nil && !errors.Is(trimErr, redis.Nil) {
			return Audited{}, fmt.Errorf("audit: %w", translate(trimErr))
		}
		if err == nil && trimmed == snap.state["trimmed"] {
			return a, nil
		}
	}
	return Audited{}, fmt.Errorf("audit: partition %d is trimmed faster than it can be read: try again", partition)
}

// Partitions returns how many there are; 0 before Open.
func (l *Ledger) Partitions() int {
	if o := l.open.Load(); o != nil {
		return o.Partitions
	}
	return 0
}

// snapshot reads all sums at once.
func (l *Ledger) snapshot(ctx context.Context, k part) (*snapshot, error) {
	s := new(snapshot)
	var cmds []*redis.MapStringStringCmd
	_, err := l.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range []string{k.state(), k.sums(), k.folded(), k.round(), k.figures()} {
			cmds = append(cmds, p.HGetAll(ctx, key))
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	for i, into := range []*map[string]string{&s.state, &s.sums, &s.folded, &s.round, &s.figures} {
		*into = cmds[i].Val()
	}
	return s, nil
}

// recount is what the shares say.
type recount struct {
	sums, round               map[string]*big.Int
	shares, detail, inRound   int64
	total, roundTotal, folded *big.Int
}

func (l *Ledger) audit(ctx context.Context, o *opened, partition int, snap *snapshot) (Audited, error) {
	r, err := l.recount(ctx, o, partition, snap)
	if err != nil {
		return Audited{}, err
	}
	a := Audited{Partition: partition, Shares: r.shares, Detail: r.detail, Weight: r.total, Unit: o.Unit, Accounts: len(r.sums)}
	said := func(what string, values map[string]string, want map[string]*big.Int) error {
		got := make(map[string]*big.Int)
		if err := addSums(got, values); err != nil {
			return err
		}
		for _, account := range slices.Sorted(maps.Keys(union(got, want))) {
			if g, w := orZero(got[account]), orZero(want[account]); g.Cmp(w) != 0 {
				a.Faults = append(a.Faults, fmt.Sprintf("%s of %s is %s, its shares weigh %s", what, account, g, w))
			}
		}
		return nil
	}
	total := func(values map[string]string, field string) map[string]string {
		out := make(map[string]string)
		for _, f := range []string{field, field + "+"} {
			if v, ok := values[f]; ok {
				out[f] = v
			}
		}
		return out
	}
	counted := newTallied()
	err = errors.Join(
		counted.add(snap.figures),
		said("the sum", snap.sums, r.sums),
		said("the round's weight", snap.round, r.round),
		said("the partition's", total(snap.state, "total"), map[string]*big.Int{"total": r.total}),
		said("the partition's", total(snap.state, "ftotal"), map[string]*big.Int{"ftotal": r.folded}),
		said("the partition's", total(snap.state, "shares"), map[string]*big.Int{"shares": big.NewInt(r.shares)}),
		said("the partition's", total(snap.state, "rtotal"), map[string]*big.Int{"rtotal": r.roundTotal}),
		said("the partition's", total(snap.state, "rshares"), map[string]*big.Int{"rshares": big.NewInt(r.inRound)}),
	)
	if n := counted.accepted; n != r.shares {
		a.Faults = append(a.Faults, fmt.Sprintf("the figures count %d shares, there are %d", n, r.shares))
	}
	if w := counted.weight; w.Cmp(r.total) != 0 {
		a.Faults = append(a.Faults, fmt.Sprintf("the figures weigh %s, the shares %s", w, r.total))
	}
	return a, err
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

func union(a, b map[string]*big.Int) map[string]*big.Int {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// recount adds the shares of a partition up, and what was folded.
func (l *Ledger) recount(ctx context.Context, o *opened, partition int, snap *snapshot) (*recount, error) {
	r := &recount{sums: make(map[string]*big.Int), round: make(map[string]*big.Int), total: new(big.Int), roundTotal: new(big.Int)}
	if err := addSums(r.sums, snap.folded); err != nil {
		return nil, err
	}
	for _, w := range r.sums {
		r.total.Add(r.total, w)
	}
	r.folded = new(big.Int).Set(r.total)
	if text, ok := snap.state["folded"]; ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("folded: %w", err)
		}
		r.shares = n
	}
	from, err := placeIn(snap.state, "rfrom", partition)
	if err != nil {
		return nil, err
	}
	last, err := placeIn(snap.state, "last", partition)
	if err != nil {
		return nil, err
	}
	last.Seq++
	c := &cursor{client: l.Client, partition: partition, keys: o.parts[partition], below: last}
	for {
		next, ok, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			return r, nil
		}
		w := big.NewInt(int64(next.weight))
		r.shares++
		r.detail++
		add(r.sums, next.account, w)
		r.total.Add(r.total, w)
		if next.at.Compare(from) > 0 {
			r.inRound++
			add(r.round, next.account, w)
			r.roundTotal.Add(r.roundTotal, w)
		}
	}
}

func add(sums map[string]*big.Int, account string, weight *big.Int) {
	if sums[account] == nil {
		sums[account] = new(big.Int)
	}
	sums[account].Add(sums[account], weight)
}

// placeIn reads a place of a hash; the zero place if there is none.
func placeIn(values map[string]string, field string, partition int) (shares.Position, error) {
	text, ok := values[field]
	if !ok {
		return shares.Position{Partition: partition}, nil
	}
	at, err := parsePlace(text)
	at.Partition = partition
	return at, err
}
