package api

import (
	"context"
	"sync/atomic"
	"time"
)

// deadlineParts is how many moments the time has that a context of deadlines lasts.
const deadlineParts = 64

// deadlines gives out contexts that end after a time. Those of one moment end together: a timer for each would cost as
// much as reading what it is for.
type deadlines struct {
	after time.Duration
	last  atomic.Pointer[moment]
}

// moment is when a context was made that others share.
type moment struct {
	//nolint:containedctx // it is given out, and not used here
	ctx  context.Context
	made time.Time
}

// from returns a context with the values of ctx that ends by itself, whatever becomes of ctx: after the time at the
// latest, and at most one part of that sooner.
func (d *deadlines) from(ctx context.Context, now time.Time) context.Context {
	m := d.last.Load()
	if m == nil || now.Sub(m.made) >= d.after/deadlineParts {
		shared, cancel := context.WithTimeout(context.Background(), d.after)
		context.AfterFunc(shared, cancel)
		m = &moment{shared, now}
		d.last.Store(m)
	}
	return timed{m.ctx, ctx}
}

// timed is a context that ends with one and has the values of another.
type timed struct {
	context.Context //nolint:containedctx // it is one
	//nolint:containedctx // a context may have another
	values context.Context
}

// Value implements context.Context.
func (t timed) Value(key any) any {
	if v := t.Context.Value(key); v != nil { // what contexts that end with this one look for
		return v
	}
	return t.values.Value(key)
}
