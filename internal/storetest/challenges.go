package storetest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Challenges keeps texts for one use each.
type Challenges interface {
	Put(ctx context.Context, id, text string, ttl time.Duration) error
	Take(ctx context.Context, id string) (text string, ok bool, err error)
}

// ChallengesContract checks that of each text exactly one taker gets it, through whichever gateway.
func ChallengesContract(t *testing.T, open func(testing.TB) (one, other Challenges)) {
	t.Helper()
	t.Run("one use", func(t *testing.T) {
		one, other := open(t)
		takes(t, other, "a", "", false)
		puts(t, one, "a", "text of a")
		puts(t, one, "b", "text of b")
		takes(t, other, "a", "text of a", true)
		takes(t, one, "a", "", false)
		takes(t, one, "b", "text of b", true)
	})
	t.Run("a taken id", func(t *testing.T) {
		one, other := open(t)
		puts(t, one, "a", "first")
		want(t, "an id that holds another text", other.Put(t.Context(), "a", "second", time.Hour), shares.ErrTaken)
		puts(t, other, "a", "first") // as after an answer that was lost
		takes(t, other, "a", "first", true)
		puts(t, one, "a", "second")
		takes(t, one, "a", "second", true)
	})
	t.Run("its time", func(t *testing.T) {
		one, other := open(t)
		puts(t, one, "long", "stays")
		if err := one.Put(t.Context(), "short", "goes", time.Millisecond); err != nil {
			t.Fatal(err)
		}
		// Once the id is free again its text is gone. Each try may only ever put one for as short a time.
		Eventually(t, "the id is free", func() bool { return other.Put(t.Context(), "short", "another", time.Millisecond) == nil })
		Eventually(t, "nothing is there", func() bool {
			_, ok, err := one.Take(t.Context(), "short")
			return !ok && err == nil
		})
		takes(t, other, "long", "stays", true)
	})
	t.Run("racing takers", func(t *testing.T) {
		one, other := open(t)
		for n := range 100 {
			id := strconv.Itoa(n)
			puts(t, one, id, "text of "+id)
			var won atomic.Int32
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					text, ok, err := []Challenges{one, other}[i%2].Take(t.Context(), id)
					if err != nil || ok != (text == "text of "+id) {
						t.Errorf("Take = %q, %t, %v", text, ok, err)
					}
					if ok {
						won.Add(1)
					}
				})
			}
			group.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d takers got %s", won.Load(), id)
			}
		}
	})
}

func puts(t *testing.T, c Challenges, id, text string) {
	t.Helper()
	if err := c.Put(t.Context(), id, text, time.Hour); err != nil {
		t.Fatalf("Put(%s): %v", id, err)
	}
}

func takes(t *testing.T, c Challenges, id, text string, ok bool) {
	t.Helper()
	got, there, err := c.Take(t.Context(), id)
	if err != nil || got != text || there != ok {
		t.Fatalf("Take(%s) = %q, %t, %v, want %q, %t", id, got, there, err, text, ok)
	}
}

// Eventually fails unless something holds within a generous time.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("it never came that %s", what)
		}
	}
}
