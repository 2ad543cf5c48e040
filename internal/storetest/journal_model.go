package storetest

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// naiveJournal is a journal as simple as can be.
type naiveJournal struct {
	head     payouts.Head
	records  []*payouts.Record
	balances map[payouts.Account]int64
	fields   map[string]string
	keys     map[string]bool
	fence    int64
}

// post is what a journal has to do.
func (n *naiveJournal) post(token int64, r *payouts.Record) error {
	switch {
	case token != 0 && token < n.fence:
		return shares.ErrFenced
	case n.keys[r.Key]:
		return payouts.ErrPosted
	case r.Seq != n.head.Seq+1 || r.Previous != n.head.Hash:
		return payouts.ErrMoved
	}
	balances, fields := maps.Clone(n.balances), maps.Clone(n.fields)
	for _, l := range r.Legs {
		balances[l.Account] += l.Amount
		if balances[l.Account] < 0 && !l.Account.MayOwe() {
			return payouts.ErrOverdrawn
		}
	}
	for _, s := range r.Sets {
		if s.Value == "" {
			delete(fields, s.Table+"/"+s.Field)
		} else {
			fields[s.Table+"/"+s.Field] = s.Value
		}
	}
	n.balances, n.fields, n.keys[r.Key], n.fence = balances, fields, true, max(n.fence, token)
	n.records = append(n.records, r)
	var err error
	n.head, err = r.Head()
	return err
}

// journalModel compares a journal with the naive one under whatever records.
func journalModel(t *testing.T, open func(testing.TB) Journal) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		j := &journal{T: t, Journal: open(t)}
		m := &journalMachine{journal: j, naive: naiveJournal{
			balances: make(map[payouts.Account]int64), fields: make(map[string]string), keys: make(map[string]bool),
		}}
		r.Repeat(map[string]func(*rapid.T){"post": m.step, "": m.check})
	})
}

type journalMachine struct {
	*journal
	naive naiveJournal
}

// step posts a record that is a good one more often than not.
func (m *journalMachine) step(r *rapid.T) {
	rec := after(m.naive.head, fmt.Sprint("k", rapid.IntRange(0, 40).Draw(r, "key")), m.legs(r))
	for range rapid.IntRange(0, 4).Draw(r, "sets") {
		rec.Sets = append(rec.Sets, payouts.Set{
			Table: rapid.SampledFrom(journalTables()).Draw(r, "table"), Field: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "field"),
			Value: rapid.SampledFrom([]string{"", "1", "2"}).Draw(r, "value"),
		})
	}
	switch rapid.IntRange(0, 9).Draw(r, "place") {
	case 0:
		rec.Seq += uint64(rapid.IntRange(0, 2).Draw(r, "number"))
	case 1:
		rec.Previous[rapid.IntRange(0, 31).Draw(r, "byte")] ^= 1
	}
	token := rapid.Int64Range(0, 3).Draw(r, "token")
	want := m.naive.post(token, rec)
	if err := m.Post(m.Context(), token, rec); !errors.Is(err, want) || (err == nil) != (want == nil) {
		r.Fatalf("posting %+v with token %d: error %v, want %v", rec, token, err, want)
	}
}

// legs draws some that sum to zero.
func (m *journalMachine) legs(r *rapid.T) []payouts.Leg {
	accounts := rapid.SliceOfNDistinct(rapid.SampledFrom([]payouts.Account{
		payouts.Rewards, payouts.Outside, payouts.Reserve, payouts.Fee, payouts.Pool, payouts.Miner("a"), payouts.Miner("b"),
	}), 0, 6, rapid.ID[payouts.Account]).Draw(r, "accounts")
	amounts := rapid.OneOf(rapid.Int64Range(-3, 9), rapid.SampledFrom([]int64{1 << 40, 1<<47 + 1}))
	sum, legs := int64(0), []payouts.Leg(nil)
	for i, account := range accounts {
		amount := amounts.Draw(r, "amount")
		if i == len(accounts)-1 {
			amount = -sum
		}
		if amount != 0 {
			legs = append(legs, payouts.Leg{Account: account, Amount: amount})
		}
		sum += amount
	}
	if len(legs) == 1 { // the only one that is not zero
		return nil
	}
	return legs
}

// check compares all there is.
func (m *journalMachine) check(r *rapid.T) {
	got := m.books()
	same(r, "head", got.Head, m.naive.head)
	same(r, "records", got.Records, m.naive.records)
	same(r, "balances", got.Balances, m.naive.balances)
	same(r, "fields", got.Fields, m.naive.fields)
}
