package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// order gives an order and lets it take effect.
func (r *rig) order(name string, order Order) {
	r.t.Helper()
	if err := r.set.Order(name, order); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// templates returns how often a node was asked for one.
func templates(f *fakeNode) int { return f.count("template") }

// polling returns how many long polls of a node are in flight.
func polling(f *fakeNode) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.polls
}

// TestDrain: a drained leader leaves the lead at once, and is asked for no templates, but it is
// followed and gets found blocks.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(2 * time.Minute)
		r.want("a", tip)
		r.order("a", Drain)
		r.want("b", tip)
		if got := r.set.Status(); got[0].Order != Drain || got[1].Order != NoOrder || got[0].Leading || got[0].State != OK {
			t.Errorf("got %+v", got)
		}
		asked, watched := templates(a), a.count("best")
		if n := polling(a); n != 0 {
			t.Errorf("%d long polls in flight", n)
		}
		for range 3 {
			next := b.extend()
			a.set(func(f *fakeNode) { f.best = next })
			r.after(time.Minute)
			r.want("b", next)
		}
		if n := templates(a); n != asked {
			t.Errorf("asked for %d templates while drained", n-asked)
		}
		if a.count("best") == watched {
			t.Error("not followed any more")
		}
		if _, err := r.set.SubmitBlock(t.Context(), gbt.NewRawBlock(w.block(b.best, easyBits))); err != nil {
			t.Error(err)
		}
		r.after(time.Second)
		if a.offered != 1 || b.offered != 1 {
			t.Errorf("the block was offered to a %d times and to b %d times", a.offered, b.offered)
		}
		r.order("a", NoOrder)
		r.after(2 * time.Minute)
		r.want("a", b.best)
		if n := polling(a); n != 1 || templates(a) == asked {
			t.Errorf("%d long polls in flight after the drain", n)
		}
	})
}

// TestDrainAhead: a drained node that is first to know a block does not lead for that, unless the
// others stay behind.
func TestDrainAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.order("a", Drain)
		r.after(time.Minute)
		next := a.extend()
		r.after(3 * time.Second)
		r.want("b", tip)
		b.set(func(f *fakeNode) { f.best = next })
		r.after(2 * time.Second)
		r.want("b", next)
		more := a.extend()
		r.after(10 * time.Second)
		r.want("a", more) // b is stuck
		b.set(func(f *fakeNode) { f.best = more })
		r.after(2 * time.Second)
		r.want("b", more)
	})
}

// TestDrainTakesNothingBack: a leader that is drained while only it knows the newest block leads
// until another one knows it.
func TestDrainTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		next := a.extend()
		r.after(10 * time.Millisecond)
		r.want("a", next)
		r.order("a", Drain)
		r.after(time.Second)
		r.want("a", next)
		b.set(func(f *fakeNode) { f.best = next })
		r.after(2 * time.Second)
		r.want("b", next)
	})
}

// TestDrainLast: drained nodes are used when there is no other, and left when there is one again.
func TestDrainLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		r.order("a", Drain)
		r.after(time.Minute)
		next := b.extend()
		a.set(func(f *fakeNode) { f.best = next })
		r.after(time.Minute)
		b.set(func(f *fakeNode) { f.err = errDead })
		r.after(8 * time.Second)
		r.want("a", next)
		next = a.extend()
		r.after(10 * time.Millisecond)
		r.want("a", next)
		b.set(func(f *fakeNode) { f.err, f.best = nil, next })
		r.after(10 * time.Second)
		r.want("b", next)
		r.order("b", Drain)
		r.after(time.Minute)
		for _, f := range []*fakeNode{a, b} {
			if polling(f) != 1 {
				t.Errorf("%s is not polled though both are drained", f.name)
			}
		}
	})
}

// TestPrefer: a preferred node leads at once, stays in the lead, and loses it to who has more work.
func TestPrefer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		r.want("a", tip)
		r.order("b", Prefer)
		r.want("b", tip)
		r.after(10 * time.Minute)
		r.want("b", tip)
		next := a.extend()
		r.after(10 * time.Millisecond)
		r.want("a", next)
		b.set(func(f *fakeNode) { f.best, f.building = next, 3*time.Second })
		r.after(2 * time.Second)
		r.want("a", next) // b has no template yet
		r.after(5 * time.Second)
		r.want("b", next)
		r.order("b", NoOrder)
		r.after(2 * time.Minute)
		r.want("a", next)
	})
}

func TestOrderRefused(t *testing.T) {
	w, tip := newWorld()
	set, err := NewSet(SetConfig{Nodes: []Node{newFake("a", w, tip)}, Chain: "main", Now: time.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Order("b", Drain); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("got %v", err)
	}
	if err := set.Order("a", "burn"); err == nil || errors.Is(err, ErrUnknownNode) {
		t.Errorf("got %v", err)
	}
	if got := set.Status()[0]; got.Order != NoOrder || got.Best != (chainhash.Hash{}) {
		t.Errorf("got %+v", got)
	}
}
