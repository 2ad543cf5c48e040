package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlines: a context has the values of its request, does not end with it, and ends in time.
func TestDeadlines(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		const after = 64 * time.Second
		d := deadlines{after: after}
		for range 200 {
			began := time.Now()
			request, hangUp := context.WithCancel(context.WithValue(t.Context(), key{}, 7))
			ctx := d.from(request, began)
			hangUp()
			if ctx.Err() != nil || ctx.Value(key{}) != 7 {
				t.Fatalf("%v, %v", ctx.Err(), ctx.Value(key{}))
			}
			if end, ok := ctx.Deadline(); !ok || end.Sub(began) > after || end.Sub(began) <= after-after/deadlineParts {
				t.Fatalf("it ends after %s", end.Sub(began))
			}
			time.Sleep(300 * time.Millisecond)
		}
	})
}

// TestDeadlinesShared: a moment has one timer, whoever ends with it ends, and the next moment has another.
func TestDeadlinesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{after: time.Minute}
		first := d.from(t.Context(), time.Now())
		child, cancel := context.WithCancel(first)
		defer cancel()
		time.Sleep(time.Minute / 2)
		if later := d.from(t.Context(), time.Now()); later.Done() == first.Done() {
			t.Error("a later moment ends with the first")
		}
		if again := d.from(t.Context(), time.Now()); again.Done() == first.Done() || again.Done() != d.from(t.Context(), time.Now()).Done() {
			t.Error("contexts of one moment do not end together")
		}
		time.Sleep(time.Minute / 2)
		synctest.Wait()
		for _, ctx := range []context.Context{first, child} {
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("got %v", ctx.Err())
			}
		}
		time.Sleep(time.Minute) // until the later one has ended
	})
}
