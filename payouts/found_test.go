package payouts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// noWallet has nobody paid, so that balances stay.
func noWallet(c *SettlerConfig) { c.Wallet = nil }

// state returns what the journal says of a block.
func (p *pool) state(hash chainhash.Hash) BlockState {
	p.t.Helper()
	st, err := field[BlockState](p.t.Context(), p.store, TableBlocks, hash.String())
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

// wants fails unless accounts have amounts.
func (p *pool) wants(amounts map[Account]int64) {
	p.t.Helper()
	for a, want := range amounts {
		if got := p.balance(a); got != want {
			p.t.Errorf("%s has %d sat, want %d", a, got, want)
		}
	}
}

// TestOrphanComesBack reorganises a found block away and back, one and six blocks deep.
func TestOrphanComesBack(t *testing.T) {
	for _, depth := range []int{1, 6} {
		t.Run(strconv.Itoa(depth), func(t *testing.T) {
			p := newPool(t, noWallet)
			block := p.find(reward, window()...)
			p.chain.mine(depth - 1)
			old := p.chain.best[len(p.chain.best)-1]
			p.work()
			p.chain.reorganize(depth)
			p.work()
			if note := p.store.notes[NotesBlocks][block.String()]; !strings.HasPrefix(note, "orphaned") {
				t.Errorf("the note is %q", note)
			}
			p.chain.mine(50)
			p.work()
			if st := p.state(block); st.Stage != BlockFound {
				t.Errorf("the block is %s after 50 blocks on another branch", st.Stage)
			}
			for range 60 { // the old branch grows longer
				old = p.chain.on(old, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
			}
			p.chain.follow(old)
			p.work()
			p.chain.mine(100)
			p.work()
			p.work()
			if st := p.state(block); st.Stage != BlockCredited {
				t.Errorf("the block is %s", st.Stage)
			}
			p.wants(map[Account]int64{Rewards: -reward, Fee: reward / 100, Miner("alice"): 37.125e8, Miner("bob"): 12.375e8})
			if !p.ledger.released[block] {
				t.Error("the block is not released")
			}
		})
	}
}

// TestVoidIsUndone takes an orphan for void, which then comes back all the same.
func TestVoidIsUndone(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, window()...)
	p.work()
	p.chain.reorganize(1)
	p.chain.mine(98)
	p.work()
	if st := p.state(block); st.Stage != BlockVoid {
		t.Fatalf("the block is %s with a competitor %d deep", st.Stage, 100)
	}
	at := block
	for range 150 {
		at = p.chain.on(at, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	p.chain.follow(at)
	p.work() // once: it is deep enough by now
	if st := p.state(block); st.Stage != BlockCredited || st.Turn != 1 {
		t.Errorf("the block is %+v", st)
	}
	p.wants(map[Account]int64{Rewards: -reward})
}

// TestUnknownIsNoOrphan has no node know a block for a long time.
func TestUnknownIsNoOrphan(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, window()...)
	p.chain.unknown[block] = true
	p.chain.mine(500)
	p.work()
	if note := p.store.notes[NotesBlocks][block.String()]; note != "candidate" {
		t.Errorf("the note is %q", note)
	}
	delete(p.chain.unknown, block)
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Rewards: -reward})
	other := p.findOn(p.chain.blocks[block].Header.PrevBlock, reward, window()...)
	p.chain.unknown[other] = true
	p.chain.mine(unknownDepth)
	p.work()
	if st := p.state(other); st.Stage != BlockVoid {
		t.Errorf("a block that nobody knows for two weeks is %s", st.Stage)
	}
}

// TestTwoBlocksAtOneHeight credits the one that is on the best chain, keyed by hash.
func TestTwoBlocksAtOneHeight(t *testing.T) {
	p := newPool(t, noWallet)
	p.chain.mine(3)
	parent := p.chain.best[len(p.chain.best)-1]
	one := p.findOn(parent, reward, shares.Credit{Account: "alice", Weight: 1})
	two := p.findOn(parent, reward+7, shares.Credit{Account: "bob", Weight: 1})
	p.work()
	p.chain.follow(p.chain.on(two, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})}))
	p.chain.mine(98)
	p.work()
	p.wants(map[Account]int64{Rewards: -(reward + 7), Miner("alice"): 0, Miner("bob"): reward + 7 - (reward+7)/100})
	if a, b := p.state(one).Stage, p.state(two).Stage; a != BlockVoid || b != BlockCredited {
		t.Errorf("the blocks are %s and %s", a, b)
	}
}

// TestDeepReorganisation takes a credited block off the chain: the reserve bears it, payouts pause, nobody's
// balance shrinks; when it comes back, that is undone.
func TestDeepReorganisation(t *testing.T) {
	p := newPool(t, nil)
	p.cfg.Policy.Threshold = MaxMoney // nobody is paid yet
	p.restart()
	block := p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	old := p.chain.best[len(p.chain.best)-1]
	credited := map[Account]int64{Miner("alice"): 37.125e8, Miner("bob"): 12.375e8}
	p.wants(credited)
	p.chain.reorganize(101)
	p.work()
	p.wants(credited)
	p.wants(map[Account]int64{Reserve: -reward, Rewards: 0})
	if st := p.state(block); st.Stage != BlockLost {
		t.Errorf("the block is %s", st.Stage)
	}
	why, err := p.paused(t.Context())
	if err != nil || !strings.Contains(why, block.String()) {
		t.Errorf("payouts are paused for %q, %v", why, err)
	}
	p.cfg.Policy.Threshold = 1000
	p.restart()
	p.work()
	if _, err := load(t.Context(), p.store, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("something was planned: %v", err)
	}
	for range 2 {
		old = p.chain.on(old, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	p.chain.follow(old)
	p.work()
	p.wants(map[Account]int64{Reserve: 0, Rewards: -reward})
	operator, err := NewOperator(p.store, KeeperConfig{Halts: p.ledger, By: "operator", Now: p.cfg.Now})
	if err == nil {
		err = operator.Resume(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	p.work()
	if st := p.status(); st.State != Published {
		t.Errorf("the settlement is %s", st.State)
	}
}

// TestPROPMergesRounds divides the round of an orphan with the next block's.
func TestPROPMergesRounds(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} })
	orphan := p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.reorganize(1)
	block := p.find(reward, shares.Credit{Account: "bob", Weight: 3})
	p.chain.mine(99)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward / 4, Miner("bob"): reward / 4 * 3})
	if st := p.state(orphan); st.Stage != BlockVoid || st.Merged != block.String() {
		t.Errorf("the orphan is %+v", st)
	}
	next := p.find(reward, shares.Credit{Account: "bob", Weight: 3})
	p.chain.mine(99)
	p.work()
	p.work()
	p.wants(map[Account]int64{Miner("alice"): reward / 4, Miner("bob"): reward/4*3 + reward})
	if !p.ledger.released[orphan] || !p.ledger.released[next] {
		t.Error("rounds are not released")
	}
}

// TestPerShare pays a round from the reserve when its block is found, and stops when that is spent.
func TestPerShare(t *testing.T) {
	for _, scheme := range []Scheme{PPS, FPPS} {
		t.Run(string(scheme), func(t *testing.T) {
			p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: scheme, Fee: 200} })
			// At regtest's target a block weighs 2: this round is worth one block and a half.
			block := p.find(reward+1000, shares.Credit{Account: "alice", Weight: 3})
			p.work()
			if note := p.store.notes[NotesBlocks][block.String()]; !strings.Contains(note, "the reserve is spent") {
				t.Errorf("the note is %q", note)
			}
			p.wants(map[Account]int64{Miner("alice"): 0})
			operator, err := NewOperator(p.store, KeeperConfig{Halts: p.ledger, By: "operator", Now: p.cfg.Now})
			if err == nil {
				err = operator.Book(t.Context(), Outside, Reserve, 2*reward)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.work()
			want := reward * 3 / 2 * 98 / 100
			if scheme == FPPS {
				want = (reward + 1000) * 3 / 2 * 98 / 100
			}
			p.wants(map[Account]int64{Miner("alice"): want, Reserve: 2*reward - want})
			p.chain.mine(100)
			p.work()
			p.wants(map[Account]int64{Miner("alice"): want, Reserve: 3*reward + 1000 - want, Rewards: -reward - 1000})
		})
	}
}

// TestSolo gives the finder all but the fee.
func TestSolo(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: SOLO, Fee: 100} })
	p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("finder"): reward - reward/100, Fee: reward / 100})
}

// TestCarry carries what nobody has worked for, once, without the fee being taken again.
func TestCarry(t *testing.T) {
	p := newPool(t, noWallet)
	p.find(reward)
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Carry: reward - reward/100, Fee: reward / 100})
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Carry: 0, Fee: reward / 50, Miner("alice"): 2 * (reward - reward/100)})
}

// TestFormerAddress does not take a block that pays an address that is not known here for one that pays nothing.
func TestFormerAddress(t *testing.T) {
	p := newPool(t, noWallet)
	former := p.cfg.Pool
	p.cfg.Pool = [][]byte{{0x51, 0x51}}
	p.restart()
	block := p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	if note := p.store.notes[NotesBlocks][block.String()]; !strings.Contains(note, "former") {
		t.Errorf("the note is %q", note)
	}
	p.cfg.Pool = append(p.cfg.Pool, former...)
	p.restart()
	p.work()
	p.wants(map[Account]int64{Rewards: -reward})
}

// many is a window of many accounts.
func many(n int) []shares.Credit {
	out := make([]shares.Credit, n)
	for i := range out {
		out[i] = shares.Credit{Account: fmt.Sprintf("account%07d", i), Weight: shares.Weight(i + 1)}
	}
	return out
}

// TestCreditInParts credits more accounts than one record holds, breaking each write on the way.
func TestCreditInParts(t *testing.T) {
	want, err := Terms{Scheme: PPLNS, Multiple: 8, Fee: 100}.Divide(reward, many(2*partLegs+7), "")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 9; n++ {
		for _, stored := range []bool{false, true} {
			p := newPool(t, noWallet)
			p.at, p.stored = n, stored
			block := p.find(reward, many(2*partLegs+7)...)
			p.chain.mine(100)
			for range 2 {
				if err := p.Work(t.Context()); err != nil && !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
				p.sound()
				p.restart()
			}
			p.work()
			if st := p.state(block); st.Stage != BlockCredited || st.Parts != 3 {
				t.Fatalf("write %d, stored %t: the block is %+v", n, stored, st)
			}
			for _, c := range want.Credits {
				if got := p.balance(Miner(c.Account)); got != c.Amount {
					t.Fatalf("write %d, stored %t: %s has %d sat, want %d", n, stored, c.Account, got, c.Amount)
				}
			}
			p.wants(map[Account]int64{Crediting: 0, Fee: reward / 100, Rewards: -reward})
		}
	}
}

// fakeLists are lists by previous block.
type fakeLists map[chainhash.Hash][]byte

func (l fakeLists) Commit(_ context.Context, previous chainhash.Hash, text []byte) ([]byte, error) {
	if _, ok := l[previous]; !ok {
		l[previous] = text
	}
	return l[previous], nil
}

func (l fakeLists) List(_ context.Context, previous chainhash.Hash) ([]byte, error) {
	if text, ok := l[previous]; ok {
		return text, nil
	}
	return nil, ErrNotFound
}

// list puts up a list on the tip: a window of three accounts, of which two are large enough.
func (p *pool) list(lists fakeLists, carry int64) *List {
	p.t.Helper()
	l := &List{
		Previous: p.chain.best[len(p.chain.best)-1], Height: int32(len(p.chain.best)), End: shares.Position{Millis: 1}, Size: 1000, Total: 1000,
		Fee: 100, Minimum: 100_000, MaxOutputs: 10, MaxWeight: 8000, Pool: p.wallet.script,
	}
	p.ledger.at = []shares.Credit{{Account: "alice", Weight: 599}, {Account: "bob", Weight: 400}, {Account: "carol", Weight: 1}}
	for _, w := range p.ledger.at[:2] {
		script, err := scriptOf(w.Account)
		if err != nil {
			p.t.Fatal(err)
		}
		l.Payees = append(l.Payees, ListPayee{Account: w.Account, Script: script, Weight: w.Weight})
	}
	l.Payees[0].Carry = carry
	text, err := l.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	lists[l.Previous] = text
	return l
}

// findListed finds a block that pays by a list.
func (p *pool) findListed(l *List, value int64) chainhash.Hash {
	p.t.Helper()
	outs, err := l.Outputs(value)
	if err != nil {
		p.t.Fatal(err)
	}
	hash := p.find(value)
	block := p.chain.blocks[hash]
	block.Transactions[0].TxOut = nil
	for _, o := range outs {
		block.Transactions[0].AddTxOut(wire.NewTxOut(o.Value, o.Script))
	}
	return hash
}

// TestCoinbasePayment debits what the coinbase has paid when the block is credited, and carries the rest.
func TestCoinbasePayment(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	block := p.findListed(p.list(lists, 0), reward)
	p.work()
	p.wants(map[Account]int64{Paid: 0})
	p.chain.mine(100)
	p.work()
	dist := reward - reward/100
	p.wants(map[Account]int64{
		Rewards: -reward, Fee: reward / 100, Paid: dist*599/1000 + dist*400/1000,
		Miner("alice"): 0, Miner("bob"): 0, Miner("carol"): dist / 1000,
	})
	if st := p.state(block); st.Direct != dist*999/1000 {
		t.Errorf("the block is %+v", st)
	}
	// What the coinbase left for the pool is a coin, with what carol is owed in it.
	if coins := p.store.sheet.Tables[TableCoins]; len(coins) != 1 {
		t.Errorf("the coins are %v", coins)
	}
	p.chain.reorganize(101)
	p.work()
	p.wants(map[Account]int64{Rewards: 0, Paid: 0, Reserve: -reward + dist*999/1000, Miner("carol"): dist / 1000})
}

// TestCoinbasePaysTwice has two blocks pay the same carry: what is too much is the reserve's, and nobody's
// balance is negative.
func TestCoinbasePaysTwice(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	p.work()
	carry := p.balance(Miner("alice"))
	for range 2 {
		p.findListed(p.list(lists, 2_000_000), reward)
	}
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): carry - 2*2_000_000})
	for range 2 {
		p.findListed(p.list(lists, carry-2*2_000_000-1_000_000), 10*reward)
	}
	p.chain.mine(100)
	p.work()
	if got := p.balance(Reserve); got >= 0 {
		t.Errorf("the reserve has %d sat, want that it bears what was paid twice", got)
	}
	p.wants(map[Account]int64{Miner("alice"): 0})
}
