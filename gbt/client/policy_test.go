package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPolicies has each policy choose from a family of transactions.
func TestPolicies(t *testing.T) {
	f := newFamily()
	rival := f.stranger.Copy() // spends what the stranger spends
	rival.LockTime = 1
	after := wire.NewMsgTx(2)
	rivalID := rival.TxHash()
	after.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&rivalID, 0), nil, nil))
	all := f.all()
	for name, tt := range map[string]struct {
		policy   Policy
		required []*wire.MsgTx // of the pool's
		node     []*wire.MsgTx // nil for no node
		want     []*wire.MsgTx
	}{
		"empty":                           {Empty, nil, nil, nil},
		"empty, one required":             {Empty, all[2:3], nil, all[2:3]},
		"empty, child required":           {Empty, all[1:2], nil, all[:2]},
		"empty, with a node":              {Empty, all[2:3], all[:2], all[2:3]},
		"no op-return":                    {NoOpReturn, nil, nil, all[:3]},
		"no op-return, required":          {NoOpReturn, all[4:5], nil, all},
		"no op-return, with a node":       {NoOpReturn, nil, []*wire.MsgTx{f.note, f.heir, rival}, []*wire.MsgTx{rival}},
		"max fee":                         {MaxFee, nil, []*wire.MsgTx{rival, f.parent}, []*wire.MsgTx{rival, f.parent}},
		"max fee, empty node":             {MaxFee, nil, []*wire.MsgTx{}, nil},
		"max fee, required":               {MaxFee, all[1:2], []*wire.MsgTx{rival, f.child}, []*wire.MsgTx{f.parent, f.child, rival}},
		"max fee, required is in the way": {MaxFee, all[2:3], []*wire.MsgTx{rival, after, f.note}, []*wire.MsgTx{f.stranger, f.note}},
		"max fee, required is there":      {MaxFee, all[:1], []*wire.MsgTx{f.note, f.parent, f.child}, []*wire.MsgTx{f.parent, f.note, f.child}},
	} {
		t.Run(name, func(t *testing.T) {
			a := offerOf(t, newCoinbase([]byte{1, 2}), all...)
			for i, tx := range all {
				a.transactions()[i]["required"] = slices.Contains(tt.required, tx)
			}
			o := Offer{Pool: a.parse(t)}
			if tt.node != nil {
				o.Node = offerOf(t, nil, tt.node...).parse(t)
			}
			got, err := tt.policy(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var want, have []chainhash.Hash
			for _, tx := range tt.want {
				want = append(want, tx.TxHash())
			}
			for i := range got {
				have = append(have, got[i].TxID)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("the choice differs (-want +got):\n%s", diff)
			}
			if _, err := o.With(got); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := MaxFee(t.Context(), Offer{Pool: offerOf(t, nil).parse(t)}); err == nil {
		t.Error("there is a choice of most fees without a node")
	}
}

// TestMaxFeeFits has a node whose transactions take more than the pool's limits leave: as many as
// fit are taken, and none without its parent.
func TestMaxFeeFits(t *testing.T) {
	f := newFamily()
	f.parent.TxIn[0].SignatureScript = make([]byte, 300)
	f.child.TxIn[0].PreviousOutPoint.Hash = f.parent.TxHash()
	for _, limit := range []struct {
		key   string
		value int
	}{{"weightlimit", 1800}, {"sizelimit", 500}, {"sigoplimit", 4}} {
		a := offerOf(t, newCoinbase([]byte{1, 2}))
		a[limit.key] = limit.value
		node := offerOf(t, nil, f.parent, f.child, f.stranger)
		node.change("sigops", 8)
		o := Offer{Pool: a.parse(t), Node: node.parse(t)}
		got, err := MaxFee(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].TxID != f.stranger.TxHash() {
			t.Errorf("%s: %d transactions are chosen, want the one that fits", limit.key, len(got))
		}
		if chosen, err := o.With(got); err != nil || chosen.CoinbaseValue != 1_000_000+4 {
			t.Errorf("%s: the choice is %+v (%v)", limit.key, chosen, err)
		}
	}
}

// TestPolicyFaults gives policies what no template holds.
func TestPolicyFaults(t *testing.T) {
	bad := &Template{Mutable: []string{"transactions"}, Transactions: []Transaction{{Raw: []byte{1}, Required: true}}}
	for _, policy := range []Policy{Empty, NoOpReturn} {
		if _, err := policy(t.Context(), Offer{Pool: bad}); err == nil {
			t.Error("a choice is made of transactions that are none")
		}
	}
	if _, err := MaxFee(t.Context(), Offer{Pool: &Template{}, Node: bad}); err == nil {
		t.Error("a choice is made of transactions that are none")
	}
	if _, err := (Offer{Pool: bad}).With(bad.Transactions); err == nil {
		t.Error("a block is made of transactions that are none")
	}
}

// drawn are transactions that a test drew, in block order, some of which spend others.
func drawn(t *rapid.T, label string, coins *uint32) []*wire.MsgTx {
	txs := make([]*wire.MsgTx, rapid.IntRange(0, 12).Draw(t, label))
	for i := range txs {
		tx := wire.NewMsgTx(2)
		for range rapid.IntRange(1, 3).Draw(t, "inputs") {
			previous := wire.OutPoint{Hash: chainhash.Hash{0xff}, Index: *coins}
			*coins++
			if i > 0 && rapid.Bool().Draw(t, "chained") {
				parent := rapid.IntRange(0, i-1).Draw(t, "parent")
				previous.Hash = txs[parent].TxHash()
			}
			in := wire.NewTxIn(&previous, nil, nil)
			if rapid.Bool().Draw(t, "witness") {
				in.Witness = wire.TxWitness{{1}}
			}
			tx.AddTxIn(in)
		}
		tx.AddTxOut(wire.NewTxOut(1, rapid.SampledFrom([][]byte{{0x51}, {0x6a}, {}}).Draw(t, "script")))
		txs[i] = tx
	}
	return txs
}

// TestChoices draws templates of a pool and of a node that have some transactions in common and
// some in conflict. Whatever a policy chooses keeps what is required and the order of dependency,
// is what Offer.With accepts, and makes a block that btcd's rules hold for.
func TestChoices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coins := uint32(0)
		shared := drawn(t, "shared", &coins)
		pool := append(slices.Clone(shared), drawn(t, "of the pool", &coins)...)
		if rapid.Bool().Draw(t, "conflicts") {
			coins /= 2
		}
		node := append(drawn(t, "of the node", &coins), shared...)
		pool, node = consistent(pool), consistent(node)
		a := offerWith(t, newCoinbase([]byte{1, 2, 3}), feesOf(pool), pool)
		for _, tx := range a.transactions() {
			tx["required"] = rapid.IntRange(0, 5).Draw(t, "required") == 0
		}
		if rapid.Bool().Draw(t, "sizelimit") {
			// What the pool itself has fits.
			limit := 350 + rapid.IntRange(0, 500).Draw(t, "more")
			for _, tx := range pool {
				limit += tx.SerializeSize()
			}
			a["sizelimit"] = limit
		}
		o := Offer{Pool: a.parse(t)}
		policies := []Policy{Empty, NoOpReturn}
		if rapid.Bool().Draw(t, "own node") {
			o.Node = offerWith(t, nil, feesOf(node), node).parse(t)
			policies = append(policies, MaxFee)
		}
		checkChoice(t, o, rapid.SampledFrom(policies).Draw(t, "policy"))
	})
}

// feesOf makes up fees, for each transaction the same wherever it is.
func feesOf(txs []*wire.MsgTx) []int64 {
	out := make([]int64, len(txs))
	for i, tx := range txs {
		id := tx.TxHash()
		out[i] = int64(id[0])
	}
	return out
}

// consistent leaves out what spends what an earlier transaction does, and what depends on it.
func consistent(txs []*wire.MsgTx) []*wire.MsgTx {
	spent, dropped := make(map[wire.OutPoint]bool), make(map[chainhash.Hash]bool)
	var out []*wire.MsgTx
	for _, tx := range txs {
		bad := false
		for _, in := range tx.TxIn {
			bad = bad || spent[in.PreviousOutPoint] || dropped[in.PreviousOutPoint.Hash]
		}
		if dropped[tx.TxHash()] = bad; bad {
			continue
		}
		for _, in := range tx.TxIn {
			spent[in.PreviousOutPoint] = true
		}
		out = append(out, tx)
	}
	return out
}

func checkChoice(t *rapid.T, o Offer, policy Policy) {
	txs, err := policy(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[chainhash.Hash]int)
	for i := range txs {
		at[txs[i].TxID] = i + 1
	}
	for i := range o.Pool.Transactions {
		if tx := &o.Pool.Transactions[i]; tx.Required && at[tx.TxID] == 0 {
			t.Fatalf("transaction %s is required and left out", tx.TxID)
		}
	}
	for i := range txs {
		msg, err := parseTransaction(txs[i].Raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range msg.TxIn {
			parent := in.PreviousOutPoint.Hash
			if known := o.known()[parent] != nil; known && (at[parent] == 0 || at[parent] > i) {
				t.Fatalf("transaction %d spends %s, which does not come before it", i+1, parent)
			}
		}
	}
	chosen, err := o.With(txs)
	if err != nil {
		t.Fatal(err)
	}
	_, block := assemble(t, chosen, Options{})
	if err := blockchain.ValidateWitnessCommitment(block); err != nil {
		t.Fatal(err)
	}
	fees, known := chosen.Fees()
	if subsidy := int64(1_000_000); !known || chosen.CoinbaseValue != subsidy+fees || block.MsgBlock().Transactions[0].TxOut[0].Value != subsidy+fees {
		t.Fatalf("the coinbase claims %d, the fees are %d", chosen.CoinbaseValue, fees)
	}
	if size := block.MsgBlock().SerializeSize(); o.Pool.SizeLimit > 0 && size > int(o.Pool.SizeLimit) {
		t.Fatalf("the block has %d bytes, more than %d", size, o.Pool.SizeLimit)
	}
}

// TestKnownDependencies compares the dependencies that are found with those that a real node told.
func TestKnownDependencies(t *testing.T) {
	template, err := ParseTemplate(fullTemplate(t))
	if err != nil {
		t.Fatal(err)
	}
	o := Offer{Pool: template}
	chosen, err := NoOpReturn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	kept := ids(chosen)
	for i := range template.Transactions {
		tx := &template.Transactions[i]
		for _, parent := range tx.Depends {
			if kept[tx.TxID] && !kept[template.Transactions[parent].TxID] {
				t.Fatalf("transaction %d is kept without number %d, on which it depends", i+1, parent+1)
			}
		}
		if carries := bytes.Contains(tx.Raw, []byte{0x6a}); !kept[tx.TxID] && len(tx.Depends) == 0 && !carries {
			t.Errorf("transaction %d is left out for nothing", i+1)
		}
	}
	template.Mutable = append(template.Mutable, "transactions")
	if _, err := o.With(chosen); err != nil {
		t.Error(err)
	}
	if len(chosen) == 0 || errors.Is(err, ErrTemplate) {
		t.Error("nothing is kept")
	}
}
