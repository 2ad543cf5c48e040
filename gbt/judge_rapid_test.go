package gbt

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestJudgeAcceptsWhatIsAllowed makes any use of the freedoms that work leaves to a miner.
func TestJudgeAcceptsWhatIsAllowed(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	rapid.Check(t, func(rt *rapid.T) {
		rules := []string{"segwit"}
		if rapid.Bool().Draw(rt, "old client") {
			rules = nil
		}
		w := p.issue(testAccount(1), rules...)
		d := draftOf(t, testAccount(1), w)
		d.appendScript(rapid.SliceOfN(rapid.Byte(), 0, maxScriptSig-len(script(d))).Draw(rt, "appended")...)
		d.header.Timestamp = time.Unix(rapid.Int64Range(startTime-600, startTime+7200).Draw(rt, "time"), 0)
		d.header.Version ^= rapid.Int32().Draw(rt, "version") & (rollableVersionBits | 1<<28)
		d.abbreviated = rapid.Bool().Draw(rt, "abbreviated")
		if w.Template.WitnessCommitment != nil && rapid.Bool().Draw(rt, "commitment repeated") {
			d.coinbase.AddTxOut(d.coinbase.TxOut[1])
		}
		if rapid.Bool().Draw(rt, "witness") {
			d.coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, 32)}
		}
		if rapid.Bool().Draw(rt, "no workid") {
			d.workID = ""
		}
		if v := p.judged(d); v.Reason != "" || v.Err != nil || v.Share.Hash != d.header.BlockHash() {
			rt.Fatalf("got %+v", v)
		}
	})
}

// TestJudgeRefusesAnyOtherByte changes one byte that is not the miner's to choose, and mines the
// result. Nothing else is allowed, wherever it is.
func TestJudgeRefusesAnyOtherByte(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	rapid.Check(t, func(rt *rapid.T) {
		w := p.issue(testAccount(1), "segwit")
		d := draftOf(t, testAccount(1), w)
		mask := rapid.ByteRange(1, 255).Draw(rt, "mask")
		if rapid.Bool().Draw(rt, "in the coinbase") {
			at := rapid.IntRange(0, len(w.Coinbase)-1).Draw(rt, "at")
			d.coinbaseRaw = bytes.Clone(w.Coinbase)
			d.coinbaseRaw[at] ^= mask
		} else {
			changeHeader(rt, d, w, mask)
		}
		if v := p.judged(d); v.Accepted() || v.Err != nil {
			rt.Fatalf("got %+v", v)
		}
	})
}

// changeHeader changes a byte of the version, previous block, merkle root or bits.
func changeHeader(t *rapid.T, d *draft, w *Work, mask byte) {
	txids := make([]chainhash.Hash, len(w.Template.Transactions))
	for i, tx := range w.Template.Transactions {
		txids[i] = tx.TxID
	}
	root := MerkleRoot(doubleHash(w.Coinbase), MerkleBranch(txids))
	d.root = &root
	switch at := rapid.IntRange(0, 71).Draw(t, "at"); {
	case at < 4:
		change := int32(mask) << (8 * at)
		if change&^(rollableVersionBits|1<<28) == 0 {
			change = 1 // the drawn bits are all free
		}
		d.header.Version ^= change
	case at < 36:
		d.header.PrevBlock[at-4] ^= mask
	case at < 68:
		root[at-36] ^= mask
	default:
		d.header.Bits ^= uint32(mask) << (8 * (at - 68))
	}
}
