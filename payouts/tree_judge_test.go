package payouts

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestForgedRoots refuses records whose root is not of what they divide, and those that change one.
func TestForgedRoots(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, many(partLegs+5)...)
	p.chain.mine(100)
	p.work()
	p.chain.reorganize(101)
	p.work()
	hash := block.String()
	alter := func(change func(*BlockState)) func(*forgery) {
		return func(f *forgery) { edit(f, TableBlocks, hash, change) }
	}
	root := func(change func(*Root)) func(*forgery) { return alter(func(b *BlockState) { change(b.Tree) }) }
	for name, c := range map[string]struct {
		key    string
		change func(*forgery)
		want   string
	}{
		"credits more":       {"credit:" + hash + "/1", root(func(r *Root) { r.Credit++ }), "are for accounts"},
		"credits less":       {"credit:" + hash + "/1", root(func(r *Root) { r.Credit-- }), "are for accounts"},
		"credits all":        {"credit:" + hash + "/1", root(func(r *Root) { r.Credit = reward }), "are for accounts"},
		"below nothing":      {"credit:" + hash + "/1", root(func(r *Root) { r.Credit = -1 }), "do not fit"},
		"weight below zero":  {"credit:" + hash + "/1", root(func(r *Root) { r.Weight = -1 }), "do not fit"},
		"work of nobody":     {"credit:" + hash + "/1", root(func(r *Root) { r.Weight = 0 }), "are for accounts"},
		"fewer than nobody":  {"credit:" + hash + "/1", root(func(r *Root) { r.Count = -1 }), "-1 accounts"},
		"of nobody":          {"credit:" + hash + "/1", root(func(r *Root) { r.Count = 0 }), "0 accounts"},
		"without terms":      {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Terms = nil }), "without terms"},
		"of other terms":     {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Terms.Fee++ }), "are for accounts"},
		"of a network":       {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Network = 5 }), ""},
		"a fee too much":     {"credit:" + hash + "/1", func(f *forgery) { f.move(Miner("account0000000"), Fee, 1) }, "are booked"},
		"carried on instead": {"credit:" + hash + "/1", func(f *forgery) { f.move(Crediting, Carry, 1) }, "are booked"},
		"carried before":     {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Carry++ }), "are for accounts"},
		"paid at once":       {"credit:" + hash + "/1", func(f *forgery) { f.move(Crediting, Paid, 1) }, "has paid accounts"},
		"said to be paid":    {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Direct = 5 }), "has paid accounts"},
		"another root then":  {"credit:" + hash + "/2", root(func(r *Root) { r.Hash[0]++ }), "changes the root"},
		"no root then":       {"credit:" + hash + "/2", alter(func(b *BlockState) { b.Tree = nil }), "changes the root"},
		"another price then": {"credit:" + hash + "/2", alter(func(b *BlockState) { b.Worth++ }), "changes the root"},
		"lost, another":      {"loss:" + hash + ":1", root(func(r *Root) { r.Weight++ }), "changes the root"},
		"lost, none":         {"loss:" + hash + ":1", alter(func(b *BlockState) { b.Tree = nil }), "changes the root"},
		"found with one":     {"found:" + hash, alter(func(b *BlockState) { b.Tree = new(Root) }), "changes the root"},
		"found at a price":   {"found:" + hash, alter(func(b *BlockState) { b.Worth = 1 }), "changes the root"},
		"none at all":        {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Tree = nil }), ""},
		"one too late": {"credit:" + hash + "/2", func(f *forgery) {
			known(f, TableBlocks, hash, func(b *BlockState) { b.Tree = nil })
		}, "changes the root"},
	} {
		err := p.forge(c.key, c.change)
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestForgedRounds does so for rounds that are paid per share, and for blocks that such rounds end with.
func TestForgedRounds(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: FPPS, Fee: 100} })
	if err := p.operator().Book(t.Context(), Outside, Reserve, MaxMoney/2); err != nil {
		t.Fatal(err)
	}
	hash := p.find(reward/1000, window()...).String()
	p.chain.mine(100)
	p.work()
	alter := func(change func(*BlockState)) func(*forgery) {
		return func(f *forgery) { edit(f, TableBlocks, hash, change) }
	}
	for name, c := range map[string]struct {
		key    string
		change func(*forgery)
		want   string
	}{
		"more":              {"accrue:" + hash + "/1", alter(func(b *BlockState) { b.Tree.Credit++ }), "are for accounts"},
		"at another price":  {"accrue:" + hash + "/1", alter(func(b *BlockState) { b.Worth += 10 }), "are for accounts"},
		"at another weight": {"accrue:" + hash + "/1", alter(func(b *BlockState) { b.Network++ }), "are for accounts"},
		"of no network":     {"accrue:" + hash + "/1", alter(func(b *BlockState) { b.Network = 0 }), "network's of 0"},
		"paid again": {"accrue:" + hash + "/1", func(f *forgery) {
			known(f, TableBlocks, hash, func(b *BlockState) { b.Accrued = 1 })
		}, "changes the root"},
		"the block's own": {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Tree.Credit = 0 }), "changes the root"},
		"none":            {"credit:" + hash + "/1", alter(func(b *BlockState) { b.Tree = nil }), "changes the root"},
	} {
		err := p.forge(c.key, c.change)
		if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// rewritten returns what is wrong with a journal when some of its records are changed, and all hashes made to fit.
func (p *pool) rewritten(change func(*Record)) error {
	sheet := NewSheet()
	for _, r := range p.store.records {
		c := *r
		c.Previous, c.Legs = sheet.Head.Hash, slices.Clone(r.Legs)
		change(&c)
		if err := sheet.Apply(p.t.Context(), &c); err != nil {
			return err
		}
	}
	return nil
}

// TestPartsLeadToTheRoot adds up all parts of credits, of rounds, and of blocks whose coinbase has paid accounts,
// some too much: they are what the root says, or the audit tells.
func TestPartsLeadToTheRoot(t *testing.T) {
	credited := newPool(t, noWallet)
	credited.find(reward, many(2*partLegs+5)...)
	credited.chain.mine(100)
	credited.work()

	accrued := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
	if err := accrued.operator().Book(t.Context(), Outside, Reserve, MaxMoney/2); err != nil {
		t.Fatal(err)
	}
	round := many(2*partLegs + 5)
	for i := range round {
		round[i].Weight = 3
	}
	accrued.find(reward/10_000, round...)
	accrued.chain.mine(100)
	accrued.work()

	paidTwice := paidTwice(t)
	for name, p := range map[string]*pool{"credit": credited, "accrue": accrued, "twice": paidTwice} {
		if err := p.rewritten(func(*Record) {}); err != nil {
			t.Fatalf("%s: as it is: %v", name, err)
		}
		for _, by := range []int64{1, -1} {
			last, touched := "", 0
			for _, r := range p.store.records {
				if r.Kind == KindCredit && !strings.HasPrefix(name, "accrue") || r.Kind == KindAccrue {
					last = r.Key
				}
			}
			err := p.rewritten(func(r *Record) {
				if r.Key != last {
					return
				}
				from := Crediting
				if r.Kind == KindAccrue {
					from = Reserve
				}
				f := &forgery{t: t, r: r}
				for _, l := range r.Legs {
					if _, miner := l.Account.Miner(); miner && touched == 0 && l.Amount > 1 {
						f.move(from, l.Account, by)
						touched++
					}
				}
			})
			if touched != 1 || !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), "and its root is of") {
				t.Errorf("%s, %d sat to an account, %d times: %v", name, by, touched, err)
			}
		}
	}
}

// paidTwice is a pool of which two coinbases have paid alice what she was owed once: the reserve bears one.
func paidTwice(t *testing.T) *pool {
	t.Helper()
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	carry := p.balance(Miner("alice"))
	for range 2 {
		p.findListed(p.list(lists, carry), 10*reward)
	}
	p.chain.mine(100)
	p.work()
	if p.balance(Reserve) >= 0 {
		t.Fatalf("the reserve has %d sat: nothing was paid twice", p.balance(Reserve))
	}
	return p
}
