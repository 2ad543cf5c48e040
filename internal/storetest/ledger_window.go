package storetest

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// windowAt reads windows that ended before the shares which keep coming: they stay what they were.
func windowAt(t *testing.T, l, other Ledger) {
	t.Helper()
	at := func(end shares.Position, size shares.Weight) shares.Window {
		t.Helper()
		w, err := l.WindowAt(t.Context(), end, size)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	same(t, "window at a place of an empty ledger", at(shares.Position{Millis: 5}, 10), shares.Window{Size: 10, Credits: []shares.Credit{}})
	first := must(t, l, share(0, "account0", 0)).Position
	time.Sleep(2 * time.Millisecond) // so that what comes next comes after, in whatever partition
	for n := 1; n < 60; n++ {
		must(t, l, share(n, fmt.Sprint("account", n%7), shares.Weight(n)))
	}
	before := make(map[shares.Weight]shares.Window)
	for _, size := range []shares.Weight{1, 59, 60, 500, 100_000} {
		w, err := l.Window(t.Context(), chainhash.Hash{}, size)
		if err != nil {
			t.Fatal(err)
		}
		before[size] = w
	}
	time.Sleep(2 * time.Millisecond)
	stop := rush(t, other)
	held := lease(t, l)
	for round := range 10 {
		for size, w := range before {
			same(t, fmt.Sprint("window of ", size, " while shares come"), at(w.Newest, size), w)
		}
		if err := l.Compact(t.Context(), held, 5*round); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	same(t, "a window before all", at(shares.Position{}, 10), shares.Window{Size: 10, Credits: []shares.Credit{}})
	same(t, "a window before the first", at(shares.Position{Millis: first.Millis - 1, Seq: math.MaxInt64}, 10), shares.Window{Size: 10, Credits: []shares.Credit{}})
	one := at(first, 10)
	same(t, "a window at the first share, of no weight", [2]int64{int64(one.Total), one.Shares}, [2]int64{0, 1})
	now, err := l.Window(t.Context(), chainhash.Hash{}, 50)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a window that ends later than now", at(shares.Position{Millis: math.MaxInt64, Seq: math.MaxInt64, Partition: 99}, 50), now)
}

// rush records shares, and has begun to, until stop is called.
func rush(t *testing.T, l Ledger) (stop func()) {
	t.Helper()
	begun, done := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := i; ; n += 4 {
				if _, err := l.Record(t.Context(), share(10_000+n, fmt.Sprint("late", n%9), 11)); err != nil {
					t.Error(err)
					return
				}
				if n == 40 {
					close(begun)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	<-begun
	return func() {
		close(done)
		group.Wait()
	}
}
