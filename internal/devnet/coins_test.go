package devnet_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/payouts"
)

// spend makes a transaction that spends the coinbase of a block which pays OP_TRUE.
func spend(t *testing.T, chain *devnet.Chain, block chainhash.Hash, fee int64) *wire.MsgTx {
	t.Helper()
	raw, err := chain.Block(t.Context(), block)
	if err != nil {
		t.Fatal(err)
	}
	var msg wire.MsgBlock
	if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	coinbase := msg.Transactions[0]
	txid := coinbase.TxHash()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&txid, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(coinbase.TxOut[0].Value-fee, bytes.Repeat([]byte{txscript.OP_TRUE}, 21)))
	return tx
}

// TestDeepReorganize replaces 1, 6 and 101 blocks. What they confirmed is in the mempool again, except for
// what spends a coinbase that is gone.
func TestDeepReorganize(t *testing.T) {
	for _, depth := range []int32{1, 6, 101} {
		chain := open(t, devnet.Config{})
		deep := generate(t, chain, 101, []byte{txscript.OP_TRUE})
		kept := spend(t, chain, deep[0], 1000)
		if err := chain.AddTransaction(kept); err != nil {
			t.Fatal(err)
		}
		old := generate(t, chain, int(depth), []byte{txscript.OP_TRUE})
		var lost *wire.MsgTx
		if depth > 100 {
			lost = spend(t, chain, old[0], 1000)
			if err := chain.AddTransaction(lost); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		fresh, err := chain.Reorganize(t.Context(), depth)
		if err != nil || int32(len(fresh)) != depth+1 {
			t.Fatalf("%d blocks, %v", len(fresh), err)
		}
		t.Logf("%d blocks were replaced within %s", depth, time.Since(start))
		if got, err := chain.Output(t.Context(), wire.OutPoint{Hash: kept.TxHash()}); err != nil || got.Confirmations != 0 {
			t.Errorf("depth %d: the transaction of a replaced block: %+v, %v", depth, got, err)
		}
		if lost != nil {
			if got, err := chain.Output(t.Context(), wire.OutPoint{Hash: lost.TxHash()}); !errors.Is(err, payouts.ErrSpent) {
				t.Errorf("a transaction that spends a coinbase which is gone: %+v, %v", got, err)
			}
		}
		tmpl, _ := template(t, chain)
		if len(tmpl.Transactions) != 1 || tmpl.Transactions[0].TxID != kept.TxHash() {
			t.Errorf("depth %d: %d transactions are in the template, want %s", depth, len(tmpl.Transactions), kept.TxHash())
		}
		generate(t, chain, 1, []byte{txscript.OP_TRUE})
	}
}

// TestFeeRate wants the configured estimate, or none.
func TestFeeRate(t *testing.T) {
	if got, err := open(t, devnet.Config{}).FeeRate(t.Context(), 6); !errors.Is(err, payouts.ErrNoEstimate) {
		t.Errorf("%d, %v; want ErrNoEstimate", got, err)
	}
	if got, err := open(t, devnet.Config{FeeRate: 1234}).FeeRate(t.Context(), 6); err != nil || got != 1234 {
		t.Errorf("%d, %v; want 1234", got, err)
	}
}
