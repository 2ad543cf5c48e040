package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

func TestFollowsOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(0)
		r.want("a", tip)
		r.after(2 * time.Minute)
		if n := len(r.told()); n > 2 { // it starts, and the template
			t.Errorf("a quiet node makes %d news", n)
		}
		before := len(r.told())
		tip = a.extend()
		r.after(0) // the long poll tells
		r.want("a", tip)
		if n := len(r.told()); n != before+1 {
			t.Errorf("a block makes %d news, want its template alone", n-before)
		}
		if seen := r.set.Status()[0].TipSeen; seen.LongPoll.IsZero() || !seen.Watchdog.IsZero() {
			t.Errorf("seen by %+v, want the long poll alone", seen)
		}
		r.after(time.Second)
		if seen := r.set.Status()[0].TipSeen; seen.Watchdog.IsZero() {
			t.Error("the watchdog has not seen the block")
		}
		a.set(func(f *fakeNode) { f.mempool++ })
		r.after(time.Second)
		if n := len(r.told()); n != before+2 {
			t.Errorf("%d news, want one more for new transactions", n)
		}
		if a.maxPolls != 1 {
			t.Errorf("%d long polls at once", a.maxPolls)
		}
		if err := r.set.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

// TestDeafLongPoll has a node whose long polls never answer: the watchdog has to notice.
func TestDeafLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		a.deaf = true
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(0)
		for range 5 {
			tip = a.extend()
			r.after(1100 * time.Millisecond)
			r.want("a", tip)
		}
		if a.maxPolls != 1 || a.polls != 1 {
			t.Errorf("%d long polls at once, %d now", a.maxPolls, a.polls)
		}
	})
}

func TestHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		a.deaf = true
		hints := make(chan Hint, 1)
		r := newRig(t, func(c *SetConfig) {
			c.WatchEvery, c.Hints = time.Hour, map[string]<-chan Hint{"a": hints}
		}, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		tip = a.extend()
		hints <- Hint{Block: tip, At: time.Now()}
		r.after(0)
		r.want("a", tip)
		if seen := r.set.Status()[0].TipSeen; seen.ZMQ.IsZero() || !seen.Watchdog.IsZero() {
			t.Errorf("seen by %+v, want the hint", seen)
		}
		tip = a.extend()
		hints <- Hint{At: time.Now()} // something was missed
		r.after(0)
		r.want("a", tip)
		asked := a.count("best")
		close(hints)
		r.after(time.Minute)
		if n := a.count("best") - asked; n > 2 {
			t.Errorf("after the hints ended the node was asked %d times in a minute", n)
		}
	})
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(10 * time.Minute)
		r.want("a", tip)
		log := r.logged()

		a.set(func(f *fakeNode) { f.err = errDead })
		r.after(4 * time.Second)
		r.want("a", tip) // it may be restarting
		r.after(3 * time.Second)
		r.want("b", tip)
		if r.state(0) != Down || r.state(1) != OK || !r.set.Status()[1].Leading {
			t.Errorf("got %+v", r.set.Status())
		}
		a.set(func(f *fakeNode) { f.err = nil })
		r.after(50 * time.Second)
		r.want("b", tip) // a is not trusted yet
		if r.state(0) != OK {
			t.Errorf("a is %s", r.state(0))
		}
		r.after(20 * time.Second)
		r.want("a", tip)
		if n := strings.Count(r.logged()[len(log):], "node leads"); n != 2 {
			t.Errorf("%d changes of the leader logged, want 2:\n%s", n, r.logged())
		}
	})
}

// TestFlapping has a preferred node that fails every now and then: it must not get the lead.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		a.err = errDead
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(10 * time.Second)
		for range 20 {
			a.set(func(f *fakeNode) { f.err = nil })
			r.after(40 * time.Second)
			r.want("b", tip)
			a.set(func(f *fakeNode) { f.err = errDead })
			r.after(8 * time.Second)
			r.want("b", tip)
		}
	})
}

func TestLaggingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(2 * time.Minute)
		r.want("a", tip)
		next := b.extend()
		r.after(10 * time.Millisecond)
		r.want("b", next)
		r.after(10 * time.Second)
		if r.state(0) != Lagging || r.state(1) != OK {
			t.Errorf("a is %s and b is %s", r.state(0), r.state(1))
		}
		next = b.extend()
		r.after(10 * time.Millisecond)
		r.want("b", next)
		if n := strings.Count(r.logged(), "state=lagging"); n != 1 {
			t.Errorf("lag said %d times", n)
		}
		a.set(func(f *fakeNode) { f.best = next })
		r.after(2 * time.Second)
		r.want("b", next)
		if r.state(0) != OK {
			t.Errorf("a is %s", r.state(0))
		}
	})
}

// TestHangingNode has the leader stop answering, with its long poll still open.
func TestHangingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(2 * time.Minute)
		r.want("a", tip)
		a.set(func(f *fakeNode) { f.hung = true })
		r.after(8 * time.Second)
		r.want("b", tip)
		if r.state(0) != Down || !strings.Contains(r.set.Status()[0].Reason, "hangs") {
			t.Errorf("got %+v", r.set.Status()[0])
		}
		next := b.extend()
		r.after(10 * time.Millisecond)
		r.want("b", next)
		a.set(func(f *fakeNode) { f.hung, f.best = false, next })
		r.after(2 * time.Minute)
		r.want("a", next)
	})
}

// TestFreshBlockWaits checks what is told while the template on a new block is being made.
func TestFreshBlockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, first := newWorld()
		a := newFake("a", w, first)
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		a.set(func(f *fakeNode) { f.building = 3 * time.Second })
		second := a.extend()
		r.after(1100 * time.Millisecond)
		r.wantNone(second)
		third := a.extend() // while the template on the second is being made
		r.after(1100 * time.Millisecond)
		r.wantNone(third)
		r.after(5 * time.Second) // the rest of the second's 3 s, and the third's at once
		r.want("a", third)
		for _, n := range r.told() {
			if n.Tip == second && n.Template != nil {
				t.Error("a template on an old block was published")
			}
		}
	})
}

// TestStaleTemplates has a node whose templates build on another block than it calls its best.
func TestStaleTemplates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, first := newWorld()
		a := newFake("a", w, first)
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		a.set(func(f *fakeNode) { f.stale = first })
		second := a.extend()
		r.after(10 * time.Minute)
		r.wantNone(second)
		if r.state(0) != NoTemplate {
			t.Errorf("a is %s", r.state(0))
		}
		if n := a.count("template"); n > 250 {
			t.Errorf("asked for %d templates", n)
		}
		a.set(func(f *fakeNode) { f.stale = chainhash.Hash{} })
		r.after(6 * time.Second)
		r.want("a", second)
	})
}

func TestTwoBlocksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(10 * time.Minute)
		r.want("a", tip)
		ours, theirs := a.extend(), b.extend()
		r.after(10 * time.Minute)
		leader := r.latest().Node
		if r.latest().Tip != ours && r.latest().Tip != theirs {
			t.Fatalf("on %s", r.latest().Tip)
		}
		for _, s := range r.set.Status() {
			if s.State != OK {
				t.Errorf("%s is %s", s.Name, s.State)
			}
		}
		winner, loser := b, a
		if leader == "b" {
			winner, loser = a, b
		}
		next := winner.extend() // the leader's block loses
		r.after(10 * time.Millisecond)
		r.want(winner.name, next)
		loser.set(func(f *fakeNode) { f.best = next })
		r.after(10 * time.Millisecond)
		tips := map[chainhash.Hash]bool{}
		last := chainhash.Hash{}
		for _, n := range r.told() {
			if n.Tip != last && tips[n.Tip] {
				t.Errorf("%s was left and named again", n.Tip)
			}
			tips[n.Tip], last = true, n.Tip
		}
	})
}

// TestKeepsBlock has a preferred node come back with another block of the same height: what miners
// work on is as good, so they are not moved.
func TestKeepsBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		a.err = errDead
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Second)
		ours := b.extend()
		a.set(func(f *fakeNode) { f.err, f.best = nil, w.grow(tip, 1) })
		r.after(time.Hour)
		r.want("b", ours)
		next := a.extend()
		r.after(10 * time.Millisecond)
		r.want("a", next)
	})
}

func TestReorg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, root := newWorld()
		a := newFake("a", w, w.grow(root, 3))
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		other := w.grow(root, 5)
		a.set(func(f *fakeNode) { f.best = other })
		r.after(0)
		r.want("a", other)
		// The operator invalidates a block: the node itself says that less work is best.
		less := w.grow(root, 2)
		a.set(func(f *fakeNode) { f.best = less })
		r.after(0)
		r.want("a", less)
	})
}

// TestLessWorkHigher has a longer chain with less work, as after a fork at a change of difficulty.
func TestLessWorkHigher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, root := newWorld()
		heavy := w.add(w.block(root, 0x1f7fffff))
		a, b := newFake("a", w, root), newFake("b", w, root)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Second)
		b.set(func(f *fakeNode) { f.best = w.grow(root, 3) })
		r.after(time.Second)
		a.set(func(f *fakeNode) { f.best = heavy })
		r.after(time.Second)
		r.want("a", heavy)
	})
}

// TestLatestNewsOnly has nobody read for a while: nothing old may wait.
func TestLatestNewsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		set, err := NewSet(SetConfig{Nodes: []Node{a}, Chain: "main", Now: time.Now, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- set.Run(ctx) }()
		for range 10 {
			tip = a.extend()
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if news, err := set.Next(ctx); err != nil || news.Tip != tip || news.Template == nil {
			t.Errorf("got %+v, %v", news, err)
		}
		cancel()
		if _, err := set.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestOddLongPolls has nodes that do not long-poll as BIP 22 says: they must not be flooded.
func TestOddLongPolls(t *testing.T) {
	for name, change := range map[string]func(*fakeNode){
		"answered at once": func(f *fakeNode) { f.hasty = true },
		"not offered":      func(f *fakeNode) { f.noPolls = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, tip := newWorld()
				a := newFake("a", w, tip)
				change(a)
				r := newRig(t, nil, []*fakeNode{a})
				defer r.stop()
				r.after(time.Minute)
				if n := a.count("template"); n < 10 || n > 65 {
					t.Errorf("asked for %d templates in a minute", n)
				}
				tip = a.extend()
				r.after(1100 * time.Millisecond)
				r.want("a", tip)
			})
		})
	}
}

func TestNewSet(t *testing.T) {
	w, tip := newWorld()
	good := func() SetConfig {
		return SetConfig{Nodes: []Node{newFake("a", w, tip)}, Chain: "main", Now: time.Now, Log: quiet()}
	}
	if _, err := NewSet(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*SetConfig){
		"no nodes":          func(c *SetConfig) { c.Nodes = nil },
		"no chain":          func(c *SetConfig) { c.Chain = "" },
		"no clock":          func(c *SetConfig) { c.Now = nil },
		"no log":            func(c *SetConfig) { c.Log = nil },
		"equal names":       func(c *SetConfig) { c.Nodes = append(c.Nodes, c.Nodes[0]) },
		"hints of nobody":   func(c *SetConfig) { c.Hints = map[string]<-chan Hint{"b": nil} },
		"negative duration": func(c *SetConfig) { c.TipHold = -1 },
	} {
		cfg := good()
		spoil(&cfg)
		if _, err := NewSet(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
