package payouts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// oddNetwork is a network that fails, or that something happens to during a broadcast.
type oddNetwork struct {
	*fakeChain
	unspentErr error
	meanwhile  func()
	broadcasts []chainhash.Hash
}

func (n *oddNetwork) Broadcast(ctx context.Context, raw []byte) error {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(strings.NewReader(string(raw))); err == nil {
		n.broadcasts = append(n.broadcasts, tx.TxHash())
	}
	if n.meanwhile != nil {
		n.meanwhile()
	}
	return n.fakeChain.Broadcast(ctx, raw)
}

func (n *oddNetwork) Unspent(ctx context.Context, at wire.OutPoint) (Unspent, error) {
	u, err := n.fakeChain.Unspent(ctx, at)
	return u, errors.Join(n.unspentErr, err)
}

// spender is a wallet that lists coins whether they are reserved or not, and change as soon as it is out.
type spender struct {
	*fakeWallet
	pool *pool
}

func (w *spender) Coins(_ context.Context, known []Coin) ([]Coin, error) {
	out := slices.Clone(known)
	for name, text := range w.pool.store.sheet.Tables[TableCoins] {
		c, err := unmarshal[CoinState](Set{TableCoins, name, text})
		if err != nil {
			return nil, err
		}
		at, err := wire.NewOutPointFromString(name)
		if err != nil {
			return nil, err
		}
		if c.Reserved != 0 {
			out = append(out, Coin{OutPoint: *at, Value: c.Value, Script: c.Script})
		}
	}
	for _, tx := range w.pool.chain.sent {
		for i, o := range tx.TxOut {
			if string(o.PkScript) == string(w.script) {
				out = append(out, Coin{OutPoint: *wire.NewOutPoint(new(tx.TxHash()), uint32(i)), Value: o.Value, Script: o.PkScript})
			}
		}
	}
	return out, nil
}

// TestPurse has only coins that are free for good: not reserved ones, and no change of what is not final.
func TestPurse(t *testing.T) {
	p := mature(t, nil)
	p.work()
	p.with(func(c *SettlerConfig) { c.Wallet = &spender{p.wallet, p} })
	p.find(reward, shares.Credit{Account: "carol", Weight: 1})
	p.chain.mine(2)
	p.work()
	st := p.status()
	if st.State != Confirmed {
		t.Fatalf("status %+v", st)
	}
	purse, err := p.purse(t.Context())
	if err != nil || len(purse.free) != 0 || purse.reserved != reward || purse.flight != st.Flight || purse.next != 2 {
		t.Errorf("%+v, %v", purse, err)
	}
	p.chain.mine(4)
	p.work()
	p.work()
	if purse, err = p.purse(t.Context()); err != nil || len(purse.free) == 0 || purse.reserved != 0 || purse.flight != 0 || purse.next != 2 {
		t.Errorf("once it is final: %+v, %v", purse, err)
	}
	if got := p.balance(Fee) + p.balance(Pool); purse.pool != got || got == 0 {
		t.Errorf("the pool has %d sat, want %d", purse.pool, got)
	}
}

// TestPurseOfUnsealed does not have the change of a plan either whose signer may send it.
func TestPurseOfUnsealed(t *testing.T) {
	p := mature(t, nil)
	p.wallet.offline = true
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := st.plan.Draft()
	if err != nil {
		t.Fatal(err)
	}
	p.chain.sent[draft.Tx.TxHash()] = draft.Tx
	p.with(func(c *SettlerConfig) { c.Wallet = &spender{p.wallet, p} })
	if purse, err := p.purse(t.Context()); err != nil || len(purse.free) != 0 {
		t.Errorf("%+v, %v", purse, err)
	}
}

// TestNextID numbers on from the highest, in whatever order settlements are read.
func TestNextID(t *testing.T) {
	p := newPool(t, nil)
	p.store.sheet.Tables[TableSettlements] = make(map[string]string)
	for id := range uint64(12) {
		p.store.sheet.Tables[TableSettlements][settlementField(id+1)] = `{"state":"returned","flight":0,"total":0}`
	}
	for range 30 {
		if purse, err := p.purse(t.Context()); err != nil || purse.next != 13 {
			t.Fatalf("the next is %d, %v", purse.next, err)
		}
	}
}

// TestSolvency counts all that is owed, and only what is there.
func TestSolvency(t *testing.T) {
	for name, c := range map[string]struct {
		book func(*pool) error
		want bool
	}{
		"enough": {func(*pool) error { return nil }, true},
		"carried": {func(p *pool) error {
			return p.operator().Book(p.t.Context(), Outside, Carry, reward/100+1)
		}, false},
		"crediting": {func(p *pool) error {
			p.store.sheet.Balances[Crediting] += reward/100 + 1
			return nil
		}, false},
		"owed": {func(p *pool) error {
			return p.operator().Book(p.t.Context(), Outside, Miner("carol"), reward/100+1)
		}, false},
	} {
		p := mature(t, func(c *SettlerConfig) { c.Policy.Threshold = MaxMoney })
		p.work()
		p.with(func(c *SettlerConfig) { c.Policy.Threshold = 1000 })
		if err := c.book(p); err != nil {
			t.Fatal(err)
		}
		out, err := p.Outlook(t.Context())
		if err != nil || errors.Is(out.Wait, ErrInsolvent) == c.want || (len(out.Plans) > 0) != c.want {
			t.Errorf("%s: %d plans, it waits for %v, %v", name, len(out.Plans), out.Wait, err)
		}
	}
	// What is in flight is covered by what is reserved for it, and by nothing else.
	p := mature(t, nil)
	p.chain.deaf = errors.New("no answer")
	p.work()
	out, err := p.Outlook(t.Context())
	if err != nil || out.Wait != nil {
		t.Errorf("with a settlement on its way: %v, %v", out.Wait, err)
	}
	if err := p.operator().Book(t.Context(), Outside, Miner("carol"), reward/100); err != nil {
		t.Fatal(err)
	}
	if out, err = p.Outlook(t.Context()); err != nil || !errors.Is(out.Wait, ErrInsolvent) {
		t.Errorf("with more owed than there is beside it: %v, %v", out.Wait, err)
	}
}

// TestStrangeUnknown plans nothing while it cannot be said whether a coin is spent.
func TestStrangeUnknown(t *testing.T) {
	p := newPool(t, nil)
	n := &oddNetwork{fakeChain: p.chain, unspentErr: errBroken}
	p.find(reward, window()...)
	p.chain.mine(100)
	p.with(func(c *SettlerConfig) { c.Network, c.Wallet = n, &hiding{p.wallet} })
	if err := p.Work(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("a node that does not answer: %v", err)
	}
	if _, err := load(t.Context(), p.store, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("something was planned: %v", err)
	}
}

// hiding is a wallet that lists no coin.
type hiding struct{ *fakeWallet }

func (*hiding) Coins(context.Context, []Coin) ([]Coin, error) { return nil, nil }

// TestPayWaits looks again only after a while who had to wait, and pays nothing beside a journal that is not
// the mirror's.
func TestPayWaits(t *testing.T) {
	p := mature(t, nil)
	p.chain.rateErr = ErrNoEstimate
	p.work()
	p.chain.rateErr = nil
	p.now = p.now.Add(waitAgain*p.cfg.Every - time.Second)
	if err := p.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t.Context(), p.store, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("it was looked at again already: %v", err)
	}
	p.now = p.now.Add(time.Second)
	p.ledger.halts = []shares.Halt{{Why: "it went back"}}
	var halted *HaltedError
	if _, err := p.Pay(t.Context()); !errors.As(err, &halted) {
		t.Errorf("while payouts are halted: %v", err)
	}
	p.ledger.halts = nil
	if err := p.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := p.status(); st.State != Published {
		t.Errorf("status %+v", st)
	}
}

// TestReservedForAnother does not reserve a coin twice.
func TestReservedForAnother(t *testing.T) {
	p := mature(t, nil)
	p.work()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.reserve(t.Context(), 2, st.plan.Inputs); !errors.Is(err, ErrMoved) {
		t.Errorf("the coin of another settlement: %v", err)
	}
	if _, err := p.reserve(t.Context(), 1, st.plan.Inputs); err != nil {
		t.Errorf("its own coin: %v", err)
	}
}

// TestOperatorDecides refuses what is not to be decided.
func TestOperatorDecides(t *testing.T) {
	p := mature(t, nil)
	p.work()
	o := p.operator()
	st, err := load(t.Context(), p.store, 1)
	if err != nil {
		t.Fatal(err)
	}
	reserved := wire.OutPoint(st.plan.Inputs[0].OutPoint)
	free := wire.OutPoint{Hash: chainhash.Hash{1}}
	if err := o.AddCoin(t.Context(), free, Unspent{Value: 5, Script: p.wallet.script}); err != nil {
		t.Fatal(err)
	}
	head := p.store.sheet.Head
	for name, err := range map[string]error{
		"approved what needs none":     o.Approve(t.Context(), 1),
		"paused for nothing":           o.Pause(t.Context(), ""),
		"a coin that is known":         o.AddCoin(t.Context(), free, Unspent{Value: 7, Script: p.wallet.script}),
		"a coin that is reserved":      o.DropCoin(t.Context(), reserved),
		"a threshold below zero":       o.SetThreshold(t.Context(), "alice", -1),
		"a threshold of too much":      o.SetThreshold(t.Context(), "alice", MaxMoney+1),
		"a threshold of nobody":        o.SetThreshold(t.Context(), "", 1),
		"booked too much":              o.Book(t.Context(), Outside, Pool, MaxMoney+1),
		"booked from a miner":          o.Book(t.Context(), Miner("alice"), Pool, 1),
		"booked in flight":             o.Book(t.Context(), Outside, InFlight, 1),
		"booked from a pool to itself": o.Book(t.Context(), Pool, Pool, 1),
		"cancelled what is signed":     o.Cancel(t.Context(), 1, "no"),
	} {
		if err == nil {
			t.Errorf("%s: it is done", name)
		}
	}
	for _, amount := range []int64{0, -1, MaxMoney + 1} {
		if err := o.Book(t.Context(), Outside, Pool, amount); !errors.Is(err, ErrAmount) {
			t.Errorf("booking %d sat: %v, want ErrAmount", amount, err)
		}
	}
	if err := o.Book(t.Context(), Pool, Pool, 1); !errors.Is(err, ErrAmount) {
		t.Errorf("from the pool to itself: %v, want ErrAmount", err)
	}
	for _, from := range []Account{Miner("alice"), Rewards} {
		if err := o.Book(t.Context(), from, Pool, 1); err == nil || !strings.Contains(err.Error(), "choose among") {
			t.Errorf("from %s: %v, want what to choose among", from, err)
		}
	}
	if err := o.Book(t.Context(), Outside, Paid, 1); err == nil || !strings.Contains(err.Error(), "choose among") {
		t.Errorf("to what is paid: %v, want what to choose among", err)
	}
	if p.store.sheet.Head != head {
		t.Error("something was posted")
	}
	if err := o.SetThreshold(t.Context(), "alice", 5); err != nil || p.store.sheet.Tables[TableThresholds]["alice"] != "5" {
		t.Errorf("a threshold: %v", err)
	}
	if err := o.SetThreshold(t.Context(), "alice", 0); err != nil || len(p.store.sheet.Tables[TableThresholds]) != 0 {
		t.Errorf("the default again: %v, %v", err, p.store.sheet.Tables[TableThresholds])
	}
}

// TestApprovesOnlyWhatWaits approves neither what needs none, nor what is over.
func TestApprovesOnlyWhatWaits(t *testing.T) {
	p := mature(t, nil)
	p.wallet.offline = true
	p.work()
	if err := p.operator().Approve(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "needs no approval") {
		t.Errorf("what needs none: %v", err)
	}
	p = mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1 })
	p.work()
	if err := p.operator().Cancel(t.Context(), 1, "not now"); err != nil {
		t.Fatal(err)
	}
	if err := p.operator().Approve(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "is returned") {
		t.Errorf("what is over: %v", err)
	}
}

// oddStore has somebody else post first, or loses the answer.
type oddStore struct {
	*memory
	first func(*Record) error
	after error
	posts int
	// blind fails the next look for whether a record is posted.
	blind error
}

func (s *oddStore) Posted(ctx context.Context, key string) (*Record, error) {
	if err := s.blind; err != nil {
		s.blind = nil
		return nil, err
	}
	return s.memory.Posted(ctx, key)
}

func (s *oddStore) Post(ctx context.Context, token int64, r *Record) error {
	s.posts++
	if s.first != nil {
		if err := s.first(r); err != nil {
			return err
		}
	}
	return errors.Join(s.memory.Post(ctx, token, r), s.after)
}

// TestOperatorRetries decides anew if somebody else was faster, books once if the answer is lost, and does not
// try again what may be posted.
func TestOperatorRetries(t *testing.T) {
	p := newPool(t, noWallet)
	store := &oddStore{memory: p.store}
	o, err := NewOperator(store, KeeperConfig{Halts: p.ledger, By: "operator", Now: p.cfg.Now})
	if err != nil {
		t.Fatal(err)
	}
	other := p.operator()
	store.first = func(*Record) error {
		store.first = nil
		return other.Pause(t.Context(), "meanwhile")
	}
	if err := o.Book(t.Context(), Outside, Pool, 10); err != nil || p.balance(Pool) != 10 {
		t.Errorf("somebody was faster: %v, the pool has %d sat", err, p.balance(Pool))
	}
	store.after = errBroken
	if err := o.Book(t.Context(), Outside, Pool, 10); err != nil || p.balance(Pool) != 20 {
		t.Errorf("the answer is lost: %v, the pool has %d sat", err, p.balance(Pool))
	}
	// The answer that the record is posted is lost, and what comes instead asks for another try.
	store.after = ErrMoved
	if err := o.Book(t.Context(), Outside, Pool, 10); err != nil || p.balance(Pool) != 30 {
		t.Errorf("the answer is wrong: %v, the pool has %d sat", err, p.balance(Pool))
	}
	store.blind = errBroken
	if err := o.Book(t.Context(), Outside, Pool, 10); err != nil || p.balance(Pool) != 40 {
		t.Errorf("nor is it known whether it is posted: %v, the pool has %d sat", err, p.balance(Pool))
	}
	store.after, store.posts = nil, 0
	store.first = func(*Record) error { return errBroken }
	if err := o.Book(t.Context(), Outside, Pool, 10); err == nil || !strings.Contains(err.Error(), "posted or not") || store.posts != 1 {
		t.Errorf("it may be posted: %v after %d tries", err, store.posts)
	}
	store.posts = 0
	store.first = func(*Record) error { return ErrOverdrawn }
	if err := o.Book(t.Context(), Pool, Outside, 10); !errors.Is(err, ErrOverdrawn) || strings.Contains(err.Error(), "posted or not") || store.posts != 1 {
		t.Errorf("it is refused: %v after %d tries", err, store.posts)
	}
	// What somebody else has posted is not what this operator did.
	p = mature(t, func(c *SettlerConfig) { c.Policy.ApproveAbove = 1 })
	p.work()
	store = &oddStore{memory: p.store}
	if o, err = NewOperator(store, KeeperConfig{Halts: p.ledger, By: "operator", Now: p.cfg.Now}); err != nil {
		t.Fatal(err)
	}
	if other, err = NewOperator(p.store, KeeperConfig{Halts: p.ledger, By: "another", Now: p.cfg.Now}); err != nil {
		t.Fatal(err)
	}
	store.first = func(*Record) error {
		store.first = nil
		return other.Approve(t.Context(), 1)
	}
	if err := o.Approve(t.Context(), 1); err == nil {
		t.Error("what another has approved is said to be done")
	}
}
