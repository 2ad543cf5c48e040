package btcdnode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// fee is what each transaction of the wallet pays, in satoshis; so much that any node takes it.
const fee = 10_000

// wallet owns what the nodes mine. All nodes have the same key, so that any of them can spend
// what another has mined.
type wallet struct {
	key     *btcec.PrivateKey
	address string
	script  []byte
	segwit  bool
	// next is the height of the block whose coinbase is spent next.
	next int32
}

// newWallet makes the wallet. Its coins are P2WPKH where segwit is active from the first block,
// P2PKH elsewhere.
func newWallet(tb testing.TB, params *chaincfg.Params) *wallet {
	tb.Helper()
	seed := sha256.Sum256([]byte("btcdnode"))
	key, public := btcec.PrivKeyFromBytes(seed[:])
	hash := address.Hash160(public.SerializeCompressed())
	w := &wallet{key: key, next: 1}
	w.segwit = params.Deployments[chaincfg.DeploymentSegwit].AlwaysActiveHeight == 1
	var addr address.Address
	var err error
	if w.segwit {
		addr, err = address.NewAddressWitnessPubKeyHash(hash, params)
	} else {
		addr, err = address.NewAddressPubKeyHash(hash, params)
	}
	if err != nil {
		tb.Fatalf("btcdnode: wallet: %v", err)
	}
	if w.script, err = txscript.PayToAddrScript(addr); err != nil {
		tb.Fatalf("btcdnode: wallet: %v", err)
	}
	w.address = addr.EncodeAddress()
	return w
}

// Spend puts a transaction into the node's mempool, with a witness on a chain that has segwit,
// and returns its id. It spends the coinbase of a block that the node has generated, which needs
// 100 blocks on top.
func (n *Node) Spend() chainhash.Hash { return n.SpendWith() }

// SpendWith is Spend with further outputs, of nothing, that have the given scripts.
func (n *Node) SpendWith(scripts ...[]byte) chainhash.Hash {
	n.tb.Helper()
	txid, err := n.spend(n.tb.Context(), scripts)
	if err != nil {
		n.tb.Fatalf("btcdnode: spend: %v", err)
	}
	return txid
}

// Skip leaves the coinbases of the next blocks to the wallets of other nodes.
func (n *Node) Skip(blocks int32) { n.wallet.next += blocks }

func (n *Node) spend(ctx context.Context, scripts [][]byte) (chainhash.Hash, error) {
	coin, err := n.nextCoin(ctx)
	if err != nil {
		return chainhash.Hash{}, err
	}
	tx, err := n.wallet.sendBack(coin, scripts)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return tx.TxHash(), n.send(ctx, tx)
}

// coinbase returns the coinbase of a block on the best chain.
func (n *Node) coinbase(ctx context.Context, height int32) (*wire.MsgTx, error) {
	var hash, text string
	if err := n.Call(ctx, &hash, "getblockhash", height); err != nil {
		return nil, err
	}
	if err := n.Call(ctx, &text, "getblock", hash, 0); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("getblock: %w", err)
	}
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("getblock: %w", err)
	}
	return block.Transactions[0], nil
}

// sendBack makes a transaction that sends a coin back to the wallet, and has further outputs of nothing.
func (w *wallet) sendBack(coin Coin, scripts [][]byte) (*wire.MsgTx, error) {
	outs := make([]*wire.TxOut, 0, 1+len(scripts))
	outs = append(outs, wire.NewTxOut(coin.Value-fee, w.script))
	for _, script := range scripts {
		outs = append(outs, wire.NewTxOut(0, script))
	}
	return w.sign(coin, wire.MaxTxInSequenceNum, outs)
}

// sign makes a transaction that spends a coin.
func (w *wallet) sign(coin Coin, sequence uint32, outs []*wire.TxOut) (*wire.MsgTx, error) {
	if !bytes.Equal(coin.Script, w.script) {
		return nil, errors.New("the coin is somebody else's")
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: coin.OutPoint, Sequence: sequence})
	for _, out := range outs {
		tx.AddTxOut(out)
	}
	var err error
	if w.segwit {
		fetcher := txscript.NewCannedPrevOutputFetcher(w.script, coin.Value)
		tx.TxIn[0].Witness, err = txscript.WitnessSignature(tx, txscript.NewTxSigHashes(tx, fetcher), 0,
			coin.Value, w.script, txscript.SigHashAll, w.key, true)
	} else {
		tx.TxIn[0].SignatureScript, err = txscript.SignatureScript(tx, 0, w.script, txscript.SigHashAll, w.key, true)
	}
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return tx, nil
}
