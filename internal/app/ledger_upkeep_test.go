package app

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestRetiredHeights(t *testing.T) {
	for _, tt := range []struct{ at, lowest, want int32 }{
		{1000, 1000, 856}, {1000, 999, 856}, {1000, 900, 856}, {1000, 700, 698}, {1000, 0, -2}, {5000, 100, 2984}, {10, 10, -134},
	} {
		if got := retired(tt.at, tt.lowest); got != tt.want {
			t.Errorf("at %d with a spool of %d heights up to %d are forgotten, want %d", tt.at, tt.lowest, got, tt.want)
		}
	}
}

// atHeight tells upkeep which height is worked on.
func atHeight(n int32) func() (int32, gbt.Target, error) {
	return func() (int32, gbt.Target, error) {
		target, err := gbt.TargetFromBits(0x207fffff)
		return n, target, err
	}
}

// TestUpkeepWaitsForSpools has one gateway cut off while the chain grows by hundreds of blocks: what it has
// in its spool can still be told from what is recorded.
func TestUpkeepWaitsForSpools(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	one := openRecorder(t, cfg, new(work))
	other := settings(t, s.URL())
	other.Gateway = "other"
	two := openRecorder(t, other, one.work)
	one.await("")
	two.await("")
	ctx := t.Context()
	if err := one.contact(ctx, atHeight(100)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(two.contact(ctx, atHeight(1000)), two.tidy(ctx, atHeight(1000))); err != nil {
		t.Fatal(err)
	}
	for height, want := range map[int32]error{98: shares.ErrTooOld, 99: nil, 100: nil, 1000: nil} {
		share := one.next(t, "alice")
		share.Height = height
		if err := one.keeper.Record(ctx, share); !errors.Is(err, want) {
			t.Errorf("a share of height %d: %v, want %v", height, err, want)
		}
	}
	// When it is back nothing waits any more.
	if err := errors.Join(one.contact(ctx, atHeight(1001)), two.tidy(ctx, atHeight(1001))); err != nil {
		t.Fatal(err)
	}
	share := one.next(t, "alice")
	share.Height = 857
	if err := one.keeper.Record(ctx, share); !errors.Is(err, shares.ErrTooOld) {
		t.Errorf("a share of height 857: %v", err)
	}
}

// TestNoUpkeepOfALedgerThatLostShares forgets no hashes while spools are recorded again.
func TestNoUpkeepOfALedgerThatLostShares(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	if err := r.ledger.Halt(t.Context(), "shares are lost"); err != nil {
		t.Fatal(err)
	}
	r.await("payouts stop")
	if err := r.tidy(t.Context(), atHeight(1000)); err != nil {
		t.Fatal(err)
	}
	r.put(1) // of height 5
}

// TestLedgerIsInspectedWhenItComesBack has Redis come back with another setting: shares stay in the spool
// until it is mended.
func TestLedgerIsInspectedWhenItComesBack(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close() //nolint:errcheck // nothing is kept in it
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	set := func(policy string) {
		t.Helper()
		if err := c.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("allkeys-lru")
	s.Freeze()
	r.put(2)
	r.away("away")
	s.Thaw()
	r.away("set maxmemory-policy noeviction")
	r.put(2)
	set("noeviction")
	r.await("")
	r.whole()
}
