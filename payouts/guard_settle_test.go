package payouts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// bumped has a pool with a settlement of two versions, of which the second spends another coin too. Nobody else
// is paid. It returns what was sealed, and the coin.
func bumped(t *testing.T) (*pool, []Version, wire.OutPoint) {
	t.Helper()
	p := newPool(t, func(c *SettlerConfig) { c.BumpAfter, c.Policy.FeeCeiling, c.Terms.Fee = 2, 10_000_000, 1 })
	if err := p.operator().Book(t.Context(), Outside, Pool, 1e8); err != nil {
		t.Fatal(err)
	}
	p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	p.find(reward, window()...)
	p.chain.mempool = nil
	p.chain.mine(100)
	p.chain.rate = 9_000_000
	p.with(func(c *SettlerConfig) { c.Policy.Threshold = MaxMoney })
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil || len(st.versions) != 2 || len(st.versions[1].Inputs) != 2 {
		t.Fatalf("%+v, %v", st, err)
	}
	i := slices.IndexFunc(st.versions[1].Inputs, func(in Input) bool { return in.OutPoint != st.versions[0].Inputs[0].OutPoint })
	return p, st.versions, wire.OutPoint(st.versions[1].Inputs[i].OutPoint)
}

// raw returns a version's transaction.
func raw(t *testing.T, v *Version) *wire.MsgTx {
	t.Helper()
	tx, err := v.Transaction()
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// takes is a transaction that spends a coin and pays nobody of the pool's.
func takes(at wire.OutPoint) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&at, nil, nil))
	tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	return tx
}

// coinOf returns what is known of a coin; false if nothing is.
func (p *pool) coinOf(at wire.OutPoint) (CoinState, bool) {
	p.t.Helper()
	c, err := field[CoinState](p.t.Context(), p.store, TableCoins, at.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		p.t.Fatal(err)
	}
	return c, err == nil
}

// TestFirstVersionIsFinal frees the coin that only the other version spends, and sends again the one that was
// final if its block leaves the chain, also when that is long ago.
func TestFirstVersionIsFinal(t *testing.T) {
	p, versions, extra := bumped(t)
	n := &oddNetwork{fakeChain: p.chain}
	p.with(func(c *SettlerConfig) { c.Network = n })
	p.chain.mempool = []*wire.MsgTx{raw(t, &versions[0])}
	p.chain.mine(5)
	p.work()
	if st := p.status(); st.State != Confirmed || st.Version != 1 {
		t.Fatalf("five deep the status is %+v", st)
	}
	p.chain.mine(1)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Version != 1 {
		t.Fatalf("six deep the status is %+v", st)
	}
	if c, ok := p.coinOf(extra); !ok || c.Reserved != 0 {
		t.Errorf("the coin that was not spent is %+v, there %t", c, ok)
	}
	if _, ok := p.coinOf(wire.OutPoint(versions[0].Inputs[0].OutPoint)); ok {
		t.Error("the coin that was spent is known still")
	}
	block, err := chainhash.NewHashFromStr(p.status().Block)
	if err != nil {
		t.Fatal(err)
	}
	p.chain.unknown[*block] = true
	p.chain.mine(1)
	n.broadcasts = nil
	p.work()
	if len(n.broadcasts) != 0 {
		t.Error("it is sent again because no node knows its block")
	}
	delete(p.chain.unknown, *block)
	p.chain.mine(50)
	p.chain.reorganize(60)
	p.chain.mempool = nil
	p.work()
	if !slices.Equal(n.broadcasts, []chainhash.Hash{versions[0].TxID}) {
		t.Errorf("%v is sent, want the version that was final", n.broadcasts)
	}
}

// TestConflictOfTheOther says what has spent the coin that only the second version spends.
func TestConflictOfTheOther(t *testing.T) {
	p, _, extra := bumped(t)
	p.chain.mempool = []*wire.MsgTx{takes(extra)}
	p.chain.mine(1)
	p.work()
	p.waits(NotesSettlements, "1", extra.String())
}

// TestSettledByAnother books a settlement by a transaction that spends the first coin, pays in two outputs and
// has a coin of its own: the other coin is free then.
func TestSettledByAnother(t *testing.T) {
	p, versions, extra := bumped(t)
	first := wire.OutPoint(versions[0].Inputs[0].OutPoint)
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	tx := takes(first)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{9}}, nil, nil))
	for _, payee := range st.plan.Payees {
		tx.AddTxOut(wire.NewTxOut(payee.Output-1000, payee.Script))
		tx.AddTxOut(wire.NewTxOut(1000, payee.Script))
	}
	tx.AddTxOut(wire.NewTxOut(4321, p.wallet.script))
	p.chain.mempool = []*wire.MsgTx{tx}
	p.chain.mine(100)
	p.work()
	fees := p.balance(TxFees)
	left := st.status.Flight - st.status.Total
	if err := p.Settle(t.Context(), 1, tx.TxHash()); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(t.Context(), 1, tx.TxHash()); err == nil || err.Error() != "settlement 1 is final" {
		t.Errorf("settled twice: %v", err)
	}
	p.sound()
	p.wants(map[Account]int64{InFlight: 0, TxFees: fees + left, Paid: st.status.Total})
	if _, ok := p.coinOf(first); ok {
		t.Error("the coin that was spent is known still")
	}
	if c, ok := p.coinOf(extra); !ok || c.Reserved != 0 {
		t.Errorf("the coin that was not spent is %+v, there %t", c, ok)
	}
	change := 0
	for i := range tx.TxOut {
		if c, ok := p.coinOf(*wire.NewOutPoint(new(tx.TxHash()), uint32(i))); ok {
			change++
			if c.Value != 4321 {
				t.Errorf("output %d is a coin %+v", i, c)
			}
		}
	}
	if change != 1 {
		t.Errorf("%d outputs are coins, want the change", change)
	}
	p.chain.reorganize(101)
	p.chain.mempool = nil
	p.work() // there is nothing to send again
}

// TestCancelGivesAllBack gives debits back to accounts, and what was set aside for the fee to the pool.
func TestCancelGivesAllBack(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1 })
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.operator().Cancel(t.Context(), 1, "not now"); err != nil {
		t.Fatal(err)
	}
	p.wants(map[Account]int64{Fee: reward / 100, Pool: 0, InFlight: 0})
	if c, ok := p.coinOf(wire.OutPoint(st.plan.Inputs[0].OutPoint)); !ok || c.Reserved != 0 {
		t.Errorf("the coin is %+v, there %t", c, ok)
	}
}

// TestFreeMakesKnown has a coin known from then on that only the wallet knew: it may have it locked.
func TestFreeMakesKnown(t *testing.T) {
	p := mature(t, nil)
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	name := wire.OutPoint(st.plan.Inputs[0].OutPoint).String()
	f, err := set(TableCoins, name, CoinState{Value: reward, Reserved: 1, From: "wallet"})
	if err != nil {
		t.Fatal(err)
	}
	p.store.sheet.Tables[TableCoins][name] = f.Value
	for _, gone := range []bool{false, true} {
		sets, err := free(t.Context(), p.store, st, func(wire.OutPoint) bool { return gone })
		if err != nil || len(sets) != 1 || (sets[0].Value == "") != gone {
			t.Fatalf("gone %t: %v, %v", gone, sets, err)
		}
		if gone {
			continue
		}
		if c, err := unmarshal[CoinState](sets[0]); err != nil || c.Reserved != 0 {
			t.Errorf("the coin is %+v, %v", c, err)
		}
	}
}

// TestDead takes a settlement for dead only if nothing of it can confirm.
func TestDead(t *testing.T) {
	at := func(n byte) []Input { return []Input{{OutPoint: OutPoint{Hash: chainhash.Hash{n}}}} }
	gone := map[wire.OutPoint]bool{{Hash: chainhash.Hash{1}}: true}
	for name, c := range map[string]struct {
		plan     []Input
		versions []Version
		want     bool
	}{
		"unsealed":                  {at(2), nil, false},
		"unsealed and gone":         {at(1), nil, true},
		"one of two":                {at(1), []Version{{Inputs: at(1)}, {Inputs: at(2)}}, false},
		"both":                      {at(2), []Version{{Inputs: at(1)}, {Inputs: append(at(2), at(1)...)}}, true},
		"the plan, but not what is": {at(1), []Version{{Inputs: at(2)}}, false},
	} {
		st := &settlement{plan: Plan{Inputs: c.plan}, versions: c.versions}
		if got := st.dead(gone); got != c.want {
			t.Errorf("%s: dead %t", name, got)
		}
	}
}

// TestLostInputWaits does not give debits back before a loss is as deep as a conflict has to be.
func TestLostInputWaits(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Final = 300 })
	p.work()
	p.chain.reorganize(101)
	p.chain.mempool, p.chain.deaf = nil, &RefusedError{"bad-txns-inputs-missingorspent"}
	p.chain.mine(100)
	p.work()
	p.waits(NotesSettlements, "1", "is lost")
	if st := p.status(); !st.State.Open() {
		t.Fatalf("status %+v", st)
	}
	coin := p.coins1(t)
	p.chain.follow(p.grow(p.ledger.blocks[0].Hash, 250))
	p.work()
	if c, ok := p.coinOf(coin); !ok || c.Reserved != 1 {
		t.Errorf("the coin of the block that is back is %+v, there %t", c, ok)
	}
	if st := p.state(p.ledger.blocks[0].Hash); st.Stage != BlockCredited {
		t.Errorf("the block is %+v", st)
	}
}

// coins1 returns the first coin of the first settlement.
func (p *pool) coins1(t *testing.T) wire.OutPoint {
	t.Helper()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	return wire.OutPoint(st.plan.Inputs[0].OutPoint)
}

// staleChain says that the tip is one that the chain has left meanwhile.
type staleChain struct {
	*fakeChain
	tip Place
}

func (c *staleChain) Tip(context.Context) (Place, error) { return c.tip, nil }

// TestTipMovesMeanwhile does not confirm by a tip that the chain has left, nor give anything back by it.
func TestTipMovesMeanwhile(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(1)
	p.work()
	tip, err := p.chain.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.chain.reorganize(1)
	p.with(func(c *SettlerConfig) { c.Chain = &staleChain{p.chain, tip} })
	p.work()
	if st := p.status(); st.State != Published || st.Confirms != 1 {
		t.Errorf("status %+v", st)
	}

	p = mature(t, nil)
	p.chain.deaf = errors.New("no answer")
	p.work()
	p.chain.mempool = []*wire.MsgTx{takes(p.coins1(t))}
	p.chain.mine(100)
	if tip, err = p.chain.Tip(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.chain.reorganize(100)
	p.with(func(c *SettlerConfig) { c.Chain = &staleChain{p.chain, tip} })
	p.work()
	if st := p.status(); st.State != Sealed {
		t.Errorf("status %+v: the conflict is off the chain", st)
	}
}

// TestUnknownConfirmation does not undo a confirmation because no node knows the block for a moment.
func TestUnknownConfirmation(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mine(1)
	p.work()
	p.chain.unknown[p.chain.best[len(p.chain.best)-1]] = true
	p.chain.mine(4)
	p.work()
	if st := p.status(); st.State != Confirmed {
		t.Errorf("status %+v", st)
	}
	p = mature(t, nil)
	p.work()
	p.chain.mine(1)
	p.work()
	c := &oddChain{fakeChain: p.chain}
	p.with(func(cfg *SettlerConfig) { cfg.Chain = c })
	if err := p.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.standingErr = ErrNoQuorum
	if err := p.Work(t.Context()); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("without a majority: %v", err)
	}
}

// TestKnownChange leaves change as it is that the operator has made known.
func TestKnownChange(t *testing.T) {
	p := mature(t, nil)
	p.work()
	tx := p.chain.mempool[0]
	i := slices.IndexFunc(tx.TxOut, func(o *wire.TxOut) bool { return string(o.PkScript) == string(p.wallet.script) })
	at := *wire.NewOutPoint(new(tx.TxHash()), uint32(i))
	if err := p.operator().AddCoin(t.Context(), at, Unspent{Value: tx.TxOut[i].Value, Script: p.wallet.script}); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if c, ok := p.coinOf(at); !ok || c.From != "operator" || p.status().State != Final {
		t.Errorf("the change is %+v, there %t", c, ok)
	}
}

// TestLooksForNewCoins looks through a block again for coins that it was not looked through for.
func TestLooksForNewCoins(t *testing.T) {
	c := newFakeChain(new(faults))
	one, two := wire.OutPoint{Hash: chainhash.Hash{1}}, wire.OutPoint{Hash: chainhash.Hash{2}}
	c.mempool = []*wire.MsgTx{takes(one), takes(two)}
	c.mine(3)
	tip, err := c.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, plan := newSpends(c), &Plan{Since: c.best[0]}
	for _, coins := range [][]wire.OutPoint{{one}, {two}, {one, two}} {
		found, err := w.find(t.Context(), tip, plan, coins)
		if err != nil || len(found) != len(coins) {
			t.Errorf("%d of %d coins are found, %v", len(found), len(coins), err)
		}
		w.sweep()
	}
}

// TestNotesOfOpen shows a settlement's note while it is open, or final and sent again, and no old ones.
func TestNotesOfOpen(t *testing.T) {
	for _, c := range []struct {
		st   Status
		want string
	}{
		{Status{State: Planned}, "why"}, {Status{State: Final, Version: 1}, "why"},
		{Status{State: Final}, ""}, {Status{State: Returned, Version: 1}, ""},
	} {
		if got := current(c.st, "why"); got != c.want {
			t.Errorf("%+v: %q", c.st, got)
		}
	}
}

// TestPurseOfBumped does not have the change of a replacement that is not final.
func TestPurseOfBumped(t *testing.T) {
	p, versions, _ := bumped(t)
	p.chain.mine(1)
	p.with(func(c *SettlerConfig) { c.Wallet = &spender{p.wallet, p} })
	p.work()
	if st := p.status(); st.State != Confirmed || st.Version != 2 || versions[1].Change == nil {
		t.Fatalf("status %+v", st)
	}
	if purse, err := p.purse(t.Context()); err != nil || len(purse.free) != 0 {
		t.Errorf("%+v, %v", purse, err)
	}
}

// TestOvertaken tells people only if somebody else is always faster, and takes it back once that is over.
func TestOvertaken(t *testing.T) {
	p := newPool(t, noWallet)
	p.find(reward, window()...)
	store := &oddStore{memory: p.store, first: func(*Record) error { return ErrMoved }}
	p.cfg.Store = store
	p.restart()
	trouble := func() string { return p.store.notes[NotesWorker]["trouble"] }
	for n := range overtakenOften {
		if got := trouble(); got != "" {
			t.Fatalf("after %d looks: %q", n, got)
		}
		p.tick(t.Context())
	}
	if got := trouble(); !strings.Contains(got, ErrMoved.Error()) {
		t.Fatalf("after %d looks: %q", overtakenOften, got)
	}
	first := store.first
	store.first = nil
	p.tick(t.Context())
	store.first = first
	p.find(reward, window()...)
	p.tick(t.Context())
	if got := trouble(); got != "" {
		t.Errorf("after one that was not overtaken, and one that was: %q", got)
	}
}
