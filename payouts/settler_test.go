package payouts

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// window is a window of two accounts.
func window() []shares.Credit {
	return []shares.Credit{{Account: "alice", Weight: 3}, {Account: "bob", Weight: 1}}
}

const reward int64 = 50e8

// TestLifeOfASatoshi follows a reward from the block to the miners' addresses.
func TestLifeOfASatoshi(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, window()...)
	p.work()
	if got := p.store.notes[NotesBlocks]; len(got) != 1 {
		t.Errorf("notes %v, want where the block stands", got)
	}
	p.chain.mine(98)
	p.work()
	if got := p.balance(Miner("alice")); got != 0 {
		t.Fatalf("alice has %d sat before the block is mature", got)
	}
	p.chain.mine(1)
	p.work()
	fee := reward / 100
	alice, bob := (reward-fee)*3/4, (reward-fee)/4
	if st := p.status(); st.State != Published || st.Total != alice+bob {
		t.Fatalf("status %+v", st)
	}
	if got := p.balance(InFlight); got <= alice+bob {
		t.Errorf("%d sat in flight, want the payees' %d and the fee", got, alice+bob)
	}
	p.chain.mine(1)
	p.work()
	if st := p.status(); st.State != Confirmed {
		t.Fatalf("status %+v", st)
	}
	p.chain.mine(5)
	p.work()
	if st := p.status(); st.State != Final {
		t.Fatalf("status %+v", st)
	}
	for account, want := range map[string]int64{"alice": alice, "bob": bob} {
		if got, n := p.paidTo(account); got != want || n != 1 {
			t.Errorf("the chain pays %s %d sat in %d outputs, want %d in 1", account, got, n, want)
		}
		if got := p.balance(Miner(account)); got != 0 {
			t.Errorf("%s is still owed %d sat", account, got)
		}
	}
	if got, want := p.balance(Paid)+p.balance(TxFees)+p.balance(Fee), reward; got != want {
		t.Errorf("paid, transaction fees and fee are %d sat, want %d", got, want)
	}
	if p.balance(InFlight) != 0 {
		t.Error("something is in flight still")
	}
}

// TestEveryWriteOfTheWorkerFails breaks everything that the worker writes or sends, one after the other, as
// if it had not been done and as if only the answer had been lost, and lets a fresh worker go on. Each ends
// in the same balances and in one payment.
func TestEveryWriteOfTheWorkerFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for n := 1; ; n++ {
			broke := false
			t.Run(fmt.Sprintf("write %d, stored %t", n, stored), func(t *testing.T) { broke = breakWorker(t, n, stored) })
			if !broke {
				if n < 10 {
					t.Fatalf("only %d writes", n)
				}
				break
			}
		}
	}
}

// breakWorker breaks the nth write; false if there were fewer.
func breakWorker(t *testing.T, n int, stored bool) bool {
	t.Helper()
	p := newPool(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
	p.at, p.stored = n, stored
	p.find(reward, window()...)
	broke := false
	step := func() {
		p.t.Helper()
		for range 3 {
			p.now = p.now.Add(time.Hour)
			err := p.Work(t.Context())
			p.sound()
			if err == nil && p.count < p.at || broke {
				return
			}
			if p.count >= p.at { // a fresh process goes on
				broke = true
				p.restart()
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	p.chain.mine(100)
	step()
	p.chain.rate = 20_000
	mempool := p.chain.mempool
	p.chain.mempool = nil // it does not confirm for a while
	p.chain.mine(3)
	p.chain.mempool = append(mempool, p.chain.mempool...)
	p.chain.clean()
	step()
	step()
	p.chain.mine(1)
	step()
	p.chain.mine(6)
	step()
	step()
	if st := p.status(); st.State != Final {
		t.Fatalf("status %+v, notes %v", st, p.store.notes)
	}
	if _, err := load(t.Context(), p.store, 2); !errors.Is(err, ErrNotFound) {
		t.Fatalf("there is a second settlement: %v", err)
	}
	fee := reward / 100
	for account, want := range map[string]int64{"alice": (reward - fee) * 3 / 4, "bob": (reward - fee) / 4} {
		if got, outputs := p.paidTo(account); got != want || outputs != 1 {
			t.Errorf("the chain pays %s %d sat in %d outputs, want %d in 1", account, got, outputs, want)
		}
	}
	if p.mirror.head != p.store.sheet.Head {
		t.Errorf("the mirror ends at %v, the journal at %v", p.mirror.head, p.store.sheet.Head)
	}
	return broke
}

// TestTwoWorkers lets a worker that has slept through its lease go on with what it has read before.
func TestTwoWorkers(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, window()...)
	p.chain.mine(100)
	slept := p.Settler
	head, err := slept.keeper.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.ledger.token = 2
	p.cfg.Mirror = &memoryMirror{faults: p.faults}
	p.restart()
	p.work()
	if _, err := slept.keeper.Post(t.Context(), 1, head, Entry{Key: "late", Kind: KindPause, Sets: []Set{{TablePool, PoolPaused, "x"}}}); !errors.Is(err, shares.ErrFenced) {
		t.Errorf("the one who slept: %v, want ErrFenced", err)
	}
	p.sound()
	if len(p.chain.sent) != 1 {
		t.Errorf("%d transactions are out", len(p.chain.sent))
	}
}

// TestRedisFromYesterday restores an older journal: nothing is paid again, and the mirror repairs it.
func TestRedisFromYesterday(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, window()...)
	p.chain.mine(99)
	p.work()
	yesterday := newMemory(p.faults)
	for _, r := range p.store.records {
		if err := yesterday.Post(t.Context(), 0, r); err != nil {
			t.Fatal(err)
		}
	}
	p.find(reward, window()...)
	p.chain.mine(7)
	p.work()
	today := p.store.sheet.Head
	p.store = yesterday
	p.cfg.Store = yesterday
	p.restart()
	if err := p.Work(t.Context()); !errors.Is(err, ErrBehind) {
		t.Fatalf("a journal from yesterday: %v, want ErrBehind", err)
	}
	if len(p.ledger.halts) != 1 {
		t.Errorf("payouts are halted %d times, want once", len(p.ledger.halts))
	}
	sent := len(p.chain.sent)
	n, err := Repair(t.Context(), p.store, p.mirror)
	if err != nil || n == 0 {
		t.Fatalf("repaired %d records, %v", n, err)
	}
	var halted *HaltedError
	if err := p.Work(t.Context()); !errors.As(err, &halted) {
		t.Fatalf("before the operator has looked: %v, want that payouts are halted", err)
	}
	p.ledger.halts = nil
	p.work()
	if p.store.sheet.Head.Seq < today.Seq || len(p.chain.sent) != sent {
		t.Errorf("the journal ends at %d, want %d at least; %d transactions are out, want %d", p.store.sheet.Head.Seq, today.Seq, len(p.chain.sent), sent)
	}
}

// TestDiverged stops at a journal that somebody has written to after an older copy was restored.
func TestDiverged(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, window()...)
	p.work()
	other := newMemory(p.faults)
	if err := other.Post(t.Context(), 0, &Record{Seq: 1, Key: "x", Kind: KindPause, Time: p.now}); err != nil {
		t.Fatal(err)
	}
	p.cfg.Store = other
	p.restart()
	if err := p.Work(t.Context()); !errors.Is(err, ErrDiverged) {
		t.Fatalf("%v, want ErrDiverged", err)
	}
	if _, err := Repair(t.Context(), other, p.mirror); !errors.Is(err, ErrDiverged) {
		t.Errorf("repair: %v, want ErrDiverged", err)
	}
	for _, dry := range []bool{true, false} {
		undone, err := Replace(t.Context(), other, p.mirror, dry)
		if err != nil || len(undone) != 1 || undone[0].Key != "x" {
			t.Errorf("replace: %v, %v", undone, err)
		}
	}
	if other.sheet.Head != p.mirror.head {
		t.Errorf("the journal ends at %v, the mirror at %v", other.sheet.Head, p.mirror.head)
	}
	if _, err := Replace(t.Context(), other, p.mirror, false); err == nil {
		t.Error("a journal that is the mirror's was replaced")
	}
	p.ledger.halts, p.store = nil, other
	p.restart()
	p.work()
}

// TestCoinsSpentByHand spends what a settlement has reserved: its debits go back once that is final.
func TestCoinsSpentByHand(t *testing.T) {
	p := newPool(t, nil)
	p.find(reward, window()...)
	p.chain.deaf = errors.New("no answer")
	p.chain.mine(100)
	p.work()
	st := p.status()
	if st.State != Sealed {
		t.Fatalf("status %+v", st)
	}
	s, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	thief := wire.NewMsgTx(2)
	at := wire.OutPoint(s.plan.Inputs[0].OutPoint)
	thief.AddTxIn(wire.NewTxIn(&at, nil, nil))
	thief.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	p.chain.mempool = append(p.chain.mempool, thief)
	p.chain.mine(1)
	p.work()
	if note := p.store.notes[NotesSettlements]["1"]; !strings.Contains(note, "was spent by") {
		t.Errorf("note %q", note)
	}
	p.chain.mine(98)
	p.work()
	if st := p.status(); st.State != Sealed {
		t.Fatalf("status %+v: the conflict may still be undone", st)
	}
	p.chain.mine(1)
	p.work()
	if st := p.status(); st.State != Returned || st.Why == "" {
		t.Fatalf("status %+v", st)
	}
	if got := p.balance(Miner("alice")); got != 37.125e8 {
		t.Errorf("alice has %d sat, want all back", got)
	}
	p.now = p.now.Add(2 * time.Hour)
	p.work()
	if w := p.store.notes[NotesWorker]["waits"]; !strings.Contains(w, "less than the accounts are owed") {
		t.Errorf("the worker waits for %q, want that the wallet is insolvent", w)
	}
	if _, err := load(t.Context(), p.store, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("something was planned with an empty wallet: %v", err)
	}
}
