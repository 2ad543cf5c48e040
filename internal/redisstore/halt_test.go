package redisstore

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestHalts(t *testing.T) {
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	b, ctx := newBench(t, url, "halts", 2), t.Context()
	if halts, err := b.Halted(ctx); err != nil || len(halts) != 0 {
		t.Fatalf("at first it is halted for %+v, %v", halts, err)
	}
	for _, why := range []string{"first words", "later ones"} {
		if err := b.Halt(ctx, why); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.HaltFor(ctx, "a part", "its own words"); err != nil {
		t.Fatal(err)
	}
	seen, err := b.Halted(ctx)
	if err != nil || len(seen) != 2 || seen[1].Gateway != "bench, a part" || seen[1].Why != "its own words" || seen[0].Gateway != "bench" || seen[0].Why != "first words" || seen[0].Since.IsZero() {
		t.Fatalf("it is halted for %+v, %v", seen, err)
	}
	other := seen[0]
	other.Why = "what nobody said"
	if err := b.Resume(ctx, []shares.Halt{other}); err != nil {
		t.Fatal(err)
	}
	if halts, err := b.Halted(ctx); err != nil || !cmp.Equal(halts, seen) {
		t.Fatalf("what nobody has seen let payouts go on: %+v, %v", halts, err)
	}
	if err := b.Resume(ctx, seen); err != nil {
		t.Fatal(err)
	}
	if halts, err := b.Halted(ctx); err != nil || len(halts) != 0 {
		t.Fatalf("after an operator has looked it is halted for %+v, %v", halts, err)
	}
}

// TestRecordMissesWhatWasRecorded takes the newest share away between two, as a Redis that was restarted
// from an older file does, and then has one compacted, which is no loss.
func TestRecordMissesWhatWasRecorded(t *testing.T) {
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	b, ctx := newBench(t, url, "lost", 1), t.Context()
	s := b.share()
	receipt, err := b.Record(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Compact(ctx, b.lease, 0); err != nil {
		t.Fatal(err)
	}
	b.put(t, b.share())
	k := b.open.Load().parts[0]
	next, err := b.Record(ctx, b.share())
	if err == nil {
		err = b.redis.XDel(ctx, k.log(), next.String()).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := b.dump(t)
	lost := b.share()
	if _, err := b.Record(ctx, lost); !errors.Is(err, shares.ErrWentBack) {
		t.Fatalf("the share after a loss: %v", err)
	}
	if diff := cmp.Diff(before, b.dump(t)); diff != "" {
		t.Errorf("a share that was refused is written (-before +after):\n%s", diff)
	}
	b.put(t, lost) // whoever recorded has been told
	if again, err := b.Record(ctx, s); !errors.Is(err, shares.ErrDuplicate) || again != receipt {
		t.Fatalf("a duplicate: %+v, %v", again, err)
	}
}
