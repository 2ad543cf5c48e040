package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// limiters makes a limiter on a new ledger for as many gateways as there are.
func limiters(t *testing.T, url, prefix string, gateways int) []*Limiter {
	t.Helper()
	b := newBench(t, url, prefix, 2)
	out := make([]*Limiter, gateways)
	for i := range out {
		var err error
		if out[i], err = NewLimiter(LimiterConfig{Ledger: b.again(t, time.Now)}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// onEachRedis runs a test on each kind of Redis.
func onEachRedis(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for name, url := range map[string]string{
		"embedded": e.URL(), "real": redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(),
		"cluster": redisserver.NewCluster(t, 3).URL(),
	} {
		t.Run(name, func(t *testing.T) { test(t, url) })
	}
}

// TestLimiterOfManyGateways has all gateways use up one burst.
func TestLimiterOfManyGateways(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, url string) {
		t.Helper()
		gateways := limiters(t, url, "limits", 2)
		rate := Rate{Count: 1, Per: time.Hour, Burst: 10}
		var allowed [3]atomic.Int32
		var group sync.WaitGroup
		for i := range 120 {
			group.Go(func() {
				d, err := gateways[i%2].Allow(t.Context(), fmt.Sprint("key ", i%3), rate)
				if err != nil {
					t.Error(err)
				}
				if d.Allowed != (d.RetryAfter == 0) || d.Remaining < 0 || d.Remaining > 9 || d.ResetAfter <= 0 || d.ResetAfter > 10*time.Hour {
					t.Errorf("%+v", d)
				}
				if d.Allowed {
					allowed[i%3].Add(1)
				}
			})
		}
		group.Wait()
		for i := range allowed {
			if n := allowed[i].Load(); n != 10 {
				t.Errorf("key %d was allowed %d times", i, n)
			}
		}
	})
}

// TestLimiterForgets has a key gone as soon as all is allowed again.
func TestLimiterForgets(t *testing.T) {
	e, b, d := embeddedDoor(t)
	ctx, k := t.Context(), b.open.Load().parts[0]
	rate := Rate{Count: 2, Per: time.Minute, Burst: 3}
	for i := range 4 {
		got, err := d.Allow(ctx, "key", rate)
		if err != nil || got.Allowed != (i < 3) {
			t.Fatalf("use %d: %+v, %v", i, got, err)
		}
		if left := b.redis.PTTL(ctx, k.limit("key")).Val(); left <= 0 || left > got.ResetAfter+2*time.Second {
			t.Errorf("use %d: the key is kept for %s, and all is allowed again after %s", i, left, got.ResetAfter)
		}
	}
	e.server.FastForward(90 * time.Second)
	if n := b.redis.Exists(ctx, k.limit("key")).Val(); n != 0 {
		t.Error("the key is still there")
	}
}

func TestLimiterRefuses(t *testing.T) {
	_, _, d := embeddedDoor(t)
	good := Rate{Count: 1, Per: time.Second, Burst: 1}
	for what, tt := range map[string]struct {
		key  string
		rate Rate
	}{
		"no key":               {"", good},
		"a long key":           {strings.Repeat("k", 129), good},
		"none":                 {"k", Rate{Count: 0, Per: time.Second, Burst: 1}},
		"less than none":       {"k", Rate{Count: -1, Per: time.Second, Burst: 1}},
		"no time":              {"k", Rate{Count: 1, Burst: 1}},
		"no burst":             {"k", Rate{Count: 1, Per: time.Second}},
		"more than can be":     {"k", Rate{Count: 1001, Per: time.Millisecond, Burst: 1}},
		"a burst of centuries": {"k", Rate{Count: 1, Per: math.MaxInt64, Burst: 1000}},
		"the largest burst":    {"k", Rate{Count: 1, Per: time.Second, Burst: math.MaxInt64}},
	} {
		if got, err := d.Allow(t.Context(), tt.key, tt.rate); !errors.Is(err, shares.ErrMalformed) || got.Allowed {
			t.Errorf("%s: %+v, %v, want ErrMalformed", what, got, err)
		}
	}
	for _, rate := range []Rate{good, {Count: 1000, Per: time.Millisecond, Burst: 1 << 40}, {Count: 1, Per: 1 << 50 * time.Microsecond, Burst: 1}} {
		if got, err := d.Allow(t.Context(), fmt.Sprint(rate), rate); err != nil || !got.Allowed {
			t.Errorf("%+v: %+v, %v", rate, got, err)
		}
	}
}

// withClock has a limiter take its time from the partitions' states, and keep what it keeps.
func withClock(t *testing.T, l *Limiter) {
	t.Helper()
	s, err := readScripts(func(name string) ([]byte, error) {
		text, err := sources.ReadFile(name)
		if name != "lua/limit.lua" {
			return text, err
		}
		for old, with := range map[string]string{
			"redis.call('TIME')":                      "redis.call('HMGET', state, 'test s', 'test us')",
			", 'PX', math.ceil((done - now) / 1000))": ")",
		} {
			if strings.Count(string(text), old) != 1 {
				return nil, fmt.Errorf("%s is not in the script once", old)
			}
			text = []byte(strings.Replace(string(text), old, with, 1))
		}
		return text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := *l.Client
	c.scripts = s
	l.Client = &c
}

// TestLimiterModel compares with buckets that leak: one use fills a bucket by an interval, a microsecond empties it by
// one, and what would run over is refused. Not a microsecond may be lost to doubles.
func TestLimiterModel(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, url string) {
		t.Helper()
		l := limiters(t, url, "model", 1)[0]
		withClock(t, l)
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			rate := Rate{
				Count: rapid.IntRange(1, 1000).Draw(r, "count"), Burst: rapid.IntRange(1, 20).Draw(r, "burst"),
				Per: time.Duration(rapid.Int64Range(1000, 1<<40).Draw(r, "per")) * time.Microsecond,
			}
			interval, err := rate.interval()
			if err != nil {
				r.Fatal(err)
			}
			if want := math.Ceil(float64(rate.Per.Microseconds()) / float64(rate.Count)); float64(interval) != want {
				r.Fatalf("an interval of %d, want %g", interval, want)
			}
			most := interval * int64(rate.Burst)
			now := rapid.Int64Range(1, 1<<52).Draw(r, "now") // up to the year 2112
			levels := make(map[string]int64)
			for range rapid.IntRange(1, 60).Draw(r, "steps") {
				passed := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3), rapid.Just(interval), rapid.Int64Range(0, 2*interval), rapid.Int64Range(0, 2*most)).Draw(r, "passed")
				now += passed
				for key := range levels {
					levels[key] = max(0, levels[key]-passed)
				}
				if err := setClock(t.Context(), l, now); err != nil {
					r.Fatal(err)
				}
				key := fmt.Sprint(round, rapid.SampledFrom([]string{"a", "b"}).Draw(r, "key"))
				var want Decision
				if over := levels[key] + interval - most; over > 0 {
					want.RetryAfter = time.Duration(over) * time.Microsecond
				} else {
					levels[key] += interval
					want.Allowed, want.Remaining = true, int((most-levels[key])/interval)
				}
				want.ResetAfter = time.Duration(levels[key]) * time.Microsecond
				got, err := l.Allow(t.Context(), key, rate)
				if err != nil || got != want {
					r.Fatalf("%+v at %d: %+v, %v, want %+v", rate, now, got, err, want)
				}
			}
		})
	})
}

// setClock sets the clock of a limiter that has one.
func setClock(ctx context.Context, l *Limiter, now int64) error {
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range l.open.Load().parts {
			p.HSet(ctx, k.state(), "test s", now/1_000_000, "test us", now%1_000_000)
		}
		return nil
	})
	return err
}

// TestLimiterClockGoesBack puts Redis's clock back by a year: nobody waits longer than for a whole burst.
func TestLimiterClockGoesBack(t *testing.T) {
	e, _, d := embeddedDoor(t)
	now := time.Now()
	e.server.SetTime(now)
	rate := Rate{Count: 1, Per: time.Second, Burst: 5}
	allow := func(want Decision) {
		t.Helper()
		if got, err := d.Allow(t.Context(), "key", rate); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	allow(Decision{Allowed: true, Remaining: 4, ResetAfter: time.Second})
	back := now.AddDate(-1, 0, 0)
	e.server.SetTime(back)
	allow(Decision{RetryAfter: time.Second, ResetAfter: 5 * time.Second})
	e.server.SetTime(back.Add(time.Second))
	allow(Decision{Allowed: true, ResetAfter: 5 * time.Second})
	e.server.SetTime(back.Add(4 * time.Second))
	allow(Decision{Allowed: true, Remaining: 2, ResetAfter: 3 * time.Second})
	// A rate that allows less at a time counts as used up.
	rate.Burst = 1
	allow(Decision{RetryAfter: time.Second, ResetAfter: time.Second})
	e.server.SetTime(back.Add(5 * time.Second))
	allow(Decision{Allowed: true, ResetAfter: time.Second})
}
