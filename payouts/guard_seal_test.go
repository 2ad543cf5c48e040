package payouts

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// TestPausedAfterSending sends again what was out while payouts are paused, and raises no fee.
func TestPausedAfterSending(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
	p.work()
	if err := p.operator().Pause(t.Context(), "a look"); err != nil {
		t.Fatal(err)
	}
	p.chain.mempool = nil
	p.chain.mine(5)
	p.chain.rate = 50_000
	p.work()
	if st := p.status(); st.Versions != 1 || len(p.chain.mempool) != 1 {
		t.Errorf("status %+v, %d in the mempool", st, len(p.chain.mempool))
	}
}

// TestBumps raises a fee only after so many blocks for each version, if there is a better rate, and if it is
// known that nodes have or refuse the last.
func TestBumps(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.BumpAfter = 2 })
	want := func(step string, blocks int, rate int64, versions int) {
		t.Helper()
		p.chain.mempool = nil
		p.chain.mine(blocks)
		p.chain.rate = rate
		p.work()
		if st := p.status(); st.Versions != versions {
			t.Fatalf("%s: status %+v, want %d versions; notes %v", step, st, versions, p.store.notes)
		}
	}
	p.work()
	want("too early", 1, 20_000, 1)
	want("the same rate", 1, 2000, 1)
	p.waits(NotesSettlements, "1", "")
	if got := p.store.notes[NotesSettlements]["1"]; got != "" {
		t.Errorf("it waits for %q", got)
	}
	p.chain.deaf = errors.New("no answer")
	want("nobody answers", 1, 20_000, 1)
	p.chain.deaf = nil
	want("the second", 0, 20_000, 2)
	want("too early for a third", 0, 40_000, 2)
	want("the third", 1, 40_000, 3)
	p.chain.mine(6)
	p.work()
	p.work()
	if st := p.status(); st.State != Final || st.Version != 3 {
		t.Errorf("status %+v", st)
	}
	p = mature(t, nil)
	p.work()
	want("never", 50, 50_000, 1)
}

// counting is a wallet that counts what it signs.
type counting struct {
	*fakeWallet
	signed int
}

func (w *counting) Sign(ctx context.Context, tx *wire.MsgTx, coins []Coin) (*wire.MsgTx, error) {
	w.signed++
	return w.fakeWallet.Sign(ctx, tx, coins)
}

// TestSeals signs nothing that is not approved, and seals nothing that is not signed validly, or again.
func TestSeals(t *testing.T) {
	p := mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1000 })
	w := &counting{fakeWallet: p.wallet}
	p.with(func(c *SettlerConfig) { c.Wallet = w })
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil || w.signed != 0 {
		t.Fatalf("what is not approved was signed %d times, %v", w.signed, err)
	}
	draft, err := st.plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.wallet.sign(draft.Tx, draft.Coins())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Seal(t.Context(), 1, draft, signed); err == nil || !strings.Contains(err.Error(), "waits for approval") {
		t.Errorf("sealed without approval: %v", err)
	}
	if err := p.operator().Approve(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	other := signed.Copy()
	other.TxIn[0].Witness[0][10] ^= 1
	if err := p.Seal(t.Context(), 1, draft, other); !errors.Is(err, ErrTransaction) {
		t.Errorf("sealed with a signature that is not valid: %v", err)
	}
	if err := p.Seal(t.Context(), 1, draft, signed); err != nil {
		t.Fatal(err)
	}
	if err := p.Seal(t.Context(), 1, draft, signed); !errors.Is(err, ErrTransaction) {
		t.Errorf("sealed the same again: %v", err)
	}
	p.work()
	p.chain.mine(1)
	p.work()
	if err := p.Seal(t.Context(), 1, draft, signed); err == nil || !strings.Contains(err.Error(), "nothing to seal") {
		t.Errorf("sealed once it is confirmed: %v", err)
	}
}

// TestPublishes sends nothing before a mirror has it.
func TestPublishes(t *testing.T) {
	p := mature(t, nil)
	p.wallet.offline = true
	p.work()
	operator := func() *Settler {
		cfg := p.cfg
		cfg.Mirror = nil
		s, err := NewSettler(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := operator().Publish(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "nothing to publish") {
		t.Errorf("what is not sealed: %v", err)
	}
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := st.plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.wallet.sign(draft.Tx, draft.Coins())
	if err != nil {
		t.Fatal(err)
	}
	if err := operator().Seal(t.Context(), 1, draft, signed); err != nil {
		t.Fatal(err)
	}
	if err := operator().Publish(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "mirror") || len(p.chain.sent) != 0 {
		t.Errorf("what no mirror has: %v, %d are out", err, len(p.chain.sent))
	}
	beside := operator()
	if err := beside.Work(t.Context()); err != nil || len(p.chain.sent) != 0 {
		t.Errorf("without a mirror %d are out, %v", len(p.chain.sent), err)
	}
	if st, err = load(t.Context(), p.store, 1); err != nil {
		t.Fatal(err)
	}
	n := &oddNetwork{fakeChain: p.chain}
	n.meanwhile = func() {
		if p.mirror.head != p.store.sheet.Head {
			t.Error("it is sent before the mirror has it")
		}
	}
	p.with(func(c *SettlerConfig) { c.Network = n })
	if err := p.publish(t.Context(), st); err != nil || len(p.chain.sent) != 1 {
		t.Errorf("%d are out, %v", len(p.chain.sent), err)
	}
	p.chain.mine(6)
	p.work()
	p.work()
	if err := operator().Publish(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "nothing to publish") {
		t.Errorf("what is final: %v", err)
	}
}

// TestPublishOnceMirrored has an operator send again what the worker's mirror has.
func TestPublishOnceMirrored(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.chain.mempool = nil
	p.work()
	cfg := p.cfg
	cfg.Mirror = nil
	s, err := NewSettler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), 1); err != nil || len(p.chain.mempool) != 1 {
		t.Errorf("%v, %d in the mempool", err, len(p.chain.mempool))
	}
}
