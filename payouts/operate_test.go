package payouts

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	day := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	at := func(h, m int) time.Time { return day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute) }
	times, err := ParseTimes([]string{"18:30", "06:00"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s         Schedule
		last, now time.Time
		want      time.Time
	}{
		"never":            {Schedule{}, at(1, 0), at(2, 0), time.Time{}},
		"first":            {Schedule{Every: time.Hour}, time.Time{}, at(2, 0), at(2, 0)},
		"interval":         {Schedule{Every: time.Hour}, at(1, 30), at(2, 0), at(2, 30)},
		"first of times":   {Schedule{Times: times}, time.Time{}, at(5, 0), at(6, 0)},
		"between":          {Schedule{Times: times}, at(6, 0), at(7, 0), at(18, 30)},
		"after the last":   {Schedule{Times: times}, at(19, 0), at(20, 0), at(30, 0)},
		"missed while off": {Schedule{Times: times}, at(5, 0), at(40, 0), at(6, 0)},
	} {
		if got := c.s.Next(c.last, c.now); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if _, err := ParseTimes([]string{"25:00"}); err == nil {
		t.Error("25:00 is a time")
	}
	for _, bad := range []Schedule{{Every: -1}, {Every: 1, Times: times}, {Times: []time.Duration{24 * time.Hour}}} {
		if bad.Check() == nil {
			t.Errorf("%+v is sound", bad)
		}
	}
}

// TestBooking books the operator's money, and nobody else's.
func TestBooking(t *testing.T) {
	p := newPool(t, noWallet)
	o := p.operator()
	for _, c := range []struct {
		from, to Account
		amount   int64
		ok       bool
	}{
		{Outside, Reserve, 1000, true},
		{Reserve, Pool, 400, true},
		{Pool, Miner("alice"), 100, true},
		{Pool, Outside, 301, false},
		{Reserve, Outside, 601, false},
		{Miner("alice"), Pool, 1, false},
		{Outside, Paid, 1, false},
		{Rewards, Pool, 1, false},
		{Outside, Pool, 0, false},
		{Outside, Pool, MaxMoney + 1, false},
		{Pool, Pool, 1, false},
	} {
		if err := o.Book(t.Context(), c.from, c.to, c.amount); (err == nil) != c.ok {
			t.Errorf("%d from %s to %s: %v", c.amount, c.from, c.to, err)
		}
	}
	p.sound()
	p.wants(map[Account]int64{Outside: -1000, Reserve: 600, Pool: 300, Miner("alice"): 100})
}

// TestAuditFindsFaults breaks the books behind the journal's back.
func TestAuditFindsFaults(t *testing.T) {
	for name, harm := range map[string]func(*pool){
		"balance": func(p *pool) { p.store.sheet.Balances[Miner("alice")]++ },
		"table": func(p *pool) {
			p.store.sheet.Tables[TableSettlements]["1"] = `{"state":"returned","flight":0,"total":0}`
		},
		"extra":    func(p *pool) { p.store.sheet.Tables[TableCoins]["x:0"] = `{}` },
		"amount":   func(p *pool) { p.store.records[1].Legs[0].Amount-- },
		"order":    func(p *pool) { p.store.records[0], p.store.records[1] = p.store.records[1], p.store.records[0] },
		"shortage": func(p *pool) { p.store.records = p.store.records[:len(p.store.records)-1] },
	} {
		p := mature(t, nil)
		p.work()
		harm(p)
		a, err := CheckBooks(t.Context(), p.store, p.store)
		if err != nil || len(a.Faults) == 0 {
			t.Errorf("%s: the audit finds nothing, %v", name, err)
		}
	}
}
