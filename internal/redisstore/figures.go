package redisstore

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// youngest is the shortest time that a rate is measured over: a newcomer's first share says little.
const youngest = 15 * time.Second

// slots are the lengths of the time slots that weights are kept in; stats.lua writes them.
func slots() [4]time.Duration {
	return [4]time.Duration{15 * time.Second, 3 * time.Minute, 30 * time.Minute, 6 * time.Hour}
}

// levels says by which slots each of shares.Spans is measured.
func levels() [shares.SpanCount]int { return [shares.SpanCount]int{0, 0, 1, 1, 2, 2, 3} }

// tallied is the sum of some figures: of one worker or account, or of the pool's partitions.
type tallied struct {
	accepted, blocks, first, last int64
	weight                        *big.Int
	best                          gbt.Target
	refused                       map[gbt.Reason]int64
	// slots are weights by level and number of the slot.
	slots map[[2]int64]float64
}

// add adds what a hash holds. Fields of other versions are left out.
func (t *tallied) add(values map[string]string) error {
	f := &fields{values: make(map[string]any)}
	for name, text := range values {
		f.values[name] = text
		if reason, ok := strings.CutPrefix(name, "x:"); ok {
			t.refused[gbt.Reason(reason)] += f.number(name)
		}
		level, slot, ok := strings.Cut(name, ":")
		l, err1 := strconv.ParseInt(level, 10, 64)
		s, err2 := strconv.ParseInt(slot, 10, 64)
		if ok && err1 == nil && err2 == nil {
			t.slots[[2]int64{l - 1, s}] += float64(f.number(name))
		}
	}
	_, oldest := values["n"]
	_, older := values["now"]
	_, used := values["sum"]
	if !oldest && !older && !used {
		return f.err
	}
	if oldest {
		t.accepted += f.number("n")
		t.seen(f.number("first"), f.number("last"))
	}
	if older {
		var running [4]int64
		running[0], running[1], running[2], running[3] = f.four("slots")
		t.addSum(f, "now", func(level int, _ int64) int64 { return running[level] })
	}
	if used {
		var from [4]int64
		from[0], from[1], from[2], from[3] = f.four("from")
		t.addSum(f, "sum", func(level int, weight int64) int64 { return weight - from[level] })
	}
	if _, some := values["w"]; some {
		t.weight.Add(t.weight, big.NewInt(f.number("w")))
	}
	if _, carried := values["w+"]; carried {
		t.weight.Add(t.weight, new(big.Int).Lsh(big.NewInt(f.number("w+")), 62))
	}
	if _, found := values["blocks"]; found {
		t.blocks += f.number("blocks")
	}
	var best gbt.Target
	if err := best.UnmarshalText([]byte(f.text("best"))); err != nil && f.err == nil {
		f.err = fmt.Errorf("best: %w", err)
	}
	if t.best == (gbt.Target{}) || best.Cmp(t.best) < 0 {
		t.best = best
	}
	return f.err
}

// addSum adds what changes with every share, which stats.lua tells of. running returns what the slot of a level holds
// that the last share's time is in, given what all weigh.
func (t *tallied) addSum(f *fields, name string, running func(level int, weight int64) int64) {
	first, last, n, weight := f.four(name)
	t.accepted += n
	t.weight.Add(t.weight, big.NewInt(weight))
	t.seen(first, last)
	for level, length := range slots() {
		t.slots[[2]int64{int64(level), floorDiv(last, length.Milliseconds())}] += float64(running(level, weight))
	}
}

// seen notes when the first and the last share came.
func (t *tallied) seen(first, last int64) {
	if t.first == 0 || first < t.first {
		t.first = first
	}
	t.last = max(t.last, last)
}

// floorDiv divides and rounds down, below 0 too.
func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

// stats makes what the figures say at a time.
func (t *tallied) stats(unit shares.Unit, now time.Time) shares.Stats {
	s := shares.Stats{
		Accepted: t.accepted, Blocks: t.blocks, Weight: math.MaxInt64, Unit: unit, Refused: t.refused, Best: t.best,
	}
	if t.weight.IsInt64() {
		s.Weight = shares.Weight(t.weight.Int64())
	}
	if t.accepted == 0 {
		return s
	}
	s.First, s.Last = time.UnixMilli(t.first).UTC(), time.UnixMilli(t.last).UTC()
	for i, span := range shares.Spans() {
		s.Rates[i] = unit.Hashes(1) * t.rate(levels()[i], span, now)
	}
	return s
}

// rate returns the weight per second over the last span. The slot that the span begins in counts in
// part. Who began later is measured since then.
func (t *tallied) rate(level int, span time.Duration, now time.Time) float64 {
	length := slots()[level]
	end := max(now.UnixMilli(), t.last)
	begin := float64(end - span.Milliseconds())
	var sum float64
	for slot, weight := range t.slots {
		if slot[0] != int64(level) {
			continue
		}
		from := float64(slot[1] * length.Milliseconds())
		inside := (from + float64(length.Milliseconds()) - begin) / float64(length.Milliseconds())
		sum += weight * min(1, max(0, inside))
	}
	age := max(youngest, min(span, time.Duration(end-t.first)*time.Millisecond))
	return sum / age.Seconds()
}

// newTallied is the sum of nothing.
func newTallied() *tallied {
	return &tallied{weight: new(big.Int), refused: make(map[gbt.Reason]int64), slots: make(map[[2]int64]float64)}
}

// hashes reads hashes in one round trip.
func (l *Ledger) hashes(ctx context.Context, names []string) ([]map[string]string, error) {
	if len(names) == 0 {
		return nil, nil // a pipeline without commands is an error
	}
	cmds := make([]*redis.MapStringStringCmd, len(names))
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			cmds[i] = p.HGetAll(ctx, name)
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	out := make([]map[string]string, len(names))
	for i, cmd := range cmds {
		out[i] = cmd.Val()
	}
	return out, nil
}

// tally reads hashes and sums them up.
func (l *Ledger) tally(ctx context.Context, names ...string) (*tallied, error) {
	t := newTallied()
	all, err := l.hashes(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	for i, name := range names {
		if err := t.add(all[i]); err != nil {
			return nil, fmt.Errorf("figures %s: %w", name, err)
		}
	}
	return t, nil
}

// tallies reads hashes, each by itself.
func (l *Ledger) tallies(ctx context.Context, names []string) ([]*tallied, error) {
	all, err := l.hashes(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	out := make([]*tallied, len(names))
	for i, name := range names {
		out[i] = newTallied()
		if err := out[i].add(all[i]); err != nil {
			return nil, fmt.Errorf("figures %s: %w", name, err)
		}
	}
	return out, nil
}

// Pool implements shares.Figures.
func (l *Ledger) Pool(ctx context.Context) (shares.Stats, error) {
	o, err := l.opened()
	if err != nil {
		return shares.Stats{}, err
	}
	names := make([]string, len(o.parts))
	for i, k := range o.parts {
		names[i] = k.figures()
	}
	t, err := l.tally(ctx, names...)
	if err != nil {
		return shares.Stats{}, err
	}
	return t.stats(o.Unit, l.cfg.Now()), nil
}

// Accounts implements shares.Figures.
func (l *Ledger) Accounts(ctx context.Context, limit int) ([]shares.AccountStats, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	sums, err := l.sums(ctx, o, part.sums)
	if err != nil {
		return nil, err
	}
	type heavy struct {
		account string
		weight  *big.Int
	}
	list := make([]heavy, 0, len(sums))
	for account, weight := range sums {
		list = append(list, heavy{account, weight})
	}
	slices.SortFunc(list, func(a, b heavy) int {
		if c := b.weight.Cmp(a.weight); c != 0 {
			return c
		}
		return strings.Compare(a.account, b.account)
	})
	list = list[:min(len(list), limit)]
	names := make([]string, len(list))
	for i, h := range list {
		_, k := o.of(h.account)
		names[i] = k.account(h.account)
	}
	all, err := l.tallies(ctx, names)
	if err != nil {
		return nil, err
	}
	out, now := make([]shares.AccountStats, len(list)), l.cfg.Now()
	for i, h := range list {
		out[i] = shares.AccountStats{Account: h.account, Stats: all[i].stats(o.Unit, now)}
	}
	return out, nil
}

// StatsOf returns what accounts do, in one round trip. Those that have no share are left out.
func (l *Ledger) StatsOf(ctx context.Context, accounts []string) (map[string]shares.Stats, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(accounts))
	for i, account := range accounts {
		_, k := o.of(account)
		names[i] = k.account(account)
	}
	all, err := l.tallies(ctx, names)
	if err != nil {
		return nil, err
	}
	out, now := make(map[string]shares.Stats, len(accounts)), l.cfg.Now()
	for i, account := range accounts {
		if all[i].accepted > 0 {
			out[account] = all[i].stats(o.Unit, now)
		}
	}
	return out, nil
}

// sums reads sums by account that never end, each of two fields.
func (l *Ledger) sums(ctx context.Context, o *opened, key func(part) string) (map[string]*big.Int, error) {
	names := make([]string, len(o.parts))
	for i, k := range o.parts {
		names[i] = key(k)
	}
	all, err := l.hashes(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("sums: %w", err)
	}
	out := make(map[string]*big.Int)
	for _, values := range all {
		if err := addSums(out, values); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addSums adds sums of two fields each: a name, and the name with a + for what was carried.
func addSums(out map[string]*big.Int, values map[string]string) error {
	for name, text := range values {
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return fmt.Errorf("sum of %s: %q is no number", name, text)
		}
		account, carried := strings.CutSuffix(name, "+")
		if carried {
			n.Lsh(n, 62)
		}
		if out[account] == nil {
			out[account] = new(big.Int)
		}
		out[account].Add(out[account], n)
	}
	return nil
}

// workersAtOnce is of how many workers figures are read together with their account's. Redis takes some 20
// microseconds for each, and does nothing else meanwhile.
const workersAtOnce = 32

// Account implements shares.Figures. Of accounts of a few workers it takes one round trip.
func (l *Ledger) Account(ctx context.Context, account string) (shares.AccountStats, []shares.WorkerStats, error) {
	o, err := l.opened()
	if err != nil {
		return shares.AccountStats{}, nil, err
	}
	_, k := o.of(account)
	keys := []string{k.state(), k.account(account), k.workers(account)}
	reply, err := l.call(ctx, l.scripts.account, keys, o.Ledger, k.worker(account, ""), workersAtOnce)
	if err != nil {
		return shares.AccountStats{}, nil, fmt.Errorf("figures: %w", err)
	}
	names, all, err := readAccount(reply)
	if err != nil {
		return shares.AccountStats{}, nil, fmt.Errorf("figures of %s: %w", account, err)
	}
	if all[0].accepted == 0 {
		return shares.AccountStats{}, nil, fmt.Errorf("account %s: %w", account, shares.ErrUnknown)
	}
	own, all := all[0], all[1:]
	if len(all) == 0 {
		keys := make([]string, len(names))
		for i, name := range names {
			keys[i] = k.worker(account, name)
		}
		if all, err = l.tallies(ctx, keys); err != nil {
			return shares.AccountStats{}, nil, err
		}
	}
	workers, now := make([]shares.WorkerStats, len(names)), l.cfg.Now()
	for i, name := range names {
		workers[i] = shares.WorkerStats{Worker: name, Stats: all[i].stats(o.Unit, now)}
	}
	return shares.AccountStats{Account: account, Stats: own.stats(o.Unit, now)}, workers, nil
}

// readAccount reads what the script returns: the names of an account's workers, its figures, and theirs if they came
// with it.
func readAccount(reply any) (names []string, all []*tallied, err error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) < 2 {
		return nil, nil, fmt.Errorf("%v: %w", reply, errReply)
	}
	if names, err = textsOf(parts[1]); err != nil {
		return nil, nil, err
	}
	for i, part := range slices.Delete(parts, 1, 2) {
		texts, err := textsOf(part)
		if err != nil {
			return nil, nil, err
		}
		values := make(map[string]string, len(texts)/2)
		for pair := range slices.Chunk(texts, 2) {
			values[pair[0]] = pair[len(pair)-1]
		}
		all = append(all, newTallied())
		if err := all[i].add(values); err != nil {
			return nil, nil, err
		}
	}
	if many := len(all) - 1; many > 0 && many != len(names) {
		return nil, nil, fmt.Errorf("%d workers with figures of %d: %w", len(names), many, errReply)
	}
	return names, all, nil
}

// textsOf reads a list of texts.
func textsOf(reply any) ([]string, error) {
	list, ok := reply.([]any)
	out := make([]string, len(list))
	for i := range list {
		text, isText := list[i].(string)
		out[i], ok = text, ok && isText
	}
	if !ok {
		return nil, fmt.Errorf("%v: %w", reply, errReply)
	}
	return out, nil
}
