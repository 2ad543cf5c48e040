package client

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// family is a parent, its child with a witness, a stranger and a note with an OP_RETURN output whose
// heir spends it.
type family struct{ parent, child, stranger, note, heir *wire.MsgTx }

func newFamily() family {
	spend := func(hash chainhash.Hash) *wire.MsgTx {
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&hash, 0), []byte{1, 2}, nil))
		tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
		return tx
	}
	f := family{parent: spend(chainhash.Hash{1}), stranger: spend(chainhash.Hash{2}), note: spend(chainhash.Hash{3})}
	f.child = spend(f.parent.TxHash())
	f.child.TxIn[0].Witness = wire.TxWitness{{7}}
	f.note.AddTxOut(wire.NewTxOut(0, []byte{0x6a, 1, 2}))
	f.heir = spend(f.note.TxHash())
	return f
}

// all returns the family in block order. Their fees are 1, 2, 4, 8 and 16.
func (f family) all() []*wire.MsgTx {
	return []*wire.MsgTx{f.parent, f.child, f.stranger, f.note, f.heir}
}

// offerOf returns a template with coinbase and txs that lets the transactions be chosen; their fees
// are powers of two, and the coinbase claims them and a million.
func offerOf(tb rapid.TB, coinbase *wire.MsgTx, txs ...*wire.MsgTx) answer {
	tb.Helper()
	fees := make([]int64, len(txs))
	for i := range txs {
		fees[i] = 1 << i
	}
	return offerWith(tb, coinbase, fees, txs)
}

// offerWith is offerOf with other fees.
func offerWith(tb rapid.TB, coinbase *wire.MsgTx, fees []int64, txs []*wire.MsgTx) answer {
	tb.Helper()
	value := int64(1_000_000)
	for _, fee := range fees {
		value += fee
	}
	if coinbase != nil {
		coinbase.TxOut[0].Value = value
		for _, out := range coinbase.TxOut[1:] {
			coinbase.TxOut[0].Value -= out.Value
		}
	}
	a := newAnswer(tb, coinbase, txs...)
	for i, tx := range a.transactions() {
		tx["fee"] = fees[i]
	}
	a["mutable"] = []string{"time", "coinbase/append", "transactions", "transactions/add", "submit/hash", "submit/coinbase", "share/merkle", "share/coinbase"}
	a["capabilities"], a["workid"] = []string{"proposal"}, "issued"
	if a["coinbasevalue"] = value; coinbase != nil {
		delete(a, "coinbasevalue") // as pools do
	}
	return a
}

// pick returns transactions of a template by their positions.
func pick(t *Template, positions ...int) []Transaction {
	out := make([]Transaction, len(positions))
	for i, p := range positions {
		out[i] = t.Transactions[p]
	}
	return out
}

// TestWith chooses other transactions and looks at the block that becomes of it.
func TestWith(t *testing.T) {
	for name, coinbase := range map[string]*wire.MsgTx{"server's coinbase": newCoinbase([]byte{2, 0xf4, 1}), "own coinbase": nil} {
		for want, positions := range map[int64][]int{
			31: {0, 1, 2, 3, 4}, 0: {}, 4: {2}, 7: {2, 0, 1}, 25: {3, 4, 0}, 3: {0, 1},
		} {
			a := offerOf(t, coinbase, newFamily().all()...)
			a.transactions()[1]["depends"] = []int{1}
			pool := a.parse(t)
			got, err := Offer{Pool: pool}.With(pick(pool, positions...))
			if err != nil {
				t.Fatalf("%s: %v: %v", name, positions, err)
			}
			if got.CoinbaseValue != 1_000_000+want || got.Origin != pool || got.WorkID != "issued" || got.DefaultWitnessCommitment != nil {
				t.Errorf("%s: %v: the coinbase claims %d, the origin is %p and the workid %q", name, positions, got.CoinbaseValue, got.Origin, got.WorkID)
			}
			for _, tx := range got.Transactions {
				if tx.Depends != nil {
					t.Errorf("%s: %v: a transaction depends on those at %d of another list", name, positions, tx.Depends)
				}
			}
			_, block := assemble(t, got, Options{PayTo: []byte{0x51}, Append: []byte("me")})
			if err := blockchain.ValidateWitnessCommitment(block); err != nil {
				t.Error(err)
			}
			if root := blockchain.CalcMerkleRoot(block.Transactions(), false); root != block.MsgBlock().Header.MerkleRoot {
				t.Errorf("%s: %v: the merkle root is wrong", name, positions)
			}
			made := block.MsgBlock().Transactions[0]
			if made.TxOut[0].Value != 1_000_000+want || !bytes.HasSuffix(made.TxIn[0].SignatureScript, []byte("\xf4\x01me")) {
				t.Errorf("%s: %v: the coinbase is %+v", name, positions, made.TxOut[0])
			}
			d := got.Difference()
			if diff := cmp.Diff(Difference{Dropped: 5 - len(positions), Value: want - 31}, d); diff != "" {
				t.Errorf("%s: %v: the difference is wrong (-want +got):\n%s", name, positions, diff)
			}
			if fees, known := got.Fees(); fees != want || !known {
				t.Errorf("%s: %v: the fees are %d (%t)", name, positions, fees, known)
			}
		}
	}
}

// TestWithFaults looks at choices that cannot make a block, and what is said of them.
func TestWithFaults(t *testing.T) {
	f := newFamily()
	id := func(tx *wire.MsgTx) string { return tx.TxHash().String() }
	rival := f.stranger.Copy()
	rival.LockTime = 1
	for name, tt := range map[string]struct {
		change func(answer)
		choose []int
		want   string
	}{
		"not allowed":      {func(a answer) { a["mutable"] = []string{"time"} }, []int{0}, "does not let"},
		"required":         {func(a answer) { a.transactions()[2]["required"] = true }, []int{0}, "requires transaction " + id(f.stranger)},
		"twice":            {nil, []int{2, 0, 2}, id(f.stranger) + " is there twice, at 1 and 3"},
		"child first":      {nil, []int{1, 0}, "transaction " + id(f.child) + " spends " + id(f.parent) + ", which has to come before"},
		"without parent":   {nil, []int{2, 1}, "transaction " + id(f.child) + " spends " + id(f.parent) + ", which is left out"},
		"double spend":     {nil, []int{2, 5}, "spend the same coin"},
		"too heavy":        {func(a answer) { a["weightlimit"] = 1600 }, []int{0, 1, 2}, "first 2 transactions make the block too large"},
		"too long":         {func(a answer) { a["sizelimit"] = 400 }, []int{0, 1, 2}, "first 2 transactions make the block too large"},
		"too many sigops":  {func(a answer) { a["sigoplimit"] = 10; a.change("sigops", 12) }, []int{0}, "10 sigops"},
		"fee unknown":      {func(a answer) { delete(a.transactions()[2], "fee") }, []int{0}, "fee of transaction " + id(f.stranger) + " is unknown"},
		"fees beyond all":  {func(a answer) { a.transactions()[2]["fee"] = 1 << 40 }, []int{0}, "more than the block is worth"},
		"nobody to pay":    {func(a answer) { a["coinbasetxn"] = payless(t) }, []int{0}, "more than the block is worth"},
		"no fee is needed": {func(a answer) { delete(a.transactions()[2], "fee") }, []int{0, 1, 2, 3, 4, 5}, "same coin"},
	} {
		t.Run(name, func(t *testing.T) {
			a := offerOf(t, newCoinbase([]byte{1, 2}), append(f.all(), rival)...)
			if tt.change != nil {
				tt.change(a)
			}
			pool := a.parse(t)
			got, err := Offer{Pool: pool}.With(pick(pool, tt.choose...))
			if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

// payless returns a server's coinbase that claims nothing.
func payless(t *testing.T) map[string]string {
	t.Helper()
	tx := newCoinbase([]byte{1, 2})
	tx.TxOut[0].Value = 0
	return map[string]string{"data": hex.EncodeToString(serialize(t, tx.SerializeNoWitness))}
}

// TestFeeUnknown leaves a transaction's fee out that is in the block either way: it does not matter.
func TestFeeUnknown(t *testing.T) {
	a := offerOf(t, nil, newFamily().all()...)
	delete(a.transactions()[2], "fee")
	pool := a.parse(t)
	got, err := Offer{Pool: pool}.With(pick(pool, 2, 0))
	if err != nil || got.CoinbaseValue != 1_000_000+1+4 {
		t.Fatalf("the choice is worth %+v (%v)", got, err)
	}
	if fees, known := got.Fees(); known {
		t.Errorf("the fees are %d, although they are unknown", fees)
	}
}

// TestRevalue looks at the outputs of a server's coinbase for other values.
func TestRevalue(t *testing.T) {
	before, now := gbt.WitnessCommitment(nil), gbt.WitnessCommitment([]chainhash.Hash{{1}})
	rest := append(bytes.Clone(before), 9, 9)
	out := wire.NewTxOut
	for name, tt := range map[string]struct {
		outputs []*wire.TxOut
		value   int64
		want    []*wire.TxOut
	}{
		"single, less":            {[]*wire.TxOut{out(50, []byte{1})}, 40, []*wire.TxOut{out(40, []byte{1})}},
		"single, more":            {[]*wire.TxOut{out(50, []byte{1})}, 60, []*wire.TxOut{out(60, []byte{1})}},
		"several, less":           {[]*wire.TxOut{out(50, []byte{1}), out(5, []byte{2})}, 45, []*wire.TxOut{out(40, []byte{1}), out(5, []byte{2})}},
		"several, more":           {[]*wire.TxOut{out(50, []byte{1}), out(5, []byte{2})}, 65, []*wire.TxOut{out(60, []byte{1}), out(5, []byte{2})}},
		"first used up":           {[]*wire.TxOut{out(2, []byte{1}), out(50, []byte{2})}, 45, []*wire.TxOut{out(0, []byte{1}), out(45, []byte{2})}},
		"data goes before":        {[]*wire.TxOut{out(0, []byte{0x6a}), out(50, []byte{2})}, 45, []*wire.TxOut{out(0, []byte{0x6a}), out(45, []byte{2})}},
		"commitment in its place": {[]*wire.TxOut{out(0, before), out(50, []byte{2})}, 45, []*wire.TxOut{out(0, now), out(45, []byte{2})}},
		"the last counts":         {[]*wire.TxOut{out(50, []byte{1}), out(0, before), out(0, before)}, 50, []*wire.TxOut{out(50, []byte{1}), out(0, before), out(0, now)}},
		"it goes on":              {[]*wire.TxOut{out(50, []byte{1}), out(0, rest)}, 50, []*wire.TxOut{out(50, []byte{1}), out(0, append(bytes.Clone(now), 9, 9))}},
	} {
		t.Run(name, func(t *testing.T) {
			tx := newCoinbase([]byte{1, 2, 3})
			tx.TxOut = tt.outputs
			raw, err := revalue(serialize(t, tx.SerializeNoWitness), tt.value, now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseTransaction(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.TxOut); diff != "" {
				t.Errorf("the outputs differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tx.TxIn, got.TxIn); diff != "" || got.LockTime != tx.LockTime {
				t.Errorf("more than outputs changed (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := revalue(serialize(t, (&wire.MsgTx{TxIn: newCoinbase(nil).TxIn}).SerializeNoWitness), 1, now); err == nil {
		t.Error("somebody is paid by a coinbase without outputs")
	}
	if _, err := revalue([]byte{1}, 1, now); err == nil {
		t.Error("a coinbase of one byte is changed")
	}
}

// TestClaimed looks at coinbases that claim more than there is.
func TestClaimed(t *testing.T) {
	for _, values := range [][]int64{{-1}, {21e14, 1}, {1 << 62, 1 << 62}} {
		tx := newCoinbase([]byte{1, 2})
		tx.TxOut = nil
		for _, value := range values {
			tx.AddTxOut(wire.NewTxOut(value, []byte{0x51}))
		}
		if got, err := claimed(serialize(t, tx.SerializeNoWitness)); err == nil {
			t.Errorf("outputs of %d are taken for %d", values, got)
		}
	}
}

// TestRoom fills a block up to its limits: what fits by reckoning fits in fact, and not much is
// left.
func TestRoom(t *testing.T) {
	f := newFamily()
	for name, coinbase := range map[string]*wire.MsgTx{"server's coinbase": newCoinbase(make([]byte, 60)), "own coinbase": nil} {
		for _, key := range []string{"weightlimit", "sizelimit"} {
			fits := false
			for limit := 100; !fits; limit++ {
				a := offerOf(t, coinbase, f.all()...)
				a[key] = limit
				pool := a.parse(t)
				got, err := Offer{Pool: pool}.With(pool.Transactions)
				if fits = err == nil; !fits {
					continue
				}
				o := Options{PayTo: make([]byte, 34), Append: make([]byte, 95-len(firstScript(t, got)))}
				b, err := NewAssembler(got, o)
				if err != nil {
					t.Fatal(err)
				}
				block, err := b.Block(1, got.Received)
				if err != nil {
					t.Fatal(err)
				}
				raw, err := block.Serialize()
				if err != nil {
					t.Fatal(err)
				}
				made := len(raw)
				if key == "weightlimit" {
					var msg wire.MsgBlock
					if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
						t.Fatal(err)
					}
					made = 3*msg.SerializeSizeStripped() + msg.SerializeSize()
				}
				if made > limit || made < limit-4*(34+2) {
					t.Errorf("%s: a block for a %s of %d takes %d", name, key, limit, made)
				}
			}
		}
	}
}

// firstScript returns the scriptSig of block 0 of a template.
func firstScript(t *testing.T, template *Template) []byte {
	t.Helper()
	a, err := NewAssembler(template, Options{PayTo: []byte{0x51}})
	if err != nil {
		t.Fatal(err)
	}
	return a.coinbase.TxIn[0].SignatureScript
}
