package gbt

import (
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// SetRules are an operator's wishes about the transactions of blocks, the pool's own and those
// that miners choose. The zero value has none.
type SetRules struct {
	// Required names transactions by txid that stay in the block if a node proposes them.
	Required []chainhash.Hash
	// Excluded names transactions by txid that must not be in a block, nor what depends on them.
	Excluded []chainhash.Hash
	// MinFeeRate is the lowest fee rate in satoshis per 1000 virtual bytes, each transaction taken
	// together with those that it needs in the block. Transactions whose fee is not known pass.
	MinFeeRate int64
}

// apply returns t as the rules want it.
func (r *SetRules) apply(t *Template) (*Template, error) {
	dropped, depends := make([]bool, len(t.Transactions)), make([][]int, len(t.Transactions))
	changed := false
	for i := range t.Transactions {
		tx := &t.Transactions[i]
		tx.Required = tx.Required || slices.Contains(r.Required, tx.TxID)
		depends[i] = tx.Depends
		// What no miner's own set may have is not in the pool's either; a node proposes none by itself.
		dropped[i] = slices.Contains(r.Excluded, tx.TxID) || tx.strippedSize() == innerNodeSize && tx.FeeKnown ||
			slices.ContainsFunc(tx.Depends, func(parent int) bool { return dropped[parent] })
		changed = changed || dropped[i]
	}
	for _, i := range r.cheap(t.set.txs, depends, dropped) {
		dropped[i], changed = true, true
	}
	if !changed {
		return t, nil
	}
	return t.without(dropped)
}

// cheap returns the positions of transactions that pay less than MinFeeRate, each taken together
// with those of its ancestors that nobody else brings in. Those that are dropped do not count.
func (r *SetRules) cheap(txs []*Transaction, depends [][]int, dropped []bool) []int {
	if r.MinFeeRate <= 0 {
		return nil
	}
	in := slices.Clone(dropped)
	for again := true; again; {
		again = false
		for i := range txs {
			if in[i] {
				continue
			}
			if bundle := ancestors(depends, in, i, nil); r.pays(txs, bundle) {
				for _, k := range bundle {
					in[k] = true
				}
				again = true
			}
		}
	}
	var out []int
	for i := range in {
		if !in[i] {
			out = append(out, i)
		}
	}
	return out
}

// ancestors returns bundle with the transaction at i and what it depends on, all that is not in yet.
func ancestors(depends [][]int, in []bool, i int, bundle []int) []int {
	if in[i] || slices.Contains(bundle, i) {
		return bundle
	}
	bundle = append(bundle, i)
	for _, parent := range depends[i] {
		bundle = ancestors(depends, in, parent, bundle)
	}
	return bundle
}

// pays reports whether transactions taken together pay MinFeeRate, or have to be in the block.
func (r *SetRules) pays(txs []*Transaction, bundle []int) bool {
	fees, size := int64(0), int64(0)
	for _, i := range bundle {
		if txs[i].Required || !txs[i].FeeKnown {
			return true
		}
		fees += txs[i].Fee
		size += (txs[i].Weight + blockchain.WitnessScaleFactor - 1) / blockchain.WitnessScaleFactor
	}
	// Fees are below 2^51 and rates of no use above 2^40, so neither product overflows.
	return fees*1000 >= min(r.MinFeeRate, 1<<40)*size
}

// requires checks that a set which a miner chose holds what t requires. The error is a RejectError
// that names the transaction which is missing.
func (t *Template) requires(s *txSet) error {
	if len(t.required) == 0 {
		return nil
	}
	held := make(map[chainhash.Hash]bool, len(s.txs))
	for _, tx := range s.txs {
		held[tx.TxID] = true
	}
	for _, id := range t.required {
		if !held[id] {
			return reject(BadTxns, "transaction %s is required and not in the block", id)
		}
	}
	return nil
}

// check judges a set that a miner chose, given what depends on what in it. The error is a RejectError
// that names the transaction at fault.
func (r *SetRules) check(s *txSet, depends [][]int) error {
	for i, tx := range s.txs {
		if slices.Contains(r.Excluded, tx.TxID) {
			return reject(BadTxns, "transaction %d, %s, is excluded by this pool", i+1, tx.TxID)
		}
	}
	if cheap := r.cheap(s.txs, depends, make([]bool, len(s.txs))); len(cheap) > 0 {
		tx := s.txs[cheap[0]]
		return reject(BadTxns, "transaction %d, %s, pays %d sat for %d weight units: this pool takes %s and above",
			cheap[0]+1, tx.TxID, tx.Fee, tx.Weight, r.rate())
	}
	return nil
}

func (r *SetRules) rate() string {
	return fmt.Sprintf("%d.%03d sat per virtual byte", r.MinFeeRate/1000, r.MinFeeRate%1000)
}
