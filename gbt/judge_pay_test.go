package gbt

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Fair pay: a share counts by what its block pays the pool of what it could.

// richSpecs is a block in which fees matter: the second transaction pays as much as the subsidy, and
// the third has a witness and pays a fifth of it.
func richSpecs() []txSpec {
	return []txSpec{{fee: 3}, {fee: subsidy}, {fee: subsidy / 5, witness: true, padding: 2000}}
}

const richFull = 2*subsidy + subsidy/5 + 3

func richPool(tb testing.TB, options ...poolOption) *pool {
	tb.Helper()
	p := newPool(tb, append([]poolOption{choosing}, options...)...)
	p.careful(richSpecs())
	p.news(makeTemplate(tb, tipOf(1), hardBits, richSpecs()))
	return p
}

// TestShareWork counts shares, in integers and rounded down.
func TestShareWork(t *testing.T) {
	big3 := smallTarget(t, 3)
	for name, tt := range map[string]struct {
		target     Target
		paid, full int64
		want       string
	}{
		"all":                     {leadingZeros(4), 100, 100, "16"},
		"more than all":           {leadingZeros(4), 101, 100, "16"},
		"half":                    {leadingZeros(4), 50, 100, "8"},
		"a little less than half": {leadingZeros(4), 49, 100, "7"},
		"nearly all":              {leadingZeros(4), 99, 100, "15"},
		"nothing":                 {leadingZeros(4), 0, 100, "0"},
		"of nothing":              {leadingZeros(4), 0, 0, "16"},
		"of less than nothing":    {leadingZeros(4), 0, -1, "16"},
		"less than nothing":       {leadingZeros(4), -5, 100, "0"},
		"all money there is":      {big3, 21e14 - 1, 21e14, ""},
	} {
		s := Share{Target: tt.target, Paid: tt.paid, Full: tt.full}
		before := tt.target.Work()
		got := s.Work()
		if tt.want == "" {
			want := new(big.Int).Mul(tt.target.Work(), big.NewInt(tt.paid))
			tt.want = want.Div(want, big.NewInt(tt.full)).String()
		}
		if got.String() != tt.want || tt.target.Work().Cmp(before) != 0 {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// smallTarget is the target of a small number, which takes nearly 2^256 hashes.
func smallTarget(tb testing.TB, n int64) Target {
	tb.Helper()
	return targetFromBig(big.NewInt(n))
}

// TestLess compares with arithmetic that has no bounds.
func TestLess(t *testing.T) {
	amount := rapid.OneOf(rapid.Int64Range(0, 21e14), rapid.SampledFrom([]int64{0, 1, 21e14, math.MaxInt64 - 1}))
	rapid.Check(t, func(rt *rapid.T) {
		owed, floor := amount.Draw(rt, "owed"), rapid.Int64Range(0, wholePay).Draw(rt, "floor")
		paid := amount.Draw(rt, "paid")
		if rapid.Bool().Draw(rt, "at the floor") {
			due := new(big.Int).Mul(big.NewInt(owed), big.NewInt(floor))
			paid = due.Div(due, big.NewInt(wholePay)).Int64() + rapid.Int64Range(0, 1).Draw(rt, "above")
		}
		want := new(big.Int).Mul(big.NewInt(paid), big.NewInt(wholePay)).Cmp(new(big.Int).Mul(big.NewInt(owed), big.NewInt(floor))) < 0
		if got := less(paid, owed, floor); got != want {
			rt.Fatalf("%d of %d below %d: %t", paid, owed, floor, got)
		}
	})
}

// TestFloor pays one satoshi around the floor, whatever the set is worth.
func TestFloor(t *testing.T) {
	exact := int64(richFull * 9 / 10) // of which the floor's product has a remainder
	if exact*10 == richFull*9 {
		t.Fatal("the floor is a whole number, so this proves too little")
	}
	for value, want := range map[int64]Reason{exact: BadTxns, exact + 1: "", richFull: "", subsidy: BadTxns} {
		p := richPool(t)
		d := p.draw(p.ask("transactions"))
		d.txs = d.txs[1:]
		p.settle(d, value)
		if want == "" && value == richFull {
			p.settle(d, richFull-3) // all that there is without the first
		}
		v := p.judged(d)
		if v.Reason != want || v.Err != nil {
			t.Errorf("%d sat of %d: %q (%s), want %q", value, int64(richFull), v.Reason, v.Detail, want)
		}
		if v.Accepted() && (v.Share.Full != richFull || v.Share.Paid != v.Share.Value || v.Share.Work().Cmp(v.Share.Target.Work()) >= 0) {
			t.Errorf("share %+v", v.Share)
		}
	}
	// Without a floor everything counts by what it pays.
	p := richPool(t, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Floor = 0 })
	d := p.draw(p.ask("transactions"))
	d.txs = nil
	p.settle(d, subsidy)
	share := p.accept("an empty block", d.submission(t))
	if work := share.Work().Int64(); work != 7 { // 16 hashes at 5 of 11
		t.Errorf("an empty block counts %d", work)
	}
	p.settle(d, 0)
	if share := p.accept("that pays nothing", d.submission(t)); share.Work().Sign() != 0 {
		t.Errorf("it counts %s", share.Work())
	}
}

// TestSmallerWork counts work that is smaller because the miner asked for it by what it pays, and does
// not refuse it. What the pool leaves out by itself costs the miner nothing.
func TestSmallerWork(t *testing.T) {
	for name, tt := range map[string]struct {
		req  TemplateRequest
		paid int64
	}{
		"whole":        {TemplateRequest{Rules: []string{"segwit"}}, richFull},
		"trimmed":      {TemplateRequest{Rules: []string{"segwit"}, SizeLimit: ptr(int64(530))}, subsidy + 3},
		"witness-free": {TemplateRequest{}, 2*subsidy + 3},
		"both":         {TemplateRequest{SizeLimit: ptr(int64(400))}, subsidy + 3},
		"empty":        {TemplateRequest{Rules: []string{"segwit"}, SizeLimit: ptr(int64(1))}, subsidy},
	} {
		p := richPool(t)
		w := p.askAs(testAccount(1), tt.req)
		d := p.draw(w)
		share := p.accept(name, d.submission(t))
		if share.Paid != tt.paid || share.Value != tt.paid || share.Full != richFull {
			t.Errorf("%s: paid %d of %d, want %d", name, share.Paid, share.Full, tt.paid)
		}
		want := new(big.Int).Mul(share.Target.Work(), big.NewInt(tt.paid))
		if want.Div(want, big.NewInt(richFull)); share.Work().Cmp(want) != 0 {
			t.Errorf("%s: counts %s, want %s", name, share.Work(), want)
		}
		// It may not pay less than it was issued for, nor more.
		for change, reason := range map[int64]Reason{-1: BadTxns, 1: badCbAmount} {
			d.coinbase.TxOut[0].Value = tt.paid + change
			p.refuse(name, d.submission(t), reason)
		}
		d.coinbase.TxOut[0].Value = tt.paid
	}
}

// TestSmallerWorkHasAFloor leaves out more than the miner asked to have left out.
func TestSmallerWorkHasAFloor(t *testing.T) {
	p := richPool(t)
	d := p.draw(p.askAs(testAccount(1), TemplateRequest{Capabilities: []string{"transactions"}}))
	if len(d.txs) != 2 {
		t.Fatalf("%d transactions", len(d.txs))
	}
	d.txs = d.txs[:1]
	p.settle(d, subsidy+3)
	p.refuse("half of the witness-free work", d.submission(t), BadTxns)
	d.txs = p.draw(p.ask()).txs[1:2]
	p.settle(d, 2*subsidy)
	if share := p.accept("nearly all of it", d.submission(t)); share.Full != richFull || share.Paid != 2*subsidy {
		t.Errorf("share %+v", share)
	}
}

// TestPoolLeavesOut has the operator exclude what pays best: work without it counts in full.
func TestPoolLeavesOut(t *testing.T) {
	in := makeTemplate(t, tipOf(1), hardBits, richSpecs())
	p := newPool(t, func(feed *FeedConfig, _ *IssuerConfig, _ *JudgeConfig) {
		feed.Rules.MinFeeRate = 1000
	})
	p.news(in)
	share := p.accept("without the cheap one", p.draw(p.ask()).submission(t))
	if share.Full != richFull-3 || share.Paid != share.Full || share.Work().Cmp(share.Target.Work()) != 0 {
		t.Errorf("share %+v", share)
	}
}

// TestRicherWork brings what the pool's own template lacks. It counts in full, not more; the miner
// keeps what is more only if generation is offered.
func TestRicherWork(t *testing.T) {
	specs := append(richSpecs(), txSpec{fee: 5000, padding: 3})
	richer := makeTransactions(t, specs)
	extra := wire.NewTxOut(5000, []byte{txscript.OP_TRUE})
	for _, tt := range []struct {
		name, capability string
		change           func(p *pool, d *draft)
		want             Reason
		paid, value      int64
	}{
		{"all for the pool", "", func(p *pool, d *draft) { p.settle(d, richFull+5000) }, "", richFull + 5000, richFull + 5000},
		{"left unclaimed", "", func(p *pool, d *draft) { p.settle(d, richFull) }, "", richFull, richFull},
		{"more than it is worth", "", func(p *pool, d *draft) { p.settle(d, richFull+5001) }, badCbAmount, 0, 0},
		{"for the miner", "", func(_ *pool, d *draft) { d.coinbase.TxOut = append([]*wire.TxOut{extra}, d.coinbase.TxOut...) }, BadTxns, 0, 0},
		{"for the miner", "generation", func(_ *pool, d *draft) { d.coinbase.AddTxOut(extra) }, "", richFull, richFull + 5000},
		{"for the miner, in front", "generation", func(_ *pool, d *draft) {
			d.coinbase.TxOut = append([]*wire.TxOut{extra}, d.coinbase.TxOut...)
		}, "", richFull, richFull + 5000},
		{"one satoshi too much for the miner", "generation", func(_ *pool, d *draft) {
			d.coinbase.TxOut[0].Value--
			d.coinbase.AddTxOut(wire.NewTxOut(5001, extra.PkScript))
		}, BadTxns, 0, 0},
		{"one satoshi that is not there", "generation", func(_ *pool, d *draft) { d.coinbase.AddTxOut(wire.NewTxOut(5001, extra.PkScript)) }, badCbAmount, 0, 0},
		{"more for the pool", "generation", func(p *pool, d *draft) { p.settle(d, richFull+5000) }, "", richFull, richFull + 5000},
		{"in two parts", "generation", func(_ *pool, d *draft) {
			d.coinbase.TxOut[0].Value = richFull - 1
			d.coinbase.AddTxOut(wire.NewTxOut(1, d.coinbase.TxOut[0].PkScript))
		}, BadTxns, 0, 0},
	} {
		p := newPool(t, choosing)
		p.careful(specs)
		p.news(makeTemplate(t, tipOf(1), hardBits, richSpecs()))
		d := p.draw(p.ask("transactions", tt.capability))
		raw, err := parseTransaction(&richer[3], 3)
		if err != nil {
			t.Fatal(err)
		}
		d.txs = append(d.txs, raw.Raw)
		p.settle(d, richFull)
		tt.change(p, d)
		v := p.judged(d)
		if v.Reason != tt.want || v.Err != nil || v.Share.Paid != tt.paid || v.Share.Value != tt.value {
			t.Errorf("%s (%s): %q (%s) %v, share %+v, want %q", tt.name, tt.capability, v.Reason, v.Detail, v.Err, v.Share, tt.want)
		}
		if v.Accepted() && v.Share.Work().Cmp(v.Share.Target.Work()) != 0 {
			t.Errorf("%s counts %s", tt.name, v.Share.Work())
		}
	}
}

// TestGenerationOfPoorerWork has a miner with generation mine less than the pool could: nothing of it
// is the miner's own.
func TestGenerationOfPoorerWork(t *testing.T) {
	p := choosingPool(t, hardBits, sharing)
	d := p.draw(p.ask("transactions", "generation"))
	d.txs = d.txs[:2]
	const worth = subsidy + 3000
	p.settle(d, worth-500)
	own := wire.NewTxOut(500, []byte{txscript.OP_TRUE})
	d.coinbase.AddTxOut(own)
	p.refuse("some for the miner", d.submission(t), BadTxns)
	own.Value = 0
	share := p.accept("nothing for the miner", d.submission(t))
	if share.Paid != worth-500 || share.Value != worth-500 {
		t.Errorf("share %+v", share)
	}
	// A list of several outputs holds each in full, wherever it is.
	p.settle(d, worth)
	outs := d.coinbase.TxOut
	outs[0], outs[1] = outs[1], outs[0]
	p.accept("moved", d.submission(t))
	outs[0].Value--
	outs[1].Value++
	p.refuse("one satoshi moved", d.submission(t), BadTxns)
	outs[0].Value++
	outs[1].Value--
	d.coinbase.TxOut = outs[1:]
	p.refuse("one removed", d.submission(t), BadTxns)
}

// TestOneOutputPaysOnce does not take one output for two of the list.
func TestOneOutputPaysOnce(t *testing.T) {
	d := dues{offer: offerGeneration}
	list := []Output{{Value: 5, Script: poolScript()}, {Value: 4, Script: poolScript()}}
	outs := []*wire.TxOut{wire.NewTxOut(5, poolScript()), wire.NewTxOut(4, []byte{txscript.OP_TRUE})}
	if err := d.checkGeneration(list, outs); err == nil {
		t.Error("one output pays two")
	}
	outs[1].PkScript = poolScript()
	if err := d.checkGeneration(list, outs); err != nil {
		t.Error(err)
	}
}
