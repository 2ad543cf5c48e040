package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func newTrimBench(t *testing.T, partitions int) *bench {
	t.Helper()
	return newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "trim", partitions)
}

// compactAll moves all detail into slices.
func (b *bench) compactAll(t *testing.T) {
	t.Helper()
	if err := b.Compact(t.Context(), b.lease, 0); err != nil {
		t.Fatal(err)
	}
}

// letGo releases all blocks.
func (b *bench) letGo(t *testing.T) {
	t.Helper()
	blocks, err := b.Blocks(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		if err := b.Release(t.Context(), b.lease, blocks[i].Hash); err != nil {
			t.Fatal(err)
		}
	}
}

// slicesIn counts those of a partition.
func (b *bench) slicesIn(t *testing.T, partition int) int64 {
	t.Helper()
	n, err := b.redis.LLen(t.Context(), b.keys.part(partition).slices()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCompactingTwice has somebody compact fewer shares while another one is about to compact more, who
// then must not take from the log what is in no slice.
func TestCompactingTwice(t *testing.T) {
	t.Parallel()
	b := newTrimBench(t, 1)
	for range 95 {
		b.put(t, b.share())
	}
	ctx, o, k := t.Context(), b.open.Load(), b.keys.part(0)
	entries, err := b.logAfter(ctx, k, 0, "0-0", 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.compact(ctx, o, b.lease, 0, k, 50); err != nil { // half of 100
		t.Fatal(err)
	}
	s := sliceOf(entries)
	packed, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	first, last := s.places[0], s.places[len(s.places)-1]
	after := last
	after.Seq++
	name := first.String() + " " + last.String()
	v, err := b.call(ctx, b.scripts.compact, []string{k.state(), k.log(), k.slices(), k.slice(name)},
		o.Ledger, b.lease.Job, b.lease.Token, "0-0", first.String(), last.String(), packed, after.String())
	if err != nil || v != int64(0) {
		t.Fatalf("compacting again returns %v, %v", v, err)
	}
	w, err := b.Window(ctx, chainhash.Hash{}, 1000)
	if err != nil || w.Shares != 100 {
		t.Errorf("%d of 100 shares are left (%v)", w.Shares, err)
	}
	b.sound(t, 1)
}

// TestTrimReadsNoMoreThanItMust trims where there is nothing to fold.
func TestTrimReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	b := newTrimBench(t, 2)
	reads := func(size shares.Weight) bool {
		t.Helper()
		if err := b.redis.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := b.Trim(t.Context(), b.lease, size); err != nil {
			t.Fatal(err)
		}
		stats, err := b.redis.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(stats, "cmdstat_xrevrange:")
	}
	if reads(1) {
		t.Error("it reads shares where there are no slices")
	}
	b.compactAll(t) // 25
	if reads(25) || reads(shares.MaxWeight) {
		t.Error("it reads shares where all detail is needed")
	}
	if !reads(24) {
		t.Error("it reads no shares although they weigh more than the window")
	}
	b.put(t, b.block())
	b.letGo(t)
	b.compactAll(t)
	b.put(t, b.share()) // 35
	if !reads(5) || b.slicesIn(t, 0)+b.slicesIn(t, 1) > 1 {
		t.Fatal("it does not fold what nobody needs")
	}
	for range 2 {
		b.put(t, b.share())
	}
	b.compactAll(t)
	if reads(20) {
		t.Error("it counts what is folded as detail")
	}
	b.sound(t, 2)
}

// TestFoldedWeight folds more than 2^63 of weight, and a false sum is found.
func TestFoldedWeight(t *testing.T) {
	t.Parallel()
	b := newTrimBench(t, 1)
	for range 5 {
		for _, weight := range []shares.Weight{shares.MaxWeight, shares.MaxWeight - 17} {
			s := b.share()
			s.Weight = weight
			b.put(t, s)
		}
		b.put(t, b.block())
		b.compactAll(t)
	}
	b.put(t, b.share())
	b.letGo(t)
	if err := b.Trim(t.Context(), b.lease, 5); err != nil {
		t.Fatal(err)
	}
	state := b.keys.part(0).state()
	folded := b.redis.HGet(t.Context(), state, "folded").Val()
	if folded != "20" || b.redis.HGet(t.Context(), state, "ftotal+").Val() == "" {
		t.Fatalf("%s shares are folded, their weight is in %v", folded, b.redis.HGetAll(t.Context(), state).Val())
	}
	b.sound(t, 1)
	for _, field := range []string{"ftotal", "ftotal+"} {
		if err := b.redis.HIncrBy(t.Context(), state, field, -1).Err(); err != nil {
			t.Fatal(err)
		}
		a, err := b.Audit(t.Context(), 0)
		if err != nil || len(a.Faults) != 1 || !strings.Contains(a.Faults[0], "ftotal") {
			t.Errorf("one less in %s: the audit finds %v, %v", field, a.Faults, err)
		}
		if err := b.redis.HIncrBy(t.Context(), state, field, 1).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// uneven makes a ledger of which one partition is folded up to the newest share, and the other one is not at
// all, because all of it is in one slice. There is a block in each at last.
func uneven(t *testing.T) (b *bench, who [2]string) {
	t.Helper()
	b = newTrimBench(t, 2)
	who = [2]string{accountOf(0), accountOf(1)}
	o := b.open.Load()
	for range 10 {
		b.put(t, by(b.share(), who[0]))
		b.put(t, by(b.share(), who[1]))
		b.later(t)
		if _, err := b.compact(t.Context(), o, b.lease, 0, o.parts[0], 0); err != nil {
			t.Fatal(err)
		}
	}
	b.put(t, by(b.block(), who[0]))
	b.later(t)
	b.put(t, by(b.share(), who[1]))
	b.letGo(t)
	b.compactAll(t)
	if err := b.Trim(t.Context(), b.lease, 10); err != nil {
		t.Fatal(err)
	}
	if n, m := b.slicesIn(t, 0), b.slicesIn(t, 1); n != 1 || m != 1 {
		t.Fatalf("%d and %d slices are left, want 1 and 1", n, m)
	}
	return b, who
}

// TestWindowOverFolded asks for a window for which one partition has too little detail and the other one has
// enough to fill it.
func TestWindowOverFolded(t *testing.T) {
	t.Parallel()
	b, who := uneven(t)
	want := []shares.Credit{{Account: who[0], Weight: 5}, {Account: who[1], Weight: 5}}
	if who[0] > who[1] {
		want[0], want[1] = want[1], want[0]
	}
	same(t, "a window that is all there", b.credits(t, chainhash.Hash{}, 10), want)
	same(t, "none", b.credits(t, chainhash.Hash{}, 0), []shares.Credit{})
	for _, size := range []shares.Weight{20, 30, 1000} {
		if w, err := b.Window(t.Context(), chainhash.Hash{}, size); !errors.Is(err, shares.ErrFolded) {
			t.Errorf("a window of %d: %v, %v", size, w.Credits, err)
		}
	}
}

// TestTrimAfterRise asks to keep more than was kept before, as when the difficulty has risen.
func TestTrimAfterRise(t *testing.T) {
	t.Parallel()
	b, who := uneven(t)
	block := by(b.block(), who[0])
	b.putUncut(t, block)
	b.compactAll(t)
	before := b.slicesIn(t, 0) + b.slicesIn(t, 1)
	for range 2 {
		if err := b.Trim(t.Context(), b.lease, 30); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.slicesIn(t, 0) + b.slicesIn(t, 1); after != before {
		t.Errorf("of %d slices %d are left", before, after)
	}
	blocks, err := b.Blocks(t.Context(), 1)
	if err != nil || blocks[0].Hash != block.Hash || !blocks[0].Frozen {
		t.Errorf("the block's round has not ended everywhere: %+v, %v", blocks, err)
	}
	// A block whose window is folded keeps the rest from being folded, and is no error either.
	b.later(t)
	wide := by(b.block(), who[0])
	wide.Found.Window = 40
	b.put(t, wide)
	b.put(t, by(b.share(), who[1]))
	b.compactAll(t)
	before = b.slicesIn(t, 0) + b.slicesIn(t, 1)
	if err := b.Trim(t.Context(), b.lease, 5); err != nil {
		t.Fatal(err)
	}
	if after := b.slicesIn(t, 0) + b.slicesIn(t, 1); after != before {
		t.Errorf("of %d slices %d are left while a block needs more", before, after)
	}
	b.letGo(t)
	if err := b.Trim(t.Context(), b.lease, 5); err != nil {
		t.Fatal(err)
	}
	if after := b.slicesIn(t, 0) + b.slicesIn(t, 1); after >= before {
		t.Errorf("of %d slices %d are left while nobody needs them", before, after)
	}
	b.sound(t, 2)
}

// TestTrimKeepsLateCutWindow trims while a block's window lies before its round, and the round has ended in
// the other partition long after the block.
func TestTrimKeepsLateCutWindow(t *testing.T) {
	t.Parallel()
	b := newTrimBench(t, 2)
	who := [2]string{accountOf(0), accountOf(1)}
	for range 5 {
		for _, account := range who {
			b.put(t, by(b.share(), account))
		}
		b.later(t)
		b.compactAll(t)
	}
	b.put(t, by(b.block(), who[0]))
	b.letGo(t)
	b.later(t)
	block := by(b.block(), who[0])
	block.Found.Window = 25
	b.putUncut(t, block)
	b.later(t)
	for range 10 {
		b.put(t, by(b.share(), who[1]))
	}
	before := b.credits(t, block.Hash, 25)
	b.compactAll(t)
	if err := b.Trim(t.Context(), b.lease, 5); err != nil {
		t.Fatal(err)
	}
	if folded := b.redis.HGet(t.Context(), b.keys.part(0).state(), "folded").Val(); folded == "" {
		t.Fatal("nothing was folded")
	}
	if diff := cmp.Diff(before, b.credits(t, block.Hash, 25)); diff != "" || len(before) != 2 {
		t.Error(fmt.Sprint(before), diff)
	}
	b.sound(t, 2)
}
