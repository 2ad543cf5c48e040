package rest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSnapshot has many ask and one read.
func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var fault atomic.Pointer[error]
		s := newSnapshot(time.Now, func(context.Context) (int64, error) {
			time.Sleep(time.Second)
			if err := fault.Load(); err != nil {
				return 0, *err
			}
			return reads.Add(1), nil
		})
		get := func(want int64, wait time.Duration) {
			t.Helper()
			begin := time.Now()
			got, err := s.get(t.Context())
			if took := time.Since(begin); got != want || err != nil || took != wait {
				t.Errorf("%d, %v after %s; want %d after %s", got, err, took, want, wait)
			}
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { get(1, time.Second) })
		}
		all.Wait()
		get(1, 0)
		time.Sleep(fresh)
		get(1, 0) // and it is read anew meanwhile
		time.Sleep(1500 * time.Millisecond)
		get(2, 0)
		time.Sleep(tolerable)
		get(3, time.Second)

		broken := errors.New("broken")
		fault.Store(&broken)
		time.Sleep(tolerable)
		if got, err := s.get(t.Context()); !errors.Is(err, broken) || got != 0 {
			t.Errorf("broken: %d, %v", got, err)
		}
		if got, err := s.known(t.Context()); !errors.Is(err, broken) || got != 3 {
			t.Errorf("broken, what is known: %d, %v", got, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait: %v", err)
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

// TestReadLongAgo has one who asks find others reading what will be too old: it waits for what is read after that.
func TestReadLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 2 * tolerable
		var clock, reads atomic.Int64
		now := func() time.Time { return noon.Add(time.Duration(clock.Load())) }
		load := func(ctx context.Context) (int64, error) {
			n := reads.Add(1)
			time.Sleep(time.Second)
			return n, ctx.Err()
		}
		s, c := newSnapshot(now, load), newCache[int64](3, fresh, tolerable, now)
		for what, step := range map[string]struct {
			ahead func()
			get   func() (int64, error)
		}{
			"snapshot": {func() { s.ahead(t.Context()) }, func() (int64, error) { return s.get(t.Context()) }},
			"cache":    {func() { c.ahead(t.Context(), "x", load) }, func() (int64, error) { return c.get(t.Context(), "x", load) }},
		} {
			reads.Store(0)
			step.ahead()
			synctest.Wait()
			clock.Add(int64(slow))
			if got, err := step.get(); got != 2 || err != nil {
				t.Errorf("%s: reading %d, %v; want the second", what, got, err)
			}
		}
	})
}

// TestCache keeps what was used last, as long as it is good.
func TestCache(t *testing.T) {
	now := noon
	c := newCache[int](3, time.Minute, 0, func() time.Time { return now })
	reads := 0
	get := func(key int) {
		t.Helper()
		got, err := c.get(t.Context(), strconv.Itoa(key), func(context.Context) (int, error) {
			reads++
			return 10 * key, nil
		})
		if got != 10*key || err != nil {
			t.Errorf("%d: %d, %v", key, got, err)
		}
	}
	for _, step := range []struct{ key, reads int }{{1, 1}, {2, 2}, {3, 3}, {1, 3}, {4, 4}, {1, 4}, {2, 5}} { // 4 throws 2 out, and 2 throws 3
		if get(step.key); reads != step.reads {
			t.Errorf("after %d: %d reads, want %d", step.key, reads, step.reads)
		}
	}
	now = now.Add(time.Minute)
	if get(1); reads != 6 {
		t.Error("what is old is told again")
	}
	if len(c.places) > 3 || c.order.Len() > 3 {
		t.Errorf("%d are kept", len(c.places))
	}
	broken := errors.New("broken")
	if _, err := c.get(t.Context(), "x", func(context.Context) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if got, err := c.get(t.Context(), "x", func(context.Context) (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Error("an error is remembered")
	}
}

// TestCacheLate tells what is late once more, while one reads it anew, and nothing that was dropped.
func TestCacheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var value, seconds atomic.Int64
		seconds.Store(1)
		c := newCache[int64](3, fresh, tolerable, time.Now)
		load := func(ctx context.Context) (int64, error) {
			v := value.Load()
			time.Sleep(time.Duration(seconds.Load()) * time.Second)
			return v, ctx.Err()
		}
		get := func(what string, want int64, wait time.Duration) {
			t.Helper()
			begin := time.Now()
			got, err := c.get(t.Context(), "x", load)
			if took := time.Since(begin); got != want || err != nil || took != wait {
				t.Errorf("%s: %d, %v after %s; want %d after %s", what, got, err, took, want, wait)
			}
		}
		c.ahead(t.Context(), "x", load)
		time.Sleep(500 * time.Millisecond)
		get("what is read already", 0, 500*time.Millisecond)
		value.Store(1)
		time.Sleep(fresh)
		get("late", 0, 0)
		get("still", 0, 0)
		time.Sleep(1500 * time.Millisecond)
		get("read anew", 1, 0)
		time.Sleep(tolerable)
		get("too late", 1, time.Second)
		time.Sleep(fresh)
		seconds.Store(3)
		c.ahead(t.Context(), "x", load)
		synctest.Wait()
		value.Store(2)
		seconds.Store(1)
		c.drop("x")
		get("dropped while it was read", 2, time.Second)
		time.Sleep(2500 * time.Millisecond)
		get("who read it before comes late", 2, 0)
		time.Sleep(time.Second)
	})
}
