package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gbtpool/gbtpool/payouts"
)

func refuses(reason string) func(*fakeNode) {
	return func(f *fakeNode) { f.sendErr = &payouts.RefusedError{Reason: reason} }
}

func takes(*fakeNode) {}

// TestBroadcast offers a transaction to nodes of all kinds.
func TestBroadcast(t *testing.T) {
	for _, tc := range []struct {
		name    string
		nodes   []func(*fakeNode)
		refused string // the reason
		is      error
		took    time.Duration
	}{
		{name: "one takes it", nodes: []func(*fakeNode){takes}},
		{name: "all take it", nodes: []func(*fakeNode){takes, takes, takes}},
		{name: "one of three takes it", nodes: []func(*fakeNode){refuses("low fee"), down, takes}},
		{name: "one takes it, one hangs", nodes: []func(*fakeNode){hung, takes}, took: 3 * time.Second},
		{name: "all refuse it", nodes: []func(*fakeNode){refuses("first"), refuses("second")}, refused: "first"},
		{name: "one refuses it, one is down", nodes: []func(*fakeNode){down, refuses("second")}, refused: "second"},
		{name: "one refuses it, one hangs", nodes: []func(*fakeNode){hung, refuses("second")}, refused: "second", took: 3 * time.Second},
		{name: "all are down", nodes: []func(*fakeNode){down, down}, is: errDead},
		{name: "one is down, one hangs", nodes: []func(*fakeNode){down, hung}, is: context.DeadlineExceeded, took: 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, nodes := voters(t, len(tc.nodes))
				for i, fault := range tc.nodes {
					fault(nodes[i])
				}
				start := time.Now()
				err := s.Broadcast(t.Context(), []byte{1})
				if took := time.Since(start); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
				refused := refusal(err)
				switch {
				case tc.refused != "" && (refused == nil || refused.Reason != tc.refused || err.Error() != refused.Error()):
					t.Errorf("%v, want the refusal %q", err, tc.refused)
				case tc.refused == "" && (refused != nil || !errors.Is(err, tc.is) || (err == nil) != (tc.is == nil)):
					t.Errorf("%v, want %v", err, tc.is)
				}
				for i := range nodes {
					if n := nodes[i].count("send"); n != 1 {
						t.Errorf("node %d was asked %d times", i, n)
					}
				}
			})
		})
	}
}

// TestBroadcastGoesOn wants a hanging node to get the transaction though nobody waits for it.
func TestBroadcastGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes := voters(t, 2)
		hung(nodes[0])
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Broadcast(ctx, []byte{1}); err != nil {
			t.Errorf("the other node has it: %v", err)
		}
		down(nodes[1])
		if err := s.Broadcast(ctx, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody waits: %v", err)
		}
		nodes[0].set(func(n *fakeNode) { n.hung = false })
		synctest.Wait()
		s.sends.mu.Lock()
		defer s.sends.mu.Unlock()
		nodes[0].set(func(n *fakeNode) {
			if s.sends.open != 0 || n.sent != 2 {
				t.Errorf("%d are being offered though no node hangs, and %d of 2 were", s.sends.open, n.sent)
			}
		})
	})
}

// TestShutdownSends wants the end of Run to break off transactions that are being offered, and none to be
// offered later.
func TestShutdownSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, genesis := newWorld()
		good, bad := newFake("good", w, genesis), newFake("bad", w, genesis)
		r := newRig(t, nil, []*fakeNode{good, bad})
		r.after(time.Second)
		bad.set(hung)
		if err := r.set.Broadcast(t.Context(), []byte{1}); err != nil {
			t.Error(err)
		}
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("the end took %s", took)
		}
		if err := r.set.Broadcast(t.Context(), []byte{1}); !errors.Is(err, errShutDown) {
			t.Errorf("after the end: %v, want errShutDown", err)
		}
	})
}
