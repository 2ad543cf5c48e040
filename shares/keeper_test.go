package shares

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

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
		put(t, k, 1, 2)
		l.set(ErrTooOld, false)
		if err := k.give(t.Context(), []*Share{{Hash: chainhash.Hash{1}}, {Hash: chainhash.Hash{2}}}); err != nil {
			t.Fatal(err)
		}
		if st := k.Status(); st.SetAside != 2 || st.Waiting != 0 {
			t.Fatalf("status %+v", st)
		}
	})
}

// TestKeeperMissesIdleShares has the ledger lose what it had recorded, and nobody record any more.
func TestKeeperMissesIdleShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		put(t, k, 1, 2, 3)
		l.forget(1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		expect(t, l, 1, 2, 3)
		if st := k.Status(); !errors.Is(st.Lost, ErrWentBack) || st.Away != nil {
			t.Fatalf("status = %+v, want payouts to wait", st)
		}
	})
}

// TestKeeperSaysWhatItCannotLookAt has the ledger answer nonsense when it is asked for what stops payouts.
func TestKeeperSaysWhatItCannotLookAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		var log strings.Builder
		k, stop := keep(t, l, s)
		k.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		l.set(errors.New("nonsense"), false)
		time.Sleep(2 * time.Minute)
		stop()
		if !strings.Contains(log.String(), "nonsense") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// TestKeeperDoesNotCallDuplicateWhatIsLost submits a share twice while the first waits for the disk, which
// then fails.
func TestKeeperDoesNotCallDuplicateWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		defer stop()
		l.set(ErrAway, false)
		put(t, k, 9)
		s.gate = make(chan struct{})
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range errs {
			both.Go(func() { errs[i] = k.Record(t.Context(), share(1)) })
			synctest.Wait()
		}
		s.mu.Lock()
		s.full = errors.New("no space left")
		s.mu.Unlock()
		close(s.gate)
		both.Wait()
		for i, err := range errs {
			if !errors.Is(err, s.full) {
				t.Errorf("the answer to submission %d is %v", i, err)
			}
		}
		s.full = nil
		put(t, k, 1)
	})
}

// TestKeeperSpoolsBlocksOnce has no room for shares, and submits a block again and again.
func TestKeeperSpoolsBlocksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), &tape{full: errors.New("no space left"), reserve: 1}
		k, stop := keep(t, l, s)
		defer stop()
		l.set(ErrAway, false)
		if err := k.Record(t.Context(), share(1)); err != nil && !errors.Is(err, s.full) {
			t.Fatal(err)
		}
		block := share(2)
		block.Block, block.Bits = true, 0x207fffff
		if err := k.Record(t.Context(), block); err != nil {
			t.Fatalf("a block while there is no room for shares: %v", err)
		}
		for range 3 {
			if err := k.Record(t.Context(), block); !errors.Is(err, ErrDuplicate) {
				t.Fatalf("the block again: %v", err)
			}
		}
		if len(s.records) != 1 {
			t.Errorf("the spool has %d records, want the block once", len(s.records))
		}
	})
}

// TestKeeperOutlivesAShortenedSpool starts with a spool that ends before what it had.
func TestKeeperOutlivesAShortenedSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newShelf(), new(tape)
		k, stop := keep(t, l, s)
		put(t, k, 1, 2, 3)
		stop()
		s.records = s.records[:1]
		k, stop = keep(t, l, s)
		defer stop()
		l.set(ErrAway, false)
		put(t, k, 4)
		l.set(nil, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, l, 1, 2, 3, 4)
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
