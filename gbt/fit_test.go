package gbt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// drawSpecs draws a template's transactions with their dependencies.
func drawSpecs(t *rapid.T) []txSpec {
	specs := make([]txSpec, rapid.IntRange(0, 25).Draw(t, "transactions"))
	for i := range specs {
		specs[i] = txSpec{
			witness: rapid.IntRange(0, 3).Draw(t, "witness") > 0,
			padding: rapid.IntRange(0, 300).Draw(t, "padding"),
			fee:     rapid.Int64Range(0, 10_000).Draw(t, "fee"),
			sigops:  rapid.SampledFrom([]int64{0, 0, 1, 4, 80, 1000}).Draw(t, "sigops"),
		}
		specs[i].required = rapid.IntRange(0, 9).Draw(t, "required") == 0
		for parent := range i {
			if rapid.IntRange(0, i).Draw(t, "depends") == 0 {
				specs[i].parents = append(specs[i].parents, parent)
			}
		}
	}
	return specs
}

// worstBlock is the largest block that a miner may make of a template: the scriptSig filled up
// with what counts the most sigops that were reserved, and the commitment repeated.
func worstBlock(t *rapid.T, fitted *Template) *btcutil.Block {
	var coinbase wire.MsgTx
	if err := coinbase.Deserialize(bytes.NewReader(fitted.coinbase.raw)); err != nil {
		t.Fatal(err)
	}
	script := &coinbase.TxIn[0].SignatureScript
	*script = append(*script, bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, 4)...)
	*script = append(*script, make([]byte, maxScriptSig-len(*script))...)
	if fitted.WitnessCommitment != nil {
		coinbase.AddTxOut(wire.NewTxOut(0, fitted.WitnessCommitment))
		coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
	}
	block := wire.NewMsgBlock(&wire.BlockHeader{})
	block.Transactions = append(block.Transactions, &coinbase)
	for _, tx := range fitted.Transactions {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Raw)); err != nil {
			t.Fatal(err)
		}
		block.Transactions = append(block.Transactions, &msg)
	}
	return btcutil.NewBlock(block)
}

// checkReduced holds a template to what was left of it when transactions were taken out of whole.
func checkReduced(t *rapid.T, whole, reduced *Template) {
	position := make(map[chainhash.Hash]int, len(whole.Transactions))
	for i, tx := range whole.Transactions {
		position[tx.TxID] = i
	}
	in := make(map[chainhash.Hash]int, len(reduced.Transactions))
	var fees int64
	last := -1
	for i, tx := range reduced.Transactions {
		from := position[tx.TxID]
		if from <= last {
			t.Fatalf("transaction %d is out of order", i)
		}
		last = from
		in[tx.TxID] = i
		fees += tx.Fee
		var want []int
		for _, parent := range whole.Transactions[from].Depends {
			now, ok := in[whole.Transactions[parent].TxID]
			if !ok {
				t.Fatalf("transaction %d is in without its parent %d", from, parent)
			}
			want = append(want, now)
		}
		if !slices.Equal(want, tx.Depends) {
			t.Fatalf("transaction %d depends on %v, want %v", i, tx.Depends, want)
		}
		if !bytes.Equal(tx.Raw, whole.Transactions[from].Raw) || tx.Weight != whole.Transactions[from].Weight {
			t.Fatalf("transaction %d has changed", from)
		}
	}
	if want := whole.Value - (whole.Fees - fees); reduced.Value != want || reduced.Fees != fees {
		t.Fatalf("value %d with fees %d, want %d with %d", reduced.Value, reduced.Fees, want, fees)
	}
	if want := len(whole.Transactions) - len(reduced.Transactions); reduced.Dropped-whole.Dropped != want {
		t.Fatalf("%d dropped, want %d", reduced.Dropped-whole.Dropped, want)
	}
	// Everything derived must be that of the transactions that are left.
	block := worstBlock(t, reduced)
	if got, want := MerkleRoot(*block.Transactions()[0].Hash(), reduced.Branch), blockchain.CalcMerkleRoot(block.Transactions(), false); got != want {
		t.Fatalf("merkle root %s, want %s", got, want)
	}
	if reduced.WitnessCommitment != nil {
		if err := blockchain.ValidateWitnessCommitment(block); err != nil {
			t.Fatal(err)
		}
	}
	var paid int64
	for _, o := range block.Transactions()[0].MsgTx().TxOut {
		paid += o.Value
	}
	if paid != reduced.Value {
		t.Fatalf("the coinbase pays %d, want %d", paid, reduced.Value)
	}
}

// checkLimits fails if a miner could make a block of t that breaks one of its limits.
func checkLimits(t *rapid.T, fitted *Template) {
	block := worstBlock(t, fitted)
	if weight := blockchain.GetBlockWeight(block); weight > fitted.WeightLimit {
		t.Fatalf("weight %d, limit %d", weight, fitted.WeightLimit)
	}
	if size := block.MsgBlock().SerializeSize(); int64(size) > fitted.SizeLimit {
		t.Fatalf("%d bytes, limit %d", size, fitted.SizeLimit)
	}
	sigops := fitted.set.sigops + int64(blockchain.CountSigOps(block.Transactions()[0]))*blockchain.WitnessScaleFactor
	if sigops > fitted.SigopLimit {
		t.Fatalf("%d sigops, limit %d", sigops, fitted.SigopLimit)
	}
}

// kept marks the transactions that are required or that a required one needs.
func kept(specs []txSpec) []bool {
	out := make([]bool, len(specs))
	for i, spec := range slices.Backward(specs) {
		if out[i] = out[i] || spec.required; out[i] {
			for _, parent := range spec.parents {
				out[parent] = true
			}
		}
	}
	return out
}

// TestFit gives templates less room than they need, in each of the three ways.
func TestFit(t *testing.T) {
	p := newPool(t)
	rapid.Check(t, func(rt *rapid.T) {
		specs := drawSpecs(rt)
		in := makeTemplate(t, tipOf(1), easyBits, specs)
		whole, err := ParseTemplate(in.raw(t))
		if err != nil {
			rt.Fatal(err)
		}
		whole.payees = PayTo(poolScript())
		// What the block needs with the largest coinbase decides where the limits are put.
		s, err := p.feed.skeleton(whole)
		if err != nil {
			rt.Fatal(err)
		}
		need := s.measure(whole.WitnessCommitment)
		need.weight += 4 * (80 + 3)
		need.size += 80 + 3
		var must reserve
		must.weight, must.sigops, must.size = need.weight, need.sigops, need.size
		stays := kept(specs)
		for i, tx := range whole.Transactions {
			need.weight, need.sigops, need.size = need.weight+tx.Weight, need.sigops+tx.Sigops, need.size+int64(len(tx.Raw))
			if stays[i] {
				must.weight, must.sigops, must.size = must.weight+tx.Weight, must.sigops+tx.Sigops, must.size+int64(len(tx.Raw))
			}
		}
		limit := func(need, must int64, name string) int64 {
			if rapid.Bool().Draw(rt, name+" is short") {
				return rapid.Int64Range(must-min(must, 10), need).Draw(rt, name)
			}
			return need
		}
		whole.WeightLimit = limit(need.weight, must.weight, "weight")
		whole.SigopLimit = limit(need.sigops, must.sigops, "sigops")
		whole.SizeLimit = limit(need.size, must.size, "size")

		fitted, err := p.feed.adjust(t.Context(), whole)
		feasible := must.weight <= whole.WeightLimit && must.sigops <= whole.SigopLimit && must.size <= whole.SizeLimit
		if !feasible {
			if !errors.Is(err, errRoom) || !errors.Is(err, ErrTemplate) {
				rt.Fatalf("error %v, want that there is no room", err)
			}
			return
		}
		if err != nil {
			rt.Fatalf("the required transactions fit, but: %v", err)
		}
		checkLimits(rt, fitted)
		checkReduced(rt, whole, fitted)
		if whole.WeightLimit == need.weight && whole.SigopLimit == need.sigops && whole.SizeLimit == need.size && fitted.Dropped > 0 {
			rt.Fatalf("%d dropped though all fit", fitted.Dropped)
		}
		left := make(map[chainhash.Hash]bool)
		for _, tx := range fitted.Transactions {
			left[tx.TxID] = true
		}
		for i, tx := range whole.Transactions {
			if stays[i] && !left[tx.TxID] {
				rt.Fatalf("transaction %d is required but dropped", i)
			}
		}
	})
}

// TestFitWitnessFree takes the witnesses out of random templates, for clients without segwit.
func TestFitWitnessFree(t *testing.T) {
	p := newPool(t)
	rapid.Check(t, func(rt *rapid.T) {
		specs := drawSpecs(rt)
		parsed, err := ParseTemplate(makeTemplate(t, tipOf(1), easyBits, specs).raw(t))
		if err != nil {
			rt.Fatal(err)
		}
		whole, err := p.feed.adjust(t.Context(), parsed)
		if err != nil {
			rt.Fatal(err)
		}
		free, err := whole.of(shape{witnessFree: true})
		if err != nil {
			rt.Fatal(err)
		}
		checkReduced(rt, whole, free)
		if free.WitnessCommitment != nil {
			rt.Fatal("a commitment without witnesses")
		}
		// Exactly those are left whose every ancestor, themselves included, has no witness.
		tainted := make([]bool, len(specs))
		var want []chainhash.Hash
		for i, spec := range specs {
			tainted[i] = spec.witness || slices.ContainsFunc(spec.parents, func(parent int) bool { return tainted[parent] })
			if !tainted[i] {
				want = append(want, whole.Transactions[i].TxID)
			}
		}
		var got []chainhash.Hash
		for _, tx := range free.Transactions {
			got = append(got, tx.TxID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// TestFitFullTemplate squeezes a real full template until transactions have to go.
func TestFitFullTemplate(t *testing.T) {
	p := newPool(t)
	whole, err := ParseTemplate(fullTemplate(t))
	if err != nil {
		t.Fatal(err)
	}
	whole.WeightLimit = 3_000_000
	fitted, err := p.feed.adjust(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if fitted.Dropped == 0 || fitted.Dropped+len(fitted.Transactions) != len(whole.Transactions) {
		t.Errorf("%d dropped, %d left of %d", fitted.Dropped, len(fitted.Transactions), len(whole.Transactions))
	}
	var weight int64
	for _, tx := range fitted.Transactions {
		weight += tx.Weight
	}
	if weight > 3_000_000 || weight < 2_990_000 {
		t.Errorf("weight %d of 3000000", weight)
	}
}

// TestFitManyPaths has every transaction depend on the two before it: the paths from the first to
// the last are more than can be walked one by one.
func TestFitManyPaths(t *testing.T) {
	specs := make([]txSpec, 200)
	for i := 2; i < len(specs); i++ {
		specs[i].parents = []int{i - 2, i - 1}
	}
	specs[150].required = true
	parsed, err := ParseTemplate(makeTemplate(t, tipOf(1), easyBits, specs).raw(t))
	if err != nil {
		t.Fatal(err)
	}
	parsed.WeightLimit = parsed.Transactions[0].Weight
	for _, tx := range parsed.Transactions[:180] {
		parsed.WeightLimit += tx.Weight
	}
	fitted, err := newPool(t).feed.adjust(t.Context(), parsed)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(fitted.Transactions); n < 151 || n > 180 {
		t.Errorf("%d transactions left", n)
	}
}

// TestFitNeedsFees cannot say what the coinbase may claim without a transaction of unknown fee.
func TestFitNeedsFees(t *testing.T) {
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Transactions[4].Fee = nil
	parsed, err := ParseTemplate(in.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	parsed.WeightLimit = 0
	for _, tx := range parsed.Transactions {
		parsed.WeightLimit += tx.Weight // none is left for the coinbase, so the last one has to go
	}
	if _, err := newPool(t).feed.adjust(t.Context(), parsed); !errors.Is(err, ErrTemplate) || errors.Is(err, errRoom) {
		t.Errorf("error %v, want one about the fee", err)
	}
}
