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

func TestPropose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b, c := newFake("a", w, tip), newFake("b", w, tip), newFake("c", w, tip)
		b.building, c.building = time.Millisecond, time.Millisecond
		r := newRig(t, nil, []*fakeNode{a, b, c})
		defer r.stop()
		r.after(time.Minute)
		want := func(reason gbt.Reason) {
			t.Helper()
			if got, err := r.set.Propose(t.Context(), nil); got != reason || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, reason)
			}
		}
		want("checked by a")
		b.set(func(f *fakeNode) { f.best = w.grow(tip, 1) }) // the others lag
		r.after(time.Second)
		want("checked by b")
		c.set(func(f *fakeNode) { f.best = b.best })
		r.after(2 * time.Second)
		b.set(func(f *fakeNode) { f.err = errDead })
		want("checked by c")
		for _, n := range []*fakeNode{a, c} {
			n.set(func(f *fakeNode) { f.err = errDead })
		}
		if _, err := r.set.Propose(t.Context(), nil); !errors.Is(err, errDead) {
			t.Errorf("got %v", err)
		}
		r.after(time.Hour)
		if _, err := r.set.Propose(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "a is down") {
			t.Errorf("got %v", err)
		}
	})
}

// TestProposeElsewhere has the leader keep silent, err or know another best block: the check goes to
// the next node, and an answer about the block comes as soon as any node has one.
func TestProposeElsewhere(t *testing.T) {
	type checks struct {
		verdict
		takes time.Duration
		hangs bool
	}
	says := func(reason gbt.Reason) checks { return checks{verdict: verdict{reason: reason}} }
	errs := checks{verdict: verdict{err: errBusy}}
	hangs := checks{hangs: true}
	const bad gbt.Reason = "bad-txns-in-belowout"
	for _, test := range []struct {
		name    string
		a, b, c checks // a leads
		want    gbt.Reason
		wantErr error
		within  time.Duration
		asked   [3]int
	}{
		{name: "the leader's word is enough", a: says(bad), b: says(""), c: says(""), want: bad, asked: [3]int{1, 0, 0}},
		{name: "so is its consent", a: says(""), b: says(bad), c: says(bad), asked: [3]int{1, 0, 0}},
		{name: "no block at all", a: checks{verdict: verdict{err: &RPCError{Code: -22}}}, want: gbt.Rejected, asked: [3]int{1, 0, 0}},
		{name: "the leader errs", a: errs, b: says(bad), c: says(""), want: bad, asked: [3]int{1, 1, 0}},
		{name: "two err", a: errs, b: errs, c: says(""), asked: [3]int{1, 1, 1}},
		{name: "all err", a: errs, b: errs, c: errs, wantErr: errBusy, asked: [3]int{1, 1, 1}},
		{name: "the leader hangs", a: hangs, b: says(bad), want: bad, within: checkPatience, asked: [3]int{1, 1, 0}},
		{name: "two hang", a: hangs, b: hangs, c: says(bad), want: bad, within: 2 * checkPatience, asked: [3]int{1, 1, 1}},
		{name: "one hangs, one errs", a: hangs, b: errs, c: says(bad), want: bad, within: checkPatience, asked: [3]int{1, 1, 1}},
		{name: "all hang", a: hangs, b: hangs, c: hangs, wantErr: context.DeadlineExceeded, within: 30*time.Second + 2*checkPatience, asked: [3]int{1, 1, 1}},
		{
			name: "the leader is slow but first", a: checks{verdict: verdict{reason: bad}, takes: 5 * time.Second}, b: hangs, c: hangs,
			want: bad, within: 5 * time.Second, asked: [3]int{1, 1, 0},
		},
		{
			name: "the leader is slow and errs", a: checks{verdict: verdict{err: errBusy}, takes: 4 * time.Second},
			b: checks{verdict: verdict{reason: bad}, takes: 2 * time.Second}, c: hangs, want: bad, within: 5 * time.Second, asked: [3]int{1, 1, 1},
		},
		{name: "the leader lags", a: says(NotBestPrev), b: says(""), c: says(bad), asked: [3]int{1, 1, 0}},
		{name: "in other words", a: says(gbt.BadPrevblk), b: says(PrevUnknown), c: says(bad), want: bad, asked: [3]int{1, 1, 1}},
		{name: "the leader lags, the others err", a: says(NotBestPrev), b: errs, c: errs, want: NotBestPrev, asked: [3]int{1, 1, 1}},
		{name: "all lag", a: says(NotBestPrev), b: says(gbt.BadPrevblk), c: says(PrevUnknown), want: NotBestPrev, asked: [3]int{1, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, tip := newWorld()
				nodes := []*fakeNode{newFake("a", w, tip), newFake("b", w, tip), newFake("c", w, tip)}
				r := newRig(t, nil, nodes)
				defer r.stop()
				r.after(time.Minute)
				for i, c := range []checks{test.a, test.b, test.c} {
					nodes[i].set(func(f *fakeNode) { f.ruling, f.checking, f.checkHung = &c.verdict, c.takes, c.hangs })
				}
				start := time.Now()
				got, err := r.set.Propose(t.Context(), w.block(tip, easyBits))
				if got != test.want || !errors.Is(err, test.wantErr) || (err != nil) != (test.wantErr != nil) {
					t.Errorf("got %q, %v, want %q, %v", got, err, test.want, test.wantErr)
				}
				if took := time.Since(start); took != test.within {
					t.Errorf("answered after %s, want %s", took, test.within)
				}
				for i, n := range nodes {
					if asked := n.count("propose"); asked != test.asked[i] {
						t.Errorf("%s was asked %d times, want %d", n.name, asked, test.asked[i])
					}
				}
			})
		})
	}
}

// TestProposeOnAnotherTip has two blocks of one height: a block on the one that does not lead is
// checked by the node that has it.
func TestProposeOnAnotherTip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b, c := newFake("a", w, tip), newFake("b", w, tip), newFake("c", w, tip)
		a.best, b.best = w.grow(tip, 1), tip // b lags
		a.ruling = &verdict{reason: NotBestPrev}
		r := newRig(t, nil, []*fakeNode{a, b, c})
		defer r.stop()
		r.after(time.Minute)
		r.want("a", a.best)
		c.set(func(f *fakeNode) { f.best = w.grow(tip, 1) }) // which is too late to lead
		r.after(time.Minute)
		r.want("a", a.best)
		if got, err := r.set.Propose(t.Context(), w.block(c.best, easyBits)); got != "checked by c" || err != nil {
			t.Errorf("got %q, %v, want c's word", got, err)
		}
		if n := b.count("propose"); n != 0 {
			t.Errorf("the lagging node was asked %d times", n)
		}
	})
}

// TestProposeEnds has the caller leave while nodes check.
func TestProposeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		a.checkHung, b.checkHung = true, true
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), checkPatience+time.Second)
		defer cancel()
		start := time.Now()
		if got, err := r.set.Propose(ctx, w.block(tip, easyBits)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %q, %v", got, err)
		}
		if took := time.Since(start); took != checkPatience+time.Second {
			t.Errorf("answered after %s", took)
		}
	})
}
