package payouts

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// TestPartlyPaidElsewhere has somebody replace a settlement and shrink one output: its debits do not go back,
// because that would pay the others twice. An operator says what becomes of it.
func TestPartlyPaidElsewhere(t *testing.T) {
	for _, enough := range []bool{false, true} {
		p := mature(t, nil)
		p.work()
		st, err := load(t.Context(), p.store, 1)
		if err != nil {
			t.Fatal(err)
		}
		draft, err := st.plan.Draft()
		if err != nil {
			t.Fatal(err)
		}
		bob, err := scriptOf("bob")
		if err != nil {
			t.Fatal(err)
		}
		tx := draft.Tx.Copy()
		for _, out := range tx.TxOut {
			if string(out.PkScript) == string(bob) != enough {
				out.Value -= 5000
				break
			}
		}
		if enough { // only the change is smaller
			tx = draft.Tx.Copy()
			for _, out := range tx.TxOut {
				if string(out.PkScript) == string(p.wallet.script) {
					out.Value -= 5000
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
		if err := p.Settle(t.Context(), 1, signed.TxHash()); err == nil {
			t.Error("it was booked before it was final")
		}
		p.chain.mine(150)
		p.work()
		p.waits(NotesSettlements, "1", "gbtpool payouts settle 1")
		p.wants(map[Account]int64{Miner("alice"): 0, Miner("bob"): 0})
		if err := p.Settle(t.Context(), 1, chainhash.Hash{1}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a transaction that is not there: %v", err)
		}
		if err := p.Settle(t.Context(), 1, signed.TxHash()); (err == nil) != enough {
			t.Errorf("pays enough %t: %v", enough, err)
		}
		p.sound()
		if st := p.status(); (st.State == Final) != enough {
			t.Errorf("status %+v", st)
		}
	}
}

func TestCancel(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1 })
	p.work()
	if err := p.operator().Cancel(t.Context(), 1, "not now"); err != nil {
		t.Fatal(err)
	}
	p.sound()
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, InFlight: 0})
	if err := p.operator().Cancel(t.Context(), 1, "again"); err == nil {
		t.Error("it was cancelled twice")
	}
	p.cfg.Policy.ApproveAbove = 0
	p.restart()
	p.work()
	if err := p.operator().Cancel(t.Context(), 2, "too late"); err == nil {
		t.Error("what is signed was cancelled")
	}
}

// TestOlderVersionIsSent sends the first version again where the replacement cannot confirm any more.
func TestOlderVersionIsSent(t *testing.T) {
	p, versions, extra := bumped(t)
	p.chain.mempool = []*wire.MsgTx{takes(extra)}
	p.chain.mine(1)
	p.work()
	if len(p.chain.mempool) != 1 || p.chain.mempool[0].TxHash() != versions[0].TxID {
		t.Fatalf("the mempool has %d transactions, want the first version", len(p.chain.mempool))
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Version != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestInputOfALostBlock gives debits back whose coin is gone with its block.
func TestInputOfALostBlock(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.reorganize(101)
	p.chain.mempool, p.chain.deaf = nil, &RefusedError{"bad-txns-inputs-missingorspent"}
	p.work()
	if err := p.operator().Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(99)
	p.work()
	if st := p.status(); st.State != Published {
		t.Fatalf("status %+v: the other branch may win yet", st)
	}
	p.chain.mine(1)
	p.work()
	if st := p.status(); st.State != Returned || !strings.Contains(st.Why, "is lost") {
		t.Fatalf("status %+v", st)
	}
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, InFlight: 0, Reserve: -reward})
}

// TestLostBlockIsBack has a block come back, with what was paid of it, after its debits went back: that is deeper
// than anything that is promised. Nobody else is paid before an operator has looked.
func TestLostBlockIsBack(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(1)
	paid, tip := p.coins1(t), p.chain.best[len(p.chain.best)-1]
	p.chain.reorganize(102)
	p.chain.mempool, p.chain.deaf = nil, &RefusedError{"bad-txns-inputs-missingorspent"}
	p.work()
	p.chain.mine(100)
	p.work()
	if st := p.status(); st.State != Returned {
		t.Fatalf("status %+v", st)
	}
	p.chain.follow(p.grow(tip, 250))
	if err := p.operator().Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.work()
	p.work()
	if st := p.state(p.ledger.blocks[0].Hash); st.Stage != BlockCredited {
		t.Fatalf("the block is %+v", st)
	}
	p.waits(NotesWorker, "waits", paid.String()+" of "+strconv.FormatInt(reward, 10)+" sat is spent")
	if got, err := table[Status](t.Context(), p.store, TableSettlements); err != nil || len(got) != 1 {
		t.Errorf("settlements %v, %v", got, err)
	}
}

// TestWalletTakenAway has a worker without a wallet follow what is out.
func TestWalletTakenAway(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 1 })
	p.work()
	p.chain.mempool = nil
	p.chain.mine(5)
	p.chain.rate = 50_000
	p.cfg.Wallet = nil
	p.restart()
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Versions != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestRefusedIsBumped raises the fee of what nodes refuse, but not while payouts are paused.
func TestRefusedIsBumped(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
	p.chain.deaf = &RefusedError{"mempool min fee not met"}
	p.work()
	p.chain.rate = 50_000
	p.chain.mine(3)
	if err := p.operator().Pause(t.Context(), "a look"); err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.Versions != 1 {
		t.Errorf("a fee was raised while payouts are paused: %+v", st)
	}
	if err := p.operator().Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.Versions != 2 {
		t.Errorf("status %+v, notes %v", st, p.store.notes)
	}
}

// TestConfirmedInAnUnknownBlock opens a settlement again whose block no node knows any more.
func TestConfirmedInAnUnknownBlock(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(1)
	p.work()
	block := p.chain.best[len(p.chain.best)-1]
	p.chain.reorganize(1)
	p.chain.unknown[block] = true
	p.chain.mempool = nil
	p.chain.mine(6)
	p.work()
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Confirms != 2 {
		t.Errorf("status %+v", st)
	}
}

// TestConfirmedBelowThePlan finds a payment in a block that is lower than the one it was planned on.
func TestConfirmedBelowThePlan(t *testing.T) {
	p := mature(t, nil)
	p.chain.mine(60)
	p.work()
	tx := p.chain.mempool[0]
	at := p.chain.best[len(p.chain.best)-1-50]
	at = p.chain.on(at, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})}, tx)
	for range 60 {
		at = p.chain.on(at, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	p.chain.follow(at)
	p.work()
	p.work()
	if st := p.status(); st.State != Final {
		t.Errorf("status %+v", st)
	}
}

// TestFinalLeavesTheChain sends again what was final: nobody is paid twice, and nobody goes without.
func TestFinalLeavesTheChain(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	p.chain.reorganize(8)
	p.chain.mempool = nil
	p.work()
	p.waits(NotesSettlements, "1", "sent again")
	p.chain.mine(1)
	p.work()
	if _, n := p.paidTo("alice"); n != 1 {
		t.Errorf("alice is paid %d times", n)
	}
}

// TestChainMovesMeanwhile reorganises the chain between two questions of one look: the worker does not go back
// and forth, and the next look has it right.
func TestChainMovesMeanwhile(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(1)
	p.chain.asked = func() { p.chain.reorganize(1) }
	p.work()
	if records := len(p.store.records); records > 7 {
		t.Errorf("%d records, want that one look decides once", records)
	}
	p.work()
	if st := p.status(); st.State != Published || len(p.chain.mempool) != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestNotesAreTidied clears what a worker that died has left said of what is over.
func TestNotesAreTidied(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	block := p.ledger.blocks[0].Hash.String()
	if err := p.store.Note(t.Context(), Set{NotesSettlements, "1", "left"}, Set{NotesBlocks, block, "left"}); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.work()
	p.waits(NotesSettlements, "1", "")
	if n := len(p.store.notes[NotesSettlements]) + len(p.store.notes[NotesBlocks]); n != 0 {
		t.Errorf("%d notes are left: %v", n, p.store.notes)
	}
}

// TestSpentBelowThePlan sees a coin that was spent below the block that its settlement was planned on.
func TestSpentBelowThePlan(t *testing.T) {
	p := mature(t, nil)
	p.chain.deaf = errors.New("no answer")
	at := p.chain.best[len(p.chain.best)-2]
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	thief := wire.NewMsgTx(2)
	coin := wire.OutPoint(st.plan.Inputs[0].OutPoint)
	thief.AddTxIn(wire.NewTxIn(&coin, nil, nil))
	thief.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	p.chain.blocks[at].Transactions = append(p.chain.blocks[at].Transactions, thief)
	p.restart()
	p.work()
	p.waits(NotesSettlements, "1", "was spent by")
}

// TestStrangeSpend stops planning if a coin was spent by something that the journal does not know, as it is
// with an older journal on a host that has no mirror.
func TestStrangeSpend(t *testing.T) {
	p := mature(t, nil)
	if err := p.operator().Book(t.Context(), Outside, Pool, 100e8); err != nil {
		t.Fatal(err)
	}
	deposit := p.chain.on(p.chain.best[len(p.chain.best)-1], []*wire.TxOut{wire.NewTxOut(100e8, p.wallet.script)})
	p.chain.follow(deposit)
	coin := *wire.NewOutPoint(new(p.chain.blocks[deposit].Transactions[0].TxHash()), 0)
	if err := p.operator().AddCoin(t.Context(), coin, Unspent{Value: 100e8, Script: p.wallet.script}); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(100)
	p.cfg.Policy.Threshold = MaxMoney
	p.restart()
	p.work()
	yesterday := newMemory(p.faults)
	for _, r := range p.store.records {
		if err := yesterday.Post(t.Context(), 0, r); err != nil {
			t.Fatal(err)
		}
	}
	p.cfg.Policy.Threshold = 1000
	p.restart()
	p.work()
	p.chain.mine(6)
	p.work()
	p.work()
	paid, _ := p.paidTo("alice")
	p.store, p.cfg.Store, p.cfg.Mirror = yesterday, yesterday, &memoryMirror{faults: p.faults}
	p.restart()
	p.work()
	p.waits(NotesWorker, "waits", "--spent")
	p.chain.mine(6)
	p.work()
	if again, _ := p.paidTo("alice"); again != paid || paid == 0 {
		t.Errorf("alice has %d sat on the chain, and had %d", again, paid)
	}
	if err := p.operator().DropCoin(t.Context(), wire.OutPoint{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a coin that is not there: %v", err)
	}
}

// TestClockAhead is not kept from paying by a clock that was ahead once.
func TestClockAhead(t *testing.T) {
	p := mature(t, nil)
	p.cfg.Policy.Threshold = MaxMoney
	p.restart()
	now := p.now
	p.now = now.AddDate(10, 0, 0)
	p.work()
	p.now = now
	p.cfg.Policy.Threshold = 1000
	p.restart()
	p.work()
	p.work()
	if _, err := load(t.Context(), p.store, 1); err != nil {
		t.Errorf("nobody is paid: %v", err)
	}
}

// TestTermsChange goes on with a credit in parts by the terms that it began with.
func TestTermsChange(t *testing.T) {
	for _, fee := range []int64{0, 500} {
		p := newPool(t, noWallet)
		p.at = 5 // found and mirrored, the tree, a part and mirrored
		p.find(reward, many(2*partLegs)...)
		p.chain.mine(100)
		if err := p.Work(t.Context()); err != nil || p.balance(Crediting) == 0 {
			t.Fatalf("nothing is credited in part: %v", err)
		}
		p.cfg.Terms.Fee = fee
		p.restart()
		p.work()
		p.work()
		p.wants(map[Account]int64{Crediting: 0, Fee: reward / 100})
	}
}

// TestSchemeChange does not pay a round twice that was paid per share.
func TestSchemeChange(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
	if err := p.operator().Book(t.Context(), Outside, Reserve, 2*reward); err != nil {
		t.Fatal(err)
	}
	p.find(reward, shares.Credit{Account: "alice", Weight: 2})
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward})
	p.cfg.Terms = Terms{Scheme: PROP}
	p.restart()
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward, Reserve: 2 * reward})
}

// TestReserveFilledByItsBlock pays a round from what its own block brings.
func TestReserveFilledByItsBlock(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 0})
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward / 2, Reserve: reward / 2})
}

// TestMergedRoundComesBack carries the reward of a block whose round was divided with another's.
func TestMergedRoundComesBack(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} })
	orphan := p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.reorganize(1)
	p.find(reward, shares.Credit{Account: "bob", Weight: 1})
	p.chain.mine(99)
	p.work()
	at := orphan
	for range 150 {
		at = p.chain.on(at, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	p.chain.follow(at)
	p.work()
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward / 2, Miner("bob"): reward / 2, Carry: reward})
}
