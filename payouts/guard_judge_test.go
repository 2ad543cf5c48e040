package payouts

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestStatesFollow compares which states may follow which with a list of all that may.
func TestStatesFollow(t *testing.T) {
	type turn struct {
		last, next State
		kind       Kind
	}
	sound := map[turn]bool{
		{Planned, Planned, KindApprove}: true,
		{Planned, Sealed, KindSeal}:     true, {Sealed, Sealed, KindSeal}: true, {Published, Sealed, KindSeal}: true,
		{Sealed, Published, KindPublish}: true,
		{Sealed, Confirmed, KindConfirm}: true, {Published, Confirmed, KindConfirm}: true,
		{Confirmed, Published, KindReopen}: true, {Confirmed, Final, KindFinal}: true,
		{Planned, Final, KindSettle}: true, {Sealed, Final, KindSettle}: true, {Published, Final, KindSettle}: true,
		{Planned, Returned, KindReturn}: true, {Sealed, Returned, KindReturn}: true, {Published, Returned, KindReturn}: true,
	}
	states := []State{Planned, Sealed, Published, Confirmed, Final, Returned}
	for _, kind := range []Kind{KindApprove, KindSeal, KindPublish, KindConfirm, KindReopen, KindFinal, KindSettle, KindReturn} {
		for _, last := range states {
			for _, next := range states {
				if got, want := stateFollows(last, next, kind), sound[turn{last, next, kind}]; got != want {
					t.Errorf("%s after %s by %s: %t", next, last, kind, got)
				}
			}
		}
	}
}

// TestStagesFollow does so for blocks.
func TestStagesFollow(t *testing.T) {
	type turn struct {
		last, next BlockStage
		kind       Kind
	}
	sound := map[turn]bool{
		{BlockFound, BlockCrediting, KindCredit}: true, {BlockFound, BlockCredited, KindCredit}: true,
		{BlockCrediting, BlockCrediting, KindCredit}: true, {BlockCrediting, BlockCredited, KindCredit}: true,
		{BlockCredited, BlockLost, KindLoss}: true, {BlockLost, BlockCredited, KindRestore}: true,
	}
	stages := []BlockStage{"", BlockFound, BlockCrediting, BlockCredited, BlockVoid, BlockLost}
	for _, kind := range []Kind{KindCredit, KindLoss, KindRestore} {
		for _, last := range stages {
			for _, next := range stages {
				if got, want := mayFollow(last, next, kind), sound[turn{last, next, kind}]; got != want {
					t.Errorf("%q after %q by %s: %t", next, last, kind, got)
				}
			}
		}
	}
}

// forgery is a record of sound books with something changed in it, or in what is known before it.
type forgery struct {
	t     *testing.T
	sheet *Sheet
	r     *Record
}

// forge copies a record by its key, with the sheet as it was before, changes it, and returns what Judge says.
func (p *pool) forge(key string, change func(*forgery)) error {
	p.t.Helper()
	sheet := NewSheet()
	for _, r := range p.store.records {
		if r.Key != key {
			if err := sheet.Apply(p.t.Context(), r); err != nil {
				p.t.Fatal(err)
			}
			continue
		}
		c := *r
		c.Legs, c.Sets = slices.Clone(r.Legs), slices.Clone(r.Sets)
		f := &forgery{p.t, sheet, &c}
		if err := Judge(p.t.Context(), sheet, &c); err != nil {
			p.t.Fatalf("%s as it is: %v", key, err)
		}
		change(f)
		return Judge(p.t.Context(), sheet, f.r)
	}
	p.t.Fatalf("there is no record %s", key)
	return nil
}

// move moves an amount from one account to another beside what the record moves.
func (f *forgery) move(from, to Account, amount int64) {
	changes := make(map[Account]int64)
	for _, l := range f.r.Legs {
		changes[l.Account] = l.Amount
	}
	changes[from] -= amount
	changes[to] += amount
	f.r.Legs = legsOf(changes)
}

// edit changes a field that a record sets.
func edit[T any](f *forgery, table, field string, change func(*T)) {
	f.t.Helper()
	for i, s := range f.r.Sets {
		if s.Table != table || s.Field != field {
			continue
		}
		v, err := unmarshal[T](s)
		if err != nil {
			f.t.Fatal(err)
		}
		change(&v)
		if f.r.Sets[i], err = set(table, field, v); err != nil {
			f.t.Fatal(err)
		}
		return
	}
	f.t.Fatalf("the record sets no %s %s", table, field)
}

// known changes what is known before the record.
func known[T any](f *forgery, table, field string, change func(*T)) {
	f.t.Helper()
	var v T
	if text := f.sheet.Tables[table][field]; text != "" {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			f.t.Fatal(err)
		}
	}
	change(&v)
	s, err := set(table, field, v)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.sheet.Tables[table] == nil {
		f.sheet.Tables[table] = make(map[string]string)
	}
	f.sheet.Tables[table][field] = s.Value
}

// drop takes a table's fields out of the record.
func (f *forgery) drop(table string) {
	f.r.Sets = slices.DeleteFunc(f.r.Sets, func(s Set) bool { return s.Table == table })
}

// coin returns the first coin that the record sets.
func (f *forgery) coin() string {
	f.t.Helper()
	for _, s := range f.r.Sets {
		if s.Table == TableCoins {
			return s.Field
		}
	}
	f.t.Fatal("the record sets no coin")
	return ""
}

// paidBooks are books with a settlement that was approved, bumped, reopened and is final: its records are
// plan:1, approve:1, seal:1/1, publish:1:1, seal:1/2, publish:1:2, confirm:1:1, reopen:1:1 and so on.
func paidBooks(t *testing.T) (p *pool, block chainhash.Hash) {
	t.Helper()
	p = newPool(t, func(c *SettlerConfig) { c.BumpAfter, c.Policy.ApproveAbove = 2, 1000 })
	block = p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	if err := p.operator().Approve(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	p.work()
	p.chain.mempool = nil
	p.chain.mine(2)
	p.chain.rate = 30_000
	p.work()
	p.chain.mine(1)
	p.work()
	p.chain.reorganize(1)
	p.work()
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Versions != 2 || st.Confirms != 2 {
		t.Fatalf("status %+v", st)
	}
	return p, block
}

// TestForgedRecords changes records of sound books, each in one way: each is refused, for that.
func TestForgedRecords(t *testing.T) {
	p, block := paidBooks(t)
	hash := block.String()
	alice, bob := Miner("alice"), Miner("bob")
	status := func(change func(*Status)) func(*forgery) {
		return func(f *forgery) { edit(f, TableSettlements, "1", change) }
	}
	move := func(from, to Account, amount int64) func(*forgery) {
		return func(f *forgery) { f.move(from, to, amount) }
	}
	for name, c := range map[string]struct {
		key    string
		change func(*forgery)
		want   string
	}{
		"legs that do not add up": {"plan:1", func(f *forgery) { f.r.Legs[0].Amount++ }, "sum to"},
		"unknown kind":            {"plan:1", func(f *forgery) { f.r.Kind = "gift" }, "not known"},
		// Blocks.
		"found with money":       {"found:" + hash, move(Outside, Pool, 1), "moves no money"},
		"found though credited":  {"found:" + hash, func(f *forgery) { known(f, TableBlocks, hash, func(b *BlockState) { b.Stage = BlockCredited }) }, "is credited"},
		"credited though lost":   {"credit:" + hash + "/1", func(f *forgery) { known(f, TableBlocks, hash, func(b *BlockState) { b.Stage = BlockLost }) }, "cannot be"},
		"credited more":          {"credit:" + hash + "/1", move(Rewards, Carry, 1), "are credited for it"},
		"another reward":         {"credit:" + hash + "/1", func(f *forgery) { edit(f, TableBlocks, hash, func(b *BlockState) { b.Reward++ }) }, "are credited for it"},
		"a credit for no block":  {"credit:" + hash + "/1", func(f *forgery) { f.drop(TableBlocks) }, "no block"},
		"a credit of void alone": {"credit:" + hash + "/1", func(f *forgery) { edit(f, TableBlocks, hash, func(b *BlockState) { b.Stage, b.Tree = BlockVoid, nil }) }, "no block"},
		// Plans.
		"an unsound plan":   {"plan:1", func(f *forgery) { edit(f, TablePlans, "1", func(p *Plan) { p.Fee++ }) }, "not a sound plan"},
		"planned again":     {"plan:1", func(f *forgery) { known(f, TablePlans, "1", func(*Plan) {}) }, "is not new"},
		"planned as final":  {"plan:1", status(func(s *Status) { s.State = Final }), "is not new"},
		"reserves nothing":  {"plan:1", func(f *forgery) { f.drop(TableCoins) }, "does not reserve"},
		"not reserved":      {"plan:1", func(f *forgery) { edit(f, TableCoins, f.coin(), func(c *CoinState) { c.Reserved = 0 }) }, "does not reserve"},
		"a coin worth less": {"plan:1", func(f *forgery) { edit(f, TableCoins, f.coin(), func(c *CoinState) { c.Value-- }) }, "does not reserve"},
		"another's coin": {"plan:1", func(f *forgery) {
			known(f, TableCoins, f.coin(), func(c *CoinState) { c.Reserved = 9 })
		}, "is reserved for settlement 9"},
		"debits another":      {"plan:1", move(alice, bob, 1), "its plan debits"},
		"debits one more":     {"plan:1", move(Miner("carol"), Carry, 1), "does not debit"},
		"debits the pool":     {"plan:1", func(f *forgery) { f.move(Fee, InFlight, 1); status(func(s *Status) { s.Flight++ })(f) }, "does not debit"},
		"more in flight":      {"plan:1", move(Reserve, InFlight, 1), "does not debit"},
		"more said in flight": {"plan:1", func(f *forgery) { f.move(Reserve, InFlight, 1); status(func(s *Status) { s.Flight++ })(f) }, "does not debit"},
		"another total":       {"plan:1", status(func(s *Status) { s.Total++ }), "does not debit"},
		// What moves no money.
		"approved with money":    {"approve:1", move(Outside, Pool, 1), "moves no money"},
		"published with money":   {"publish:1:1", move(Outside, Pool, 1), "moves no money"},
		"approved nothing":       {"approve:1", func(f *forgery) { f.drop(TableSettlements) }, "names no settlement"},
		"approved what is final": {"approve:1", func(f *forgery) { known(f, TableSettlements, "1", func(s *Status) { s.State = Final }) }, "cannot be"},
		"never planned":          {"approve:1", func(f *forgery) { delete(f.sheet.Tables[TableSettlements], "1") }, "never planned"},
		// Seals.
		"under another number": {"seal:1/1", func(f *forgery) {
			for i := range f.r.Sets {
				if f.r.Sets[i].Table == TableVersions {
					f.r.Sets[i].Field = "1/2"
				}
			}
		}, "calls itself"},
		"out of turn": {"seal:1/2", status(func(s *Status) { s.Versions++ }), "out of turn"},
		"out of turn twice": {"seal:1/2", func(f *forgery) {
			known(f, TableSettlements, "1", func(s *Status) { s.Versions = 0 })
		}, "out of turn"},
		"sealed unapproved":  {"seal:1/1", func(f *forgery) { known(f, TableSettlements, "1", func(s *Status) { s.Approved = "" }) }, "without approval"},
		"another version":    {"seal:1/1", func(f *forgery) { edit(f, TableVersions, "1/1", func(v *Version) { v.TxID[0] ^= 1 }) }, "not the planned one"},
		"a coin let go":      {"seal:1/1", func(f *forgery) { edit(f, TableCoins, f.coin(), func(c *CoinState) { c.Reserved = 0 }) }, "does not reserve"},
		"sealed more":        {"seal:1/2", move(Reserve, InFlight, 1), "set aside"},
		"sealed dearer":      {"seal:1/2", move(Fee, Reserve, 1), "set aside"},
		"sealed more said":   {"seal:1/2", status(func(s *Status) { s.Flight++ }), "set aside"},
		"another total then": {"seal:1/2", status(func(s *Status) { s.Total-- }), "set aside"},
		// The end.
		"less left in flight":   {"final:1", move(Reserve, InFlight, 1), "were in flight"},
		"a version never made":  {"final:1", status(func(s *Status) { s.Version = 3 }), "was never sealed"},
		"no version":            {"final:1", status(func(s *Status) { s.Version = 0 }), "was never sealed"},
		"paid more":             {"final:1", move(Reserve, Paid, 1), "and a fee of"},
		"fees of more":          {"final:1", move(Reserve, TxFees, 1), "and a fee of"},
		"more back to the pool": {"final:1", move(Reserve, Pool, 1), "and a fee of"},
		"another's coin freed": {"final:1", func(f *forgery) {
			known(f, TableCoins, "x:0", func(c *CoinState) { c.Reserved = 9 })
			f.r.Sets = append(f.r.Sets, Set{Table: TableCoins, Field: "x:0"})
		}, "is reserved for settlement 9"},
	} {
		if err := p.forge(c.key, c.change); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	same := func(f *forgery) {
		known(f, TableCoins, "x:0", func(c *CoinState) { c.Reserved = 9 })
		f.r.Sets = append(f.r.Sets, Set{TableCoins, "x:0", f.sheet.Tables[TableCoins]["x:0"]})
	}
	if err := p.forge("final:1", same); err != nil {
		t.Errorf("another's coin that stays as it is: %v", err)
	}
}

// TestForgedReturns does so with debits that go back, and with what an operator settles.
func TestForgedReturns(t *testing.T) {
	cancelled := mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1 })
	cancelled.work()
	if err := cancelled.operator().Cancel(t.Context(), 1, "not now"); err != nil {
		t.Fatal(err)
	}
	settled := mature(t, nil)
	settled.work()
	tx := settled.replaced(5000)
	settled.chain.mine(100)
	if err := settled.Settle(t.Context(), 1, tx.TxHash()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p        *pool
		key      string
		from, to Account
		want     string
	}{
		"to another":        {cancelled, "return:1", Miner("alice"), Miner("bob"), "does not get back"},
		"to nobody's":       {cancelled, "return:1", Fee, Reserve, "the pool does not get back"},
		"out of nothing":    {cancelled, "return:1", InFlight, Miner("alice"), "were in flight"},
		"settled for more":  {settled, "settle:1", Reserve, Paid, "does not pay"},
		"settled for fees":  {settled, "settle:1", Reserve, TxFees, "does not pay"},
		"settled from more": {settled, "settle:1", InFlight, Paid, "were in flight"},
	} {
		err := c.p.forge(c.key, func(f *forgery) { f.move(c.from, c.to, 1) })
		if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// replaced has somebody replace the first settlement by a transaction with smaller change, in the next block.
func (p *pool) replaced(by int64) *wire.MsgTx {
	p.t.Helper()
	st, err := load(p.t.Context(), p.store, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	draft, err := st.plan.Draft()
	if err != nil {
		p.t.Fatal(err)
	}
	tx := draft.Tx.Copy()
	for _, out := range tx.TxOut {
		if string(out.PkScript) == string(p.wallet.script) {
			out.Value -= by
		}
	}
	signed, err := p.wallet.sign(tx, draft.Coins())
	if err != nil {
		p.t.Fatal(err)
	}
	p.chain.mempool = []*wire.MsgTx{signed}
	p.chain.mine(1)
	return signed
}

// TestForgedBooking books what is not the operator's.
func TestForgedBooking(t *testing.T) {
	p := newPool(t, noWallet)
	r := func(kind Kind, legs ...Leg) *Record { return &Record{Seq: 1, Key: "k", Kind: kind, Legs: legs} }
	for name, c := range map[string]struct {
		r    *Record
		want string
	}{
		"from a miner":             {r(KindBook, Leg{Miner("alice"), -1}, Leg{Pool, 1}), "the operator takes"},
		"rewards":                  {r(KindBook, Leg{Rewards, -1}, Leg{Pool, 1}), "not the operator's"},
		"in flight":                {r(KindBook, Leg{Outside, -1}, Leg{InFlight, 1}), "not the operator's"},
		"paid":                     {r(KindBook, Leg{Outside, -1}, Leg{Paid, 1}), "not the operator's"},
		"fees":                     {r(KindBook, Leg{Outside, -1}, Leg{TxFees, 1}), "not the operator's"},
		"crediting":                {r(KindBook, Leg{Outside, -1}, Leg{Crediting, 1}), "not the operator's"},
		"a coin":                   {r(KindCoin, Leg{Outside, -1}, Leg{Pool, 1}), "moves no money"},
		"a pause":                  {r(KindPause, Leg{Outside, -1}, Leg{Pool, 1}), "moves no money"},
		"per share from a miner":   {r(KindAccrue, Leg{Miner("alice"), -1}, Leg{Reserve, 1}), "paid from the reserve"},
		"per share from elsewhere": {r(KindAccrue, Leg{Miner("alice"), 1}, Leg{Pool, -1}), "paid from the reserve"},
	} {
		if err := Judge(t.Context(), p.store, c.r); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
