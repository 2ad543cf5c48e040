package gbt

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestMerkleAgreesWithBtcd compares roots and commitments of random blocks with btcd's.
func TestMerkleAgreesWithBtcd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 70).Draw(t, "transactions")
		salt := rapid.Uint32().Draw(t, "salt")
		witness := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "witness")
		txs := []*btcutil.Tx{btcutil.NewTx(wire.NewMsgTx(1))} // stands for the coinbase
		var txids, wtxids []chainhash.Hash
		for i := range n {
			msg := wire.NewMsgTx(2)
			id := binary.BigEndian.AppendUint32(nil, salt)
			msg.AddTxIn(wire.NewTxIn(wire.NewOutPoint(ptr(chainhash.HashH(id)), uint32(i)), nil, nil))
			if witness[i] {
				msg.TxIn[0].Witness = wire.TxWitness{id}
			}
			tx := btcutil.NewTx(msg)
			txs, txids, wtxids = append(txs, tx), append(txids, *tx.Hash()), append(wtxids, *tx.WitnessHash())
		}
		before := append([]chainhash.Hash(nil), txids...)
		branch := MerkleBranch(txids)
		if diff := cmp.Diff(before, txids); diff != "" {
			t.Fatalf("MerkleBranch changes its argument: %s", diff)
		}
		if got, want := MerkleRoot(*txs[0].Hash(), branch), blockchain.CalcMerkleRoot(txs, false); got != want {
			t.Fatalf("root %s, want %s", got, want)
		}
		root := blockchain.CalcMerkleRoot(txs, true)
		want := chainhash.DoubleHashB(append(root[:], make([]byte, 32)...))
		script := WitnessCommitment(wtxids)
		if diff := cmp.Diff(append([]byte{0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed}, want...), script); diff != "" {
			t.Fatal(diff)
		}
		if !IsWitnessCommitment(script) || IsWitnessCommitment(script[:37]) || IsWitnessCommitment(script[1:]) {
			t.Fatalf("%x is not told from what is no commitment", script)
		}
	})
}
