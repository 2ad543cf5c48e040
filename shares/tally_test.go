package shares

import (
	"errors"
	"math/big"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// bigInts compares the numbers, not how they are held.
func bigInts() cmp.Option {
	return cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
}

func TestTally(t *testing.T) {
	tally := NewTally()
	record := func(s gbt.Share) {
		t.Helper()
		if err := tally.Record(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	hard := share(2)
	hard.Target = gbt.Target{1: 0x7f}
	hard.Block = true
	record(share(3))
	record(hard)
	other := share(4)
	other.Worker = "v"
	record(other)
	other = share(5)
	other.Account.Address = "Addr"
	record(other)
	for range 2 {
		tally.Refused(gbt.Submission{Account: share(1).Account, Worker: "w"}, gbt.HighHash)
	}
	tally.Refused(gbt.Submission{Account: share(1).Account, Worker: "w"}, gbt.StaleWork)
	tally.Refused(gbt.Submission{Account: share(1).Account, Worker: "new"}, gbt.Rejected)

	easy := share(1).Target.Work()
	want := []WorkerTally{
		{Address: "Addr", Worker: "w", Accepted: 1, Refused: map[gbt.Reason]int{}, Work: easy, First: time.Unix(5, 0), Last: time.Unix(5, 0)},
		{Address: "addr", Worker: "new", Refused: map[gbt.Reason]int{gbt.Rejected: 1}, Work: new(big.Int)},
		{Address: "addr", Worker: "v", Accepted: 1, Refused: map[gbt.Reason]int{}, Work: easy, First: time.Unix(4, 0), Last: time.Unix(4, 0)},
		{
			Address: "addr", Worker: "w", Accepted: 2, Refused: map[gbt.Reason]int{gbt.HighHash: 2, gbt.StaleWork: 1},
			Work: new(big.Int).Add(easy, hard.Target.Work()), Blocks: 1,
			First: time.Unix(2, 0), Last: time.Unix(3, 0), // though recorded the other way round
		},
	}
	got := tally.Workers()
	if diff := cmp.Diff(want, got, bigInts()); diff != "" {
		t.Error(diff)
	}
	// What was handed out is the caller's own.
	got[3].Work.SetInt64(0)
	got[3].Refused[gbt.HighHash] = 99
	if diff := cmp.Diff(want, tally.Workers(), bigInts()); diff != "" {
		t.Errorf("after the caller changed his copy: %s", diff)
	}
}

func TestTallyDuplicates(t *testing.T) {
	tally := NewTally()
	at := func(n byte, height int32) error {
		s := share(n)
		s.Height = height
		return tally.Record(t.Context(), s)
	}
	for _, height := range []int32{500, 501, 500 + keepHeights - 1} {
		if err := at(byte(height), height); err != nil {
			t.Errorf("height %d: %v", height, err)
		}
		// Shares of all the last blocks are told from new ones, whichever came last.
		for _, seen := range []int32{500, height} {
			if err := at(byte(seen), seen); !errors.Is(err, ErrDuplicate) {
				t.Errorf("height %d again after %d: %v, want ErrDuplicate", seen, height, err)
			}
		}
	}
	if n := tally.Workers()[0].Accepted; n != 3 {
		t.Errorf("%d shares counted, want 3", n)
	}
	if err := at(1, 500+keepHeights); err != nil {
		t.Fatal(err)
	}
	if len(tally.seen) != 3 || tally.seen[500] != nil {
		t.Errorf("%d heights are remembered, 500 among them: %t", len(tally.seen), tally.seen[500] != nil)
	}
	if err := at(byte(501&0xff), 501); !errors.Is(err, ErrDuplicate) {
		t.Errorf("height 501: %v, want ErrDuplicate", err)
	}
}

// TestTallyPoorShares counts shares by what their blocks pay of what they could.
func TestTallyPoorShares(t *testing.T) {
	tally := NewTally()
	for n, paid := range []int64{100, 50, 150, 0} {
		s := share(byte(n))
		s.Paid, s.Full = paid, 100
		if err := tally.Record(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	whole := share(0).Target.Work()
	want := new(big.Int).Mul(whole, big.NewInt(2))
	want.Add(want, new(big.Int).Div(whole, big.NewInt(2)))
	if got := tally.Workers()[0].Work; got.Cmp(want) != 0 {
		t.Errorf("they count %s, want %s", got, want)
	}
}

// TestTallyConcurrent records every share from many sides at once; each counts once.
func TestTallyConcurrent(t *testing.T) {
	const sides, each = 8, 500
	tally := NewTally()
	duplicates := make([]int, sides)
	var wg sync.WaitGroup
	for side := range sides {
		wg.Go(func() {
			for n := range each {
				s := share(0)
				s.Hash = chainhash.HashH([]byte(strconv.Itoa(n)))
				s.Worker = strconv.Itoa(n % 7)
				s.Height += int32(n % 3)
				switch err := tally.Record(t.Context(), s); {
				case errors.Is(err, ErrDuplicate):
					duplicates[side]++
					tally.Refused(gbt.Submission{Account: s.Account, Worker: s.Worker}, gbt.Duplicate)
				case err != nil:
					t.Error(err)
				}
				if n%100 == 0 {
					tally.Workers()
				}
			}
		})
	}
	wg.Wait()
	refused := 0
	for _, n := range duplicates {
		refused += n
	}
	if refused != (sides-1)*each {
		t.Errorf("%d duplicates, want %d", refused, (sides-1)*each)
	}
	accepted, work := 0, new(big.Int)
	for _, w := range tally.Workers() {
		accepted += w.Accepted
		refused -= w.Refused[gbt.Duplicate]
		work.Add(work, w.Work)
	}
	if want := new(big.Int).Mul(share(0).Target.Work(), big.NewInt(each)); accepted != each || refused != 0 || work.Cmp(want) != 0 {
		t.Errorf("%d accepted with work %s, %d refusals uncounted", accepted, work, refused)
	}
}

// TestTallyBounded makes up names until no more are taken from who has proven nothing.
func TestTallyBounded(t *testing.T) {
	tally := NewTally()
	for n := range maxWorkers + 10 {
		tally.Refused(gbt.Submission{Account: share(1).Account, Worker: strconv.Itoa(n)}, gbt.Rejected)
	}
	if n := len(tally.Workers()); n != maxWorkers {
		t.Errorf("%d workers, want %d", n, maxWorkers)
	}
	if err := tally.Record(t.Context(), share(1)); err != nil {
		t.Fatal(err)
	}
	tally.Refused(gbt.Submission{Account: share(1).Account, Worker: "w"}, gbt.HighHash)
	tally.Refused(gbt.Submission{Account: share(1).Account, Worker: "0"}, gbt.Rejected)
	for _, w := range tally.Workers() {
		if w.Worker == "w" && (w.Accepted != 1 || w.Refused[gbt.HighHash] != 1) || w.Worker == "0" && w.Refused[gbt.Rejected] != 2 {
			t.Errorf("got %+v", w)
		}
	}
}
