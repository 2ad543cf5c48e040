package payouts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// TestRoundWaitsForTheReserve keeps the round of a block that is credited, or void, until it is paid per share.
func TestRoundWaitsForTheReserve(t *testing.T) {
	for _, void := range []bool{false, true} {
		p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
		if err := p.operator().Book(t.Context(), Outside, Reserve, 1); err != nil {
			t.Fatal(err)
		}
		p.find(reward, shares.Credit{Account: "alice", Weight: 200})
		p.work()
		if void {
			p.chain.reorganize(1)
		}
		p.chain.mine(101)
		p.work()
		p.work()
		p.wants(map[Account]int64{Miner("alice"): 0})
		if err := p.operator().Book(t.Context(), Outside, Reserve, 200*reward); err != nil {
			t.Fatal(err)
		}
		p.chain.mine(1)
		p.work()
		p.chain.mine(1)
		p.work()
		if got := p.balance(Miner("alice")); !void && got != 100*reward || void && got != 0 && got != 100*reward {
			t.Errorf("void %t: alice has %d sat, notes %v", void, got, p.store.notes)
		}
	}
}

// TestSettledThoughAVersionMayConfirm does not take a settlement for paid by a transaction beside which one of its
// versions may still confirm.
func TestSettledThoughAVersionMayConfirm(t *testing.T) {
	p, _, extra := bumped(t)
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	other := takes(extra)
	for _, payee := range st.plan.Payees {
		other.AddTxOut(wire.NewTxOut(payee.Output, payee.Script))
	}
	p.chain.mempool = []*wire.MsgTx{other}
	p.chain.deaf = errors.New("no answer")
	p.chain.mine(150)
	if err := p.Settle(t.Context(), 1, other.TxHash()); err == nil || !strings.Contains(err.Error(), "may still confirm") {
		t.Errorf("settled: %v", err)
	}
}

// TestStaleStep does not let who has read a settlement before it went on say what has become of it.
func TestStaleStep(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
	p.chain.deaf = &RefusedError{"mempool min fee not met"}
	p.work()
	old, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.chain.rate = 50_000
	p.chain.mine(3)
	p.work()
	next := old.status
	next.State, next.Sent = Published, true
	if err := p.record(t.Context(), old, next, 1, Entry{Kind: KindPublish}); !errors.Is(err, ErrMoved) {
		t.Errorf("a stale step: %v, want ErrMoved", err)
	}
	if st := p.status(); st.Versions != 2 {
		t.Errorf("status %+v", st)
	}
	p.sound()
}

// TestCarryOfALostBlock owes again what a block that is lost had paid of what was owed before it, and takes that
// back when the block comes back.
func TestCarryOfALostBlock(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	p.work()
	owed := p.balance(Miner("alice"))
	p.findListed(p.list(lists, 5_000_000), reward)
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): owed - 5_000_000})
	old := p.chain.best[len(p.chain.best)-1]
	p.chain.reorganize(101)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): owed})
	for range 3 {
		old = p.chain.on(old, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	p.chain.follow(old)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): owed - 5_000_000, Reserve: 0})
}

// TestOwedAboveAnUnrecordedBlock offers nothing again that a block may have paid which is not in the ledger yet,
// also some blocks later.
func TestOwedAboveAnUnrecordedBlock(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	p.work()
	owing, err := NewOwing(OwingConfig{Store: p.store, Ledger: p.ledger, Lists: lists, Chain: p.chain, Minimum: 1, Pool: p.cfg.Pool})
	if err != nil {
		t.Fatal(err)
	}
	offered := func() int {
		t.Helper()
		owed, err := owing.Owed(t.Context(), p.chain.best[len(p.chain.best)-1])
		if err != nil {
			t.Fatal(err)
		}
		return len(owed)
	}
	if offered() != 1 {
		t.Fatal("alice is owed nothing")
	}
	p.findListed(p.list(lists, p.balance(Miner("alice"))), reward)
	known := p.ledger.blocks
	p.ledger.blocks = known[1:] // it waits in a spool
	p.chain.mine(2)
	if offered() != 0 {
		t.Error("it is offered again two blocks above")
	}
	// Once it is recorded its list says what it may have paid, also if the list is that of the block before.
	p.ledger.blocks = known
	if offered() != 0 {
		t.Error("it is offered again though a block has paid it")
	}
}

// TestScopes holds each kind of record to accounts and tables.
func TestScopes(t *testing.T) {
	p := mature(t, nil)
	p.work()
	for _, r := range p.store.records {
		if err := mayTouch(r); err != nil {
			t.Error(err)
		}
		wrong := *r
		wrong.Sets = append([]Set{{Table: TableThresholds, Field: "x", Value: "1"}}, r.Sets...)
		if err := mayTouch(&wrong); !errors.Is(err, ErrRecord) {
			t.Errorf("%s sets a threshold: %v", r.Key, err)
		}
		wrong = *r
		wrong.Legs = append([]Leg{{Outside, 1}}, r.Legs...)
		if err := mayTouch(&wrong); !errors.Is(err, ErrRecord) {
			t.Errorf("%s takes money out: %v", r.Key, err)
		}
	}
}

// TestPromisedCarry pays nobody by a settlement what a coinbase that is not credited yet has paid.
func TestPromisedCarry(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	p.work()
	carry := p.balance(Miner("alice"))
	p.findListed(p.list(lists, carry), 10*reward)
	owing, err := NewOwing(OwingConfig{Store: p.store, Ledger: p.ledger, Lists: lists, Chain: p.chain, Minimum: 1, Pool: p.cfg.Pool})
	if err != nil {
		t.Fatal(err)
	}
	tip := p.chain.best[len(p.chain.best)-1]
	for range 2 { // before the worker has seen the block, and after
		if owed, err := owing.Owed(t.Context(), tip); err != nil || len(owed) != 0 {
			t.Errorf("%v is owed, %v", owed, err)
		}
		p.cfg.Wallet = p.wallet
		p.restart()
		p.work()
	}
	p.chain.mine(110)
	p.work()
	p.now = p.now.Add(time.Hour)
	p.work()
	if _, n := p.paidTo("alice"); n != 1 {
		t.Errorf("alice is paid %d times", n)
	}
	p.wants(map[Account]int64{Reserve: 0})
}

// TestDirectDebitsComeFirst credits many accounts, of which the last has been paid more by the coinbase than
// the block is worth to it.
func TestDirectDebitsComeFirst(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, shares.Credit{Account: "zoe", Weight: 1})
	p.chain.mine(100)
	p.work()
	l := p.list(lists, 0)
	p.ledger.at, l.Total = many(partLegs+3), 0
	for _, c := range p.ledger.at {
		l.Total += c.Weight
	}
	script, err := scriptOf("zoe")
	if err != nil {
		t.Fatal(err)
	}
	l.Size, l.Payees = l.Total, []ListPayee{{Account: "zoe", Script: script, Carry: reward / 4}}
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lists[l.Previous] = text
	block := p.findListed(l, reward)
	p.chain.mine(100)
	p.work()
	if st := p.state(block); st.Stage != BlockCredited || st.Parts != 2 {
		t.Errorf("the block is %+v, notes %v", st, p.store.notes)
	}
	p.wants(map[Account]int64{Crediting: 0, Miner("zoe"): reward - reward/100 - reward/4})
}

// TestGiveBack gives debits back of a settlement whose coins something has spent that pays one of its payees, when
// an operator says so, and not before that is final.
func TestGiveBack(t *testing.T) {
	p := mature(t, nil)
	p.chain.deaf = errors.New("no answer")
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.GiveBack(t.Context(), 1, "too early"); err == nil {
		t.Error("the debits of a settlement that may confirm went back")
	}
	other := wire.NewMsgTx(2)
	at := wire.OutPoint(st.plan.Inputs[0].OutPoint)
	other.AddTxIn(wire.NewTxIn(&at, nil, nil))
	other.AddTxOut(wire.NewTxOut(1000, st.plan.Payees[0].Script))
	p.chain.mempool = []*wire.MsgTx{other}
	p.chain.mine(99)
	p.work()
	if err := p.GiveBack(t.Context(), 1, "too early"); err == nil {
		t.Error("the debits went back before that was final")
	}
	p.chain.mine(1)
	p.work()
	if st := p.status(); !st.State.Open() {
		t.Fatalf("status %+v: it is the operator's to say", st)
	}
	if err := p.GiveBack(t.Context(), 1, "it was change"); err != nil {
		t.Fatal(err)
	}
	p.sound()
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, InFlight: 0})
	if err := p.GiveBack(t.Context(), 1, "again"); err == nil {
		t.Error("they went back twice")
	}
}

// TestSchemeChangesUnderALists divides a block by the terms that its coinbase was made by.
func TestSchemeChangesUnderALists(t *testing.T) {
	for _, terms := range []Terms{{Scheme: SOLO}, {Scheme: PPS}, {Scheme: PROP}} {
		lists := make(fakeLists)
		p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
		block := p.findListed(p.list(lists, 0), reward)
		p.work()
		p.cfg.Terms = terms
		p.restart()
		p.chain.mine(100)
		p.work()
		if st := p.state(block); st.Stage != BlockCredited || st.Terms.Scheme != PPLNS {
			t.Errorf("%s: the block is %+v, notes %v", terms.Scheme, st, p.store.notes)
		}
		p.wants(map[Account]int64{Miner("alice"): 0, Miner("finder"): 0, Reserve: 0, Fee: reward / 100})
	}
}

// TestRegisterWaitsForTheParent does not settle on too few lists while no node knows the block before.
func TestRegisterWaitsForTheParent(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.chain.mine(2)
	parent := p.chain.best[len(p.chain.best)-1]
	block := p.findListed(p.list(lists, 0), reward)
	p.chain.unknown[parent] = true
	p.work()
	if _, err := field[BlockState](t.Context(), p.store, TableBlocks, block.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is registered: %v", err)
	}
	delete(p.chain.unknown, parent)
	p.chain.mine(1)
	p.work()
	if st := p.state(block); st.Lists != 1 {
		t.Errorf("the block is %+v", st)
	}
}
