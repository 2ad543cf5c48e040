package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

func compact(t *testing.T, l, _ Ledger) {
	t.Helper()
	for i := range 50 {
		must(t, l, share(i, fmt.Sprint("a", i%7), shares.Weight(i)))
	}
	sizes := []shares.Weight{1, 49, 50, 300, 1224, 1225, 5000}
	before := make([]map[string]shares.Weight, 0, len(sizes))
	for _, size := range sizes {
		before = append(before, credits(t, l, chainhash.Hash{}, size))
	}
	held := lease(t, l)
	for _, keep := range []int{5, 2, 2, 0} {
		if err := l.Compact(t.Context(), held, keep); err != nil {
			t.Fatal(err)
		}
		for i, size := range sizes {
			same(t, fmt.Sprintf("window of %d with %d kept", size, keep), credits(t, l, chainhash.Hash{}, size), before[i])
		}
	}
}

func trim(t *testing.T, l, _ Ledger) {
	t.Helper()
	held := lease(t, l)
	shrink := func() {
		t.Helper()
		if err := errors.Join(l.Compact(t.Context(), held, 0), l.Trim(t.Context(), held, 1)); err != nil {
			t.Fatal(err)
		}
	}
	number := 0
	add := func(n int) {
		for range n {
			number++
			must(t, l, share(number, "alice", 1))
		}
		time.Sleep(2 * time.Millisecond)
	}
	add(10)
	shrink()
	same(t, "the current round", credits(t, l, chainhash.Hash{}, 100), map[string]shares.Weight{"alice": 10})
	b := foundBy(share(1000, "alice", 1), 5)
	must(t, l, b)
	add(10)
	shrink()
	same(t, "a block's round", credits(t, l, chainhash.Hash{}, 100), map[string]shares.Weight{"alice": 21})
	next := foundBy(share(1001, "alice", 1), 5)
	must(t, l, next)
	if err := l.Release(t.Context(), held, b.Hash); err != nil {
		t.Fatal(err)
	}
	shrink()
	if _, err := l.Round(t.Context(), b.Hash); err == nil {
		t.Fatal("a released round is still there")
	}
	same(t, "the next block's window", credits(t, l, next.Hash, 5), map[string]shares.Weight{"alice": 5})
	if _, err := l.Window(t.Context(), chainhash.Hash{}, 100); err == nil {
		t.Fatal("a window over what is folded is no error")
	}
	account, _, err := l.Account(t.Context(), "alice")
	if err != nil || account.Weight != 22 {
		t.Fatalf("account = %+v, %v", account, err)
	}
	add(1)
	if err := l.Release(t.Context(), held, next.Hash); err != nil {
		t.Fatal(err)
	}
	shrink()
	same(t, "the newest share", credits(t, l, chainhash.Hash{}, 1), map[string]shares.Weight{"alice": 1})
}
