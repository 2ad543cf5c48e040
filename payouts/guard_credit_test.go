package payouts

import (
	"math"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// TestWindowSize reads a window of as many network difficulties as the terms say, whatever was frozen.
func TestWindowSize(t *testing.T) {
	for _, c := range []struct{ frozen, want shares.Weight }{{1000, 16}, {16, 16}, {7, 7}} {
		p := mature(t, noWallet)
		l := p.oddly()
		p.ledger.blocks[0].Found.Window = c.frozen // a block's weight is 2, and the multiple 8
		p.work()
		if l.size != c.want {
			t.Errorf("of %d frozen a window of %d is read, want %d", c.frozen, l.size, c.want)
		}
	}
}

// TestFoldedWindow carries the reward of a block that came back after its window was gone, and of no other.
func TestFoldedWindow(t *testing.T) {
	p := mature(t, noWallet)
	l := p.oddly()
	l.windowErr = shares.ErrFolded
	p.work()
	block := p.ledger.blocks[0].Hash
	p.says(block, shares.ErrFolded.Error())
	p.wants(map[Account]int64{Rewards: 0})

	p = newPool(t, noWallet)
	l = p.oddly()
	block = p.find(reward, window()...)
	p.work()
	p.chain.reorganize(1)
	p.chain.mine(98)
	p.work()
	l.windowErr = shares.ErrFolded
	p.chain.follow(p.grow(block, 150))
	p.work()
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Rewards: -reward, Carry: reward - reward/100})
}

// TestCarryOfNobody carries on what was carried if nobody has done anything again.
func TestCarryOfNobody(t *testing.T) {
	p := newPool(t, noWallet)
	for n := range int64(2) {
		p.find(reward)
		p.chain.mine(100)
		p.work()
		p.wants(map[Account]int64{Rewards: -reward * (n + 1), Carry: (reward - reward/100) * (n + 1)})
	}
}

// TestCarryMoves has the operator take from what is carried while a block is divided with it.
func TestCarryMoves(t *testing.T) {
	p := newPool(t, noWallet)
	l := p.oddly()
	p.find(reward)
	p.chain.mine(100)
	p.work()
	carry := p.balance(Carry)
	l.meanwhile = func() {
		l.meanwhile = nil
		if err := p.operator().Book(t.Context(), Outside, Carry, 7); err != nil {
			t.Error(err)
		}
	}
	p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.mine(100)
	for range 2 {
		if err := p.Work(t.Context()); err != nil && !stops(err) {
			t.Fatal(err)
		}
	}
	p.sound()
	p.wants(map[Account]int64{Carry: 0, Miner("alice"): carry + 7 + reward - reward/100})
}

// inParts credits a block of many accounts, with a crash after the first part, and compares with what it is
// without one. before makes what there is before the block.
func inParts(t *testing.T, change func(*SettlerConfig), before func(*pool)) {
	t.Helper()
	credited := func(crash bool) *pool {
		p := newPool(t, change)
		before(p)
		p.find(reward, many(2*partLegs)...)
		p.chain.mine(100)
		if crash {
			p.at = p.count + 5 // found and mirrored, the tree, a part and mirrored
			for range 4 {
				if err := p.Work(t.Context()); err != nil || p.balance(Crediting) != 0 {
					break
				}
				p.at++
			}
			if p.balance(Crediting) == 0 {
				t.Fatal("nothing is credited in part")
			}
			p.restart()
		}
		p.work()
		p.work()
		return p
	}
	want, got := credited(false), credited(true)
	got.wants(map[Account]int64{Crediting: 0})
	for account, amount := range want.store.sheet.Balances {
		if got.balance(account) != amount {
			t.Fatalf("%s has %d sat after a crash, %d sat without", account, got.balance(account), amount)
		}
	}
}

// TestCarryInParts divides what was carried by the parts after a crash too.
func TestCarryInParts(t *testing.T) {
	inParts(t, noWallet, func(p *pool) {
		p.find(reward)
		p.chain.mine(100)
		p.work()
	})
}

// TestMergedInParts divides the round of an orphan by the parts after a crash too.
func TestMergedInParts(t *testing.T) {
	inParts(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} }, func(p *pool) {
		p.find(reward, shares.Credit{Account: "alice", Weight: 50_000_000})
		p.chain.reorganize(1)
		p.chain.mine(98)
		p.work()
	})
}

// TestLaterVoid does not divide a round with a block below it.
func TestLaterVoid(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} })
	block := p.find(reward, shares.Credit{Account: "bob", Weight: 1})
	p.chain.unknown[block] = true
	orphan := p.find(reward, shares.Credit{Account: "alice", Weight: 1})
	p.chain.reorganize(1)
	p.chain.mine(98)
	p.work()
	delete(p.chain.unknown, block)
	p.chain.mine(1)
	p.work()
	if st := p.state(orphan); st.Stage != BlockVoid || st.Merged != "" {
		t.Errorf("the orphan is %+v", st)
	}
	p.wants(map[Account]int64{Miner("bob"): reward, Miner("alice"): 0})
}

// TestRoundsBeyondBounds does not divide by weights that do not fit.
func TestRoundsBeyondBounds(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} })
	p.find(reward, shares.Credit{Account: "alice", Weight: math.MaxInt64})
	p.chain.reorganize(1)
	block := p.find(reward, shares.Credit{Account: "alice", Weight: math.MaxInt64}, shares.Credit{Account: "bob", Weight: 9})
	p.chain.mine(99)
	p.work()
	p.says(block, shares.ErrWeight.Error())
	p.wants(map[Account]int64{Rewards: 0})
}

// TestListTerms divides a block by the fee and bonus that its list was made with, not by those in force.
func TestListTerms(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	l := p.list(lists, 0)
	l.Fee, l.Bonus = 200, 1000
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lists[l.Previous] = text
	p.findListed(l, reward)
	p.chain.mine(100)
	p.work()
	fee := reward / 50
	p.wants(map[Account]int64{Fee: fee, Miner("finder"): (reward - fee) / 10, Miner("alice"): 0})
}

// TestListsOfABlock pays by the list of the block before the last, from which a miner has moved its work, and
// by none if the coinbase pays by none.
func TestListsOfABlock(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	older := p.list(lists, 0)
	p.chain.mine(1)
	newer := p.list(lists, 0)
	newer.Payees = newer.Payees[:1]
	text, err := newer.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lists[newer.Previous] = text
	moved := p.findListed(older, reward)
	p.list(lists, 0)
	none := p.find(reward, shares.Credit{Account: "dave", Weight: 1})
	p.chain.mine(100)
	p.work()
	if st := p.state(moved); st.Lists != 2 || st.Direct == 0 || st.Reward != reward {
		t.Errorf("the block that pays by the older list is %+v", st)
	}
	if st := p.state(none); st.Direct != 0 || st.Reward != reward {
		t.Errorf("the block that pays by no list is %+v", st)
	}
	p.wants(map[Account]int64{Miner("alice"): 0, Miner("bob"): 0, Miner("dave"): reward - reward/100, Rewards: -2 * reward})
}

// TestEmptyList divides by the block's own window if its list's was empty.
func TestEmptyList(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	l := p.list(lists, 0)
	l.Total, l.Payees = 0, nil
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lists[l.Previous] = text
	p.ledger.at = nil
	block := p.findListed(l, reward)
	p.ledger.windows[block] = window()
	p.chain.mine(100)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 37.125e8, Miner("bob"): 12.375e8, Carry: 0})
}

// TestKnownCoinStays leaves a coin as it is that is known before its block is credited.
func TestKnownCoinStays(t *testing.T) {
	p := mature(t, noWallet)
	tx := p.chain.blocks[p.ledger.blocks[0].Hash].Transactions[0]
	at := *wire.NewOutPoint(new(tx.TxHash()), 0)
	if err := p.operator().AddCoin(t.Context(), at, Unspent{Value: reward, Script: p.wallet.script}); err != nil {
		t.Fatal(err)
	}
	p.work()
	if c, err := field[CoinState](t.Context(), p.store, TableCoins, at.String()); err != nil || c.From != "operator" {
		t.Errorf("the coin is %+v, %v", c, err)
	}
}

// TestReserveToTheSatoshi pays a round if the reserve has just enough for all of it.
func TestReserveToTheSatoshi(t *testing.T) {
	for _, have := range []int64{reward/2 - 1, reward / 2} {
		p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
		if err := p.operator().Book(t.Context(), Outside, Reserve, have); err != nil {
			t.Fatal(err)
		}
		p.find(reward, shares.Credit{Account: "alice", Weight: 1})
		p.work()
		want := int64(0)
		if have == reward/2 {
			want = have
		}
		p.wants(map[Account]int64{Miner("alice"): want, Reserve: have - want})
	}
}

// TestAccrueInParts pays a round of many accounts per share, with a crash after the first part and another fee
// from then on: by the terms that it began with, each once. If the reserve has not enough for all, nobody is paid.
func TestAccrueInParts(t *testing.T) {
	terms, round := Terms{Scheme: PPS, Fee: 200}, many(2*partLegs+7)
	for i := range round {
		round[i].Weight = shares.Weight(1 + i%3)
	}
	credits, total, err := terms.Accrue(round, 2, reward, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, terms })
	if err := p.operator().Book(t.Context(), Outside, Reserve, total-1); err != nil {
		t.Fatal(err)
	}
	block := p.find(reward, round...)
	p.work()
	p.wants(map[Account]int64{Reserve: total - 1})
	if err := p.operator().Book(t.Context(), Outside, Reserve, 1); err != nil {
		t.Fatal(err)
	}
	p.at = p.count + 4 // the tree, a part and mirrored
	if err := p.Work(t.Context()); err != nil || p.state(block).Accrued != 1 || p.state(block).AccruedAll {
		t.Fatalf("the block is %+v, %v", p.state(block), err)
	}
	p.with(func(c *SettlerConfig) { c.Terms.Fee = 9000 })
	p.work()
	if st := p.state(block); st.Accrued != 3 || !st.AccruedAll {
		t.Errorf("the block is %+v", st)
	}
	p.wants(map[Account]int64{Reserve: 0})
	for _, c := range credits {
		if got := p.balance(Miner(c.Account)); got != c.Amount {
			t.Fatalf("%s has %d sat, want %d", c.Account, got, c.Amount)
		}
	}
}

// TestAverageFees counts the fees of the last blocks up to a block, none below zero.
func TestAverageFees(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: FPPS} })
	for i := range int64(feeBlocks + 10) { // the oldest with far higher fees
		p.find(reward+1000+1_000_000*max(0, 10-i), window()...)
	}
	subject := p.ledger.blocks[0]
	for range 3 {
		p.find(reward+500_000, window()...)
	}
	p.found = p.ledger.blocks
	o := &own{Block: subject}
	// Regtest halves the subsidy on the way.
	want := int64(0)
	for i := 3; i < 3+feeBlocks; i++ {
		b := p.ledger.blocks[i]
		want += b.Found.Value - p.subsidy(b.Height)
	}
	if got := p.averageFees(o); got != want/feeBlocks {
		t.Errorf("fees of %d sat, want %d", got, want/feeBlocks)
	}
	for i := range p.found {
		p.found[i].Found.Value = 0
	}
	if got := p.averageFees(o); got != 0 {
		t.Errorf("blocks that are worth less than the subsidy have fees of %d sat", got)
	}
}
