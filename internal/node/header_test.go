package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestTemplatesDoNotWait has a node not asked of itself while a template of it waits, if that has time.
func TestTemplatesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, first := newWorld()
		a := newFake("a", w, first)
		r := newRig(t, func(c *SetConfig) { c.WatchEvery, c.InfoEvery = time.Hour, time.Minute }, []*fakeNode{a})
		defer r.stop()
		r.after(90 * time.Second)
		asked := a.count("info")
		tip := a.extend()
		r.after(0)
		r.want("a", tip)
		if n := a.count("info") - asked; n != 0 {
			t.Errorf("the node was asked of itself %d times before its template was told", n)
		}
		r.after(time.Minute)
		tip = a.extend()
		r.after(0)
		r.want("a", tip)
		if n := a.count("info") - asked; n != 1 {
			t.Errorf("the node was asked of itself %d times in two and a half minutes, want once", n)
		}
	})
}

// TestTellsOfHeaders has news of a block that there is no template on yet come with its header at once.
func TestTellsOfHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, first := newWorld()
		a, b := newFake("a", w, first), newFake("b", w, first)
		r := newRig(t, nil, []*fakeNode{a, b})
		defer r.stop()
		r.after(time.Second)
		for _, n := range []*fakeNode{a, b} {
			n.set(func(f *fakeNode) { f.building = 3 * time.Second })
		}
		second := a.extend()
		r.after(1100 * time.Millisecond)
		r.wantNone(second)
		at := int64(1_700_000_000 + 600*101)
		want := &gbt.Header{Hash: second, Previous: first, Height: 101, Bits: easyBits, Time: at, MedianTime: at - 3000}
		if diff := cmp.Diff(want, r.latest().Header); diff != "" {
			t.Error(diff)
		}
		r.after(5 * time.Second)
		r.want("a", second)
		if h := r.latest().Header; h != nil {
			t.Errorf("a template comes with the header %+v", h)
		}
		// Of a node that does not tell the median time the rest is told, too.
		w.mu.Lock()
		for hash, h := range w.headers {
			h.MedianTime = time.Time{}
			w.headers[hash] = h
		}
		w.mu.Unlock()
		r.stop()
		s := newRig(t, nil, []*fakeNode{a})
		defer s.stop()
		s.after(1100 * time.Millisecond)
		if h := s.told()[0].Header; h == nil || h.Hash != second || h.MedianTime != 0 || h.Time != at {
			t.Errorf("the header is %+v", h)
		}
	})
}
