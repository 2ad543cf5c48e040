package wallet

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// FuzzDecodePSBT wants whatever is taken to be the wanted transaction, signed for good, and anything else
// to be refused without a panic and without much memory.
func FuzzDecodePSBT(f *testing.F) {
	type wanted struct {
		tx  *wire.MsgTx
		key *HotKey
	}
	var all []wanted
	for _, form := range forms() {
		k := hotKey(f, form, testKey)
		tx, coins := settlement(k.script, 2)
		all = append(all, wanted{tx, k})
		raw, err := EncodePSBT(tx, coins)
		if err != nil {
			f.Fatal(err)
		}
		p := signPSBT(f, k, raw)
		part := serialize(f, p)
		if err := psbt.MaybeFinalizeAll(p); err != nil {
			f.Fatal(err)
		}
		for _, seed := range [][]byte{raw, part, serialize(f, p), encode(f, signed(f, k, tx, coins))} {
			f.Add(seed)
			f.Add([]byte(hex.EncodeToString(seed)))
			f.Add([]byte(base64.StdEncoding.EncodeToString(seed)))
		}
	}
	for _, seed := range greedy() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, w := range all {
			_, coins := settlement(w.key.script, 2)
			var got *wire.MsgTx
			var err error
			used := allocated(func() { got, err = DecodePSBT(data, w.tx, coins) })
			if used > 1<<20+100*uint64(len(data)) {
				t.Errorf("%d bytes were set aside for %d bytes of data", used, len(data))
			}
			if err != nil {
				continue
			}
			if same(w.tx, got) != nil || verify(got, coins) != nil || got.TxHash() != w.tx.TxHash() {
				t.Errorf("taken: %x", encode(t, got))
			}
		}
	})
}

// allocated returns how many bytes of memory a function sets aside.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// greedy returns short data with large counts: what makes decoders set memory aside.
func greedy() [][]byte {
	count := []byte{0xfe, 0xff, 0xff, 0x0b, 0x00} // 786431, as many inputs as decoders believe in
	inputs := append([]byte{2, 0, 0, 0}, count...)
	outputs := append(append([]byte{2, 0, 0, 0, 1}, make([]byte, 41)...), 0xfe, 0xff, 0xff, 0x1f, 0x00)
	witness := append(append([]byte{2, 0, 0, 0, 0, 1, 1}, make([]byte, 41)...), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0, 9, 61, 0)
	var out [][]byte
	for _, tx := range [][]byte{inputs, outputs, witness} {
		out = append(out, []byte(hex.EncodeToString(tx)), append(append([]byte(magic), 1, 0, byte(len(tx))), tx...))
	}
	return append(out, append([]byte(magic), 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
}

// TestGreedy wants no more memory for large counts than for others.
func TestGreedy(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	tx, coins := settlement(k.script, 2)
	raw, err := EncodePSBT(tx, coins)
	if err != nil {
		t.Fatal(err)
	}
	all := greedy()
	// As the transaction that an input comes from, which is not compared before it is decoded.
	first := bytes.Index(raw, []byte{1, 1}) // the key of the first input's coin
	for i := range 3 {
		data, err := hex.DecodeString(string(all[2*i]))
		if err != nil {
			t.Fatal(err)
		}
		field := append([]byte{1, 0, byte(len(data))}, data...)
		all = append(all, append(append(bytes.Clone(raw[:first]), field...), raw[first:]...))
	}
	many := signPSBT(t, k, raw)
	many.Inputs[0].FinalScriptWitness = append([]byte{0xfe, 0, 0, 16, 0}, make([]byte, 1<<20)...) // a mebi of empty parts
	all = append(all, serialize(t, many))
	for _, data := range all {
		used := allocated(func() {
			if _, err := DecodePSBT(data, tx, coins); err == nil {
				t.Errorf("taken: %x", data)
			}
		})
		if used > 1<<20+10*uint64(len(data)) {
			t.Errorf("%d bytes were set aside for %d bytes of data", used, len(data))
		}
	}
}
