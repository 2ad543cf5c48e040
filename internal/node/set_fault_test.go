package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// TestHoldsTip has the only node with the newest block die: nothing older is served until the
// block must be held for lost.
func TestHoldsTip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, old := newWorld()
		a, b := newFake("a", w, old), newFake("b", w, old)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Second)
		tip := a.extend()
		r.after(10 * time.Millisecond)
		r.want("a", tip)
		a.set(func(f *fakeNode) { f.err = errDead })
		r.after(28 * time.Second)
		r.want("a", tip) // its last template is as good as any
		r.after(10 * time.Second)
		r.wantNone(tip)
		r.after(10 * time.Second)
		r.wantNone(tip)
		r.after(20 * time.Second)
		r.want("b", old)
		a.set(func(f *fakeNode) { f.err = nil })
		r.after(6 * time.Second)
		r.want("a", tip)
	})
}

func TestAllDownThenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(2 * time.Minute)
		r.want("a", tip)
		dead := func(f *fakeNode) { f.err = errDead }
		a.set(dead)
		b.set(dead)
		r.after(25 * time.Second)
		r.want("a", tip)
		r.after(10 * time.Second)
		r.wantNone(tip)
		if err := r.latest().Err.Error(); !strings.Contains(err, "a: down, b: down") {
			t.Errorf("got %q", err)
		}
		if r.set.Healthy() == nil {
			t.Error("healthy without a node")
		}
		r.after(time.Hour)
		if n := a.count("info"); n > 1000 {
			t.Errorf("a dead node was asked %d times in an hour", n)
		}
		if n := strings.Count(r.logged(), "state=down"); n != 2 {
			t.Errorf("said %d times that a node is down, want once for each", n)
		}
		b.set(func(f *fakeNode) { f.err = nil })
		r.after(6 * time.Second)
		r.want("b", tip)
	})
}

func TestNoNodeAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a := newFake("a", w, tip)
		a.err = errDead
		r := newRig(t, nil, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		r.wantNone(chainhash.Hash{})
		a.set(func(f *fakeNode) { f.err = nil })
		r.after(6 * time.Second)
		r.want("a", tip)
	})
}

// TestUnfitNodes has a preferred node that answers but must not be used.
func TestUnfitNodes(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Info)
		want   State
		reason string
	}{
		{"wrong chain", func(i *Info) { i.Chain = "test" }, WrongChain, "on test and we mine on main"},
		{"initial download", func(i *Info) { i.InitialDownload, i.Progress = true, 0.5 }, Syncing, "50.0%"},
		{"no peers", func(i *Info) { i.Peers = 0 }, Alone, "no peers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, tip := newWorld()
				a, b := newFake("a", w, w.grow(tip, 5)), newFake("b", w, tip)
				good := a.info
				test.change(&a.info)
				r := newRig(t, nil, []*fakeNode{a, b})
				defer r.stop()
				r.after(10 * time.Minute)
				r.want("b", tip)
				if s := r.set.Status()[0]; s.State != test.want || !strings.Contains(s.Reason, test.reason) {
					t.Errorf("a is %s: %s", s.State, s.Reason)
				}
				if n := strings.Count(r.logged(), "node=a"); n != 1 {
					t.Errorf("said %d times, want once:\n%s", n, r.logged())
				}
				if n := a.count("template"); n > 0 {
					t.Errorf("asked for %d templates", n)
				}
				a.set(func(f *fakeNode) { f.info = good })
				r.after(6 * time.Second)
				r.want("a", a.best)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // on regtest nobody is there to download from
		w, tip := newWorld()
		a := newFake("a", w, tip)
		a.info = Info{Chain: "regtest", InitialDownload: true}
		r := newRig(t, func(c *SetConfig) { c.Chain = "regtest" }, []*fakeNode{a})
		defer r.stop()
		r.after(time.Second)
		r.want("a", tip)
	})
}

// TestNoTemplates has a node that knows the best block but gives no templates.
func TestNoTemplates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		a.tmplErr = &RPCError{Code: -9, Message: "not connected"}
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		r.want("b", tip)
		if r.state(0) != Alone {
			t.Errorf("a is %s", r.state(0))
		}
		if n := a.count("template"); n > 30 {
			t.Errorf("asked for %d templates in a minute", n)
		}
	})
}

func TestRestartOnAnotherChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tip := newWorld()
		a, b := newFake("a", w, tip), newFake("b", w, tip)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Minute)
		r.want("a", tip)
		a.set(func(f *fakeNode) { f.err = errDead })
		r.after(time.Second)
		a.set(func(f *fakeNode) { f.err, f.best, f.info.Chain = nil, w.grow(tip, 50), "test" })
		r.after(3 * time.Second)
		r.want("b", tip)
		r.after(time.Hour)
		r.want("b", tip)
	})
}
