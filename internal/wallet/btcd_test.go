package wallet

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// chain is a real btcd and what the test knows of it.
type chain struct {
	t   *testing.T
	n   *btcdnode.Node
	rpc *NodeWallet // for its gettxout alone: btcd has no wallet
}

// openChain starts a btcd that mines to an address too.
func openChain(t *testing.T, address string) *chain {
	t.Helper()
	n := btcdnode.New(t, btcdnode.Config{Args: []string{"--miningaddr=" + address}})
	rpc, err := node.NewRPC(node.RPCConfig{URL: n.URL, User: n.User, Password: n.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rpc.Close)
	return &chain{t: t, n: n, rpc: &NodeWallet{rpc: rpc, chain: n.Params()}}
}

// block returns a block.
func (c *chain) block(hash chainhash.Hash) *wire.MsgBlock {
	c.t.Helper()
	var text string
	if err := c.n.Call(c.t.Context(), &text, "getblock", hash.String(), 0); err != nil {
		c.t.Fatal(err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		c.t.Fatal(err)
	}
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		c.t.Fatal(err)
	}
	return &block
}

// mineTo mines until a coinbase pays to a script, which btcd chooses at random among its addresses, and
// returns the coin.
func (c *chain) mineTo(script []byte) payouts.Coin {
	c.t.Helper()
	for range 200 {
		coinbase := c.block(c.n.Generate(1)[0]).Transactions[0]
		if out := coinbase.TxOut[0]; bytes.Equal(out.PkScript, script) {
			return payouts.Coin{OutPoint: wire.OutPoint{Hash: coinbase.TxHash()}, Value: out.Value, Script: script}
		}
	}
	c.t.Fatal("no block pays to the wallet")
	return payouts.Coin{}
}

// send gives a transaction to the node.
func (c *chain) send(tx *wire.MsgTx) error {
	return c.n.Call(c.t.Context(), nil, "sendrawtransaction", hex.EncodeToString(encode(c.t, tx)))
}

// TestRealNode mines to a key, and spends the coinbases once they are mature: one with the key at hand, and
// one with the key elsewhere.
func TestRealNode(t *testing.T) {
	for _, form := range forms() {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "hot.key")
			if err := MakeKeyFile(path); err != nil {
				t.Fatal(err)
			}
			k, err := NewHotKey(HotKeyConfig{Path: path, Form: form, Chain: &chaincfg.RegressionNetParams, Unspent: nothing})
			if err != nil {
				t.Fatal(err)
			}
			c := openChain(t, k.Address())
			k.unspent = c.rpc.unspent
			first, second := c.mineTo(k.script), c.mineTo(k.script)
			c.mature(k, first, second)
			c.spend(k, first, func(tx *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
				return k.Sign(t.Context(), tx, coins)
			})
			c.spend(k, second, func(tx *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
				raw, err := EncodePSBT(tx, coins)
				if err != nil {
					return nil, err
				}
				return DecodePSBT(serialize(t, signPSBT(t, k, raw)), tx, coins)
			})
		})
	}
}

// mature mines until coins can be spent, and wants them among the wallet's from that block on.
func (c *chain) mature(w payouts.Wallet, coins ...payouts.Coin) {
	c.t.Helper()
	for i, coin := range coins {
		for {
			u, err := c.rpc.unspent(c.t.Context(), coin.OutPoint)
			if err != nil {
				c.t.Fatal(err)
			}
			got, err := w.Coins(c.t.Context(), coins)
			if err != nil {
				c.t.Fatal(err)
			}
			if u.Confirmations >= 100 {
				if diff := cmp.Diff(coins[:i+1], got[:min(i+1, len(got))]); diff != "" {
					c.t.Errorf("coin %d has %d confirmations: %s", i, u.Confirmations, diff)
				}
				break
			}
			if len(got) > i {
				c.t.Errorf("coin %d has %d confirmations and is among the coins", i, u.Confirmations)
			}
			c.n.Generate(max(1, 99-int(u.Confirmations)))
		}
	}
}

// spend pays out a coin, and wants the node to mine the transaction by the id that it had unsigned.
func (c *chain) spend(k *HotKey, coin payouts.Coin, sign func(*wire.MsgTx, []payouts.Coin) (*wire.MsgTx, error)) {
	c.t.Helper()
	const fee = 1000
	payee, coins := hotKey(c.t, P2TR, testKey).script, []payouts.Coin{coin}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin.OutPoint, nil, nil))
	tx.AddTxOut(wire.NewTxOut(123_456_789, payee))
	tx.AddTxOut(wire.NewTxOut(coin.Value-123_456_789-fee, k.script))
	id := tx.TxHash()
	got, err := sign(tx, coins)
	if err != nil {
		c.t.Fatal(err)
	}
	if got.TxHash() != id {
		c.t.Errorf("the id is %s, want %s as before it was signed", got.TxHash(), id)
	}
	if err := c.send(tx); err == nil {
		c.t.Error("the node takes it unsigned")
	}
	spoilt := got.Copy()
	spoilt.TxOut[0].Value++
	if err := c.send(spoilt); err == nil {
		c.t.Error("the node takes it with another output")
	}
	if err := c.send(got); err != nil {
		c.t.Fatalf("the node refuses it: %v", err)
	}
	block := c.block(c.n.Generate(1)[0])
	if !slices.ContainsFunc(block.Transactions, func(mined *wire.MsgTx) bool { return mined.WitnessHash() == got.WitnessHash() }) {
		c.t.Errorf("the next block does not have %s", id)
	}
	change := payouts.Coin{OutPoint: wire.OutPoint{Hash: id, Index: 1}, Value: tx.TxOut[1].Value, Script: k.script}
	left, err := k.Coins(c.t.Context(), []payouts.Coin{coin, change})
	if err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff([]payouts.Coin{change}, left); diff != "" {
		c.t.Errorf("the spent coin and its change: %s", diff)
	}
}
