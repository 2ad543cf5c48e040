package gbt

import (
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/wire/v2"
)

// errRoom says that a template cannot hold the coinbase even without transactions.
var errRoom = fmt.Errorf("%w: no room for the coinbase", ErrTemplate)

// headerSize is what a block takes beside its transactions, in bytes: the header and the longest
// transaction count that fits a block.
const headerSize = wire.MaxBlockHeaderPayload + 3

// fitted returns t with room for the pool's coinbase, which it lays out, and within l as far as
// transactions may be left out.
func (f *Feed) fitted(t *Template, l limits) (*Template, error) {
	most := reserve{t.WeightLimit, t.SigopLimit, t.SizeLimit}
	if l.size != 0 {
		most.size = min(most.size, int64(l.size)*sizeUnit)
	}
	if l.sigops != 0 {
		most.sigops = min(most.sigops, int64(l.sigops)*sigopUnit)
	}
	out, room, crowded := t, reserve{}, t.Crowded
	s, err := f.skeleton(t)
	// Without the fees of what is left out, a coinbase may pay others and take more.
	for err == nil && !room.holds(s.measure(out.WitnessCommitment)) {
		room = room.with(s.measure(out.WitnessCommitment))
		before := out.Dropped
		if out, err = out.fit(room); err != nil {
			break
		}
		crowded += out.Dropped - before
		if out, _, err = out.trim(room, most); err == nil {
			s, err = f.skeleton(out)
		}
	}
	if err != nil {
		return nil, err
	}
	if out == t {
		own := *t // t may be in use
		out = &own
	}
	out.coinbase, out.Crowded, out.required = s, crowded, nil
	for i := range out.Transactions {
		if out.Transactions[i].Required {
			out.required = append(out.required, out.Transactions[i].TxID)
		}
	}
	return out, nil
}

// skeleton lays out the coinbase of work on t.
func (f *Feed) skeleton(t *Template) (skeleton, error) {
	outputs, err := t.payees.Outputs(t.Value)
	if err != nil {
		return skeleton{}, fmt.Errorf("coinbase outputs for %d sat: %w", t.Value, err)
	}
	return newSkeleton(t.Height, f.cfg.Tag, outputs, t.WitnessCommitment)
}

// fit returns t with room for a coinbase that takes r, within t's limits. The error matches
// ErrTemplate if nothing that may be dropped makes that room.
func (t *Template) fit(r reserve) (*Template, error) {
	out, over, err := t.trim(r, reserve{t.WeightLimit, t.SigopLimit, t.SizeLimit})
	if err == nil && over != (reserve{}) {
		err = fmt.Errorf("%w: %d weight units, %d sigops and %d bytes too many", errRoom, over.weight, over.sigops, over.size)
	}
	return out, err
}

// trim returns t with room for a coinbase that takes r in a block that takes most: unchanged if it
// has the room, else without transactions from its end, and without those that depend on them. Only
// transactions that use what is short are dropped, and none that is required or that a required one
// depends on. What is too much even so is returned.
func (t *Template) trim(r, most reserve) (out *Template, tooMuch reserve, err error) {
	need := r
	need.weight += headerSize * blockchain.WitnessScaleFactor
	need.size += headerSize
	for i := range t.Transactions {
		tx := &t.Transactions[i]
		need.weight += tx.Weight
		need.sigops += tx.Sigops
		need.size += int64(len(tx.Raw))
	}
	over := reserve{need.weight - most.weight, need.sigops - most.sigops, need.size - most.size}
	if over.weight <= 0 && over.sigops <= 0 && over.size <= 0 {
		return t, reserve{}, nil
	}
	dropped := make([]bool, len(t.Transactions))
	kept := make([]bool, len(t.Transactions)) // because it, or one that depends on it, is required
	children := t.children()
	for i, tx := range slices.Backward(t.Transactions) {
		if kept[i] = kept[i] || tx.Required; kept[i] {
			for _, parent := range tx.Depends {
				kept[parent] = true
			}
			continue
		}
		helps := over.weight > 0 || over.size > 0 || over.sigops > 0 && tx.Sigops > 0
		if helps {
			t.drop(i, children, dropped, &over)
		}
	}
	out, err = t.without(dropped)
	return out, reserve{max(0, over.weight), max(0, over.sigops), max(0, over.size)}, err
}

// children lists for each transaction the positions of those that spend it.
func (t *Template) children() [][]int {
	children := make([][]int, len(t.Transactions))
	for i := range t.Transactions {
		for _, parent := range t.Transactions[i].Depends {
			children[parent] = append(children[parent], i)
		}
	}
	return children
}

// drop marks the transaction at i and those that depend on it, and takes what they use off over.
func (t *Template) drop(i int, children [][]int, dropped []bool, over *reserve) {
	if dropped[i] {
		return
	}
	dropped[i] = true
	over.weight -= t.Transactions[i].Weight
	over.sigops -= t.Transactions[i].Sigops
	over.size -= int64(len(t.Transactions[i].Raw))
	for _, child := range children[i] {
		t.drop(child, children, dropped, over)
	}
}

// withoutWitnesses returns t with only the transactions that have no witness and depend on none
// that has: what may be served to clients that do not know segwit (BIP 145).
func (t *Template) withoutWitnesses() (*Template, error) {
	if !t.needsSegwit() {
		return t, nil
	}
	dropped := make([]bool, len(t.Transactions))
	for i := range t.Transactions {
		dropped[i] = t.Transactions[i].HasWitness() || slices.ContainsFunc(t.Transactions[i].Depends,
			func(parent int) bool { return dropped[parent] })
	}
	return t.without(dropped)
}

// without returns a copy of t that lacks the dropped transactions, with everything that follows
// from the transactions computed anew. What is dropped must include all that depends on it.
func (t *Template) without(dropped []bool) (*Template, error) {
	out := *t
	out.variants, out.answers = nil, nil
	out.Transactions = make([]Transaction, 0, len(t.Transactions))
	position := make([]int, len(t.Transactions))
	for i, tx := range t.Transactions {
		if dropped[i] {
			if !tx.FeeKnown {
				return nil, fmt.Errorf("%w: transaction %s has to be left out but its fee is not known", ErrTemplate, tx.TxID)
			}
			out.Value -= tx.Fee
			out.Fees -= tx.Fee
			out.Dropped++
			continue
		}
		position[i] = len(out.Transactions)
		depends := make([]int, len(tx.Depends))
		for k, parent := range tx.Depends {
			depends[k] = position[parent]
		}
		tx.Depends = depends
		out.Transactions = append(out.Transactions, tx)
	}
	out.summarise()
	return &out, nil
}
