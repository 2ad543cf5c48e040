package wallet

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// signPSBT does what an offline signer does to a PSBT: it adds signatures to it and knows nothing else.
func signPSBT(tb testing.TB, k *HotKey, raw []byte) *psbt.Packet {
	tb.Helper()
	p, err := psbt.NewFromRawBytes(bytes.NewReader(raw), false)
	if err != nil {
		tb.Fatal(err)
	}
	var coins []payouts.Coin
	for i, in := range p.UnsignedTx.TxIn {
		out := p.Inputs[i].WitnessUtxo
		coins = append(coins, payouts.Coin{OutPoint: in.PreviousOutPoint, Value: out.Value, Script: out.PkScript})
	}
	tx := signed(tb, k, p.UnsignedTx, coins)
	for i, in := range tx.TxIn {
		if txscript.IsPayToTaproot(k.script) {
			p.Inputs[i].TaprootKeySpendSig = in.Witness[0]
		} else {
			p.Inputs[i].PartialSigs = []*psbt.PartialSig{{Signature: in.Witness[0], PubKey: in.Witness[1]}}
		}
	}
	return p
}

func serialize(tb testing.TB, p *psbt.Packet) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := p.Serialize(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// TestPSBTRound sends transactions to an offline signer, and takes back what it made in each way that
// programs hand it on.
func TestPSBTRound(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		tx, coins := settlement(k.script, 3)
		want := encode(t, signed(t, k, tx, coins))
		raw, err := EncodePSBT(tx, coins)
		if err != nil {
			t.Fatal(err)
		}
		text, err := EncodePSBTText(tx, coins)
		if err != nil || text != base64.StdEncoding.EncodeToString(raw) {
			t.Errorf("%s: the text is another: %v", form, err)
		}
		partial := signPSBT(t, k, raw)
		part := serialize(t, partial)
		if err := psbt.MaybeFinalizeAll(partial); err != nil {
			t.Fatal(err)
		}
		whole := serialize(t, partial)
		b64 := base64.StdEncoding.EncodeToString(part)
		for name, data := range map[string][]byte{
			"signed":          part,
			"finalised":       whole,
			"base64":          []byte(b64),
			"base64 in lines": []byte(b64[:60] + "\r\n" + b64[60:] + "\n"),
			"hex PSBT":        []byte(hex.EncodeToString(part)),
			"raw transaction": []byte(strings.ToUpper(hex.EncodeToString(want)) + "\n"),
		} {
			got, err := DecodePSBT(data, tx, coins)
			if err != nil {
				t.Errorf("%s, %s: %v", form, name, err)
				continue
			}
			if !bytes.Equal(encode(t, got), want) {
				t.Errorf("%s, %s: another transaction", form, name)
			}
		}
	}
}

// TestPSBTWithMore takes a PSBT to which the signer has added the transactions that the inputs come from,
// and what it knows of keys and outputs.
func TestPSBTWithMore(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	tx, coins := settlement(k.script, 2)
	prev := wire.NewMsgTx(2)
	prev.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 9}, []byte{0x51}, nil))
	prev.AddTxOut(wire.NewTxOut(coins[0].Value, k.script))
	coins[0].OutPoint = wire.OutPoint{Hash: prev.TxHash()}
	tx.TxIn[0].PreviousOutPoint = coins[0].OutPoint
	raw, err := EncodePSBT(tx, coins)
	if err != nil {
		t.Fatal(err)
	}
	p := signPSBT(t, k, raw)
	p.Inputs[0].NonWitnessUtxo = prev
	p.Inputs[0].SighashType = txscript.SigHashAll
	p.Inputs[1].WitnessUtxo = nil
	p.Inputs[1].Unknowns = []*psbt.Unknown{{Key: []byte{0xfc, 1}, Value: []byte("a program's own")}}
	p.Outputs[0].RedeemScript = []byte{0x51}
	if _, err := DecodePSBT(serialize(t, p), tx, coins); err != nil {
		t.Error(err)
	}
	p.Inputs[0].NonWitnessUtxo.TxOut[0].Value++
	if _, err := DecodePSBT(serialize(t, p), tx, coins); !errors.Is(err, ErrMismatch) {
		t.Errorf("a previous transaction of another id: %v, want ErrMismatch", err)
	}
	prev.TxOut[0].Value--
	coins[0].OutPoint.Index = 5
	tx.TxIn[0].PreviousOutPoint.Index, p.UnsignedTx.TxIn[0].PreviousOutPoint.Index = 5, 5
	if _, err := DecodePSBT(serialize(t, p), tx, coins); !errors.Is(err, ErrMismatch) {
		t.Errorf("a previous transaction without the output: %v, want ErrMismatch", err)
	}
}

// tampered lists what could be done to a transaction before it is signed, and what the error names.
func tampered() map[string]struct {
	do   func(tx *wire.MsgTx)
	says string
} {
	return map[string]struct {
		do   func(tx *wire.MsgTx)
		says string
	}{
		"version":         {func(tx *wire.MsgTx) { tx.Version = 1 }, "version is 1, want 2"},
		"lock time":       {func(tx *wire.MsgTx) { tx.LockTime-- }, "lock time is 100, want 101"},
		"input dropped":   {func(tx *wire.MsgTx) { tx.TxIn = tx.TxIn[:1] }, "1 inputs, want 2"},
		"input replaced":  {func(tx *wire.MsgTx) { tx.TxIn[1].PreviousOutPoint.Index++ }, "input 1 spends"},
		"inputs swapped":  {func(tx *wire.MsgTx) { tx.TxIn[0], tx.TxIn[1] = tx.TxIn[1], tx.TxIn[0] }, "input 0 spends"},
		"sequence":        {func(tx *wire.MsgTx) { tx.TxIn[1].Sequence++ }, "input 1 has the sequence number"},
		"output dropped":  {func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[:2] }, "2 outputs, want 3"},
		"output added":    {func(tx *wire.MsgTx) { tx.AddTxOut(tx.TxOut[0]) }, "4 outputs, want 3"},
		"outputs swapped": {func(tx *wire.MsgTx) { tx.TxOut[0], tx.TxOut[1] = tx.TxOut[1], tx.TxOut[0] }, "output 0 pays 301 sat, want 300"},
		"value":           {func(tx *wire.MsgTx) { tx.TxOut[2].Value-- }, "output 2 pays 301 sat, want 302"},
		"script":          {func(tx *wire.MsgTx) { tx.TxOut[1].PkScript[5] ^= 1 }, "output 1 pays to the script"},
	}
}

// TestPSBTTampered signs other transactions than the one wanted, properly, and wants each refused by name.
func TestPSBTTampered(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		for name, tc := range tampered() {
			tx, coins := settlement(k.script, 2)
			other, otherCoins := settlement(k.script, 2)
			tc.do(other)
			otherCoins = otherCoins[:len(other.TxIn)]
			for i := range otherCoins {
				otherCoins[i].OutPoint = other.TxIn[i].PreviousOutPoint
			}
			raw, err := EncodePSBT(other, otherCoins)
			if err != nil {
				t.Fatal(err)
			}
			p := signPSBT(t, k, raw)
			part := serialize(t, p)
			tx2 := signed(t, k, other, otherCoins)
			for kind, data := range map[string][]byte{"PSBT": part, "raw": []byte(hex.EncodeToString(encode(t, tx2)))} {
				got, err := DecodePSBT(data, tx, coins)
				if !errors.Is(err, ErrMismatch) || got != nil {
					t.Errorf("%s, %s as %s: %v, want ErrMismatch", form, name, kind, err)
				} else if !strings.Contains(err.Error(), tc.says) && kind == "PSBT" {
					t.Errorf("%s, %s: %v; want it to say %q", form, name, err, tc.says)
				}
			}
		}
	}
}

// TestPSBTFields spoils what else a PSBT says of its inputs.
func TestPSBTFields(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(p *psbt.Packet)
		want error
	}{
		"coin's value":         {func(p *psbt.Packet) { p.Inputs[1].WitnessUtxo.Value++ }, ErrMismatch},
		"coin's script":        {func(p *psbt.Packet) { p.Inputs[1].WitnessUtxo.PkScript = []byte{0x51} }, ErrMismatch},
		"scriptSig":            {func(p *psbt.Packet) { p.Inputs[1].FinalScriptSig = []byte{0x51} }, ErrMismatch},
		"no signature":         {func(p *psbt.Packet) { p.Inputs[1].PartialSigs = nil }, ErrSignature},
		"another's signature":  {func(p *psbt.Packet) { p.Inputs[1].PartialSigs = p.Inputs[0].PartialSigs }, ErrSignature},
		"two signatures":       {func(p *psbt.Packet) { p.Inputs[1].PartialSigs = append(p.Inputs[1].PartialSigs, otherSig(p)) }, ErrSignature},
		"endless witness":      {func(p *psbt.Packet) { p.Inputs[1].FinalScriptWitness = bytes.Repeat([]byte{0xff}, 9) }, ErrSignature},
		"large witness":        {func(p *psbt.Packet) { p.Inputs[1].FinalScriptWitness = make([]byte, 100_000) }, ErrSignature},
		"witness and more":     {func(p *psbt.Packet) { p.Inputs[1].FinalScriptWitness = []byte{1, 1, 7, 9} }, ErrSignature},
		"empty witness":        {func(p *psbt.Packet) { p.Inputs[1].FinalScriptWitness = []byte{0} }, ErrSignature},
		"more keys than any":   {func(p *psbt.Packet) { p.Inputs[1].Unknowns = manyKeys() }, errMalformed},
		"more keys for output": {func(p *psbt.Packet) { p.Outputs[1].Unknowns = manyKeys() }, errMalformed},
		"more keys for all":    {func(p *psbt.Packet) { p.Unknowns = manyKeys() }, errMalformed},
		"a key of no type":     {func(p *psbt.Packet) { p.Unknowns = []*psbt.Unknown{{Key: []byte{0xfd, 0, 1}}} }, errMalformed},
	} {
		k := hotKey(t, P2WPKH, testKey)
		tx, coins := settlement(k.script, 2)
		raw, err := EncodePSBT(tx, coins)
		if err != nil {
			t.Fatal(err)
		}
		p := signPSBT(t, k, raw)
		tc.do(p)
		if got, err := DecodePSBT(serialize(t, p), tx, coins); !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func otherSig(p *psbt.Packet) *psbt.PartialSig {
	sig := *p.Inputs[0].PartialSigs[0]
	sig.PubKey = bytes.Clone(sig.PubKey)
	sig.PubKey[0] ^= 1 // the other point of the same x
	return &sig
}

func manyKeys() []*psbt.Unknown {
	var out []*psbt.Unknown
	for i := range maxKeys + 1 {
		out = append(out, &psbt.Unknown{Key: []byte{0xf0, byte(i), byte(i >> 8)}})
	}
	return out
}

// TestSighash wants signatures that do not cover the whole transaction to be refused, though they are
// valid: whoever sees them may change what is paid.
func TestSighash(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		for _, hash := range []txscript.SigHashType{
			txscript.SigHashAll, txscript.SigHashNone, txscript.SigHashSingle,
			txscript.SigHashAll | txscript.SigHashAnyOneCanPay, txscript.SigHashNone | txscript.SigHashAnyOneCanPay,
		} {
			tx, coins := settlement(k.script, 2)
			out := signed(t, k, tx, coins)
			hashes := txscript.NewTxSigHashes(out, fetcher(coins))
			var err error
			if form == P2TR {
				out.TxIn[1].Witness, err = txscript.TaprootWitnessSignature(out, hashes, 1, coins[1].Value, k.script, hash, k.key)
			} else {
				out.TxIn[1].Witness, err = txscript.WitnessSignature(out, hashes, 1, coins[1].Value, k.script, hash, k.key, true)
			}
			if err != nil {
				t.Fatal(err)
			}
			vm, err := txscript.NewEngine(k.script, out, 1, txscript.StandardVerifyFlags, nil, hashes, coins[1].Value, fetcher(coins))
			if err != nil || vm.Execute() != nil {
				t.Fatalf("%s, 0x%02x: the test's own signature is not valid", form, uint32(hash))
			}
			_, err = DecodePSBT([]byte(hex.EncodeToString(encode(t, out))), tx, coins)
			if hash == txscript.SigHashAll {
				if err != nil {
					t.Errorf("%s: SIGHASH_ALL: %v", form, err)
				}
			} else if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "input 1") {
				t.Errorf("%s, 0x%02x: %v, want ErrSignature of input 1", form, uint32(hash), err)
			}
		}
	}
}

// TestScriptPath wants Taproot coins spent by a script refused: the fee was planned for a signature.
func TestScriptPath(t *testing.T) {
	k := hotKey(t, P2TR, testKey)
	leaf := txscript.NewBaseTapLeaf([]byte{txscript.OP_DROP, txscript.OP_TRUE})
	tree := txscript.AssembleTaprootScriptTree(leaf)
	root := tree.RootNode.TapHash()
	script, err := txscript.PayToTaprootScript(txscript.ComputeTaprootOutputKey(k.key.PubKey(), root[:]))
	if err != nil {
		t.Fatal(err)
	}
	block := tree.LeafMerkleProofs[0].ToControlBlock(k.key.PubKey())
	control, err := block.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	tx, coins := settlement(script, 1)
	out := tx.Copy()
	out.TxIn[0].Witness = wire.TxWitness{{byte(txscript.SigHashAll)}, leaf.Script, control}
	vm, err := txscript.NewEngine(script, out, 0, txscript.StandardVerifyFlags, nil, txscript.NewTxSigHashes(out, fetcher(coins)), coins[0].Value, fetcher(coins))
	if err != nil || vm.Execute() != nil {
		t.Fatal("the test's own witness is not valid")
	}
	if _, err := DecodePSBT([]byte(hex.EncodeToString(encode(t, out))), tx, coins); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "3 parts") {
		t.Errorf("%v, want ErrSignature for a witness of 3 parts", err)
	}
}

// TestRawRefused spoils a signed transaction in ways that its signatures do not cover.
func TestRawRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		form Form
		do   func(*wire.TxIn)
		want error
		says string
	}{
		"scriptSig":       {P2TR, func(in *wire.TxIn) { in.SignatureScript = []byte{0x51} }, ErrMismatch, "scriptSig"},
		"large witness":   {P2TR, func(in *wire.TxIn) { in.Witness = append(in.Witness, make([]byte, 200)) }, ErrMismatch, "bytes"},
		"another witness": {P2TR, func(in *wire.TxIn) { in.Witness = append(in.Witness, []byte{0x50}) }, ErrSignature, "2 parts"},
		"empty signature": {P2WPKH, func(in *wire.TxIn) { in.Witness[0] = nil }, ErrSignature, "not signed"},
		"empty key":       {P2WPKH, func(in *wire.TxIn) { in.Witness[1] = nil }, ErrSignature, "input 1"},
		"no key":          {P2WPKH, func(in *wire.TxIn) { in.Witness = in.Witness[:1] }, ErrSignature, "1 parts"},
	} {
		k := hotKey(t, tc.form, testKey)
		tx, coins := settlement(k.script, 2)
		out := signed(t, k, tx, coins)
		tc.do(out.TxIn[1])
		_, err := DecodePSBT([]byte(hex.EncodeToString(encode(t, out))), tx, coins)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, tc.want, tc.says)
		}
	}
}

// TestWrongValue wants a signature made for another value of the coin refused.
func TestWrongValue(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		tx, coins := settlement(k.script, 2)
		raw := []byte(hex.EncodeToString(encode(t, signed(t, k, tx, coins))))
		coins[1].Value++
		if _, err := DecodePSBT(raw, tx, coins); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", form, err)
		}
	}
}

// TestDecodeNonsense gives what is neither a PSBT nor a transaction, or breaks off.
func TestDecodeNonsense(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	tx, coins := settlement(k.script, 2)
	raw, err := EncodePSBT(tx, coins)
	if err != nil {
		t.Fatal(err)
	}
	part := serialize(t, signPSBT(t, k, raw))
	for n := range part {
		if _, err := DecodePSBT(part[:n], tx, coins); err == nil {
			t.Fatalf("the first %d of %d bytes are taken", n, len(part))
		}
	}
	whole := encode(t, signed(t, k, tx, coins))
	for n := range whole {
		if _, err := DecodePSBT([]byte(hex.EncodeToString(whole[:n])), tx, coins); err == nil {
			t.Fatalf("the first %d of %d bytes of a transaction are taken", n, len(whole))
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "spaces": []byte(" \n"), "words": []byte("hello world!"), "base64": []byte("aGVsbG8="),
		"PSBT and more": append(bytes.Clone(part), 0), "transaction and more": []byte(hex.EncodeToString(append(bytes.Clone(whole), 0))),
		"a large PSBT": append([]byte(magic), make([]byte, maxPSBT)...), "a large text": bytes.Repeat([]byte("00"), maxPSBT+1),
		"PSBT of version 2": append([]byte(magic), 1, 0xfb, 4, 2, 0, 0, 0, 0),
	} {
		if _, err := DecodePSBT(data, tx, coins); err == nil || strings.HasPrefix(name, "a large") != strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodePSBT(raw, tx, coins); !errors.Is(err, ErrSignature) {
		t.Errorf("an unsigned PSBT: %v, want ErrSignature", err)
	}
	if _, err := DecodePSBT([]byte(hex.EncodeToString(encode(t, tx))), tx, coins); !errors.Is(err, ErrSignature) {
		t.Errorf("an unsigned transaction: %v, want ErrSignature", err)
	}
}
