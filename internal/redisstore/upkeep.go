package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// Acquire takes or renews the lease of a job for some time. It fails with shares.ErrFenced if
// somebody else has it.
func (l *Ledger) Acquire(ctx context.Context, job string, within time.Duration) (shares.Lease, error) {
	v, err := l.call(ctx, l.scripts.lease, []string{l.keys.pool("lease:" + job)}, "", l.cfg.Gateway+" "+l.cfg.Process, within.Milliseconds())
	if err != nil {
		return shares.Lease{}, fmt.Errorf("lease %s: %w", job, err)
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return shares.Lease{}, fmt.Errorf("lease %s: %v: %w", job, v, errReply)
	}
	token, ok := list[0].(int64)
	if !ok {
		return shares.Lease{}, fmt.Errorf("lease %s: %v: %w", job, v, errReply)
	}
	if token == 0 {
		return shares.Lease{}, fmt.Errorf("lease %s: %w: %v has it", job, shares.ErrFenced, list[1])
	}
	return shares.Lease{Job: job, Token: token}, nil
}

// GiveUp ends a lease before its time, so that the next one need not wait.
func (l *Ledger) GiveUp(ctx context.Context, job string) error {
	_, err := l.Acquire(ctx, job, 0)
	if errors.Is(err, shares.ErrFenced) {
		return nil
	}
	return err
}

// Compact implements shares.Upkeep.
func (l *Ledger) Compact(ctx context.Context, lease shares.Lease, keep int) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	for p, k := range o.parts {
		for more := true; more; {
			if more, err = l.compact(ctx, o, lease, p, k, keep); err != nil {
				return fmt.Errorf("compact partition %d: %w", p, err)
			}
		}
	}
	return nil
}

// compact makes one slice of a partition, if there is enough for one. The slice is written, named in
// the list and only then are its shares trimmed from the log: a reader always finds them once.
func (l *Ledger) compact(ctx context.Context, o *opened, lease shares.Lease, p int, k part, keep int) (bool, error) {
	length, err := l.redis.XLen(ctx, k.log()).Result()
	if err != nil {
		return false, fmt.Errorf("log: %w", translate(err))
	}
	old, err := l.redis.HGet(ctx, k.state(), "compacted").Result()
	if errors.Is(err, redis.Nil) {
		old, err = "0-0", nil
	}
	if err != nil {
		return false, fmt.Errorf("state: %w", translate(err))
	}
	many := min(length-int64(keep), maxSlice)
	if many <= 0 {
		return false, nil
	}
	entries, err := l.logAfter(ctx, k, p, old, many)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	s := sliceOf(entries)
	packed, err := s.encode()
	if err != nil {
		return false, err
	}
	first, last := s.places[0], s.places[len(s.places)-1]
	after := last
	after.Seq++
	name := first.String() + " " + last.String()
	err = l.do(ctx, l.scripts.compact, []string{k.state(), k.log(), k.slices(), k.slice(name)},
		o.Ledger, lease.Job, lease.Token, old, first.String(), last.String(), packed, after.String())
	return int64(len(entries)) == maxSlice, err
}

// logAfter reads shares of a log after a place, oldest first.
func (l *Ledger) logAfter(ctx context.Context, k part, partition int, place string, many int64) ([]shares.Entry, error) {
	var out []shares.Entry
	for int64(len(out)) < many {
		messages, err := l.redis.XRangeN(ctx, k.log(), "("+place, "+", min(page, many-int64(len(out)))).Result()
		if err != nil {
			return nil, fmt.Errorf("log: %w", translate(err))
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			e, err := entryOf(m, partition)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
			place = m.ID
		}
	}
	return out, nil
}

// Retire implements shares.Upkeep.
func (l *Ledger) Retire(ctx context.Context, lease shares.Lease, height int32) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	for p, k := range o.parts {
		low, err := l.redis.HGet(ctx, k.state(), "low").Int64()
		if errors.Is(err, redis.Nil) {
			low, err = int64(height)+1, nil
		}
		if err != nil {
			return fmt.Errorf("retire: partition %d: %w", p, translate(err))
		}
		names := []string{k.state()}
		// A run of heights at a time keeps the script short; what is left comes the next time.
		end := min(int64(height), low+maxRetired-1)
		for h := low; h <= end; h++ {
			names = append(names, k.seen(int32(h)))
		}
		err = l.do(ctx, l.scripts.retire, names, o.Ledger, lease.Job, lease.Token, height, max(low, end+1))
		if err != nil {
			return fmt.Errorf("retire: partition %d: %w", p, err)
		}
	}
	return nil
}

// maxRetired is how many heights are forgotten in one call.
const maxRetired = 1000

// Trim implements shares.Upkeep.
func (l *Ledger) Trim(ctx context.Context, lease shares.Lease, size shares.Weight) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	if some, err := l.foldable(ctx, o, size); err != nil || !some {
		return err
	}
	needed, err := l.needed(ctx, o, size)
	if err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	for p, k := range o.parts {
		for more := true; more; {
			if more, err = l.trim(ctx, o, lease, p, k, needed[p]); err != nil {
				return fmt.Errorf("trim partition %d: %w", p, err)
			}
		}
	}
	return nil
}

// foldable reports whether there are slices, and more detail than a window of a size holds.
func (l *Ledger) foldable(ctx context.Context, o *opened, size shares.Weight) (bool, error) {
	totals, counts := make([]*redis.SliceCmd, len(o.parts)), make([]*redis.IntCmd, len(o.parts))
	names := []string{"total", "total+", "ftotal", "ftotal+"}
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range o.parts {
			totals[i], counts[i] = p.HMGet(ctx, k.state(), names...), p.LLen(ctx, k.slices())
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("trim: %w", translate(err))
	}
	sums, some := make(map[string]*big.Int), false
	for i := range o.parts {
		values := make(map[string]string)
		for j, v := range totals[i].Val() {
			if text, ok := v.(string); ok {
				values[names[j]] = text
			}
		}
		if err := addSums(sums, values); err != nil {
			return false, fmt.Errorf("trim: partition %d: %w", i, err)
		}
		some = some || counts[i].Val() > 0
	}
	detail := new(big.Int).Sub(orZero(sums["total"]), orZero(sums["ftotal"]))
	return some && detail.Cmp(big.NewInt(int64(size))) > 0, nil
}

// needed returns where the detail begins, in each partition, that a window of a size, the current
// round, or a block's round and window need that is not released. If a window needs what is folded
// already, as after a rise of the difficulty, all that is left is needed. It completes the cuts of the
// blocks that it looks at.
func (l *Ledger) needed(ctx context.Context, o *opened, size shares.Weight) ([]shares.Position, error) {
	// Up to and with rfrom, the last share before the round, nothing is needed for it.
	needed, err := l.places(ctx, o, func(k part) (string, string) { return k.state(), "rfrom" })
	if err != nil {
		return nil, err
	}
	for p := range needed {
		needed[p].Partition = p
		needed[p].Seq++
	}
	now, err := l.Window(ctx, chainhash.Hash{}, size)
	all := errors.Is(err, shares.ErrFolded)
	if err != nil && !all {
		return nil, err
	}
	lower(needed, now)
	blocks, err := l.found(ctx, o)
	if err != nil {
		return nil, err
	}
	known, next := l.needs.Load(), make(map[chainhash.Hash][]shares.Position)
	for _, b := range blocks {
		if b.released {
			continue
		}
		from := (*known)[b.Hash]
		if from == nil {
			from, err = l.blockNeeds(ctx, o, &b)
			if errors.Is(err, shares.ErrFolded) {
				all = true
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		next[b.Hash] = from
		for p := range from {
			needed[p] = earlier(needed[p], from[p])
		}
	}
	l.needs.Store(&next)
	if all {
		return make([]shares.Position, len(o.parts)), nil
	}
	return needed, nil
}

// blockNeeds returns where the detail begins, in each partition, that a block's round and window need.
// It never changes.
func (l *Ledger) blockNeeds(ctx context.Context, o *opened, b *found) ([]shares.Position, error) {
	w, err := l.Window(ctx, b.Hash, b.Found.Window)
	if err != nil {
		return nil, err
	}
	from, err := l.places(ctx, o, func(k part) (string, string) { return k.block(b.Hash.String()), "from" })
	if err != nil {
		return nil, err
	}
	for p := range from {
		from[p].Partition = p
		from[p].Seq++
	}
	lower(from, w)
	return from, l.listNeeds(ctx, b, from)
}

// listNeeds lowers places to where the window begins that a block's coinbase was made by, if there was one:
// it ended before the block's own. If a miner had moved its work there from the block before, it is an earlier
// one, for which half as much again as the block's own window is kept.
func (l *Ledger) listNeeds(ctx context.Context, b *found, from []shares.Position) error {
	text, err := l.redis.Get(ctx, l.keys.pool("list:"+b.PreviousBlock.String())).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list: %w", translate(err))
	}
	list, err := payouts.DecodeList(text)
	if err != nil {
		return err
	}
	w, err := l.WindowAt(ctx, list.End, list.Size)
	if err != nil {
		return err
	}
	lower(from, w)
	size := b.Found.Window
	if size <= shares.MaxWeight/2 {
		size += size / 2
	}
	w, err = l.Window(ctx, b.Hash, size)
	if errors.Is(err, shares.ErrFolded) {
		return nil // it is kept as far as it is there
	}
	lower(from, w)
	return err
}

// lower lowers places, by partition, to the beginning of a window.
func lower(places []shares.Position, w shares.Window) {
	for p := range places {
		if w.Shares > 0 {
			places[p] = earlier(places[p], w.Oldest)
		}
	}
}

func earlier(a, b shares.Position) shares.Position {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

// trim folds the oldest slice of a partition if all of it lies before a place; false if there is none.
func (l *Ledger) trim(ctx context.Context, o *opened, lease shares.Lease, p int, k part, needed shares.Position) (bool, error) {
	name, err := l.redis.LIndex(ctx, k.slices(), 0).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("slices: %w", translate(err))
	}
	_, last, err := parseSliceName(name, p)
	if err != nil || last.Compare(needed) >= 0 {
		return false, err
	}
	s, err := l.slice(ctx, k, name, p)
	if errors.Is(err, shares.ErrFolded) {
		return true, nil // by somebody else, just now
	}
	if err != nil {
		return false, err
	}
	total := s.total()
	args := []any{o.Ledger, lease.Job, lease.Token, name, last.String(), len(s.places), len(total)}
	for _, w := range total {
		args = append(args, strconv.FormatInt(int64(w), 10))
	}
	for account, parts := range s.sums() {
		for _, w := range parts {
			args = append(args, account, strconv.FormatInt(int64(w), 10))
		}
	}
	err = l.do(ctx, l.scripts.trim, []string{k.state(), k.slices(), k.slice(name), k.folded()}, args...)
	return err == nil, err
}

// total adds a slice up, as weights of at most MaxWeight each.
func (s *slice) total() []shares.Weight {
	var parts []shares.Weight
	for _, w := range s.weights {
		parts = addPart(parts, w)
	}
	return parts
}

// addPart adds a weight to the last of parts, or to a new one if that would be more than MaxWeight.
func addPart(parts []shares.Weight, w shares.Weight) []shares.Weight {
	if n := len(parts); n > 0 && parts[n-1] <= shares.MaxWeight-w {
		parts[n-1] += w
		return parts
	}
	return append(parts, w)
}

// sums adds a slice up by account, in order of their names, as weights of at most MaxWeight each.
func (s *slice) sums() func(func(string, []shares.Weight) bool) {
	by := make(map[string][]shares.Weight)
	for i, w := range s.weights {
		account := s.accounts[s.account[i]]
		by[account] = addPart(by[account], w)
	}
	return func(yield func(string, []shares.Weight) bool) {
		for _, account := range slices.Sorted(maps.Keys(by)) {
			if !yield(account, by[account]) {
				return
			}
		}
	}
}

// Release implements shares.Upkeep.
func (l *Ledger) Release(ctx context.Context, lease shares.Lease, block chainhash.Hash) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	b, err := l.block(ctx, o, block)
	if err != nil {
		return err
	}
	if err := l.cutElsewhere(ctx, o, block, b.Partition); err != nil {
		return fmt.Errorf("release %s: %w", block, err)
	}
	hash := block.String()
	for _, k := range o.parts {
		err := l.do(ctx, l.scripts.release, []string{k.state(), k.block(hash), k.frozen(hash)}, o.Ledger, lease.Job, lease.Token)
		if err != nil {
			return fmt.Errorf("release %s: %w", block, err)
		}
	}
	return nil
}
