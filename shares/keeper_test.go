package shares

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// shelf is a ledger in a map that fails as the test wants.
type shelf struct {
	mu    sync.Mutex
	id    string
	has   map[chainhash.Hash]Receipt
	order []chainhash.Hash
	// err is what all calls return; stored has Record store all the same, so that only the reply is
	// lost.
	err     error
	stored  bool
	refused map[Refusal]int64
	batches map[int64]bool
	halts   []Halt
}

func newShelf() *shelf {
	return &shelf{id: "one", has: make(map[chainhash.Hash]Receipt), refused: make(map[Refusal]int64), batches: make(map[int64]bool)}
}

func (l *shelf) set(err error, stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.stored = err, stored
}

func (l *shelf) Open(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *shelf) ID() string { return l.id }

func (l *shelf) Record(_ context.Context, s *Share) (Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !l.stored {
		return Receipt{}, l.err
	}
	if r, ok := l.has[s.Hash]; ok && l.err == nil {
		return r, ErrDuplicate
	}
	r := Receipt{Position: Position{Millis: int64(len(l.order) + 1)}, Hash: s.Hash}
	l.has[s.Hash] = r
	l.order = append(l.order, s.Hash)
	if l.err != nil {
		return Receipt{}, l.err
	}
	return r, nil
}

func (l *shelf) Refuse(_ context.Context, batch int64, refusals []Refusal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !l.stored {
		return l.err
	}
	if !l.batches[batch] {
		for _, r := range refusals {
			n := r.Count
			r.Count = 0
			l.refused[r] += n
		}
	}
	l.batches[batch] = true
	return l.err
}

func (l *shelf) Verify(_ context.Context, receipts []Receipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range receipts {
		if _, ok := l.has[r.Hash]; !ok {
			return fmt.Errorf("%w: %s", ErrWentBack, r.Hash)
		}
	}
	return l.err
}

func (l *shelf) Halt(_ context.Context, why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && len(l.halts) == 0 {
		l.halts = append(l.halts, Halt{Gateway: "one", Why: why})
	}
	return l.err
}

func (l *shelf) Halted(context.Context) ([]Halt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.halts), l.err
}

// forget takes the newest shares back.
func (l *shelf) forget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, hash := range l.order[len(l.order)-n:] {
		delete(l.has, hash)
	}
	l.order = l.order[:len(l.order)-n]
}

func (l *shelf) recorded() []chainhash.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// tape is a spool in memory. It outlives the Keeper, as a disk does.
type tape struct {
	mu      sync.Mutex
	records [][]byte
	state   []byte
	full    error
}

func (s *tape) Append(_ context.Context, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil {
		return s.full
	}
	s.records = append(s.records, record)
	return nil
}

func (s *tape) Note(record []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, record)
}

func (s *tape) Records(from uint64) iter.Seq2[SpoolRecord, error] {
	s.mu.Lock()
	all := slices.Clone(s.records)
	s.mu.Unlock()
	return func(yield func(SpoolRecord, error) bool) {
		for i := from; i < uint64(len(all)); i++ {
			if !yield(SpoolRecord{Next: i + 1, Data: all[i]}, nil) {
				return
			}
		}
	}
}

func (s *tape) End() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.records))
}

func (s *tape) Release(uint64) error { return nil }

func (s *tape) State() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *tape) SetState(_ context.Context, state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	return nil
}

// keep runs a Keeper until the returned function is called.
func keep(t *testing.T, l *shelf, s *tape) (*Keeper, func()) {
	t.Helper()
	k, err := NewKeeper(KeeperConfig{
		Ledger: l, Spool: s, Multiple: 8, Retry: time.Second, Flush: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	synctest.Wait()
	return k, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// put records shares by number.
func put(t *testing.T, k *Keeper, numbers ...byte) {
	t.Helper()
	for _, n := range numbers {
		if err := k.Record(t.Context(), share(n)); err != nil {
			t.Fatalf("share %d: %v", n, err)
		}
	}
}

func hashesOf(numbers ...byte) []chainhash.Hash {
	out := make([]chainhash.Hash, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, chainhash.Hash{n})
	}
	return out
}

func expect(t *testing.T, l *shelf, numbers ...byte) {
	t.Helper()
	if diff := cmp.Diff(hashesOf(numbers...), l.recorded()); diff != "" {
		t.Fatalf("recorded (-want +got):\n%s", diff)
	}
}

func TestKeeperBridgesAnOutage(t *testing.T) {
	for name, stored := range map[string]bool{"not stored": false, "stored, but the reply is lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, s := newShelf(), new(tape)
				k, stop := keep(t, l, s)
				defer stop()
				put(t, k, 1, 2)
				l.set(fmt.Errorf("%w: gone", ErrAway), stored)
				put(t, k, 3)
				l.set(fmt.Errorf("%w: gone", ErrAway), false)
				put(t, k, 4, 5)
				if err := k.Record(t.Context(), share(4)); !errors.Is(err, ErrDuplicate) {
					t.Fatalf("a share that waits already: %v", err)
				}
				if st := k.Status(); !errors.Is(st.Away, ErrAway) || st.Waiting != 3 {
					t.Fatalf("status = %+v", st)
				}
				l.set(nil, false)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if st := k.Status(); st.Away != nil || st.Waiting != 0 {
					t.Fatalf("status = %+v", st)
				}
				put(t, k, 6)
				expect(t, l, 1, 2, 3, 4, 5, 6)
				if err := k.Record(t.Context(), share(5)); !errors.Is(err, ErrDuplicate) {
					t.Fatalf("a share that waited: %v", err)
				}
			})
		})
	}
}

func TestKeeperReplaysAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		put(t, k, 1)
		l.set(ErrAway, false)
		put(t, k, 2, 3)
		stop() // nothing is flushed while the ledger is away
		l.set(nil, false)
		k, stop = keep(t, l, s)
		defer stop()
		put(t, k, 4)
		expect(t, l, 1, 2, 3, 4)
	})
}

func TestKeeperRestoresALedgerThatWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		put(t, k, 1, 2, 3, 4)
		l.set(ErrAway, false)
		put(t, k, 5)
		l.forget(2)
		l.set(nil, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, l, 1, 2, 3, 4, 5)
		if st := k.Status(); !errors.Is(st.Lost, ErrWentBack) || st.Away != nil {
			t.Fatalf("status = %+v, want payouts to wait", st)
		}
		stop()
		k, stop = keep(t, l, s)
		defer stop()
		if st := k.Status(); !errors.Is(st.Lost, ErrWentBack) {
			t.Fatalf("after a restart the status is %+v, want payouts to wait", st)
		}
	})
}

// TestKeeperIsToldOfALoss has the ledger say with the next share that it went back, and take shares
// before the Keeper looks: what was lost comes back nevertheless, and payouts wait until an operator has
// seen why.
func TestKeeperIsToldOfALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		put(t, k, 1, 2, 3, 4)
		l.forget(2)
		l.set(fmt.Errorf("%w: share 4", ErrWentBack), false)
		put(t, k, 5)
		l.set(nil, false)
		receipt, err := l.Record(t.Context(), &Share{Hash: chainhash.Hash{6}}) // one that was on its way
		if err != nil {
			t.Fatal(err)
		}
		k.mark(receipt)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, l, 1, 2, 6, 3, 4, 5)
		if st := k.Status(); !errors.Is(st.Lost, ErrWentBack) || st.Away != nil {
			t.Fatalf("status = %+v, want payouts to wait", st)
		}
		l.mu.Lock()
		halts := l.halts
		l.halts = nil // as by an operator
		l.mu.Unlock()
		if len(halts) != 1 || !strings.Contains(halts[0].Why, "share 4") {
			t.Fatalf("the ledger is halted for %+v", halts)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := k.Status(); st.Lost != nil {
			t.Fatalf("status = %+v, want payouts to go on", st)
		}
	})
}

// TestKeeperKeepsMarksOverAStop stops while the ledger is away, before any mark was written.
func TestKeeperKeepsMarksOverAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		put(t, k, 1, 2)
		l.set(ErrAway, false)
		put(t, k, 3)
		stop()
		l.forget(2)
		l.set(nil, false)
		k, stop = keep(t, l, s)
		defer stop()
		expect(t, l, 1, 2, 3)
		if st := k.Status(); !errors.Is(st.Lost, ErrWentBack) {
			t.Fatalf("status = %+v, want payouts to wait", st)
		}
	})
}

func TestKeeperWithoutLedgerAndDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left")
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		s.full = full
		put(t, k, 1) // the ledger is enough
		l.set(ErrAway, false)
		if err := k.Record(t.Context(), share(2)); !errors.Is(err, full) {
			t.Fatalf("a share that nobody keeps: %v", err)
		}
		s.full = nil
		put(t, k, 2) // not a duplicate: it was not kept
		l.set(nil, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, l, 1, 2)
	})
}

func TestKeeperWritesBlocksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		block := share(1)
		block.Block, block.Bits, block.Value, block.Paid = true, 0x207fffff, 50, 50
		if err := k.Record(t.Context(), block); err != nil {
			t.Fatal(err)
		}
		if len(s.records) != 1 {
			t.Fatalf("the spool has %d records, want the block once", len(s.records))
		}
		got, err := decodeRecord(s.records[0])
		if err != nil || got.Found == nil || got.Found.Window != 16 || got.Found.Value != 50 {
			t.Fatalf("the spool has %+v, %v", got, err)
		}
		block.Bits = 0
		block.Hash[0] = 9
		if err := k.Record(t.Context(), block); err == nil {
			t.Fatal("a block without a network target is recorded")
		}
	})
}

func TestKeeperCountsRefusalsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		sub := gbt.Submission{Account: gbt.Account{Address: "a"}, Worker: "w"}
		k.Refused(sub, gbt.HighHash)
		k.Refused(sub, gbt.HighHash)
		l.set(errors.New("reply lost"), true)
		time.Sleep(90 * time.Second)
		k.Refused(sub, gbt.HighHash)
		k.Refused(sub, "bad-txns-premature-spend")
		k.Refused(sub, "bad-txns-premature-spend (spends a coinbase at depth 3)")
		l.set(nil, false)
		time.Sleep(3 * time.Minute)
		stop()
		want := map[Refusal]int64{
			{Account: "a", Worker: "w", Reason: gbt.HighHash}: 3, {Account: "a", Worker: "w", Reason: "bad-txns-premature-spend"}: 2,
		}
		if diff := cmp.Diff(want, l.refused); diff != "" {
			t.Error(diff)
		}
	})
}

func TestKeeperSetsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		l.set(ErrAway, false)
		put(t, k, 1)
		if err := k.giveOne(t.Context(), &Share{Hash: chainhash.Hash{1}}); !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
		l.set(ErrTooOld, false)
		if err := k.giveOne(t.Context(), &Share{Hash: chainhash.Hash{1}}); err != nil || k.Status().SetAside != 1 {
			t.Fatalf("%v, status %+v", err, k.Status())
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	data, err := encodeRecord(&Share{Account: "a", Weight: 5, Found: &Found{Bits: 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeRecord(data)
		if err != nil {
			return
		}
		again, err := encodeRecord(s)
		if err != nil {
			return // times of other centuries
		}
		if got, err := decodeRecord(again); err != nil || !cmp.Equal(got, s) {
			t.Fatalf("%+v came back as %+v, %v", s, got, err)
		}
	})
}
