package payouts

import (
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// mature has a pool with a block that is credited by the next work.
func mature(t *testing.T, change func(*SettlerConfig)) *pool {
	t.Helper()
	p := newPool(t, change)
	p.find(reward, window()...)
	p.chain.mine(100)
	return p
}

// operator returns who decides beside the worker.
func (p *pool) operator() *Operator {
	p.t.Helper()
	o, err := NewOperator(p.store, KeeperConfig{Halts: p.ledger, By: "operator", Now: p.cfg.Now})
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// waits fails unless the worker's note holds a text.
func (p *pool) waits(table, name, text string) {
	p.t.Helper()
	if got := p.store.notes[table][name]; !strings.Contains(got, text) {
		p.t.Errorf("%s %s says %q, want %q", table, name, got, text)
	}
}

func TestApproval(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1000 })
	p.work()
	if st := p.status(); st.State != Planned || len(p.chain.sent) != 0 {
		t.Fatalf("status %+v with %d sent", st, len(p.chain.sent))
	}
	p.waits(NotesSettlements, "1", "waits for approval")
	if err := p.operator().Approve(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.operator().Approve(t.Context(), 1); err == nil {
		t.Error("it was approved twice")
	}
	if err := p.operator().Approve(t.Context(), 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	p.work()
	if st := p.status(); st.State != Published || st.Approved != "operator" {
		t.Errorf("status %+v", st)
	}
}

// TestPause keeps what is not out from going out, and watches what is.
func TestPause(t *testing.T) {
	p := mature(t, nil)
	if err := p.operator().Pause(t.Context(), "a look"); err != nil {
		t.Fatal(err)
	}
	p.work()
	p.waits(NotesWorker, "waits", "a look")
	p.wants(map[Account]int64{Miner("alice"): 37.125e8}) // credited all the same
	if err := p.operator().Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.operator().Resume(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("resumed twice: %v", err)
	}
	p.work()
	if err := p.operator().Pause(t.Context(), "again"); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final {
		t.Errorf("status %+v, want that what was out is followed to its end", st)
	}
}

// TestPauseBeforeSending pauses between the seal and the broadcast.
func TestPauseBeforeSending(t *testing.T) {
	p := mature(t, nil)
	p.chain.deaf = errors.New("no answer")
	p.work()
	p.chain.deaf = nil
	if err := p.operator().Pause(t.Context(), "a look"); err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.State != Sealed || len(p.chain.sent) != 0 {
		t.Fatalf("status %+v with %d sent", st, len(p.chain.sent))
	}
	p.waits(NotesSettlements, "1", "a look")
}

// TestFees has estimates missing and far too high: settlements wait, with a reason.
func TestFees(t *testing.T) {
	p := mature(t, nil)
	p.chain.rateErr = ErrNoEstimate
	p.work()
	p.waits(NotesWorker, "waits", "estimate")
	p.chain.rate, p.chain.rateErr = 2000*100, nil
	p.work()
	p.waits(NotesWorker, "waits", "200")
	if _, err := load(t.Context(), p.store, 1); !errors.Is(err, ErrNotFound) {
		t.Fatalf("something was planned: %v", err)
	}
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, Miner("bob"): 12.375e8})
	p.chain.rate = 2000
	p.work()
	if st := p.status(); st.State != Published {
		t.Errorf("status %+v", st)
	}
	p.waits(NotesWorker, "waits", "")
}

// TestPoolWithoutFunds cannot bear fees: nobody is paid, and the operator is told why.
func TestPoolWithoutFunds(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Terms.Fee = 0 })
	p.work()
	p.waits(NotesWorker, "waits", "fee")
	if err := p.operator().Book(t.Context(), Outside, Pool, 100_000); err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.State != Published {
		t.Errorf("status %+v", st)
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if got := p.balance(Pool) + p.balance(TxFees); got != 100_000 {
		t.Errorf("pool and fees have %d sat", got)
	}
}

// TestPayeesBearFees takes the fee off what payees get, to the satoshi.
func TestPayeesBearFees(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Terms.Fee, c.Policy.Bearer = 0, BearerPayees })
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	alice, _ := p.paidTo("alice")
	bob, _ := p.paidTo("bob")
	if fees := p.balance(TxFees); fees == 0 || alice+bob+fees != reward || p.balance(Paid) != alice+bob {
		t.Errorf("alice got %d, bob %d, miners %d sat", alice, bob, fees)
	}
}

// TestForeignAddress leaves alone who has an address of another network, and pays all others.
func TestForeignAddress(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, shares.Credit{Account: "alice", Weight: 1}, shares.Credit{Account: "void", Weight: 1})
	p.chain.mine(100)
	out, err := p.Outlook(t.Context())
	if err != nil || len(out.Unpayable) != 0 {
		t.Fatalf("before: %+v, %v", out, err)
	}
	p.work()
	out, err = p.Outlook(t.Context())
	if err != nil || len(out.Unpayable) != 1 || out.Owed != (reward-reward/100)/2 {
		t.Errorf("after: %+v, %v", out, err)
	}
	p.wants(map[Account]int64{Miner("alice"): 0, Miner("void"): (reward - reward/100) / 2})
}

// TestThresholds pays who has reached the default, or their own.
func TestThresholds(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Policy.Threshold = 20e8 })
	if err := p.operator().SetThreshold(t.Context(), "alice", 40e8); err != nil {
		t.Fatal(err)
	}
	p.work()
	if _, err := load(t.Context(), p.store, 1); !errors.Is(err, ErrNotFound) {
		t.Fatalf("somebody was paid: %v", err)
	}
	if err := p.operator().SetThreshold(t.Context(), "bob", 10e8); err != nil {
		t.Fatal(err)
	}
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, Miner("bob"): 0})
	if err := p.operator().SetThreshold(t.Context(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(6)
	p.work()
	p.work()
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 0})
}

// TestConfirmationsUndone reorganises a payment's block away again and again: it is sent again, and final once.
func TestConfirmationsUndone(t *testing.T) {
	p := mature(t, nil)
	p.work()
	for range 3 {
		p.chain.mine(3)
		p.work()
		if st := p.status(); st.State != Confirmed {
			t.Fatalf("status %+v", st)
		}
		p.chain.reorganize(3)
		p.chain.mempool = nil // and the mempool is lost
		p.work()
		if st := p.status(); st.State != Published || st.Block != "" {
			t.Fatalf("status %+v", st)
		}
		p.work()
		if len(p.chain.mempool) != 1 {
			t.Fatal("it was not sent again")
		}
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Confirms != 4 {
		t.Errorf("status %+v", st)
	}
	if _, n := p.paidTo("alice"); n != 1 {
		t.Errorf("alice is paid %d times", n)
	}
}

// TestFeeIsRaised raises the fee of what does not confirm. Whichever version is mined counts, and what the other's
// fee was higher goes back to the pool.
func TestFeeIsRaised(t *testing.T) {
	for _, first := range []bool{false, true} {
		p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
		p.work()
		one := p.chain.mempool[0]
		p.chain.mempool = nil
		p.chain.mine(2)
		p.chain.rate = 30_000
		p.work()
		if st := p.status(); st.Versions != 2 || st.State != Published {
			t.Fatalf("status %+v, notes %v", st, p.store.notes)
		}
		two := p.chain.mempool[0]
		if one.TxHash() == two.TxHash() {
			t.Fatal("it was not replaced")
		}
		fund := p.balance(Fee)
		if first {
			p.chain.mempool = []*wire.MsgTx{one}
		}
		p.chain.mine(6)
		p.work()
		p.work()
		st := p.status()
		if want := map[bool]int{true: 1, false: 2}[first]; st.State != Final || st.Version != want {
			t.Fatalf("status %+v, want version %d", st, want)
		}
		if more := p.balance(Fee) - fund; first != (more > 0) {
			t.Errorf("version %d is final and %d sat came back", st.Version, more)
		}
	}
}

// TestConflictOfOneVersion spends a coin that only the replacement spends: the first may still confirm, so
// nothing is returned.
func TestConflictOfOneVersion(t *testing.T) {
	p, versions, extra := bumped(t)
	p.chain.mempool = []*wire.MsgTx{takes(extra)}
	p.chain.mine(10)
	p.work()
	if st := p.status(); st.State == Returned {
		t.Fatal("the debits went back though the first version may still confirm")
	}
	p.chain.mempool = []*wire.MsgTx{raw(t, &versions[0])}
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Version != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestOffline waits for a signer who is elsewhere.
func TestOffline(t *testing.T) {
	p := mature(t, nil)
	p.wallet.offline = true
	p.work()
	p.waits(NotesSettlements, "1", "payouts seal")
	d, err := Settlement(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := d.Plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.wallet.sign(draft.Tx, draft.Coins())
	if err != nil {
		t.Fatal(err)
	}
	other := signed.Copy()
	other.TxOut[0].Value--
	if err := p.Seal(t.Context(), 1, draft, other); err == nil {
		t.Error("another transaction was sealed")
	}
	if err := p.Seal(t.Context(), 1, draft, draft.Tx); err == nil {
		t.Error("one without signatures was sealed")
	}
	if err := p.Seal(t.Context(), 1, draft, signed); err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.State != Published {
		t.Errorf("status %+v", st)
	}
}

// TestOfflineSignerSends has the signer send what was to be brought back: that is the payment.
func TestOfflineSignerSends(t *testing.T) {
	for _, changed := range []bool{false, true} {
		p := mature(t, nil)
		p.wallet.offline = true
		p.work()
		d, err := Settlement(t.Context(), p.store, 1)
		if err != nil {
			t.Fatal(err)
		}
		draft, err := d.Plan.Draft()
		if err != nil {
			t.Fatal(err)
		}
		tx := draft.Tx.Copy()
		if changed { // with a fee of the signer's own
			for _, out := range tx.TxOut {
				if string(out.PkScript) == string(p.wallet.script) {
					out.Value -= 777
				}
			}
		}
		signed, err := p.wallet.sign(tx, draft.Coins())
		if err != nil {
			t.Fatal(err)
		}
		p.chain.mempool = []*wire.MsgTx{signed}
		p.chain.mine(10)
		p.work()
		p.work()
		st := p.status()
		if changed {
			p.waits(NotesSettlements, "1", "pays payees")
			if !st.State.Open() {
				t.Errorf("status %+v: it is an operator's to judge", st)
			}
		} else if st.State != Final {
			t.Errorf("status %+v, notes %v", st, p.store.notes)
		}
		if got := p.balance(Miner("alice")); got != 0 {
			t.Errorf("alice has %d sat, want what was paid not to come back", got)
		}
	}
}

// TestLostBroadcasts sends the same bytes until somebody has them.
func TestLostBroadcasts(t *testing.T) {
	p := mature(t, nil)
	p.chain.deaf = &RefusedError{"mempool min fee not met"}
	p.work()
	p.waits(NotesSettlements, "1", "mempool min fee not met")
	raw := p.store.sheet.Tables[TableVersions]["1/1"]
	for range 3 {
		p.work()
	}
	p.chain.deaf = nil
	p.work()
	if st := p.status(); st.State != Published || p.store.sheet.Tables[TableVersions]["1/1"] != raw {
		t.Errorf("status %+v", st)
	}
}
