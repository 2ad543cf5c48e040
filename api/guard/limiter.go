package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/api/recent"
)

// Limiter lets count requests pass in each per for a key, and burst at once.
type Limiter interface {
	// Allow asks for one. If it is refused, retryAfter is how long to wait until it is not; if it
	// passes, remaining is how many more would pass at once.
	Allow(ctx context.Context, key string, count int, per time.Duration, burst int) (ok bool, retryAfter time.Duration, remaining int, err error)
}

// Rate is how much is let pass.
type Rate struct {
	// Count requests pass in each Per, and Burst at once. A Count of 0 is no limit.
	Count int
	Per   time.Duration
	Burst int
}

func (r Rate) validate() error {
	if r.Count < 0 || r.Count > 0 && (r.Burst <= 0 || r.Per < time.Duration(r.Count)) {
		return errors.New("a rate must not be negative, and needs Per and a Burst of 1 or more")
	}
	return nil
}

// String says it in words.
func (r Rate) String() string {
	return fmt.Sprintf("%d in %s, and %d at once", r.Count, r.Per, r.Burst)
}

// interval is what one request costs in time.
func (r Rate) interval() time.Duration { return r.Per / time.Duration(r.Count) }

// BucketsConfig configures Buckets.
type BucketsConfig struct {
	// Track is how many keys are kept in mind at least; default 100000. A key that is forgotten
	// because of many others may have its burst again.
	Track int
	// Now is the clock. Required.
	Now func() time.Time
}

// Buckets is a Limiter in memory. It keeps one time per key, that at which the key's bucket is full again
// (the generic cell rate algorithm, ITU-T I.371, annex A), as a shared limiter does, so that one can
// stand in for the other. It is safe for concurrent use.
type Buckets struct {
	now func() time.Time
	mu  sync.Mutex
	// full is when a key's bucket is full again, held by mu.
	full *recent.Map[string, time.Time]
}

// NewBuckets makes Buckets.
func NewBuckets(cfg BucketsConfig) (*Buckets, error) {
	if cfg.Track == 0 {
		cfg.Track = 100_000
	}
	if cfg.Now == nil || cfg.Track < 0 {
		return nil, errors.New("guard: Buckets: Now is required, and Track must not be negative")
	}
	return &Buckets{now: cfg.Now, full: recent.New[string, time.Time](cfg.Track)}, nil
}

// Allow implements Limiter. It fails only if the rate makes no sense.
func (b *Buckets) Allow(_ context.Context, key string, count int, per time.Duration, burst int) (ok bool, retryAfter time.Duration, remaining int, err error) {
	rate := Rate{Count: count, Per: per, Burst: burst}
	if err := rate.validate(); err != nil || count == 0 {
		return false, 0, 0, errors.Join(errors.New("guard: limit without a rate"), err)
	}
	ok, retryAfter, remaining = b.take(key, rate)
	return ok, retryAfter, remaining, nil
}

// take is Allow for a rate that is known to be one.
func (b *Buckets) take(key string, rate Rate) (ok bool, retryAfter time.Duration, remaining int) {
	interval := rate.interval()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	full, known := b.full.Get(key)
	if !known || full.Before(now) {
		full = now
	}
	full = full.Add(interval)
	left := now.Add(interval * time.Duration(rate.Burst)).Sub(full)
	if left < 0 {
		return false, -left, 0
	}
	b.full.Put(key, full)
	return true, 0, int(left / interval)
}

// FallbackConfig configures a Fallback. What is zero takes its default.
type FallbackConfig struct {
	// Shared is asked first, and Local while it fails. Required.
	Shared, Local Limiter
	// Timeout is how long Shared may take; default 100 ms. Pause is how long it is left alone after
	// it failed; default 1 s.
	Timeout, Pause time.Duration
	// Now and Log are required.
	Now func() time.Time
	Log *slog.Logger
}

// Fallback is a Limiter that all gateways share, and that limits at this one alone while what they
// share fails. It is safe for concurrent use.
type Fallback struct {
	cfg FallbackConfig
	// until is until when Shared is left alone, in nanoseconds since 1970; 0 while it works.
	until atomic.Int64
}

// NewFallback makes a Fallback.
func NewFallback(cfg FallbackConfig) (*Fallback, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 100 * time.Millisecond
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	if cfg.Shared == nil || cfg.Local == nil || cfg.Now == nil || cfg.Log == nil || cfg.Timeout < 0 || cfg.Pause < 0 {
		return nil, errors.New("guard: Fallback: Shared, Local, Now and Log are required, and durations must not be negative")
	}
	return &Fallback{cfg: cfg}, nil
}

// Allow implements Limiter.
func (f *Fallback) Allow(ctx context.Context, key string, count int, per time.Duration, burst int) (ok bool, retryAfter time.Duration, remaining int, err error) {
	until := f.until.Load()
	if f.cfg.Now().UnixNano() < until {
		return f.cfg.Local.Allow(ctx, key, count, per, burst)
	}
	shared, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	ok, retryAfter, remaining, err = f.cfg.Shared.Allow(shared, key, count, per, burst)
	switch {
	case err == nil:
		if until != 0 && f.until.CompareAndSwap(until, 0) {
			f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "limits are shared again")
		}
		return ok, retryAfter, remaining, nil
	case ctx.Err() != nil: // the client is gone, which says nothing of Shared
	case f.until.CompareAndSwap(until, f.cfg.Now().Add(f.cfg.Pause).UnixNano()) && until == 0:
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "limits are not shared: this gateway limits by itself", slog.Any("error", err))
	}
	return f.cfg.Local.Allow(ctx, key, count, per, burst)
}
