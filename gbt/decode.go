package gbt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrTemplate matches every error about a node's template that cannot be used.
var ErrTemplate = errors.New("unusable block template")

// templateJSON is a getblocktemplate result as full nodes send it. Bitcoin Core, Knots and btcd
// differ in which keys they send; what is absent stays zero or nil.
type templateJSON struct {
	Version           int32             `json:"version"`
	Rules             []string          `json:"rules"`
	VBAvailable       map[string]int    `json:"vbavailable"`
	VBRequired        uint32            `json:"vbrequired"`
	PreviousBlockHash string            `json:"previousblockhash"`
	Transactions      []transactionJSON `json:"transactions"`
	CoinbaseValue     *int64            `json:"coinbasevalue"`
	Target            string            `json:"target"`
	MinTime           int64             `json:"mintime"`
	SigopLimit        int64             `json:"sigoplimit"`
	SizeLimit         int64             `json:"sizelimit"`
	WeightLimit       int64             `json:"weightlimit"`
	CurTime           int64             `json:"curtime"`
	Bits              string            `json:"bits"`
	Height            int32             `json:"height"`
	Commitment        string            `json:"default_witness_commitment"`
}

// transactionJSON is an element of a template's transactions.
type transactionJSON struct {
	Data     string `json:"data"`
	TxID     string `json:"txid"`
	Hash     string `json:"hash"`
	Depends  []int  `json:"depends"`
	Fee      *int64 `json:"fee"`
	Sigops   int64  `json:"sigops"`
	Weight   int64  `json:"weight"`
	Required bool   `json:"required"`
}

// ParseTemplate decodes a full node's getblocktemplate result and checks it: every id is computed
// anew from the transaction's bytes, dependencies come before what depends on them, and limits,
// amounts and times are in range, because an error here would spoil every block mined from it.
// The template has no number yet and is not fitted to a coinbase. Errors match ErrTemplate.
func ParseTemplate(raw []byte) (*Template, error) {
	var in templateJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	t := &Template{
		Height: in.Height, Version: in.Version, CurTime: in.CurTime, MinTime: in.MinTime,
		Rules: in.Rules, VBAvailable: in.VBAvailable, VBRequired: in.VBRequired,
		SizeLimit:   orDefault(in.SizeLimit, blockchain.MaxBlockWeight),
		SigopLimit:  orDefault(in.SigopLimit, blockchain.MaxBlockSigOpsCost),
		WeightLimit: orDefault(in.WeightLimit, blockchain.MaxBlockWeight),
	}
	if err := t.setHeader(&in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	t.Transactions = make([]Transaction, len(in.Transactions))
	t.FeesKnown = true
	for i := range in.Transactions {
		tx, err := parseTransaction(&in.Transactions[i], i)
		if err != nil {
			return nil, fmt.Errorf("%w: transaction %d: %w", ErrTemplate, i+1, err)
		}
		t.Transactions[i] = tx
		t.Fees += tx.Fee
		t.FeesKnown = t.FeesKnown && tx.FeeKnown
		if t.Fees > t.Value { // at each step, so that the sum cannot overflow
			return nil, fmt.Errorf("%w: fees of %d sat exceed the coinbase value of %d sat", ErrTemplate, t.Fees, t.Value)
		}
	}
	t.summarise()
	t.identify()
	if err := t.checkCommitment(in.Commitment); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	return t, nil
}

// setHeader fills in what the header and the coinbase are made from.
func (t *Template) setHeader(in *templateJSON) error {
	if len(in.PreviousBlockHash) != chainhash.MaxHashStringSize {
		return fmt.Errorf("previousblockhash %q is not 64 hexadecimal digits", clip(in.PreviousBlockHash))
	}
	previous, err := chainhash.NewHashFromStr(in.PreviousBlockHash)
	if err != nil {
		return fmt.Errorf("previousblockhash: %w", err)
	}
	bits, err := strconv.ParseUint(in.Bits, 16, 32)
	if err != nil {
		return fmt.Errorf("bits: %w", err)
	}
	t.PreviousBlock, t.Bits = *previous, uint32(bits)
	if t.NetworkTarget, err = TargetFromBits(t.Bits); err != nil {
		return err
	}
	if in.Target != "" && in.Target != t.NetworkTarget.String() {
		return fmt.Errorf("target %s is not what bits %s expand to", clip(in.Target), in.Bits)
	}
	if in.CoinbaseValue == nil {
		return errors.New("coinbasevalue is missing")
	}
	t.Value = *in.CoinbaseValue
	switch {
	case t.Value < 0 || t.Value > btcutil.MaxSatoshi:
		return fmt.Errorf("coinbasevalue of %d sat is out of range", t.Value)
	case t.Height < 1:
		return fmt.Errorf("height %d is out of range", t.Height)
	case t.CurTime < 0 || t.MinTime < 0 || max(t.CurTime, t.MinTime) > 1<<32-1:
		return fmt.Errorf("curtime %d or mintime %d is out of range", t.CurTime, t.MinTime)
	case t.SizeLimit < 0 || t.SigopLimit < 0 || t.WeightLimit < 0:
		return errors.New("a limit is negative")
	}
	// A node may answer with a curtime below mintime when blocks come faster than seconds.
	t.CurTime = max(t.CurTime, t.MinTime)
	return nil
}

// parseTransaction decodes the transaction at position i and checks what the node says of it.
func parseTransaction(in *transactionJSON, i int) (Transaction, error) {
	raw, err := hex.DecodeString(in.Data)
	if err != nil {
		return Transaction{}, fmt.Errorf("data: %w", err)
	}
	tx, err := newTransaction(raw)
	if err != nil {
		return Transaction{}, fmt.Errorf("data: %w", err)
	}
	if in.TxID != "" && in.TxID != tx.TxID.String() {
		return Transaction{}, fmt.Errorf("txid %s, but data has %s", clip(in.TxID), tx.TxID)
	}
	if in.Hash != "" && in.Hash != tx.Hash.String() {
		return Transaction{}, fmt.Errorf("hash %s, but data has %s", clip(in.Hash), tx.Hash)
	}
	if in.Weight != 0 && in.Weight != tx.Weight {
		return Transaction{}, fmt.Errorf("weight %d, but data has %d", in.Weight, tx.Weight)
	}
	if in.Sigops < 0 {
		return Transaction{}, fmt.Errorf("sigops %d", in.Sigops)
	}
	tx.Sigops, tx.Required = in.Sigops, in.Required
	if in.Fee != nil {
		if *in.Fee < 0 || *in.Fee > btcutil.MaxSatoshi {
			return Transaction{}, fmt.Errorf("fee of %d sat is out of range", *in.Fee)
		}
		tx.Fee, tx.FeeKnown = *in.Fee, true
	}
	for _, d := range in.Depends {
		if d < 1 || d > i {
			return Transaction{}, fmt.Errorf("depends on transaction %d, which does not come before it", d)
		}
		tx.Depends = append(tx.Depends, d-1)
	}
	// Nodes name a dependency once for each output spent.
	slices.Sort(tx.Depends)
	tx.Depends = slices.Compact(tx.Depends)
	return tx, nil
}

// newTransaction makes a Transaction of serialised bytes: its ids and weight.
func newTransaction(raw []byte) (Transaction, error) {
	var msg wire.MsgTx
	r := bytes.NewReader(raw)
	if err := msg.Deserialize(r); err != nil {
		return Transaction{}, fmt.Errorf("not a transaction: %w", err)
	}
	if r.Len() != 0 {
		return Transaction{}, fmt.Errorf("%d bytes follow the transaction", r.Len())
	}
	tx := Transaction{
		Raw: raw, TxID: msg.TxHash(),
		Weight: int64(msg.SerializeSizeStripped()*(blockchain.WitnessScaleFactor-1) + len(raw)),
	}
	tx.Hash = tx.TxID
	if msg.HasWitness() {
		tx.Hash = doubleHash(raw)
	}
	return tx, nil
}

// HasWitness reports whether the transaction has a witness.
func (tx *Transaction) HasWitness() bool { return tx.Hash != tx.TxID }

// summarise computes what follows from the transactions as a whole.
func (t *Template) summarise() {
	txs := make([]*Transaction, len(t.Transactions))
	for i := range t.Transactions {
		txs[i] = &t.Transactions[i]
	}
	t.set = newTxSet(txs)
	t.Branch, t.WitnessCommitment = t.set.branch, t.set.commitment
	t.index = t.set.index()
}

// share makes t refer to the bytes of the transactions that it has in common with old, so that
// templates that follow one another take little more memory than one.
func (t *Template) share(old *Template) {
	index := old.index()
	for i := range t.Transactions {
		if known, ok := index[t.Transactions[i].Hash]; ok && known.Hash == t.Transactions[i].Hash {
			t.Transactions[i].Raw = known.Raw
		}
	}
}

// checkCommitment compares the node's commitment with ours. Bitcoin Core sends a scriptPubKey,
// btcd the bare hash.
func (t *Template) checkCommitment(theirs string) error {
	if theirs == "" || t.WitnessCommitment == nil {
		return nil
	}
	raw, err := hex.DecodeString(theirs)
	if err != nil {
		return fmt.Errorf("default_witness_commitment: %w", err)
	}
	if len(raw) < chainhash.HashSize || !bytes.HasSuffix(t.WitnessCommitment, raw[max(0, len(raw)-chainhash.HashSize):]) {
		return fmt.Errorf("default_witness_commitment %s is not that of the transactions", clip(theirs))
	}
	return nil
}

// identify sets what tells templates apart that lead to different work: all that the node said
// but when it said it.
func (t *Template) identify() {
	h := sha256.New()
	// Writing to a hash cannot fail.
	_, _ = fmt.Fprintln(h, t.PreviousBlock, t.Height, t.Version, t.Bits, t.MinTime, t.Value, t.VBRequired,
		t.Rules, t.VBAvailable, t.SizeLimit, t.SigopLimit, t.WeightLimit)
	for i := range t.Transactions {
		h.Write(t.Transactions[i].Hash[:])
	}
	h.Sum(t.identity[:0])
}

func orDefault(n, fallback int64) int64 {
	if n == 0 {
		return fallback
	}
	return n
}
