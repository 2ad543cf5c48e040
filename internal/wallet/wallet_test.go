package wallet

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// What the package promises to implement.
var (
	_ payouts.Wallet = (*HotKey)(nil)
	_ payouts.Wallet = (*NodeWallet)(nil)
	_ payouts.Wallet = (*Offline)(nil)
)

// forms returns the forms that a key's outputs can have.
func forms() []Form { return []Form{P2WPKH, P2TR} }

// nothing is a Lookup that knows no coin.
func nothing(context.Context, wire.OutPoint) (payouts.Unspent, error) {
	return payouts.Unspent{}, payouts.ErrSpent
}

// keyFile writes a file of the mode 0600 and returns its path.
func keyFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// testKey is a private key that everybody knows.
const testKey = "0101010101010101010101010101010101010101010101010101010101010101"

// hotKey returns a HotKey of regtest with a key that is the same each time.
func hotKey(tb testing.TB, form Form, key string) *HotKey {
	tb.Helper()
	k, err := NewHotKey(HotKeyConfig{Path: keyFile(tb, key), Form: form, Chain: &chaincfg.RegressionNetParams, Unspent: nothing})
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// outPoint returns an outpoint that is different for each n.
func outPoint(n int) wire.OutPoint {
	return wire.OutPoint{Hash: chainhash.HashH([]byte{byte(n), byte(n >> 8)}), Index: uint32(n)}
}

// settlement returns an unsigned transaction that spends coins of a script, worth 1000 sat and more, and
// has outputs of several kinds.
func settlement(script []byte, inputs int) (*wire.MsgTx, []payouts.Coin) {
	tx := wire.NewMsgTx(2)
	tx.LockTime = 101
	var coins []payouts.Coin
	for i := range inputs {
		c := payouts.Coin{OutPoint: outPoint(i), Value: int64(1000 * (i + 1)), Script: script}
		coins = append(coins, c)
		in := wire.NewTxIn(&c.OutPoint, nil, nil)
		in.Sequence = wire.MaxTxInSequenceNum - 2
		tx.AddTxIn(in)
	}
	tx.AddTxOut(wire.NewTxOut(300, append([]byte{0x00, 0x14}, bytes.Repeat([]byte{7}, 20)...)))
	tx.AddTxOut(wire.NewTxOut(301, append([]byte{0x00, 0x20}, bytes.Repeat([]byte{8}, 32)...)))
	tx.AddTxOut(wire.NewTxOut(302, script))
	return tx, coins
}

// encode serialises a transaction.
func encode(tb testing.TB, tx *wire.MsgTx) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := tx.Serialize(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// signed returns a transaction as a key signs it.
func signed(tb testing.TB, k *HotKey, tx *wire.MsgTx, coins []payouts.Coin) *wire.MsgTx {
	tb.Helper()
	out, err := k.Sign(tb.Context(), tx, coins)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
