// Package pulse says how the pool does, for people to see: a Teller publishes what happens as events, a Sampler adds
// points to the series that charts are drawn from, and an Attendance notes who mines. They hear of verdicts without
// ever holding one up, and nothing is decided by what they say: while the store is away they catch up later where
// that makes sense and leave out the rest, as each of them says.
package pulse

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// patience is how long the store may take to answer.
	patience = 5 * time.Second
	// again is after how long what the store did not take is tried once more.
	again = 2 * time.Second
	// lately is how far back a worker counts as one who mines.
	lately = 15 * time.Minute
)

// Templates are what miners are given; a gbt.Feed is one.
type Templates interface {
	// Current returns the template in force, or an error that matches gbt.ErrUnavailable.
	Current() (*gbt.Template, error)
	// Wait returns when there is another one than a long poll id names, or an error that matches gbt.ErrUnavailable.
	Wait(ctx context.Context, longPollID string) error
}

// Figures answers how the pool does.
type Figures interface {
	// Pool returns what all do together.
	Pool(ctx context.Context) (shares.Stats, error)
}

// Crowd answers how many mine.
type Crowd interface {
	// Active counts the accounts and workers that were there since a time.
	Active(ctx context.Context, since time.Time) (accounts, workers int, err error)
}

// followTemplates calls take with each template that comes into force, until ctx ends or the feed is closed. While
// there is none it waits. Of templates that follow fast it may leave some out, never the last. prompt says that take
// is called as soon as the template was published.
func followTemplates(ctx context.Context, from Templates, take func(t *gbt.Template, prompt bool)) {
	last, prompt := "", false
	for ctx.Err() == nil {
		err := from.Wait(ctx, last)
		if errors.Is(err, gbt.ErrClosed) {
			return
		}
		var t *gbt.Template
		if err == nil {
			t, err = from.Current()
		}
		if err != nil {
			prompt = false
			pause(ctx, again)
			continue
		}
		take(t, prompt)
		last, prompt = t.LongPollID(), true
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// slot returns when the step of time that a time is in began. All gateways have the same steps.
func slot(at time.Time, step time.Duration) time.Time { return at.UTC().Truncate(step) }

// eachSlot calls do at the beginning of each step of time, with that, until ctx ends. Steps that do takes are left out.
func eachSlot(ctx context.Context, step time.Duration, do func(at time.Time)) {
	for {
		now := time.Now()
		next := slot(now, step).Add(step)
		pause(ctx, next.Sub(now))
		if ctx.Err() != nil {
			return
		}
		do(next)
	}
}

// outage tells the log when something begins to fail and when it works again.
type outage struct {
	log  *slog.Logger
	what string
	down atomic.Bool
}

// note takes how the last try went. The end of ctx is no failure.
func (o *outage) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && o.down.CompareAndSwap(false, true):
		o.log.LogAttrs(ctx, slog.LevelWarn, "the store does not answer for now", slog.String("what", o.what), slog.Any("error", err))
	case err == nil && o.down.CompareAndSwap(true, false):
		o.log.LogAttrs(ctx, slog.LevelInfo, "the store answers again", slog.String("what", o.what))
	}
}

// untilDone tries something until it works or ctx ends.
func untilDone(ctx context.Context, o *outage, try func(ctx context.Context) error) {
	for ctx.Err() == nil {
		err := within(ctx, try)
		o.note(ctx, err)
		if err == nil {
			return
		}
		pause(ctx, again)
	}
}

// within tries something for as long as patience.
func within(ctx context.Context, try func(ctx context.Context) error) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return try(short)
}
