package client

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Offer is what a miner can choose transactions from.
type Offer struct {
	// Pool is the server's template: the block's header and coinbase are on its terms, and what it
	// requires has to stay.
	Pool *Template
	// Node is the template of the miner's own node, on the same previous block; nil if it has none.
	Node *Template
}

// Source returns the template that the choice is made from: the miner's own node's if it has one.
func (o Offer) Source() *Template {
	if o.Node != nil {
		return o.Node
	}
	return o.Pool
}

// With returns the server's template with other transactions, in block order, and a coinbase that
// claims what they are worth. The error says why they cannot make a block on the server's terms,
// as far as the templates tell: the rest is for the server to say (Client.Propose).
func (o Offer) With(txs []Transaction) (*Template, error) {
	if !o.Pool.Allows(mutationAdd) {
		return nil, errors.New("the server does not let this miner choose the transactions")
	}
	if err := o.check(txs); err != nil {
		return nil, err
	}
	value, err := o.value(txs)
	if err != nil {
		return nil, err
	}
	t := *o.Pool
	t.Transactions = make([]Transaction, len(txs))
	for i := range txs {
		t.Transactions[i] = txs[i]
		t.Transactions[i].Depends = nil // positions in another list
	}
	t.Origin, t.JSON, t.CoinbaseValue, t.DefaultWitnessCommitment = o.Pool.origin(), nil, value, nil
	t.CoinbaseTxn, err = revalue(t.CoinbaseTxn, value, t.WitnessCommitment())
	return &t, err
}

// check reports what is wrong with a list of transactions.
func (o Offer) check(txs []Transaction) error {
	known := o.known()
	at := make(map[chainhash.Hash]int, len(txs))
	for i := range txs {
		if first, twice := at[txs[i].TxID]; twice {
			return fmt.Errorf("transaction %s is there twice, at %d and %d", txs[i].TxID, first+1, i+1)
		}
		at[txs[i].TxID] = i
	}
	for i := range o.Pool.Transactions {
		tx := &o.Pool.Transactions[i]
		if _, there := at[tx.TxID]; tx.Required && !there {
			return fmt.Errorf("the server requires transaction %s, which is left out", tx.TxID)
		}
	}
	spent := make(map[wire.OutPoint]chainhash.Hash)
	left := o.room()
	for i := range txs {
		tx := &txs[i]
		msg, err := parseTransaction(tx.Raw)
		if err != nil {
			return fmt.Errorf("transaction %s: %w", tx.TxID, err)
		}
		for _, in := range msg.TxIn {
			parent := in.PreviousOutPoint.Hash
			position, there := at[parent]
			other, double := spent[in.PreviousOutPoint]
			switch {
			case there && position >= i:
				return fmt.Errorf("transaction %s spends %s, which has to come before it", tx.TxID, parent)
			case !there && known[parent] != nil:
				return fmt.Errorf("transaction %s spends %s, which is left out", tx.TxID, parent)
			case double:
				return fmt.Errorf("transactions %s and %s spend the same coin", other, tx.TxID)
			}
			spent[in.PreviousOutPoint] = tx.TxID
		}
		if !left.take(tx) {
			return fmt.Errorf("the first %d transactions make the block too large: its limits are a weight of %d, %d bytes and %d sigops",
				i+1, o.Pool.WeightLimit, o.Pool.SizeLimit, o.Pool.SigopLimit)
		}
	}
	return nil
}

// known returns the transactions that there are to choose from, by txid.
func (o Offer) known() map[chainhash.Hash]*Transaction {
	out := make(map[chainhash.Hash]*Transaction)
	for _, t := range []*Template{o.Pool, o.Source()} {
		for i := range t.Transactions {
			out[t.Transactions[i].TxID] = &t.Transactions[i]
		}
	}
	return out
}

// value returns what a coinbase with txs may claim, in satoshis: what the source's may, by the fees
// that the templates tell.
func (o Offer) value(txs []Transaction) (int64, error) {
	source := o.Source()
	value := source.CoinbaseValue
	add := func(tx *Transaction, sign int64) error {
		if tx.Fee == nil {
			return fmt.Errorf("the fee of transaction %s is unknown, so that nobody can say what the block is worth", tx.TxID)
		}
		value += sign * *tx.Fee
		return nil
	}
	chosen, offered := ids(txs), ids(source.Transactions)
	for i := range source.Transactions {
		if tx := &source.Transactions[i]; !chosen[tx.TxID] {
			if err := add(tx, -1); err != nil {
				return 0, err
			}
		}
	}
	for i := range txs {
		if !offered[txs[i].TxID] {
			if err := add(&txs[i], 1); err != nil {
				return 0, err
			}
		}
	}
	if value < 0 {
		return 0, errors.New("the fees are more than the block is worth: the template is wrong")
	}
	return value, nil
}

// ids returns the set of the transactions' txids.
func ids(txs []Transaction) map[chainhash.Hash]bool {
	out := make(map[chainhash.Hash]bool, len(txs))
	for i := range txs {
		out[txs[i].TxID] = true
	}
	return out
}

// revalue returns the server's coinbase for another value and with another commitment, where there
// is one. What the value is more goes to the first output that pays; what it is less is taken from
// there, and from the next once that is used up. Where several outputs are paid the server says
// what each gets.
func revalue(raw []byte, value int64, commitment []byte) ([]byte, error) {
	if raw == nil {
		return nil, nil // the miner's own coinbase
	}
	tx, err := parseTransaction(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: coinbasetxn: %w", ErrTemplate, err)
	}
	more, last := value, -1
	for i, out := range tx.TxOut {
		more -= out.Value
		if gbt.IsWitnessCommitment(out.PkScript) {
			last = i
		}
	}
	for _, out := range tx.TxOut {
		if out.Value > 0 {
			change := max(more, -out.Value)
			out.Value += change
			more -= change
		}
	}
	if more != 0 {
		return nil, errors.New("the server's coinbase pays nobody")
	}
	if last >= 0 {
		// BIP 141 lets an output go on after the commitment.
		rest := tx.TxOut[last].PkScript[len(commitment):]
		tx.TxOut[last].PkScript = append(bytes.Clone(commitment), rest...)
	}
	var out bytes.Buffer
	if err := tx.SerializeNoWitness(&out); err != nil {
		return nil, fmt.Errorf("coinbasetxn: %w", err)
	}
	return out.Bytes(), nil
}

// room is what a block's limits leave. What has no limit has more than enough.
type room struct{ weight, size, sigops int64 }

// room returns what the server's limits leave for transactions beside the coinbase: with a full
// scriptSig, a commitment and its witness, or what one to a single output takes at most.
func (o Offer) room() room {
	const (
		// header is what a block takes beside its transactions, in bytes.
		header = wire.MaxBlockHeaderPayload + 3
		// commitment and witness are the coinbase's (BIP 141).
		commitment, witness = 8 + 1 + 38, 2 + 34
		// own is a coinbase of the miner's own without scriptSig, paying the longest kind of script.
		own = 4 + 1 + 36 + 1 + 4 + 1 + 8 + 1 + 34 + 4
		// enough is more than any block takes.
		enough = 1 << 40
	)
	base, sigops := int64(own), int64(1)
	if tx, err := parseTransaction(o.Pool.CoinbaseTxn); err == nil {
		base = int64(tx.SerializeSizeStripped() - len(tx.TxIn[0].SignatureScript))
		sigops = int64(blockchain.CountSigOps(btcutil.NewTx(tx)))
	}
	base += header + blockchain.MaxCoinbaseScriptLen + commitment
	limit := func(limit, taken int64) int64 {
		if limit <= 0 {
			return enough
		}
		return limit - taken
	}
	return room{
		weight: limit(o.Pool.WeightLimit, base*blockchain.WitnessScaleFactor+witness),
		size:   limit(o.Pool.SizeLimit, base+witness),
		sigops: limit(o.Pool.SigopLimit, sigops*blockchain.WitnessScaleFactor),
	}
}

// take makes room for a transaction, and reports whether there is enough. If not, nothing changes.
func (r *room) take(tx *Transaction) bool {
	left := room{weight: r.weight - tx.Weight, size: r.size - int64(len(tx.Raw)), sigops: r.sigops}
	if tx.Sigops != nil {
		left.sigops -= *tx.Sigops
	}
	if left.weight < 0 || left.size < 0 || left.sigops < 0 {
		return false
	}
	*r = left
	return true
}

// Difference is how a choice of transactions differs from the server's.
type Difference struct {
	// Added and Dropped count the transactions that the choice has beside the server's, and those
	// of the server's that it has not.
	Added, Dropped int
	// Value is what the coinbase claims more, in satoshis; negative if it is less.
	Value int64
}

// Difference compares the template with the server's own.
func (t *Template) Difference() Difference {
	origin := t.origin()
	now, before := ids(t.Transactions), ids(origin.Transactions)
	d := Difference{Value: t.CoinbaseValue - origin.CoinbaseValue}
	for id := range now {
		if !before[id] {
			d.Added++
		}
	}
	for id := range before {
		if !now[id] {
			d.Dropped++
		}
	}
	return d
}

// Fees returns the sum of the transactions' fees in satoshis, if they are known.
func (t *Template) Fees() (sum int64, known bool) {
	for i := range t.Transactions {
		if t.Transactions[i].Fee == nil {
			return 0, false
		}
		sum += *t.Transactions[i].Fee
	}
	return sum, true
}
