package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// recordingTogether makes a verb of one run of the script that records shares.
func recordingTogether() verb {
	return verb{
		name: "record together", partitions: 1, script: recordScript,
		prepare: func(_ *testing.T, b *bench) func(context.Context) error {
			var list []*pending
			for range 4 {
				list = append(list, &pending{share: b.share()})
			}
			list = append(list, list[0])
			list[1].share.Worker, list[2].share.Height = "another", list[0].share.Height
			return func(ctx context.Context) error {
				t := newTrip(b.Ledger, b.open.Load())
				t.load(0, slices.Clone(list))
				results := run(ctx, b.redis, t.encode(t.batches()))
				if len(results) != 1 {
					return fmt.Errorf("it takes %d runs", len(results))
				}
				return translate(results[0].Err())
			}
		},
	}
}

// outcome is what became of a share: the class of its error, and the number of the share whose place it has.
type outcome struct {
	err   string
	place int
}

// outcomes names what became of shares, given those whose places were seen before.
func outcomes(list []shares.Recorded, places map[shares.Position]int) []outcome {
	var out []outcome
	for _, r := range list {
		o := outcome{place: -1}
		for _, class := range []error{shares.ErrDuplicate, shares.ErrTooOld, shares.ErrWeight} {
			if errors.Is(r.Err, class) {
				o.err = class.Error()
			}
		}
		if r.Err != nil && o.err == "" {
			o.err = r.Err.Error()
		}
		if r.Position != (shares.Position{}) {
			if _, known := places[r.Position]; !known {
				places[r.Position] = len(places)
			}
			o.place = places[r.Position]
		}
		out = append(out, o)
	}
	return out
}

// said is what a ledger says of its shares as a whole.
func (b *bench) said(t *testing.T) map[string]any {
	t.Helper()
	pool, poolErr := b.Pool(t.Context())
	blocks, blocksErr := b.Blocks(t.Context(), 100)
	audited, auditErr := b.Audit(t.Context(), 0)
	if err := errors.Join(poolErr, blocksErr, auditErr); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{
		"shares": pool.Accepted, "blocks": pool.Blocks, "weight": pool.Weight, "best": pool.Best.String(),
		"round": b.roundOf(t, chainhash.Hash{}), "faults": len(audited.Faults), "total": audited.Weight.String(),
	}
	for _, block := range blocks {
		out[block.Hash.String()] = []any{block.Round, block.Shares, block.Account, b.roundOf(t, block.Hash)}
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		account, workers, err := b.Account(t.Context(), name)
		if err != nil && !errors.Is(err, shares.ErrUnknown) {
			t.Fatal(err)
		}
		out[name] = []any{account.Accepted, account.Weight, account.Blocks, account.Best.String(), len(workers)}
		for _, w := range workers {
			out[name+"."+w.Worker] = []any{w.Accepted, w.Weight, w.Blocks, w.Best.String()}
		}
	}
	return out
}

// drawShare makes one of a few shares, which come again, some as blocks.
func drawShare(t *rapid.T, n int) *shares.Share {
	number := rapid.IntRange(0, 40).Draw(t, fmt.Sprint("number", n))
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		t.Fatal(err)
	}
	s := &shares.Share{
		Hash: chainhash.Hash{byte(number), 30: byte(number * 7), 31: 2}, Account: []string{"alice", "bob", "carol"}[number%3],
		Worker: fmt.Sprint("w", number%7), Weight: shares.Weight(number) << (number % 50), Target: target,
		Height: int32(number % 4), Time: time.UnixMilli(1_700_000_000_000 + int64(number*number)*1000),
	}
	if rapid.IntRange(0, 9).Draw(t, fmt.Sprint("block", n)) == 0 {
		s.Found = &shares.Found{Bits: 0x207fffff, Value: int64(number), Paid: 1, Window: 7}
	}
	return s
}

// TestTogetherAsAlone records the same shares together and one by one: duplicates, blocks, refused ones and heavy ones
// among them. It makes no difference.
func TestTogetherAsAlone(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	var count atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		n := count.Add(1)
		together, alone := newBench(t, url, fmt.Sprint("together-", n), 1), newBench(t, url, fmt.Sprint("alone-", n), 1)
		for _, b := range []*bench{together, alone} {
			b.Client.cfg.Workers = 5
			if err := b.Retire(t.Context(), b.lease, 0); err != nil {
				t.Fatal(err)
			}
		}
		seen, seenAlone := make(map[shares.Position]int), make(map[shares.Position]int)
		for range rapid.IntRange(1, 4).Draw(rt, "groups") {
			var list, same2 []*shares.Share
			for i := range rapid.IntRange(1, 2*maxBatch).Draw(rt, "shares") {
				s := drawShare(rt, i)
				again := *s
				list, same2 = append(list, s), append(same2, &again)
			}
			got := outcomes(together.RecordAll(t.Context(), list), seen)
			var one []shares.Recorded
			for _, s := range same2 {
				r, err := alone.Record(t.Context(), s)
				one = append(one, shares.Recorded{Receipt: r, Err: err})
			}
			if want := outcomes(one, seenAlone); !slices.Equal(got, want) {
				rt.Fatalf("together\n%v\nalone\n%v", got, want)
			}
		}
		same(t, "together, as alone", together.said(t), alone.said(t))
		together.sound(t, 1)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// TestTooMuchInTheMiddle records shares together of which one does not fit the round: it alone is refused.
func TestTooMuchInTheMiddle(t *testing.T) {
	t.Parallel()
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "middle", 1)
	for _, weight := range []shares.Weight{shares.MaxWeight, shares.MaxWeight - 1 - 5 - 8} { // 5 were there, room for 8 is left
		s := b.share()
		s.Weight = weight
		b.put(t, s)
	}
	var list []*shares.Share
	for _, weight := range []shares.Weight{2, 2, 5, 2, 2, 1} {
		s := b.share()
		s.Weight = weight
		list = append(list, s)
	}
	var refused []int
	for i, r := range b.RecordAll(t.Context(), list) {
		if errors.Is(r.Err, shares.ErrWeight) {
			refused = append(refused, i)
		} else if r.Err != nil {
			t.Errorf("share %d: %v", i, r.Err)
		}
	}
	same(t, "refused", refused, []int{2, 5})
	b.sound(t, 1)
}

// TestBatches parts shares: a block is by itself, and so is what the script could not add up.
func TestBatches(t *testing.T) {
	plain := func(weight shares.Weight) *pending { return &pending{share: &shares.Share{Weight: weight}} }
	block := &pending{share: &shares.Share{Found: &shares.Found{}}}
	for name, c := range map[string]struct {
		list []*pending
		want []int
	}{
		"none":   {nil, nil},
		"one":    {[]*pending{plain(1)}, []int{1}},
		"block":  {[]*pending{plain(1), plain(1), block, block, plain(1)}, []int{2, 1, 1, 1}},
		"heavy":  {[]*pending{plain(1), plain(shares.MaxWeight), plain(shares.MaxWeight), plain(1), plain(1)}, []int{1, 1, 1, 2}},
		"almost": {[]*pending{plain(maxTogether - 2), plain(1), plain(1), plain(1)}, []int{2, 2}},
		"many":   {slices.Repeat([]*pending{plain(1)}, 2*maxBatch+1), []int{maxBatch, maxBatch, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			trip := &trip{loads: make([][]*pending, 1)}
			trip.load(0, c.list)
			var got []int
			for _, b := range trip.batches() {
				got = append(got, len(b.shares))
			}
			same(t, "batches", got, c.want)
		})
	}
}

// TestSlots records shares at all sorts of times, late ones among them: each slot that somebody may ask for has the
// weight of its shares, and no other is kept.
func TestSlots(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	var count atomic.Int64
	kept := [4]int64{21, 21, 49, 29} // as in stats.lua
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, url, fmt.Sprint("slots-", count.Add(1)), 1)
		now := time.UnixMilli(1_700_000_000_000)
		var last int64
		want := make(map[[2]int64]float64)
		var all big.Int
		// The heavy ones are more than fits the field that changes with every share.
		unit := rapid.SampledFrom([]shares.Weight{1, 1 << 43}).Draw(rt, "unit of weight")
		for range rapid.IntRange(1, 4).Draw(rt, "groups") {
			var list []*shares.Share
			for i := range rapid.IntRange(1, 30).Draw(rt, "shares") {
				now = now.Add(time.Duration(rapid.IntRange(-50, 200).Draw(rt, fmt.Sprint("step", i))) * rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(rt, fmt.Sprint("unit", i)))
				if now.Unix() > 1_750_000_000 {
					now = time.UnixMilli(1_700_000_000_000)
				}
				s := b.share()
				s.Hash, s.Account, s.Worker, s.Time, s.Weight = chainhash.Hash{b.number, 1, 31: 3}, "carol", "w", now, unit*shares.Weight(i+1)
				list = append(list, s)
				last = max(last, now.UnixMilli())
				for level, length := range slots() {
					want[[2]int64{int64(level), now.UnixMilli() / length.Milliseconds()}] += float64(s.Weight)
				}
				all.Add(&all, big.NewInt(int64(s.Weight)))
			}
			for i, r := range b.RecordAll(t.Context(), list) {
				if r.Err != nil {
					rt.Fatalf("share %d: %v", i, r.Err)
				}
			}
		}
		got, err := b.tally(t.Context(), b.keys.part(0).worker("carol", "w"))
		if err != nil {
			rt.Fatal(err)
		}
		for slot := range want {
			if slot[1] <= last/slots()[slot[0]].Milliseconds()-kept[slot[0]] {
				delete(want, slot)
			}
		}
		for slot, weight := range got.slots {
			if weight != want[slot] {
				rt.Errorf("slot %v has %g, want %g", slot, weight, want[slot])
			}
			delete(want, slot)
		}
		if len(want) > 0 || got.last != last || got.weight.Cmp(&all) != 0 {
			rt.Errorf("slots %v are not there; last %d, want %d; weight %s, want %s", want, got.last, last, got.weight, &all)
		}
	})
}

// TestFiguresOfOld goes on with figures as they were written before all that changes was in one field: first each number
// in its own, then in two.
func TestFiguresOfOld(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	const begin, last = int64(1_700_000_000_000), int64(1_700_000_900_000)
	best := gbt.TargetFromHash(chainhash.Hash{31: 1}).String()
	for name, fields := range map[string][]any{
		"oldest": {
			"first", begin, "last", last, "best", best, "n", 3, "w", int64(math.MaxInt64 / 2), "w+", 1, "blocks", 1,
			fmt.Sprintf("1:%d", last/15000), 40, fmt.Sprintf("1:%d", last/15000-21), 50, fmt.Sprintf("4:%d", last/21600000), 60, "x:stale", 2,
		},
		"older": {
			"now", fmt.Sprintf("%d %d 3 100", begin, last), "slots", "40 50 60 70", "best", best, "w", int64(math.MaxInt64/2 - 100), "w+", 1,
			"blocks", 1, "x:stale", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, url, name, 1)
			k := b.keys.part(0)
			key := k.account("carol")
			for _, key := range []string{key, k.worker("carol", "rig")} {
				if err := b.redis.HSet(t.Context(), key, fields...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.redis.SAdd(t.Context(), k.workers("carol"), "rig").Err(); err != nil {
				t.Fatal(err)
			}
			b.figuresOfOld(t, 0, begin, last)
			for i := range int64(2) {
				s := b.share()
				s.Account, s.Worker, s.Weight, s.Time = "carol", "rig", 9, time.UnixMilli(last)
				s.Hash[30], s.Hash[31] = byte(i), 9
				b.put(t, s)
				b.figuresOfOld(t, i+1, begin, last)
			}
			if left, err := b.redis.HMGet(t.Context(), key, "now", "slots").Result(); err != nil || left[0] != nil || left[1] != nil {
				t.Errorf("%v are still there, %v", left, err)
			}
		})
	}
}

// figuresOfOld looks at carol's figures, which were there before, after so many more shares.
func (b *bench) figuresOfOld(t *testing.T, more, begin, last int64) {
	t.Helper()
	account, workers, err := b.Account(t.Context(), "carol")
	if err != nil || len(workers) != 1 {
		t.Fatalf("after %d: %d workers, %v", more, len(workers), err)
	}
	best := gbt.TargetFromHash(chainhash.Hash{31: 1})
	for _, s := range []shares.Stats{account.Stats, workers[0].Stats} {
		if s.Accepted != 3+more || s.Blocks != 1 || s.Best != best || s.First.UnixMilli() != begin || s.Last.UnixMilli() != last {
			t.Errorf("after %d: %+v", more, s)
		}
	}
	got, err := b.tally(t.Context(), b.keys.part(0).account("carol"))
	if err != nil {
		t.Fatal(err)
	}
	want := new(big.Int).Lsh(big.NewInt(1), 62)
	want.Add(want, big.NewInt(math.MaxInt64/2+more*9))
	slot := got.slots[[2]int64{0, last / 15000}]
	_, stale := got.slots[[2]int64{0, last/15000 - 21}]
	if got.weight.Cmp(want) != 0 || slot != float64(40+9*more) || stale && more > 0 || got.refused["stale"] != 2 {
		t.Errorf("after %d: weight %s, want %s; slots %v", more, got.weight, want, got.slots)
	}
}
