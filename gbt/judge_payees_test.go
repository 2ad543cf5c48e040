package gbt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// paying returns how many outputs of a draft are not commitments.
func paying(d *draft) int {
	n := 0
	for _, out := range d.coinbase.TxOut {
		n += boolean(!IsWitnessCommitment(out.PkScript))
	}
	return n
}

// spoils are changes to the outputs of a coinbase that is otherwise good, the first of which are two payees
// at least and the pool. free is set for those that miners may make who add outputs.
func spoils(outputs int) map[string]struct {
	change func(outs []*wire.TxOut) []*wire.TxOut
	free   bool
} {
	pool := outputs - 1
	type spoil = struct {
		change func(outs []*wire.TxOut) []*wire.TxOut
		free   bool
	}
	give := func(from, to int, amount int64) func([]*wire.TxOut) []*wire.TxOut {
		return func(outs []*wire.TxOut) []*wire.TxOut {
			outs[from].Value -= amount
			outs[to].Value += amount
			return outs
		}
	}
	return map[string]spoil{
		"a payee is missing": {func(outs []*wire.TxOut) []*wire.TxOut {
			outs[pool].Value += outs[1].Value
			return slices.Delete(outs, 1, 2)
		}, false},
		"a payee gets less":          {give(0, pool, 1), false},
		"a payee gets more":          {give(pool, 0, 1), false},
		"payees' amounts exchanged":  {give(0, 1, 1000), false},
		"the pool's output is taken": {give(pool, 1, 10_000), false},
		"another's script": {func(outs []*wire.TxOut) []*wire.TxOut {
			outs[1].PkScript = slices.Clone(outs[1].PkScript)
			outs[1].PkScript[9]++
			return outs
		}, false},
		"all to the pool": {func(outs []*wire.TxOut) []*wire.TxOut {
			for i := range pool {
				outs[pool].Value += outs[i].Value
			}
			return outs[pool:]
		}, false},
		"another order": {func(outs []*wire.TxOut) []*wire.TxOut {
			outs[0], outs[1] = outs[1], outs[0]
			return outs
		}, true},
		"a payee in two parts": {func(outs []*wire.TxOut) []*wire.TxOut {
			outs[0].Value--
			return slices.Insert(outs, 1, wire.NewTxOut(1, outs[0].PkScript))
		}, false},
		"an output more": {func(outs []*wire.TxOut) []*wire.TxOut {
			return slices.Insert(outs, 0, wire.NewTxOut(0, []byte{0x51}))
		}, true},
	}
}

// TestPayeesAreJudged has every kind of work pay by its block's list, in every form of submission, and
// refuses each that pays otherwise.
func TestPayeesAreJudged(t *testing.T) {
	for _, kind := range kindsOfWork() {
		for form, submit := range formsOfSubmission() {
			p := choosingPool(t, hardBits, rotated(newRota()))
			bare := strings.HasPrefix(form, "coinbase") || form == "submit/truncate"
			d := kind.draft(p)
			if n := paying(d); n < 3 {
				t.Fatalf("%s: %d outputs, so this proves nothing", kind.name, n)
			}
			if s := submit(p, d); bare && kind.declared {
				p.refuse("a header alone", s, UnknownWork)
			} else {
				p.accept(kind.name+", "+form, s)
			}
			if bare {
				continue // which has no outputs of its own
			}
			for name, spoil := range spoils(paying(d)) {
				d := kind.draft(p)
				d.coinbase.TxOut = spoil.change(d.coinbase.TxOut)
				p.refuse(fmt.Sprintf("%s, %s: %s", kind.name, form, name), submit(p, d), BadTxns)
			}
		}
	}
}

// TestPayeesOfOwnSets has miners who choose transactions pay by the list for what theirs are worth.
func TestPayeesOfOwnSets(t *testing.T) {
	for _, capabilities := range [][]string{{"transactions"}, {"transactions", "generation"}, {"transactions", "coinbase"}} {
		generation := slices.Contains(capabilities, "generation")
		p := choosingPool(t, hardBits, rotated(newRota()))
		draw := func(value int64) *draft {
			d := p.draw(p.ask(capabilities...))
			d.txs = d.txs[:2]
			p.settle(d, value)
			return d
		}
		const worth = subsidy + 3000
		// A miner has to share what it takes, not what it could have taken.
		for _, value := range []int64{worth, worth - 1, subsidy} {
			share := p.accept(fmt.Sprint(capabilities, value), draw(value).submission(t))
			if share.Paid != value || share.Value != value {
				t.Errorf("share %+v", share)
			}
		}
		stale := draw(worth)
		p.settle(stale, subsidy+15_000)
		stale.coinbase.TxOut[3].Value -= 15_000 - 3000
		p.refuse("by the list of another value", stale.submission(t), BadTxns)
		for name, spoil := range spoils(paying(draw(worth))) {
			d := draw(worth)
			d.coinbase.TxOut = spoil.change(d.coinbase.TxOut)
			if spoil.free && generation {
				p.accept(name, d.submission(t))
			} else {
				p.refuse(fmt.Sprint(capabilities, name), d.submission(t), BadTxns)
			}
		}
		if few, many := paying(draw(worth)), paying(p.draw(p.ask(capabilities...))); few != 3 || many != 4 {
			t.Errorf("%d outputs, and %d of the whole template, so this proves too little", few, many)
		}
	}
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestPayeesOfGeneration shares what is the pool's, and no more than that: what a miner adds is its own.
func TestPayeesOfGeneration(t *testing.T) {
	p := choosingPool(t, hardBits, rotated(newRota()))
	w := p.ask("generation", "transactions")
	const full = subsidy + 15_000
	specs := append(mixedSpecs(), txSpec{fee: 500_000})
	p.careful(specs)
	richer := transactionsOf(t, specs)
	draw := func(list int64) *draft {
		d := p.draw(w)
		d.txs = richer
		p.settle(d, list)
		d.coinbase.TxOut = slices.Insert(d.coinbase.TxOut, 1, wire.NewTxOut(subsidy+515_000-list, []byte{0x51}))
		return d
	}
	share := p.accept("with half a million beside the list", draw(full).submission(t))
	if share.Paid != full || share.Value != full+500_000 {
		t.Errorf("share %+v", share)
	}
	p.accept("with more for the payees than is due", draw(full+500_000).submission(t))
	p.refuse("with less for the payees than is due", draw(full-10).submission(t), BadTxns)
}

// TestPayeesOfMovedWork has work that went on to the next block pay whom it was issued to pay.
func TestPayeesOfMovedWork(t *testing.T) {
	for name, later := range map[string]func(*pool){
		"at once":                             func(*pool) {},
		"when the template is long forgotten": func(p *pool) { p.refresh(2, keepTemplates+1) },
		"when its list is away":               func(p *pool) { rotaOf(p).set(errors.New("redis is away"), false) },
	} {
		r := newRota()
		p := choosingPool(t, hardBits, rotated(r))
		d := p.draw(p.ask("prevblock", "transactions"))
		p.news(tipAt(t, 2, 501))
		later(p)
		moved := p.moveTo(d, 2, 501)
		p.accept(name, moved.submission(t))
		p.settleBy(moved, r.on(tipOf(2)), subsidy+15_000)
		p.refuse(name+", by the list of the next block", moved.submission(t), BadTxns)
		other := p.moveTo(d, 2, 501)
		other.txs = other.txs[:2]
		p.settleBy(other, r.on(tipOf(2)), subsidy+3000)
		if got := p.proposed(other); got.Coinbase == nil {
			t.Errorf("%s: proposed by the list of the next block: %+v, want the right one", name, got)
		}
		p.settleBy(other, r.on(tipOf(1)), subsidy+3000)
		other.workID = p.declared(other)
		p.accept(name+", declared on the next block", merkle(t, other))
		r.set(nil, false)
		// What is issued on the next block pays by its own list.
		next := p.draw(p.ask("transactions"))
		p.accept("issued on it", next.submission(t))
		p.settleBy(next, r.on(tipOf(1)), subsidy+15_000)
		p.refuse("issued on it, by the list of the block before", next.submission(t), BadTxns)
	}
}

// refresh brings templates on a tip that differ.
func (p *pool) refresh(tip, many int) {
	p.t.Helper()
	for n := range many {
		in := tipAt(p.t, tip, 501)
		in.MinTime -= int64(n) + 1
		p.news(in)
	}
}

func rotaOf(p *pool) *rota { r, _ := p.feed.cfg.Coinbaser.(*rota); return r }

// TestPayeesOfWorkFromElsewhere judges work that another gateway issued, or the same before a restart, by
// the list that both have: also moved work, on a block that this gateway never had a template on.
func TestPayeesOfWorkFromElsewhere(t *testing.T) {
	board := newNoticeboard()
	one := newPool(t, choosing, rotated(newRota()), onBoard(board.as("one")))
	one.serve(hardBits)
	issued := one.draw(one.ask("transactions", "prevblock"))
	short := *issued
	short.abbreviated = true
	other := newPool(t, choosing, rotated(newRota()), onBoard(board.as("other")))
	other.careful(mixedSpecs())
	other.feed.take(t.Context(), News{Tip: tipOf(1), Err: errors.New("the node is making it")})
	other.news(tipAt(t, 2, 501))
	// Within grace it is judged on the board's word.
	if v := other.judge.Judge(t.Context(), short.submission(t)); !v.Accepted() {
		t.Errorf("abbreviated, of another gateway: %+v", v)
	}
	moved := other.moveTo(issued, 2, 501)
	blind := newPool(t, choosing, rotated(newRota()))
	blind.careful(mixedSpecs())
	blind.feed.take(t.Context(), News{Tip: tipOf(1), Err: errors.New("the node is making it")})
	blind.news(tipAt(t, 2, 501))
	rotaOf(blind).set(errors.New("redis is away"), false)
	if v := blind.judged(moved); !errors.Is(v.Err, ErrUnavailable) || v.Reason != "" {
		t.Errorf("moved, while nobody knows whom it pays: %+v", v)
	}
	rotaOf(blind).set(nil, false)
	blind.accept("moved, on a block without a template here", moved.submission(t))
	if n := rotaOf(blind).asked(tipOf(1)); n != 2 {
		t.Errorf("asked %d times on the old block, want 2", n)
	}
	// A template whose payees are not known now is looked up again later.
	late := newPool(t, choosing, rotated(newRota()), onBoard(board.as("late")))
	late.careful(mixedSpecs())
	late.feed.take(t.Context(), News{Tip: tipOf(1), Err: errors.New("the node is making it")})
	late.news(tipAt(t, 2, 501))
	rotaOf(late).set(errors.New("redis is away"), false)
	if v := late.judge.Judge(t.Context(), short.submission(t)); v.Accepted() {
		t.Errorf("abbreviated, while nobody knows whom it pays: %+v", v)
	}
	rotaOf(late).set(nil, false)
	late.accept("abbreviated, afterwards", short.submission(t))
	// Another list is no other gateway's.
	strange := newRota()
	strange.salt = 1
	p := newPool(t, choosing, rotated(strange), onBoard(board.as("strange")))
	p.careful(mixedSpecs())
	p.news(makeTemplate(t, tipOf(1), hardBits, []txSpec{{fee: 77}}))
	p.refuse("by another list", issued.submission(t), BadTxns)
	if !strings.Contains(p.log.String(), "lists of payees") {
		t.Errorf("the log says %s", p.log.String())
	}
}
