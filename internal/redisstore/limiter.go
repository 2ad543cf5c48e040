package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// maxTolerance bounds how long a burst takes to be forgotten, in microseconds (some 35 years): what is added up in a
// script stays below 2^53.
const maxTolerance = 1 << 50

// Rate is how often something may be done.
type Rate struct {
	// Count is how often in each Per, of at least a microsecond each. Evenly: one is allowed each Per/Count,
	// rounded up to whole microseconds.
	Count int
	Per   time.Duration
	// Burst is how many are allowed at a time, after a while of none.
	Burst int
}

// interval returns the time that one takes, in microseconds. Errors match shares.ErrMalformed.
func (r Rate) interval() (int64, error) {
	per, count := r.Per.Microseconds(), int64(r.Count)
	if count < 1 || r.Burst < 1 || per < count {
		return 0, fmt.Errorf("%w: a rate of %d in %s, %d at a time", shares.ErrMalformed, r.Count, r.Per, r.Burst)
	}
	interval := (per-1)/count + 1
	if interval > maxTolerance/int64(r.Burst) {
		return 0, fmt.Errorf("%w: a burst of %d at %d in %s is never forgotten", shares.ErrMalformed, r.Burst, r.Count, r.Per)
	}
	return interval, nil
}

// Decision is whether something may be done, and what then.
type Decision struct {
	Allowed bool
	// Remaining is how many more are allowed right now.
	Remaining int
	// RetryAfter is when one is allowed again; 0 if this one is.
	RetryAfter time.Duration
	// ResetAfter is when as many are allowed as ever, if there are no more until then.
	ResetAfter time.Duration
}

// LimiterConfig configures a Limiter. All is required.
type LimiterConfig struct {
	// Ledger is beside which it lies.
	Ledger *Ledger
}

// Limiter says how often something may be done on all gateways of a pool together, by the generic cell rate algorithm
// (ITU-T I.371, annex A) and Redis's clock. Keys are spread over the partitions. Memory: a key is forgotten when all
// is allowed again, so there are as many as were used in the time that a burst takes to be forgotten.
type Limiter struct{ *Ledger }

// NewLimiter makes a Limiter.
func NewLimiter(cfg LimiterConfig) (*Limiter, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("limiter: Ledger is required")
	}
	return &Limiter{cfg.Ledger}, nil
}

// Allow decides whether what a key stands for may be done once more, and counts it if so. A key is for one rate; with
// another one it goes on as far as that allows. After an error it may be counted. A key without text or too long, and
// a rate that is none, are shares.ErrMalformed.
func (l *Limiter) Allow(ctx context.Context, key string, rate Rate) (Decision, error) {
	o, err := l.opened()
	if err != nil {
		return Decision{}, err
	}
	interval, err := rate.interval()
	if err := errors.Join(err, checkName("what is limited", key)); err != nil {
		return Decision{}, err
	}
	_, k := o.of(key)
	v, err := l.call(ctx, l.scripts.limit, []string{k.state(), k.limit(key)}, o.Ledger, interval, rate.Burst)
	if err != nil {
		return Decision{}, fmt.Errorf("limit: %w", err)
	}
	var n [4]int64
	list, ok := v.([]any)
	for i := 0; ok && i < len(n); i++ {
		if ok = len(list) == len(n); ok {
			n[i], ok = list[i].(int64)
		}
	}
	if !ok {
		return Decision{}, fmt.Errorf("limit: %v: %w", v, errReply)
	}
	return Decision{
		Allowed: n[0] == 1, Remaining: int(n[1]),
		RetryAfter: time.Duration(n[2]) * time.Microsecond, ResetAfter: time.Duration(n[3]) * time.Microsecond,
	}, nil
}
