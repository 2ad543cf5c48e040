package payouts

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/txsort"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

func TestScripts(t *testing.T) {
	anchor := []byte{txscript.OP_1, txscript.OP_DATA_2, 0x4e, 0x73}
	tests := []struct {
		name    string
		script  []byte
		dust    int64 // Bitcoin Core's
		payable bool
		input   int64 // 0 if it is not spent
	}{
		{"P2WPKH", payTo(0), 294, true, 272},
		{"P2TR", payTo(1), 330, true, 231},
		{"P2PKH", payTo(2), 546, true, 0},
		{"P2SH", payTo(3), 540, true, 0},
		{"P2WSH", payTo(4), 330, true, 0},
		{"an anchor", anchor, 240, false, 0},
		{"data", []byte{txscript.OP_RETURN, 1, 1}, 3 * (12 + 148), false, 0},
		{"nothing", nil, 3 * (9 + 148), false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Dust(test.script); got != test.dust {
				t.Errorf("dust below %d sat, want %d", got, test.dust)
			}
			if want := mempool.GetDustThreshold(wire.NewTxOut(1, test.script)); want != test.dust {
				t.Errorf("btcd's dust limit is %d sat, want %d", want, test.dust)
			}
			if got := Payable(test.script); got != test.payable {
				t.Errorf("payable is %v", got)
			}
			if got, ok := InputWeight(test.script); got != test.input || ok != (test.input != 0) {
				t.Errorf("an input of %d weight units, %v, want %d", got, ok, test.input)
			}
		})
	}
}

func TestDraft(t *testing.T) {
	k := newKeyring(4)
	p, in := planScene(k, BearerPool)
	in.Payees, in.Coins = payees(50_000, 20_000, 30_000, 20_000, 70_000), k.coinsOf(50_000, 60_000, 40_000, 90_000)
	plans, err := p.Plan(in)
	if err != nil || len(plans) != 1 {
		t.Fatal(plans, err)
	}
	d, err := plans[0].Draft()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := plans[0].Transaction()
	if err != nil {
		t.Fatal(err)
	}
	if tx.TxHash() != d.Tx.TxHash() {
		t.Error("Transaction is another one than Draft's")
	}
	if !txsort.IsSorted(tx) {
		t.Error("it is not in BIP 69's order")
	}
	if tx.Version != 2 || tx.LockTime != 0 || len(tx.TxOut) != 6 || len(tx.TxIn) != len(d.Inputs) {
		t.Errorf("version %d, lock time %d, %d inputs, %d outputs", tx.Version, tx.LockTime, len(tx.TxIn), len(tx.TxOut))
	}
	for i, txIn := range tx.TxIn {
		if txIn.Sequence != 0xfffffffd || txIn.PreviousOutPoint != d.Coins()[i].OutPoint || len(txIn.SignatureScript) != 0 {
			t.Errorf("input %d is %v", i, txIn)
		}
	}
	if again, err := plans[0].Draft(); err != nil || again.Tx.TxHash() != d.Tx.TxHash() {
		t.Errorf("the same plan has another transaction: %v", err)
	}
	if _, err := (&Plan{}).Draft(); !errors.Is(err, ErrPlan) {
		t.Errorf("no plan: %v", err)
	}
}

func TestDraftVersion(t *testing.T) {
	k := newKeyring(2)
	p, in := planScene(k, BearerPool)
	in.Payees, in.Coins = payees(50_000), k.coinsOf(40_000, 45_000)
	plans, err := p.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := plans[0].Draft()
	if err != nil {
		t.Fatal(err)
	}
	v := k.version(t, d, 1)
	if err := v.CheckSignatures(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(tx *wire.MsgTx){
		"another output": func(tx *wire.MsgTx) { tx.TxOut[0].Value-- },
		"unsigned":       func(tx *wire.MsgTx) { tx.TxIn[1].Witness = nil },
		"a script":       func(tx *wire.MsgTx) { tx.TxIn[0].SignatureScript = []byte{0} },
		"heavy":          func(tx *wire.MsgTx) { tx.TxIn[0].Witness = append(tx.TxIn[0].Witness, make([]byte, 70)) },
	} {
		tx := k.sign(t, d)
		change(tx)
		if _, err := d.Version(1, tx); !errors.Is(err, ErrTransaction) {
			t.Errorf("%s: %v, want ErrTransaction", name, err)
		}
	}
	if _, err := d.Version(0, k.sign(t, d)); !errors.Is(err, ErrTransaction) {
		t.Errorf("version 0: %v", err)
	}
	if _, err := d.Version(1, nil); !errors.Is(err, ErrTransaction) {
		t.Errorf("nothing signed: %v", err)
	}
}

func TestCheckSignatures(t *testing.T) {
	k := newKeyring(2)
	p, in := planScene(k, BearerPool)
	in.Payees, in.Coins = payees(50_000), k.coinsOf(40_000, 45_000)
	plans, err := p.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := plans[0].Draft()
	if err != nil {
		t.Fatal(err)
	}
	good := k.version(t, d, 1)
	for name, change := range map[string]func(v *Version){
		"another value":   func(v *Version) { v.Inputs[0].Value++ },
		"another script":  func(v *Version) { v.Inputs[0].Script = v.Inputs[1].Script },
		"an input less":   func(v *Version) { v.Inputs = v.Inputs[:1] },
		"not a signature": func(v *Version) { v.Raw[len(v.Raw)-60] ^= 1 },
		"cut off":         func(v *Version) { v.Raw = v.Raw[:len(v.Raw)-1] },
		"with more":       func(v *Version) { v.Raw = append(v.Raw, 0) },
	} {
		v := good
		v.Raw, v.Inputs = bytes.Clone(good.Raw), append([]Input(nil), good.Inputs...)
		change(&v)
		if err := v.CheckSignatures(); !errors.Is(err, ErrTransaction) {
			t.Errorf("%s: %v, want ErrTransaction", name, err)
		}
	}
}
