package nodetest

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// template is a node's template as the gateway reads it, and what only its node and a miner need.
type template struct {
	*gbt.Template
	LongPollID string
}

// parse decodes a template.
func parse(t *testing.T, raw json.RawMessage) template {
	t.Helper()
	var rest struct {
		LongPollID string `json:"longpollid"`
	}
	if err := json.Unmarshal(raw, &rest); err != nil {
		t.Fatalf("template: %v", err)
	}
	parsed, err := gbt.ParseTemplate(raw)
	if err != nil {
		t.Fatalf("template: %v", err)
	}
	return template{Template: parsed, LongPollID: rest.LongPollID}
}

// fetch gets the node's template of now.
func fetch(t *testing.T, n node.Miner) template {
	t.Helper()
	raw, err := n.Template(t.Context(), "")
	if err != nil {
		t.Fatalf("template: %v", err)
	}
	return parse(t, raw)
}

// assemble builds a block of all of a template's transactions that lacks only its proof of work.
func assemble(t *testing.T, tmpl template) *wire.MsgBlock {
	t.Helper()
	block := wire.NewMsgBlock(&wire.BlockHeader{
		Version: tmpl.Version, PrevBlock: tmpl.PreviousBlock, Bits: tmpl.Bits,
		Timestamp: time.Unix(max(tmpl.CurTime, tmpl.MinTime), 0),
	})
	block.Transactions = append(block.Transactions, newCoinbase(t, tmpl.Height, tmpl.Value))
	for i, tx := range tmpl.Transactions {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Raw)); err != nil {
			t.Fatalf("transaction %d: %v", i+1, err)
		}
		block.Transactions = append(block.Transactions, &msg)
	}
	commit(block)
	return block
}

// newCoinbase returns a coinbase of one output that anyone can spend.
func newCoinbase(t *testing.T, height int32, value int64) *wire.MsgTx {
	t.Helper()
	// The height (BIP 34), and an opcode because two bytes are the least there may be.
	script, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddOp(txscript.OP_NOP).Script()
	if err != nil {
		t.Fatal(err)
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
	tx.AddTxOut(wire.NewTxOut(value, []byte{txscript.OP_TRUE}))
	return tx
}

// commit sets what commits to a block's transactions: the coinbase's second output if there are
// witnesses (BIP 141, Commitment structure), and the merkle root. The output is computed here, and
// not taken from default_witness_commitment, because btcd sends the bare hash there.
func commit(block *wire.MsgBlock) {
	coinbase := block.Transactions[0]
	coinbase.TxOut = coinbase.TxOut[:1]
	if slices.ContainsFunc(block.Transactions[1:], (*wire.MsgTx).HasWitness) {
		reserved := make([]byte, blockchain.CoinbaseWitnessDataLen)
		root := blockchain.CalcMerkleRoot(btcutil.NewBlock(block).Transactions(), true)
		hash := chainhash.DoubleHashB(append(root[:], reserved...))
		coinbase.AddTxOut(wire.NewTxOut(0, slices.Concat(blockchain.WitnessMagicBytes, hash)))
		coinbase.TxIn[0].Witness = wire.TxWitness{reserved}
	}
	setRoot(block)
}

// setRoot sets the merkle root.
func setRoot(block *wire.MsgBlock) {
	block.Header.MerkleRoot = blockchain.CalcMerkleRoot(btcutil.NewBlock(block).Transactions(), false)
}

// solve gives the block a nonce whose hash meets its target, or one whose hash does not.
func solve(t *testing.T, block *wire.MsgBlock, meet bool) chainhash.Hash {
	t.Helper()
	target, err := gbt.TargetFromBits(block.Header.Bits)
	if err != nil {
		t.Fatal(err)
	}
	for range 1 << 20 {
		if hash := block.Header.BlockHash(); target.MetBy(hash) == meet {
			return hash
		}
		block.Header.Nonce++
	}
	t.Fatalf("no nonce within 2^20: the contract is for chains whose bits are next to nothing, not %08x", block.Header.Bits)
	return chainhash.Hash{}
}

// branch builds blocks without transactions, one on the other, on a block that the node knows.
func branch(t *testing.T, n node.Chain, from chainhash.Hash, version int32, length int) []*wire.MsgBlock {
	t.Helper()
	parent := header(t, n, from)
	at := parent.Time
	blocks := make([]*wire.MsgBlock, length)
	for i := range blocks {
		at = at.Add(time.Second)
		block := wire.NewMsgBlock(&wire.BlockHeader{Version: version, PrevBlock: from, Bits: parent.Bits, Timestamp: at})
		block.Transactions = []*wire.MsgTx{newCoinbase(t, parent.Height+1+int32(i), 0)}
		commit(block)
		from, blocks[i] = solve(t, block, true), block
	}
	return blocks
}

// encode serialises a block with its witnesses.
func encode(t *testing.T, block *wire.MsgBlock) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := block.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
