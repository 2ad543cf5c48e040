package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// Journal is all that a journal offers.
type Journal interface {
	payouts.Journal
	payouts.Tables
	payouts.Notes
}

// JournalContract checks what every journal promises. open makes a new, empty one.
func JournalContract(t *testing.T, open func(testing.TB) Journal) {
	t.Helper()
	for name, test := range map[string]func(*journal){
		"empty":              (*journal).empty,
		"post":               (*journal).post,
		"only sets":          (*journal).onlySets,
		"order of errors":    (*journal).order,
		"overdrawn":          (*journal).overdrawn,
		"debtors":            (*journal).debtors,
		"fence":              (*journal).fence,
		"most legs":          (*journal).mostLegs,
		"amounts":            (*journal).amounts,
		"unsound":            (*journal).unsound,
		"any text":           (*journal).anyText,
		"records from":       (*journal).recordsFrom,
		"everybody at once":  (*journal).race,
		"the same, at once":  (*journal).sameAtOnce,
		"notes":              (*journal).noted,
		"sets of one record": (*journal).setsOfOne,
	} {
		t.Run(name, func(t *testing.T) { test(&journal{T: t, Journal: open(t), token: 1}) })
	}
	t.Run("model", func(t *testing.T) { journalModel(t, open) })
}

// journal is a journal under test.
type journal struct {
	*testing.T
	Journal
	token int64
}

// books is all that can be seen of a journal.
type books struct {
	Head     payouts.Head
	Records  []*payouts.Record
	Balances map[payouts.Account]int64
	Fields   map[string]string // by table and field
}

// tables are those that tests use.
func journalTables() []string {
	return []string{payouts.TableBlocks, payouts.TablePlans, payouts.TablePool, "a table\nof two lines"}
}

// books reads all there is, and checks that the records are a chain and their legs add up to the balances.
func (j *journal) books() books {
	j.Helper()
	out := books{Balances: make(map[payouts.Account]int64), Fields: make(map[string]string)}
	var err error
	if out.Head, err = j.Head(j.Context()); err != nil {
		j.Fatal(err)
	}
	var at payouts.Head
	sums := make(map[payouts.Account]int64)
	for r, err := range j.Records(j.Context(), 0) {
		if err != nil {
			j.Fatal(err)
		}
		if r.Seq != at.Seq+1 || r.Previous != at.Hash {
			j.Fatalf("record %d follows %s, and before it is %v", r.Seq, r.Previous, at)
		}
		if at, err = r.Head(); err != nil {
			j.Fatal(err)
		}
		for _, l := range r.Legs {
			sums[l.Account] += l.Amount
		}
		out.Records = append(out.Records, r)
	}
	same(j, "head", out.Head, at)
	for l, err := range j.Balances(j.Context()) {
		if err != nil {
			j.Fatal(err)
		}
		out.Balances[l.Account] = l.Amount
	}
	same(j, "balances", out.Balances, sums)
	for _, table := range journalTables() {
		for s, err := range j.Fields(j.Context(), table) {
			if err != nil || s.Table != table {
				j.Fatalf("field %+v of %s: %v", s, table, err)
			}
			out.Fields[table+"/"+s.Field] = s.Value
		}
	}
	return out
}

// next makes the record that comes next.
func (j *journal) next(key string, legs []payouts.Leg, sets ...payouts.Set) *payouts.Record {
	j.Helper()
	head, err := j.Head(j.Context())
	if err != nil {
		j.Fatal(err)
	}
	return after(head, key, legs, sets...)
}

// after makes a record.
func after(head payouts.Head, key string, legs []payouts.Leg, sets ...payouts.Set) *payouts.Record {
	return &payouts.Record{
		Seq: head.Seq + 1, Previous: head.Hash, Key: key, Kind: payouts.KindBook, Time: time.UnixMilli(1_780_000_000_001).UTC(),
		Legs: legs, Sets: sets, By: "a test",
	}
}

// must posts the record that comes next.
func (j *journal) must(key string, legs []payouts.Leg, sets ...payouts.Set) *payouts.Record {
	j.Helper()
	r := j.next(key, legs, sets...)
	if err := j.Post(j.Context(), j.token, r); err != nil {
		j.Fatalf("record %s: %v", key, err)
	}
	return r
}

// refused fails unless a record is refused with an error, and nothing is changed by it.
func (j *journal) refused(what string, token int64, r *payouts.Record, target error) {
	j.Helper()
	before := j.books()
	want(j, what, j.Post(j.Context(), token, r), target)
	same(j, "after "+what, j.books(), before)
}

// moves are legs from one account to another.
func moves(from, to payouts.Account, amount int64) []payouts.Leg {
	return []payouts.Leg{{Account: from, Amount: -amount}, {Account: to, Amount: amount}}
}

func (j *journal) empty() {
	same(j, "books", j.books(), books{Balances: map[payouts.Account]int64{}, Fields: map[string]string{}})
	_, err := j.Posted(j.Context(), "k")
	want(j, "a record that is not there", err, payouts.ErrNotFound)
	_, err = j.Field(j.Context(), payouts.TablePool, payouts.PoolPaused)
	want(j, "a field that is not there", err, payouts.ErrNotFound)
	if amount, err := j.Balance(j.Context(), payouts.Fee); amount != 0 || err != nil {
		j.Fatalf("balance = %d, %v", amount, err)
	}
	if notes, err := j.Notes(j.Context(), "n"); len(notes) != 0 || err != nil {
		j.Fatalf("notes = %v, %v", notes, err)
	}
}

func (j *journal) post() {
	alice := payouts.Miner("alice")
	block, paused := payouts.Set{Table: payouts.TableBlocks, Field: "b", Value: "1"}, payouts.Set{Table: payouts.TablePool, Field: payouts.PoolPaused, Value: "why"}
	first := j.must("credit:b", []payouts.Leg{{Account: payouts.Rewards, Amount: -10}, {Account: alice, Amount: 9}, {Account: payouts.Fee, Amount: 1}}, block, paused)
	j.refused("the same record", j.token, first, payouts.ErrPosted)
	second := j.must("move", moves(alice, payouts.Fee, 9), payouts.Set{Table: payouts.TablePool, Field: payouts.PoolPaused})
	same(j, "records", j.books().Records, []*payouts.Record{first, second})
	same(j, "balances", j.books().Balances, map[payouts.Account]int64{payouts.Rewards: -10, alice: 0, payouts.Fee: 10})
	same(j, "fields", j.books().Fields, map[string]string{"blocks/b": "1"})
	for _, r := range []*payouts.Record{first, second} {
		got, err := j.Posted(j.Context(), r.Key)
		if err != nil {
			j.Fatal(err)
		}
		same(j, r.Key, got, r)
	}
	if amount, err := j.Balance(j.Context(), payouts.Rewards); amount != -10 || err != nil {
		j.Fatalf("balance = %d, %v", amount, err)
	}
	if value, err := j.Field(j.Context(), block.Table, block.Field); value != "1" || err != nil {
		j.Fatalf("field = %q, %v", value, err)
	}
	_, err := j.Field(j.Context(), paused.Table, paused.Field)
	want(j, "a field that was removed", err, payouts.ErrNotFound)
}

func (j *journal) onlySets() {
	j.must("pause", nil, payouts.Set{Table: payouts.TablePool, Field: payouts.PoolPaused, Value: "why"})
	j.must("nothing at all", nil)
	same(j, "fields", j.books().Fields, map[string]string{"pool/paused": "why"})
}

// order has a record be wrong in every way at once, and then in one way after the other no more.
func (j *journal) order() {
	j.token = 5
	j.must("there", nil)
	r := j.next("there", moves(payouts.Fee, payouts.Pool, 1))
	r.Seq++
	j.refused("an old token", 4, r, shares.ErrFenced)
	j.refused("a key that is there", 5, r, payouts.ErrPosted)
	j.refused("the operator's key that is there", 0, r, payouts.ErrPosted)
	r.Key = "new"
	j.refused("a number too high", 5, r, payouts.ErrMoved)
	r.Seq -= 2
	j.refused("a number too low", 5, r, payouts.ErrMoved)
	r.Seq++
	r.Previous[0] ^= 1
	j.refused("another hash", 5, r, payouts.ErrMoved)
	r.Previous[0] ^= 1
	j.refused("an empty account", 5, r, payouts.ErrOverdrawn)
	r.Legs = moves(payouts.Outside, payouts.Pool, 1)
	if err := j.Post(j.Context(), 5, r); err != nil {
		j.Fatal(err)
	}
}

func (j *journal) overdrawn() {
	j.must("in", moves(payouts.Outside, payouts.Fee, 10))
	for _, account := range []payouts.Account{payouts.Fee, payouts.Carry, payouts.InFlight, payouts.Paid, payouts.TxFees, payouts.Pool, payouts.Miner("alice")} {
		r := j.next("out", []payouts.Leg{{Account: account, Amount: -11}, {Account: payouts.Outside, Amount: 11}},
			payouts.Set{Table: payouts.TablePool, Field: "f", Value: "v"})
		j.refused(string(account), j.token, r, payouts.ErrOverdrawn)
	}
	err := j.Post(j.Context(), j.token, j.next("out", moves(payouts.Miner("bob"), payouts.Outside, 11)))
	if err == nil || !strings.Contains(err.Error(), "bob") {
		j.Fatalf("the error %v does not name the account", err)
	}
	// The last of many spoils all.
	legs := make([]payouts.Leg, 0, payouts.MaxLegs)
	for i := range payouts.MaxLegs - 2 {
		legs = append(legs, payouts.Leg{Account: payouts.Miner(strconv.Itoa(i)), Amount: 1})
	}
	legs = append(legs, payouts.Leg{Account: payouts.Outside, Amount: 3 - payouts.MaxLegs}, payouts.Leg{Account: payouts.Miner("poor"), Amount: -1})
	j.refused("the last of many", j.token, j.next("many", legs), payouts.ErrOverdrawn)
	j.must("out", moves(payouts.Fee, payouts.Outside, 10))
}

func (j *journal) debtors() {
	for _, account := range []payouts.Account{payouts.Rewards, payouts.Outside, payouts.Reserve} {
		j.must(string(account), moves(account, payouts.Pool, 7))
	}
	// Whatever the order of the legs.
	j.must("order", []payouts.Leg{
		{Account: payouts.Pool, Amount: -21}, {Account: payouts.Reserve, Amount: -1}, {Account: payouts.Miner("a"), Amount: 25},
		{Account: payouts.Outside, Amount: -2}, {Account: payouts.Rewards, Amount: -1},
	})
	same(j, "balances", j.books().Balances, map[payouts.Account]int64{
		payouts.Rewards: -8, payouts.Outside: -9, payouts.Reserve: -8, payouts.Pool: 0, payouts.Miner("a"): 25,
	})
}

func (j *journal) fence() {
	for i, step := range []struct {
		token int64
		want  error
	}{{0, nil}, {3, nil}, {3, nil}, {0, nil}, {2, shares.ErrFenced}, {1 << 40, nil}, {1<<40 - 1, shares.ErrFenced}, {0, nil}, {1 << 40, nil}} {
		r := j.next(fmt.Sprint("step ", i), nil)
		if err := j.Post(j.Context(), step.token, r); !errors.Is(err, step.want) {
			j.Fatalf("step %d, token %d: error %v, want %v", i, step.token, err, step.want)
		}
	}
	same(j, "records", len(j.books().Records), 7)
}

func (j *journal) mostLegs() {
	credit := []payouts.Leg{{Account: payouts.Rewards, Amount: -(payouts.MaxLegs - 1) * payouts.MaxLegs / 2}}
	for i := 1; i < payouts.MaxLegs; i++ {
		credit = append(credit, payouts.Leg{Account: payouts.Miner(fmt.Sprintf("bc1q%058d", i)), Amount: int64(i)})
	}
	r := j.must("credit", credit)
	debit := make([]payouts.Leg, len(credit))
	for i, l := range credit {
		debit[len(debit)-1-i] = payouts.Leg{Account: l.Account, Amount: -l.Amount}
	}
	j.must("debit", debit)
	again := j.must("credit again", credit)
	got := j.books()
	same(j, "first record", got.Records[0], r)
	same(j, "last record", got.Records[2], again)
	if n := got.Balances[payouts.Miner(fmt.Sprintf("bc1q%058d", payouts.MaxLegs-1))]; n != payouts.MaxLegs-1 {
		j.Fatalf("the last account has %d", n)
	}
	j.refused("one more", j.token, j.next("more", append(credit, moves(payouts.Fee, payouts.Pool, 1)...)), payouts.ErrRecord)
}

func (j *journal) amounts() {
	alice := payouts.Miner("alice")
	j.must("all", moves(payouts.Rewards, alice, payouts.MaxMoney))
	j.must("but one", moves(alice, payouts.Paid, payouts.MaxMoney-1))
	j.must("and the one", moves(alice, payouts.Paid, 1))
	same(j, "balances", j.books().Balances, map[payouts.Account]int64{payouts.Rewards: -payouts.MaxMoney, alice: 0, payouts.Paid: payouts.MaxMoney})
	// What no chain can pay is booked exactly, or not at all.
	var err error
	for i := 0; err == nil; i++ {
		if i > 10 {
			j.Fatal("an account may have any amount")
		}
		j.must(fmt.Sprint("odd ", i), moves(payouts.Outside, payouts.Pool, 1))
		err = j.Post(j.Context(), j.token, j.next(strconv.Itoa(i), moves(payouts.Outside, payouts.Pool, payouts.MaxMoney-2)))
	}
	want(j, "too much", err, payouts.ErrAmount)
	r := j.next("too much", moves(payouts.Outside, payouts.Miner("bob"), payouts.MaxMoney))
	j.refused("too much of a debtor", j.token, r, payouts.ErrAmount)
}

func (j *journal) unsound() {
	for name, change := range map[string]func(*payouts.Record){
		"unbalanced":  func(r *payouts.Record) { r.Legs[0].Amount-- },
		"keyless":     func(r *payouts.Record) { r.Key = "" },
		"no number":   func(r *payouts.Record) { r.Seq = 0 },
		"no UTF-8":    func(r *payouts.Record) { r.Legs[1].Account += "\xff" },
		"no UTF-8, 2": func(r *payouts.Record) { r.Sets = []payouts.Set{{Table: payouts.TablePool, Field: "f", Value: "\xff"}} },
		"no field":    func(r *payouts.Record) { r.Sets = []payouts.Set{{Table: payouts.TablePool, Value: "v"}} },
		"too long": func(r *payouts.Record) {
			r.Sets = []payouts.Set{{Table: payouts.TablePool, Field: "f", Value: strings.Repeat("x", 16<<20)}}
		},
	} {
		r := j.next("k", moves(payouts.Outside, payouts.Pool, 1))
		change(r)
		j.refused(name, j.token, r, payouts.ErrRecord)
	}
}

// anyText has names that others would take for something else.
func (j *journal) anyText() {
	text := "a \x00\n\r\t\"'\\{}<&>%s \u2028 ✓ LEDGER FENCED 5"
	sets := []payouts.Set{{Table: "a table\nof two lines", Field: text, Value: text}, {Table: payouts.TablePool, Field: "0", Value: " "}}
	r := j.must(text, moves(payouts.Outside, payouts.Miner(text), 1), sets...)
	got, err := j.Posted(j.Context(), text)
	if err != nil {
		j.Fatal(err)
	}
	same(j, "record", got, r)
	same(j, "books", j.books().Records, []*payouts.Record{r})
	if value, err := j.Field(j.Context(), sets[0].Table, text); value != text || err != nil {
		j.Fatalf("field = %q, %v", value, err)
	}
	j.refused("too much", j.token, j.next("k", moves(payouts.Miner(text), payouts.Outside, 2)), payouts.ErrOverdrawn)
}

func (j *journal) recordsFrom() {
	const many = 700
	all := make([]string, 0, many)
	for i := range many {
		value := ""
		if i%100 == 50 {
			value = strings.Repeat(fmt.Sprint(i, " "), 300_000)
		}
		all = append(all, j.must(fmt.Sprint("k", i), moves(payouts.Outside, payouts.Pool, int64(i+1)), payouts.Set{Table: payouts.TablePool, Field: "f", Value: value}).Key)
	}
	for _, from := range []uint64{0, 1, 2, 51, 500, many, many + 1, 1 << 60} {
		var keys []string
		for r, err := range j.Records(j.Context(), from) {
			if err != nil {
				j.Fatal(err)
			}
			keys = append(keys, r.Key)
		}
		if d := cmp.Diff(all[min(max(from, 1)-1, many):], append([]string{}, keys...)); d != "" {
			j.Fatalf("from %d (-want +got):\n%s", from, d)
		}
	}
	for r, err := range j.Records(j.Context(), 7) {
		if err != nil || r.Seq != 7 {
			j.Fatalf("record %+v, %v", r, err)
		}
		break
	}
}

// race has many post at once, each what nobody else does.
func (j *journal) race() {
	const callers, each = 8, 12
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := range each {
				for {
					head, err := j.Head(j.Context())
					if err == nil {
						err = j.Post(j.Context(), j.token, after(head, fmt.Sprint(caller, " ", i), moves(payouts.Outside, payouts.Miner(strconv.Itoa(caller)), 1)))
					}
					if err == nil {
						break
					}
					if !errors.Is(err, payouts.ErrMoved) {
						j.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	got := j.books()
	same(j, "records", len(got.Records), callers*each)
	for caller := range callers {
		same(j, "balance", got.Balances[payouts.Miner(strconv.Itoa(caller))], int64(each))
	}
}

// sameAtOnce has many post the same: one of them does.
func (j *journal) sameAtOnce() {
	r := j.next("once", moves(payouts.Outside, payouts.Pool, 3))
	var group sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		group.Go(func() { errs[i] = j.Post(j.Context(), j.token, r) })
	}
	group.Wait()
	posted := 0
	for _, err := range errs {
		if err == nil {
			posted++
			continue
		}
		want(j, "the same", err, payouts.ErrPosted)
	}
	same(j, "how many have posted", posted, 1)
	same(j, "balances", j.books().Balances, map[payouts.Account]int64{payouts.Outside: -3, payouts.Pool: 3})
}

func (j *journal) noted() {
	note := func(table, field, value string) payouts.Set {
		return payouts.Set{Table: table, Field: field, Value: value}
	}
	for _, notes := range [][]payouts.Set{{}, {note("a", "x", "1"), note("b", "x", "2"), note("a", "y", "3")}, {note("a", "x", ""), note("b", "x", "4")}} {
		if err := j.Note(j.Context(), notes...); err != nil {
			j.Fatal(err)
		}
	}
	for table, fields := range map[string]map[string]string{"a": {"y": "3"}, "b": {"x": "4"}} {
		got, err := j.Notes(j.Context(), table)
		if err != nil {
			j.Fatal(err)
		}
		same(j, table, got, fields)
	}
	if err := j.Note(j.Context(), note("a", "z", "1"), note("", "x", "1")); err == nil {
		j.Fatal("a note without table is taken")
	}
	// They are beside the journal.
	same(j, "books", j.books(), books{Balances: map[payouts.Account]int64{}, Fields: map[string]string{}})
}

// setsOfOne has one record set a field more than once: the last stands.
func (j *journal) setsOfOne() {
	set := func(field, value string) payouts.Set {
		return payouts.Set{Table: payouts.TablePlans, Field: field, Value: value}
	}
	j.must("k", nil, set("a", "1"), set("b", "2"), set("a", ""), set("c", ""), set("b", "3"), set("d", ""), set("d", "4"))
	same(j, "fields", j.books().Fields, map[string]string{"plans/b": "3", "plans/d": "4"})
}
