package gbt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// txSet is a transaction set: all transactions of a block but the coinbase, in block order, and
// what follows from them. It is immutable.
type txSet struct {
	txs []*Transaction
	// branch links the coinbase's txid to the merkle root.
	branch []chainhash.Hash
	// commitment is the scriptPubKey that commits to the witnesses; nil if there is none to commit to.
	commitment []byte
	// weight and size are the transactions' sums in weight units and bytes.
	weight, size int64
	// sigops sums what a template says that they count, in BIP 141 sigop cost; 0 for other sets.
	sigops int64
}

// setIDSize is the length of a setID: nobody finds two sets with one id.
const setIDSize = 16

// setID names a transaction set on a previous block.
type setID [setIDSize]byte

func newTxSet(txs []*Transaction) *txSet {
	s := &txSet{txs: txs}
	txids, wtxids := make([]chainhash.Hash, len(txs)), make([]chainhash.Hash, len(txs))
	witness := false
	for i, tx := range txs {
		txids[i], wtxids[i] = tx.TxID, tx.Hash
		s.weight += tx.Weight
		s.size += int64(len(tx.Raw))
		s.sigops += tx.Sigops
		witness = witness || tx.HasWitness()
	}
	var both sync.WaitGroup
	if witness {
		both.Go(func() { s.commitment = WitnessCommitment(wtxids) })
	}
	s.branch = MerkleBranch(txids)
	both.Wait()
	return s
}

// index returns a function that makes at its first call the set's transactions by either id.
func (s *txSet) index() func() map[chainhash.Hash]*Transaction {
	return sync.OnceValue(func() map[chainhash.Hash]*Transaction {
		index := make(map[chainhash.Hash]*Transaction, 2*len(s.txs))
		for _, tx := range s.txs {
			index[tx.TxID], index[tx.Hash] = tx, tx
		}
		return index
	})
}

// count is the number of transactions in a block of the set.
func (s *txSet) count() uint64 { return uint64(len(s.txs)) + 1 }

// id returns the set's name on a previous block.
func (s *txSet) id(previous chainhash.Hash) setID {
	return nameSet(previous, s.count(), s.branch, s.commitment)
}

// nameSet names a set by what is known of it without its transactions: the number of them, since
// sets of different numbers can have one branch (CVE-2012-2459), the branch, which names the txids,
// and the commitment, which names the witnesses.
func nameSet(previous chainhash.Hash, count uint64, branch []chainhash.Hash, commitment []byte) setID {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(binary.BigEndian.AppendUint64(nil, count))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(commitment))))
	h.Write(commitment)
	for i := range branch {
		h.Write(branch[i][:])
	}
	var sum [sha256.Size]byte
	return setID(h.Sum(sum[:0])[:setIDSize])
}

// appendTo appends the transactions as they follow the coinbase in a block.
func (s *txSet) appendTo(b []byte) []byte {
	for _, tx := range s.txs {
		b = append(b, tx.Raw...)
	}
	return b
}

// matches reports whether rest is the set's transactions, if stripped is set with or without their
// witnesses.
func (s *txSet) matches(rest []byte, stripped bool) bool {
	for _, tx := range s.txs {
		left, ok := bytes.CutPrefix(rest, tx.Raw)
		if !ok && stripped {
			left, ok = bytes.CutPrefix(rest, tx.stripped())
		}
		if !ok {
			return false
		}
		rest = left
	}
	return len(rest) == 0
}

// parseTransactions decodes the transactions that follow the coinbase in a block.
func parseTransactions(rest []byte) ([]*Transaction, error) {
	var txs []*Transaction
	for len(rest) > 0 {
		size, err := transactionSize(rest)
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", len(txs)+1, err)
		}
		tx, err := newTransaction(rest[:size])
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", len(txs)+1, err)
		}
		txs, rest = append(txs, &tx), rest[size:]
	}
	return txs, nil
}

// strippedSize returns how many bytes the transaction has without its witness.
func (tx *Transaction) strippedSize() int {
	return (int(tx.Weight) - len(tx.Raw)) / (blockchain.WitnessScaleFactor - 1)
}

// stripped returns the transaction as serialised without its witness: without the marker and the
// flag, which follow the version, and without what is between the outputs and the lock time.
func (tx *Transaction) stripped() []byte {
	if !tx.HasWitness() {
		return tx.Raw
	}
	const version, lockTime = 4, 4
	size := tx.strippedSize()
	out := append(make([]byte, 0, size), tx.Raw[:version]...)
	out = append(out, tx.Raw[version+len(witnessMarker):][:size-version-lockTime]...)
	return append(out, tx.Raw[len(tx.Raw)-lockTime:]...)
}

// innerNodeSize is that of two hashes side by side. A transaction of this size passes for an inner
// node of the merkle tree, and an inner node for a transaction.
const innerNodeSize = 2 * chainhash.HashSize

// inspect finds what is wrong with a set by itself, without knowing the chain, and returns which
// transactions each depends on. The error is a RejectError in Bitcoin Core's words that names the
// transaction at fault.
func (s *txSet) inspect() (depends [][]int, err error) {
	positions := make(map[chainhash.Hash]int, len(s.txs))
	for i, tx := range s.txs {
		if first, ok := positions[tx.TxID]; ok {
			// Two equal transactions at the end have the merkle root of one (CVE-2012-2459).
			return nil, reject("bad-txns-duplicate", "transaction %d, %s, is also transaction %d", i+1, tx.TxID, first+1)
		}
		positions[tx.TxID] = i
	}
	depends = make([][]int, len(s.txs))
	spent := make(map[wire.OutPoint]int, len(s.txs))
	for i, tx := range s.txs {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Raw)); err != nil {
			return nil, reject(BadTxns, "transaction %d: %s", i+1, err)
		}
		if tx.strippedSize() == innerNodeSize {
			return nil, reject(BadTxns, "transaction %d, %s, has 64 bytes and could pass for an inner node of the merkle tree", i+1, tx.TxID)
		}
		if blockchain.IsCoinBaseTx(&msg) {
			return nil, reject("bad-cb-multiple", "transaction %d, %s, is a coinbase", i+1, tx.TxID)
		}
		for _, in := range msg.TxIn {
			out := in.PreviousOutPoint
			switch parent, ok := positions[out.Hash]; {
			case ok && parent >= i:
				return nil, reject(badMissingOuts,
					"transaction %d, %s, spends transaction %d, which does not come before it", i+1, tx.TxID, parent+1)
			case ok:
				depends[i] = append(depends[i], parent)
			}
			if other, ok := spent[out]; ok {
				return nil, reject(badMissingOuts,
					"transactions %d and %d, %s, spend the same output %s", other+1, i+1, tx.TxID, out)
			}
			spent[out] = i
		}
	}
	return depends, nil
}
