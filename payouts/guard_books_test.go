package payouts

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestForgedAudit breaks books where each record alone is one that may be.
func TestForgedAudit(t *testing.T) {
	soundly := mature(t, noWallet)
	soundly.work()
	hash := soundly.ledger.blocks[0].Hash.String()
	for name, c := range map[string]struct {
		change func(*forgery)
		want   string
	}{
		"crediting no block": {func(f *forgery) {
			edit(f, TableBlocks, hash, func(b *BlockState) { b.Tree = nil }) // as earlier versions have it
			f.move(Fee, Crediting, 1)
		}, "are being credited"},
		"two blocks": {func(f *forgery) {
			two, err := set(TableBlocks, "two", BlockState{Stage: BlockCredited, Reward: 5})
			if err != nil {
				t.Fatal(err)
			}
			f.r.Sets = append(f.r.Sets, two)
		}, "of rewards are in the books"},
	} {
		p := newPool(t, noWallet)
		err := soundly.forge("credit:"+hash+"/1", func(f *forgery) {
			c.change(f)
			for _, r := range append(slices.Clone(soundly.store.records[:f.r.Seq-1]), f.r) {
				if err := p.store.Post(t.Context(), 0, r); err != nil {
					t.Fatal(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := CheckBooks(t.Context(), p.store, p.store)
		if err != nil || len(a.Faults) != 1 || !strings.Contains(a.Faults[0], c.want) {
			t.Errorf("%s: the audit says %q, %v, want %q", name, a.Faults, err, c.want)
		}
	}
}

// TestAuditFindsMissing has the store lose what records lead to.
func TestAuditFindsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*pool)
		want string
	}{
		"balance":     {func(p *pool) { delete(p.store.sheet.Balances, Miner("alice")) }, "has nothing"},
		"field":       {func(p *pool) { delete(p.store.sheet.Tables[TableBlocks], p.ledger.blocks[0].Hash.String()) }, "is not there"},
		"extra field": {func(p *pool) { p.store.sheet.Tables[TablePool] = map[string]string{PoolPaused: ""} }, "pool paused"},
		"other field": {func(p *pool) { p.store.sheet.Tables[TableBlocks][p.ledger.blocks[0].Hash.String()] = "{}" }, "lead to"},
		"head":        {func(p *pool) { p.store.sheet.Head.Hash[0] ^= 1 }, "says that it ends"},
	} {
		p := mature(t, noWallet)
		p.work()
		c.harm(p)
		a, err := CheckBooks(t.Context(), p.store, p.store)
		if err != nil || len(a.Faults) == 0 || !strings.Contains(strings.Join(a.Faults, "\n"), c.want) {
			t.Errorf("%s: the audit says %q, %v, want %q", name, a.Faults, err, c.want)
		}
	}
}

// TestSheetRefuses has records follow that must not.
func TestSheetRefuses(t *testing.T) {
	next := func(s *Sheet, kind Kind, key string, legs ...Leg) *Record {
		return &Record{Seq: s.Head.Seq + 1, Previous: s.Head.Hash, Kind: kind, Key: key, Time: time.Unix(1, 0), Legs: legs}
	}
	start := func() *Sheet {
		s := NewSheet()
		if err := s.Apply(t.Context(), next(s, KindBook, "in", Leg{Outside, -10}, Leg{Pool, 10})); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		r    func(*Sheet) *Record
		want string
	}{
		"a number":  {func(s *Sheet) *Record { r := next(s, KindPause, "k"); r.Seq++; return r }, "does not follow"},
		"a hash":    {func(s *Sheet) *Record { r := next(s, KindPause, "k"); r.Previous[0] ^= 1; return r }, "does not follow"},
		"a key":     {func(s *Sheet) *Record { return next(s, KindPause, "in") }, "was there before"},
		"overdrawn": {func(s *Sheet) *Record { return next(s, KindBook, "k", Leg{Pool, -11}, Leg{Outside, 11}) }, "falls to -1"},
		"reserve":   {func(s *Sheet) *Record { return next(s, KindBook, "k", Leg{Reserve, -1}, Leg{Outside, 1}) }, "the reserve falls to -1"},
	} {
		s := start()
		if err := s.Apply(t.Context(), c.r(s)); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	s := start()
	s.Balances[Reserve] = -5
	if err := s.Apply(t.Context(), next(s, KindBook, "k", Leg{Reserve, 2}, Leg{Outside, -2})); err != nil {
		t.Errorf("the reserve is not filled in part: %v", err)
	}
}

// TestRecordRefuses bounds what a record may hold.
func TestRecordRefuses(t *testing.T) {
	legs := make([]Leg, MaxLegs+1)
	for i := range legs {
		legs[i] = Leg{Account: Account(strconv.Itoa(i + 1)), Amount: int64(i%2*2 - 1)}
	}
	legs[MaxLegs].Amount, legs[MaxLegs-1].Amount = -1, 2
	for name, c := range map[string]struct {
		change func(*Record)
		sound  bool
	}{
		"no number":     {func(r *Record) { r.Seq = 0 }, false},
		"no key":        {func(r *Record) { r.Key = "" }, false},
		"no kind":       {func(r *Record) { r.Kind = "" }, false},
		"too many legs": {func(r *Record) { r.Legs = legs }, false},
		"most legs":     {func(r *Record) { r.Legs = slices.Clone(legs[:MaxLegs]); r.Legs[MaxLegs-1].Amount = 1 }, true},
		"far too little": {func(r *Record) {
			r.Legs = []Leg{{Rewards, -MaxMoney - 1}, {Fee, MaxMoney}, {Pool, 1}}
		}, false},
		"far too much": {func(r *Record) {
			r.Legs = []Leg{{Rewards, -MaxMoney}, {Outside, -1}, {Fee, MaxMoney + 1}}
		}, false},
		"no table": {func(r *Record) { r.Sets = []Set{{Field: "f", Value: "v"}} }, false},
		"no field": {func(r *Record) { r.Sets = []Set{{Table: TablePool, Value: "v"}} }, false},
		"no UTF-8": {func(r *Record) { r.By = "\xff" }, false},
	} {
		r := Record{Seq: 1, Key: "k", Kind: KindBook}
		c.change(&r)
		if err := r.Check(); (err == nil) != c.sound || err != nil && !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := (&Record{Seq: 1, Key: "k", Kind: KindBook, Time: time.Unix(1, 0)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(append(text, ' ')); !errors.Is(err, ErrRecord) {
		t.Errorf("another spelling: %v", err)
	}
}

// TestMayOwe lets no account be below zero but those that stand for others.
func TestMayOwe(t *testing.T) {
	may := map[Account]bool{Rewards: true, Outside: true, Reserve: true}
	for _, a := range []Account{Rewards, Outside, Pool, Fee, Carry, Crediting, Reserve, InFlight, Paid, TxFees, Miner("alice"), Miner("reserve")} {
		if a.MayOwe() != may[a] {
			t.Errorf("%s may owe: %t", a, a.MayOwe())
		}
	}
}
