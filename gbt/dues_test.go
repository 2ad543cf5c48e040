package gbt

import (
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestJudgeGeneration lets a miner add outputs and put the commitment anywhere, as long as the pool
// gets what it is due and no later output looks like a commitment.
func TestJudgeGeneration(t *testing.T) {
	own := func(value int64) *wire.TxOut { return wire.NewTxOut(value, []byte{txscript.OP_TRUE}) }
	for name, tt := range map[string]struct {
		change func(tx *wire.MsgTx)
		want   Reason
	}{
		"as issued":            {func(*wire.MsgTx) {}, ""},
		"the commitment first": {func(tx *wire.MsgTx) { tx.TxOut[0], tx.TxOut[1] = tx.TxOut[1], tx.TxOut[0] }, ""},
		"an output of nothing": {func(tx *wire.MsgTx) { tx.TxOut = append([]*wire.TxOut{own(0)}, tx.TxOut...) }, ""},
		"one after it":         {func(tx *wire.MsgTx) { tx.AddTxOut(own(0)) }, ""},
		"a lookalike after it": {func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(0, WitnessCommitment(nil))) }, badCommitment},
		"a lookalike before it": {func(tx *wire.MsgTx) {
			tx.TxOut = append([]*wire.TxOut{wire.NewTxOut(0, WitnessCommitment(nil))}, tx.TxOut...)
		}, ""},
		"of the pool's value": {func(tx *wire.MsgTx) {
			tx.TxOut[0].Value -= 1000
			tx.AddTxOut(own(1000))
		}, BadTxns},
		"more than there is": {func(tx *wire.MsgTx) { tx.AddTxOut(own(1)) }, badCbAmount},
		"the pool's removed": {func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = []byte{txscript.OP_TRUE} }, BadTxns},
	} {
		p := newPool(t, func(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) { issuer.Generation = true })
		p.serve(hardBits)
		w, err := p.issuer.Issue(testAccount(1), TemplateRequest{Capabilities: []string{"generation"}, Rules: []string{"segwit"}})
		if err != nil {
			t.Fatal(err)
		}
		d := draftOf(t, testAccount(1), w)
		tt.change(d.coinbase)
		if v := p.judged(d); v.Reason != tt.want || v.Err != nil {
			t.Errorf("%s: %q (%s) %v, want %q", name, v.Reason, v.Detail, v.Err, tt.want)
		}
		if plain := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit")); name != "as issued" {
			tt.change(plain.coinbase)
			if v := p.judged(plain); v.Accepted() {
				t.Errorf("%s: accepted although it was not offered", name)
			}
		}
	}
}
