package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// Ledger is all that a share ledger offers.
type Ledger interface {
	shares.Ledger
	shares.Books
	shares.Figures
	shares.Upkeep
	// Acquire takes or renews the lease of a job; shares.ErrFenced if another gateway has it.
	Acquire(ctx context.Context, job string, within time.Duration) (shares.Lease, error)
}

// LedgerContract checks what every share ledger promises. open makes a new, empty one that counts in
// units of one hash, and other opens the same one again as a gateway of another name. reopen opens the
// ledger of a gateway anew, as if that had been restarted.
func LedgerContract(t *testing.T, open func(testing.TB) (one, other Ledger), reopen func(testing.TB, Ledger) Ledger) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Ledger, Ledger){
		"once":        once,
		"crowd":       crowd,
		"window":      window,
		"window at":   windowAt,
		"block":       block,
		"limits":      limits,
		"refusals":    refusals,
		"verify":      verify,
		"retire":      retire,
		"fence":       fence,
		"figures":     figures,
		"clocks":      clocks,
		"compact":     compact,
		"trim":        trim,
		"lost leases": lostLease,
	} {
		t.Run(name, func(t *testing.T) {
			one, other := open(t)
			test(t, one, other)
		})
	}
	t.Run("model", func(t *testing.T) { model(t, open, reopen) })
}

// share makes a share; its number makes its hash.
func share(n int, account string, weight shares.Weight) *shares.Share {
	s := &shares.Share{
		Account: account, Worker: "rig", Weight: weight, Target: target(),
		Height: 100, Time: time.Now().UTC().Truncate(time.Millisecond),
	}
	binary.BigEndian.PutUint64(s.Hash[:], uint64(n))
	s.Hash[31] = byte(n) // the most significant byte of the number that it is
	return s
}

// target is one that fits compact form.
func target() gbt.Target {
	t, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		panic(err)
	}
	return t
}

// must records a share that is new.
func must(tb testing.TB, l Ledger, s *shares.Share) shares.Receipt {
	tb.Helper()
	r, err := l.Record(tb.Context(), s)
	if err != nil {
		tb.Fatalf("Record(%s %d): %v", s.Account, s.Weight, err)
	}
	if r.Hash != s.Hash || r.Millis == 0 {
		tb.Fatalf("Record = %+v, want a place for %s", r, s.Hash)
	}
	return r
}

// want fails unless err matches.
func want(tb testing.TB, what string, err, target error) {
	tb.Helper()
	if !errors.Is(err, target) {
		tb.Fatalf("%s: error %v, want %v", what, err, target)
	}
}

// lease takes one.
func lease(tb testing.TB, l Ledger) shares.Lease {
	tb.Helper()
	got, err := l.Acquire(tb.Context(), "upkeep", time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// credits reads a window's.
func credits(tb testing.TB, l Ledger, at chainhash.Hash, size shares.Weight) map[string]shares.Weight {
	tb.Helper()
	w, err := l.Window(tb.Context(), at, size)
	if err != nil {
		tb.Fatal(err)
	}
	out := make(map[string]shares.Weight)
	var sum shares.Weight
	for _, c := range w.Credits {
		out[c.Account] = c.Weight
		sum += c.Weight
	}
	if sum != w.Total {
		tb.Fatalf("window of %d: its credits sum up to %d, it says %d", size, sum, w.Total)
	}
	return out
}

// failer is what a test and a property have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func same(t failer, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func once(t *testing.T, l, other Ledger) {
	t.Helper()
	s := share(1, "alice", 7)
	first := must(t, l, s)
	for _, gateway := range []Ledger{l, other} {
		again, err := gateway.Record(t.Context(), s)
		want(t, "the same share", err, shares.ErrDuplicate)
		same(t, "receipt", again, first)
	}
	// Whose it is said to be makes no difference to what it is, within one account's partition.
	renamed := *s
	renamed.Worker = "other"
	_, err := l.Record(t.Context(), &renamed)
	want(t, "the same share of another worker", err, shares.ErrDuplicate)
	same(t, "window", credits(t, l, chainhash.Hash{}, 100), map[string]shares.Weight{"alice": 7})
}

func crowd(t *testing.T, l, other Ledger) {
	t.Helper()
	var group sync.WaitGroup
	var mutex sync.Mutex
	count := make(map[string]int)
	for i := range 400 {
		group.Go(func() {
			// Each share comes twice, through both gateways.
			gateway := []Ledger{l, other}[i%2]
			_, err := gateway.Record(t.Context(), share(i/2, fmt.Sprint("account", i/2%10), 3))
			mutex.Lock()
			defer mutex.Unlock()
			switch {
			case err == nil:
				count["new"]++
			case errors.Is(err, shares.ErrDuplicate):
				count["duplicate"]++
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	same(t, "answers", count, map[string]int{"new": 200, "duplicate": 200})
	all := make(map[string]shares.Weight)
	for i := range 10 {
		all[fmt.Sprint("account", i)] = 60
	}
	same(t, "window", credits(t, l, chainhash.Hash{}, 10000), all)
}

func window(t *testing.T, l, _ Ledger) {
	t.Helper()
	w, err := l.Window(t.Context(), chainhash.Hash{}, 10)
	if err != nil || w.Total != 0 || w.Shares != 0 || len(w.Credits) != 0 {
		t.Fatalf("window of an empty ledger = %+v, %v", w, err)
	}
	pause := func() { time.Sleep(2 * time.Millisecond) } // so that their order does not hang on partitions
	oldest := must(t, l, share(1, "alice", 10))
	pause()
	must(t, l, share(2, "bob", 5))
	pause()
	newest := must(t, l, share(3, "carol", 1))
	for size, want := range map[shares.Weight]map[string]shares.Weight{
		-1: {}, 0: {}, 1: {"carol": 1}, 2: {"carol": 1, "bob": 1}, 6: {"carol": 1, "bob": 5},
		7: {"carol": 1, "bob": 5, "alice": 1}, 16: {"carol": 1, "bob": 5, "alice": 10},
		1 << 62: {"carol": 1, "bob": 5, "alice": 10},
	} {
		same(t, fmt.Sprint("window of ", size), credits(t, l, chainhash.Hash{}, size), want)
	}
	w, err = l.Window(t.Context(), chainhash.Hash{}, 7)
	if err != nil || w.Oldest != oldest.Position || w.Newest != newest.Position || w.Part != 1 || w.Shares != 3 || w.Size != 7 {
		t.Fatalf("window = %+v, %v", w, err)
	}
}

// foundBy makes a share a block.
func foundBy(s *shares.Share, window shares.Weight) *shares.Share {
	s.Found = &shares.Found{Bits: 0x207fffff, Value: 5000, Paid: 5000, Window: window}
	return s
}

func block(t *testing.T, l, other Ledger) {
	t.Helper()
	must(t, l, share(1, "alice", 10))
	must(t, l, share(2, "bob", 5))
	first := foundBy(share(3, "carol", 1), 12)
	must(t, l, first)
	_, err := other.Record(t.Context(), first)
	want(t, "the block again", err, shares.ErrDuplicate)
	before := credits(t, l, first.Hash, 12)
	must(t, l, share(4, "alice", 2))
	round, err := l.Round(t.Context(), chainhash.Hash{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "round after the block", round, shares.Round{Total: 2, Shares: 1, Credits: []shares.Credit{{Account: "alice", Weight: 2}}})
	if round, err = other.Round(t.Context(), first.Hash); err != nil {
		t.Fatal(err)
	}
	same(t, "round of the block", round, shares.Round{Block: first.Hash, Total: 16, Shares: 3, Credits: []shares.Credit{
		{Account: "alice", Weight: 10}, {Account: "bob", Weight: 5}, {Account: "carol", Weight: 1},
	}})
	same(t, "window of the block", credits(t, other, first.Hash, 12), before)
	second := foundBy(share(5, "bob", 1), 12)
	receipt := must(t, other, second)
	blocks, err := l.Blocks(t.Context(), 10)
	if err != nil || len(blocks) != 2 {
		t.Fatalf("Blocks = %+v, %v", blocks, err)
	}
	same(t, "newest block", blocks[0], shares.Block{
		Entry: shares.Entry{Position: receipt.Position, Share: *second}, Shares: 2, Round: 3, Frozen: true,
	})
	if blocks, err = l.Blocks(t.Context(), 1); err != nil || len(blocks) != 1 || blocks[0].Hash != second.Hash {
		t.Fatalf("newest of Blocks = %+v, %v", blocks, err)
	}
	_, err = l.Window(t.Context(), chainhash.Hash{9}, 1)
	want(t, "window of no block", err, shares.ErrUnknown)
	_, err = l.Round(t.Context(), chainhash.Hash{9})
	want(t, "round of no block", err, shares.ErrUnknown)
}

func limits(t *testing.T, l, _ Ledger) {
	t.Helper()
	for name, weight := range map[string]shares.Weight{"negative": -1, "above 2^62": shares.MaxWeight + 1, "above by far": 1<<63 - 1} {
		_, err := l.Record(t.Context(), share(1, "alice", weight))
		want(t, name, err, shares.ErrWeight)
	}
	must(t, l, share(1, "alice", 0))
	must(t, l, share(2, "alice", shares.MaxWeight))
	must(t, l, share(3, "alice", shares.MaxWeight-1)) // 2^63-1 in all
	must(t, l, share(4, "bob", shares.MaxWeight))     // the round is too heavy as a whole, but in no partition
	must(t, l, share(5, "alice", 0))
	// A round of 2^63 in one partition is one too many; nothing of it stays.
	for range 2 {
		_, err := l.Record(t.Context(), share(6, "alice", 1))
		want(t, "a round of 2^63", err, shares.ErrWeight)
	}
	_, err := l.Round(t.Context(), chainhash.Hash{})
	want(t, "a round of more than 2^63 in all partitions", err, shares.ErrWeight)
	must(t, l, foundBy(share(7, "alice", 0), 1))
	must(t, l, share(6, "alice", 1))
	account, _, err := l.Account(t.Context(), "alice")
	if err != nil || account.Weight != 1<<63-1 || account.Accepted != 6 || account.Rates[0] < 0 {
		t.Fatalf("account = %+v, %v", account, err)
	}
}

func refusals(t *testing.T, l, _ Ledger) {
	t.Helper()
	must(t, l, share(1, "alice", 1))
	batch := []shares.Refusal{
		{Account: "alice", Worker: "rig", Reason: gbt.StalePrevblk, Count: 2},
		{Account: "alice", Worker: "new", Reason: gbt.HighHash, Count: 3},
		{Account: "nobody", Worker: "x", Reason: gbt.HighHash, Count: 4},
	}
	for range 2 {
		if err := l.Refuse(t.Context(), 7, batch); err != nil {
			t.Fatal(err)
		}
	}
	account, workers, err := l.Account(t.Context(), "alice")
	if err != nil || len(workers) != 1 {
		t.Fatalf("Account = %+v, %+v, %v", account, workers, err)
	}
	same(t, "account", account.Refused, map[gbt.Reason]int64{gbt.StalePrevblk: 2, gbt.HighHash: 3})
	same(t, "worker", workers[0].Refused, map[gbt.Reason]int64{gbt.StalePrevblk: 2})
	_, _, err = l.Account(t.Context(), "nobody")
	want(t, "an account without shares", err, shares.ErrUnknown)
	pool, err := l.Pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pool.Stale() != 2 || pool.Rejected() != 7 || pool.Accepted != 1 {
		t.Fatalf("pool: stale %d, rejected %d, accepted %d", pool.Stale(), pool.Rejected(), pool.Accepted)
	}
}

func verify(t *testing.T, l, _ Ledger) {
	t.Helper()
	receipts := make([]shares.Receipt, 0, 20)
	for i := range 20 {
		receipts = append(receipts, must(t, l, share(i, fmt.Sprint("a", i), 1)))
	}
	if err := l.Verify(t.Context(), receipts); err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(t.Context(), lease(t, l), 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Verify(t.Context(), receipts); err != nil {
		t.Fatal("after compacting:", err)
	}
	later := receipts[3]
	later.Millis += 1000
	want(t, "a share after all", l.Verify(t.Context(), []shares.Receipt{later}), shares.ErrWentBack)
	earlier := receipts[3]
	earlier.Millis -= 1000
	want(t, "a share before all", l.Verify(t.Context(), []shares.Receipt{earlier}), shares.ErrWentBack)
	newest := must(t, l, share(100, "a3", 1))
	newest.Hash[0] ^= 1
	want(t, "another share in its place", l.Verify(t.Context(), []shares.Receipt{newest}), shares.ErrWentBack)
}

func retire(t *testing.T, l, _ Ledger) {
	t.Helper()
	for i := range 5 {
		s := share(i, "alice", 1)
		s.Height = int32(100 + i)
		must(t, l, s)
	}
	held := lease(t, l)
	for range 2 {
		if err := l.Retire(t.Context(), held, 102); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		s := share(i, "alice", 1)
		s.Height = int32(100 + i)
		_, err := l.Record(t.Context(), s)
		if i <= 2 {
			want(t, "a share below the floor", err, shares.ErrTooOld)
		} else {
			want(t, "a share above the floor", err, shares.ErrDuplicate)
		}
	}
	same(t, "window", credits(t, l, chainhash.Hash{}, 100), map[string]shares.Weight{"alice": 5})
}

func fence(t *testing.T, l, other Ledger) {
	t.Helper()
	held := lease(t, l)
	same(t, "renewed lease", lease(t, l), held)
	_, err := other.Acquire(t.Context(), "upkeep", time.Minute)
	want(t, "the lease of another", err, shares.ErrFenced)
	if _, err := other.Acquire(t.Context(), "another job", time.Minute); err != nil {
		t.Fatal(err)
	}
}

func lostLease(t *testing.T, l, other Ledger) {
	t.Helper()
	old := lease(t, l)
	b := foundBy(share(1, "alice", 1), 1)
	must(t, l, b)
	if _, err := l.Acquire(t.Context(), "upkeep", 0); err != nil {
		t.Fatal("giving it up:", err)
	}
	held := lease(t, other)
	if held.Token <= old.Token {
		t.Fatalf("the next lease has token %d after %d", held.Token, old.Token)
	}
	if err := other.Retire(t.Context(), held, 1); err != nil {
		t.Fatal(err)
	}
	want(t, "retire with an old lease", l.Retire(t.Context(), old, 2), shares.ErrFenced)
	want(t, "compact with an old lease", l.Compact(t.Context(), old, 0), shares.ErrFenced)
	want(t, "release with an old lease", l.Release(t.Context(), old, b.Hash), shares.ErrFenced)
	if err := other.Compact(t.Context(), held, 0); err != nil {
		t.Fatal(err)
	}
	if err := other.Release(t.Context(), held, b.Hash); err != nil {
		t.Fatal(err)
	}
	must(t, other, foundBy(share(2, "alice", 1), 1))
	want(t, "trim with an old lease", l.Trim(t.Context(), old, 1), shares.ErrFenced)
}

func figures(t *testing.T, l, _ Ledger) {
	t.Helper()
	s := share(1, "alice", 600)
	must(t, l, s)
	better := share(2, "alice", 600)
	better.Hash[31] = 0
	better.Worker = ""
	must(t, l, better)
	must(t, l, foundBy(share(3, "bob", 60), 1))
	pool, err := l.Pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pool.Accepted != 3 || pool.Blocks != 1 || pool.Weight != 1260 {
		t.Fatalf("pool = %+v", pool)
	}
	account, workers, err := l.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if len(workers) != 2 || workers[0].Worker != "" || workers[1].Worker != "rig" || workers[1].Weight != 600 {
		t.Fatalf("workers = %+v", workers)
	}
	if account.Best != gbt.TargetFromHash(better.Hash) || account.Accepted != 2 || account.Weight != 1200 {
		t.Fatalf("account = %+v", account)
	}
	if account.First.After(account.Last) || account.Last.Sub(s.Time).Abs() > time.Minute {
		t.Fatalf("account from %s to %s, its first share was at %s", account.First, account.Last, s.Time)
	}
	for i, rate := range account.Rates {
		// 1200 hashes in a time of at least 15 s, and not long after.
		if rate > 80.0001 || rate < 20 {
			t.Errorf("rate over %s = %g hashes a second", shares.Spans()[i], rate)
		}
	}
	list, err := l.Accounts(t.Context(), 10)
	if err != nil || len(list) != 2 || list[0].Account != "alice" || list[1].Account != "bob" {
		t.Fatalf("accounts = %+v, %v", list, err)
	}
}
