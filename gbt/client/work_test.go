package client

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// TestGoesOn looks at which work stays in place when the server gives out another template.
func TestGoesOn(t *testing.T) {
	own := &Template{PreviousBlock: chainhash.Hash{1}, Origin: &Template{}}
	next := &Template{PreviousBlock: chainhash.Hash{1}, SubmitOld: true}
	other := &Template{PreviousBlock: chainhash.Hash{2}, SubmitOld: true}
	useless := &Template{PreviousBlock: chainhash.Hash{1}}
	given := &Template{PreviousBlock: chainhash.Hash{1}}
	for name, tt := range map[string]struct {
		mined, next *Template
		after       func(*work)
		want        bool
	}{
		"the miner's choice":               {own, next, func(*work) {}, true},
		"the server's":                     {given, next, func(*work) {}, false},
		"on another block":                 {own, other, func(*work) {}, false},
		"old work is worthless":            {own, useless, func(*work) {}, false},
		"solved, or expired":               {own, next, func(w *work) { w.end() }, false},
		"exhausted, so that next is asked": {own, next, func(w *work) { w.renew() }, false},
	} {
		w := newWork(t.Context(), &Assembler{template: tt.mined}, 1, nil)
		tt.after(w)
		if got := w.goesOn(tt.next); got != tt.want {
			t.Errorf("%s: it goes on: %t, want %t", name, got, tt.want)
		}
		w.end()
	}
}

// TestMineInstead looks at which work takes the place of other work on the same block.
func TestMineInstead(t *testing.T) {
	at := &Template{PreviousBlock: chainhash.Hash{1}, Received: time.Now()}
	for name, tt := range map[string]struct {
		before func(*Miner, *work)
		other  bool // another block
		want   bool
	}{
		"live":                  {func(*Miner, *work) {}, false, true},
		"solved, or expired":    {func(_ *Miner, w *work) { w.end() }, false, false},
		"on another block":      {func(*Miner, *work) {}, true, false},
		"old work is worthless": {func(m *Miner, _ *work) { m.validFrom.Store(2) }, false, false},
	} {
		m := (&script{}).miner(t, MinerConfig{})
		mined := newWork(t.Context(), &Assembler{template: at}, 1, nil)
		m.work.Store(mined)
		tt.before(m, mined)
		next := *at
		if tt.other {
			next.PreviousBlock = chainhash.Hash{2}
		}
		w := newWork(t.Context(), &Assembler{template: &next}, 1, nil)
		m.mineInstead(w)
		if got := m.work.Load() == w; got != tt.want {
			t.Errorf("%s: other work takes its place: %t, want %t", name, got, tt.want)
		}
		if tt.want && (w.done.Err() != nil || mined.done.Err() == nil || w.wanted != mined.wanted) {
			t.Errorf("%s: the one goes on, or the other does not, or who waits for a template waits for ever", name)
		}
		if !tt.want && w.done.Err() == nil {
			t.Errorf("%s: the work that is not mined is not ended", name)
		}
	}
}

// TestExpiry looks at when work expires: declared work, from when the server was asked.
func TestExpiry(t *testing.T) {
	received := time.Unix(1000, 0)
	for name, tt := range map[string]struct {
		template Template
		want     int64 // 0 for never
	}{
		"never":          {Template{Received: received}, 0},
		"the server's":   {Template{Received: received, Expires: time.Minute}, 1060},
		"declared":       {Template{Received: received, Expires: time.Minute, Declared: time.Unix(1030, 0)}, 1090},
		"declared never": {Template{Received: received, Declared: time.Unix(1030, 0)}, 0},
	} {
		at, expires := tt.template.expiry()
		if expires != (tt.want != 0) || expires && at.Unix() != tt.want {
			t.Errorf("%s: it expires: %t, at %s, want %d", name, expires, at, tt.want)
		}
	}
}
