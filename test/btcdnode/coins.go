package btcdnode

import (
	"bytes"
	"context"
	"encoding/hex"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Coin is an output of the wallet.
type Coin struct {
	OutPoint wire.OutPoint
	Value    int64 // satoshis
	Script   []byte
}

// Coin returns what the next block that the node has generated pays to the wallet, which needs 100 blocks
// on top to be spent. Neither Coin nor Spend returns or spends it again.
func (n *Node) Coin() Coin {
	n.tb.Helper()
	coin, err := n.nextCoin(n.tb.Context())
	if err != nil {
		n.tb.Fatalf("btcdnode: coin: %v", err)
	}
	return coin
}

func (n *Node) nextCoin(ctx context.Context) (Coin, error) {
	coinbase, err := n.coinbase(ctx, n.wallet.next)
	if err != nil {
		return Coin{}, err
	}
	n.wallet.next++
	out := coinbase.TxOut[0]
	return Coin{wire.OutPoint{Hash: coinbase.TxHash()}, out.Value, out.PkScript}, nil
}

// Draft makes a transaction that spends a coin for a fee in satoshis, gives the rest back to the wallet
// after the given outputs, and may be replaced by another draft on the coin (BIP 125). Nobody gets it.
func (n *Node) Draft(coin Coin, fee int64, outs ...*wire.TxOut) *wire.MsgTx {
	n.tb.Helper()
	change := coin.Value - fee
	for _, out := range outs {
		change -= out.Value
	}
	all := append(append([]*wire.TxOut(nil), outs...), wire.NewTxOut(change, coin.Script))
	tx, err := n.wallet.sign(coin, wire.MaxTxInSequenceNum-2, all)
	if err != nil {
		n.tb.Fatalf("btcdnode: draft: %v", err)
	}
	return tx
}

// Send puts a transaction into the node's mempool and returns its id.
func (n *Node) Send(tx *wire.MsgTx) chainhash.Hash {
	n.tb.Helper()
	if err := n.send(n.tb.Context(), tx); err != nil {
		n.tb.Fatalf("btcdnode: send: %v", err)
	}
	return tx.TxHash()
}

func (n *Node) send(ctx context.Context, tx *wire.MsgTx) error {
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return err
	}
	return n.Call(ctx, nil, "sendrawtransaction", hex.EncodeToString(raw.Bytes()))
}

// Invalidate has the node take a block and all on it for invalid: they leave its best chain, and their
// transactions are in the mempool again. Peers are not told.
func (n *Node) Invalidate(block chainhash.Hash) { n.tb.Helper(); n.judge("invalidateblock", block) }

// Reconsider undoes Invalidate: the branch is the best again if it has the most work.
func (n *Node) Reconsider(block chainhash.Hash) { n.tb.Helper(); n.judge("reconsiderblock", block) }

func (n *Node) judge(method string, block chainhash.Hash) {
	n.tb.Helper()
	if err := n.Call(n.tb.Context(), nil, method, block.String()); err != nil {
		n.tb.Fatalf("btcdnode: %v", err)
	}
}
