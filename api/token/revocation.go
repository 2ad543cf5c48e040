package token

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Revocations tells which tokens were taken back. It is safe for concurrent use.
type Revocations interface {
	// Revoked reports whether the token of an id was. An error says that nobody can tell.
	Revoked(ctx context.Context, id string) (bool, error)
}

// How long an answer is taken for the present one. A miner sends a token many times a minute, and a token that
// was taken back is good for so long at most.
const (
	goodFor    = 5 * time.Second
	unknownFor = time.Second
	askFor     = 500 * time.Millisecond
)

// ruling is what is known of a token's revocation.
type ruling int

const (
	notRevoked ruling = iota
	revoked
	// unknown says that the answer could not be had.
	unknown
)

// answer is a ruling that is good until some time.
type answer struct {
	ruling
	until time.Time
}

// revocations asks Revocations, and remembers for a while what it was told.
type revocations struct {
	from    Revocations
	now     func() time.Time
	log     *slog.Logger
	answers *cache[string, answer]
	flight  singleflight.Group
	// away is until when nobody is asked, because the last one could not tell; Unix nanoseconds.
	away atomic.Int64
}

// rule returns what is known of a token's revocation now.
func (r *revocations) rule(ctx context.Context, id string) ruling {
	if r.from == nil {
		return notRevoked
	}
	now := r.now()
	// A token that was taken back stays so: that is known also while nobody can tell.
	known, ok := r.answers.get(id)
	if ok && (known.ruling == revoked || now.Before(known.until)) {
		return known.ruling
	}
	if now.UnixNano() < r.away.Load() {
		return unknown
	}
	// Many requests with one token ask once, and go on asking when the first of them is gone.
	got, _, _ := r.flight.Do(id, func() (any, error) { return r.ask(context.WithoutCancel(ctx), id), nil })
	if got, ok := got.(ruling); ok {
		return got
	}
	return unknown
}

// ask asks, within a time that a miner can wait.
func (r *revocations) ask(ctx context.Context, id string) ruling {
	ctx, cancel := context.WithTimeoutCause(ctx, askFor, errors.New("no answer in time"))
	defer cancel()
	is, err := r.from.Revoked(ctx, id)
	now := r.now()
	switch {
	case err != nil:
		r.away.Store(now.Add(unknownFor).UnixNano())
		r.log.LogAttrs(ctx, slog.LevelWarn, "whether tokens were revoked cannot be told", slog.Any("error", err))
		return unknown
	case is:
		r.answers.put(id, answer{ruling: revoked})
		return revoked
	default:
		r.answers.put(id, answer{notRevoked, now.Add(goodFor)})
		return notRevoked
	}
}
