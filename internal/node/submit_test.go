package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

var errBusy = errors.New("the work queue is full")

func TestSubmitBlock(t *testing.T) {
	const many = -1
	refuse := func(r gbt.Reason) []verdict { return []verdict{{reason: r}} }
	for _, test := range []struct {
		name      string
		a, b      []verdict
		aHung     bool
		want      gbt.Reason
		wantErr   bool
		within    time.Duration
		aCount    BlockCounts // two minutes and a half later
		bCount    BlockCounts
		offeredTo int // times that a was asked
	}{
		{
			name: "taken by all", within: 0,
			aCount: BlockCounts{Accepted: 1}, bCount: BlockCounts{Accepted: 1}, offeredTo: 1,
		},
		{
			name: "known to one already", a: refuse(gbt.Duplicate), b: refuse(gbt.HighHash),
			aCount: BlockCounts{Accepted: 1}, bCount: BlockCounts{Refused: 1}, offeredTo: 1,
		},
		{
			name: "refused by all, the leader's reason counts", a: refuse("bad-cb-amount"), b: refuse(gbt.HighHash),
			want: "bad-cb-amount", aCount: BlockCounts{Refused: 1}, bCount: BlockCounts{Refused: 1}, offeredTo: 1,
		},
		{
			name: "one hangs", aHung: true, within: 0,
			aCount: BlockCounts{Undelivered: 1}, bCount: BlockCounts{Accepted: 1}, offeredTo: 0,
		},
		{
			name: "one errs, then takes it", a: []verdict{{err: errBusy}, {err: errBusy}, {err: errBusy}, {}}, b: refuse(gbt.HighHash),
			want: gbt.HighHash, aCount: BlockCounts{Accepted: 1}, bCount: BlockCounts{Refused: 1}, offeredTo: 4,
		},
		{
			name: "all err, then one takes it", a: []verdict{{err: errBusy}, {err: errBusy}, {}}, b: []verdict{{err: errDead}},
			within: time.Second, aCount: BlockCounts{Accepted: 1}, bCount: BlockCounts{Undelivered: 1}, offeredTo: 3,
		},
		{
			name: "no node answers", a: []verdict{{err: errBusy}}, b: []verdict{{err: errDead}},
			wantErr: true, within: 20 * time.Second, aCount: BlockCounts{Undelivered: 1}, bCount: BlockCounts{Undelivered: 1}, offeredTo: many,
		},
		{
			name: "a node lags, then takes it", a: []verdict{{reason: PrevUnknown}, {reason: PrevUnknown}, {}}, b: refuse(Inconclusive),
			want: PrevUnknown, aCount: BlockCounts{Accepted: 1}, bCount: BlockCounts{Refused: 1}, offeredTo: 3,
		},
		{
			name: "no block at all", a: []verdict{{err: &RPCError{Code: -22}}}, b: []verdict{{err: &RPCError{Code: -22}}},
			want: gbt.Rejected, aCount: BlockCounts{Refused: 1}, bCount: BlockCounts{Refused: 1}, offeredTo: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, tip := newWorld()
				a, b := newFake("a", w, tip), newFake("b", w, tip)
				a.verdicts, b.verdicts = test.a, test.b
				r := newRig(t, nil, []*fakeNode{a, b})
				defer r.stop()
				r.after(time.Minute)
				a.set(func(f *fakeNode) { f.hung = test.aHung })
				block := w.block(tip, easyBits)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				start := time.Now()
				got, err := r.set.SubmitBlock(ctx, gbt.NewRawBlock(block))
				if got != test.want || (err != nil) != test.wantErr {
					t.Errorf("got %q, %v, want %q", got, err, test.want)
				}
				if took := time.Since(start); took > test.within {
					t.Errorf("answered after %s, want %s", took, test.within)
				}
				cancel() // the caller leaves; the nodes are offered the block all the same
				r.after(150 * time.Second)
				status := r.set.Status()
				if status[0].Blocks != test.aCount || status[1].Blocks != test.bCount {
					t.Errorf("counted %+v and %+v, want %+v and %+v", status[0].Blocks, status[1].Blocks, test.aCount, test.bCount)
				}
				if a.offered != test.offeredTo && (test.offeredTo != many || a.offered < 12 || a.offered > 25) {
					t.Errorf("a was asked %d times, want %d", a.offered, test.offeredTo)
				}
			})
		})
	}
}

// TestAnswered: how long each node took for a block is told once, when it is known what it makes of it.
func TestAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b, c := newFake("a", w, tip), newFake("b", w, tip), newFake("c", w, tip)
		a.verdicts, b.verdicts, c.verdicts = []verdict{{err: errBusy}, {}}, []verdict{{reason: gbt.HighHash}}, []verdict{{err: errDead}}
		type answer struct {
			node  string
			what  BlockResult
			after time.Duration
		}
		told := make(chan answer, 10)
		r := newRig(t, func(cfg *SetConfig) {
			cfg.Answered = func(node string, what BlockResult, after time.Duration) {
				told <- answer{node, what, after.Round(time.Second)}
			}
		}, []*fakeNode{a, b, c})
		defer r.stop()
		r.after(time.Minute)
		if _, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(w.block(tip, easyBits))); err != nil {
			t.Fatal(err)
		}
		r.after(150 * time.Second)
		close(told)
		got := make(map[answer]int)
		for one := range told {
			got[one]++
		}
		for _, want := range []answer{{"a", BlockAccepted, 0}, {"b", BlockRefused, 0}, {"c", BlockUndelivered, 2 * time.Minute}} {
			if got[want] != 1 || len(got) != 3 {
				t.Errorf("told %v, want %v once", got, want)
			}
		}
	})
}

// TestOwnBlock checks that the template follows our own block at once, though neither the long
// poll nor the watchdog tells of it.
func TestOwnBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		a.deaf = true
		r := newRig(t, func(c *SetConfig) { c.WatchEvery = time.Hour }, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		if reason, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(w.block(tip, easyBits))); reason != "" || err != nil {
			t.Fatalf("got %q, %v", reason, err)
		}
		r.after(0)
		if a.best == tip {
			t.Fatal("the block was not taken")
		}
		r.want("a", a.best)
	})
}

// TestSubmitToLostNodes checks that nodes are offered blocks that are not fit to lead.
func TestSubmitToLostNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b, c := newFake("a", w, tip), newFake("b", w, tip), newFake("c", w, tip)
		b.info.InitialDownload = true
		c.err = errDead
		r := newRig(t, nil, []*fakeNode{a, b, c})
		defer r.stop()
		r.after(time.Minute)
		if reason, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(w.block(tip, easyBits))); reason != "" || err != nil {
			t.Fatalf("got %q, %v", reason, err)
		}
		r.after(30 * time.Second)
		if s := r.set.Status()[2].Blocks; s.Pending != 1 {
			t.Errorf("c: got %+v, want it pending", s)
		}
		c.set(func(f *fakeNode) { f.err = nil })
		r.after(15 * time.Second)
		if a.offered != 1 || b.offered != 1 || c.offered != 1 {
			t.Errorf("offered %d, %d and %d times", a.offered, b.offered, c.offered)
		}
	})
}

func TestShutdownDrains(t *testing.T) {
	for _, test := range []struct {
		name  string
		back  time.Duration // when the node is back, from the shutdown on
		taken int
		took  time.Duration
	}{
		{"in time", 3 * time.Second, 1, 0},
		{"too late", time.Hour, 0, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, tip := newWorld()
				a := newFake("a", w, tip)
				r := newRig(t, nil, []*fakeNode{a})
				r.after(time.Second)
				a.set(func(f *fakeNode) { f.hung = true })
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := r.set.SubmitBlock(ctx, gbt.NewRawBlock(w.block(tip, easyBits))); err == nil {
					t.Error("no error though no node answered")
				}
				start := time.Now()
				time.AfterFunc(test.back, func() { a.set(func(f *fakeNode) { f.hung = false }) })
				r.stop()
				if a.offered != test.taken {
					t.Errorf("taken %d times, want %d", a.offered, test.taken)
				}
				if took := time.Since(start); test.took > 0 && took != test.took || took > 10*time.Second {
					t.Errorf("shutting down took %s", took)
				}
				if _, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(nil)); !errors.Is(err, errShutDown) {
					t.Errorf("after the end: got %v", err)
				}
				if lost := strings.Contains(r.logged(), "shut down before"); lost != (test.taken == 0) {
					t.Errorf("log:\n%s", r.logged())
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
			})
		})
	}
}

// TestLeadersReason has the node that leads come second.
func TestLeadersReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		a.verdicts, b.verdicts = []verdict{{reason: gbt.StalePrevblk}}, []verdict{{reason: "bad-cb-amount"}}
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Second)
		b.extend()
		r.after(time.Second)
		if got, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(w.block(tip, easyBits))); got != "bad-cb-amount" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
