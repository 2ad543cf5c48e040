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
	// Early is set in what gateways make themselves.
	Early bool `json:"early,omitempty"`
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
func ParseTemplate(raw []byte) (*Template, error) { return parseTemplate(raw, nil) }

// parseTemplate is ParseTemplate for who has a template already: transactions that old has are
// recognised by their bytes and share them, so that templates that follow one another take little more
// memory than one. old may be nil.
func parseTemplate(raw []byte, old *Template) (*Template, error) {
	if t, ok := parseWritten(raw, old.known()); ok {
		return t, nil
	}
	// It is written in another way, or something is wrong with it, which the general decoder tells.
	t, err := parseGeneral(raw)
	if err != nil {
		return nil, err
	}
	t.share(old.known())
	return t, nil
}

// known returns a template's transactions by either id; nil for no template.
func (t *Template) known() map[chainhash.Hash]*Transaction {
	if t == nil {
		return nil
	}
	return t.index()
}

// parseWritten parses a template that is written as nodes do. It is false for others, and for those with
// which something is wrong.
func parseWritten(raw []byte, known map[chainhash.Hash]*Transaction) (*Template, bool) {
	rest, txs, ok := scanTemplate(raw)
	if !ok {
		return nil, false
	}
	var in templateJSON
	if err := json.Unmarshal(rest, &in); err != nil {
		return nil, false
	}
	t, err := newTemplate(&in)
	if err != nil {
		return nil, false
	}
	if t.Transactions, ok = txs.build(known); !ok {
		return nil, false
	}
	return t, t.complete(in.Commitment) == nil
}

// parseGeneral is ParseTemplate for any text, and says what is wrong.
func parseGeneral(raw []byte) (*Template, error) {
	var in templateJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	t, err := newTemplate(&in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	t.Transactions = make([]Transaction, len(in.Transactions))
	for i := range in.Transactions {
		if t.Transactions[i], err = parseTransaction(&in.Transactions[i], i); err != nil {
			return nil, fmt.Errorf("%w: transaction %d: %w", ErrTemplate, i+1, err)
		}
	}
	if err := t.complete(in.Commitment); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	return t, nil
}

// newTemplate makes a template of all that a node says but its transactions.
func newTemplate(in *templateJSON) (*Template, error) {
	t := &Template{
		Height: in.Height, Version: in.Version, CurTime: in.CurTime, MinTime: in.MinTime,
		Rules: in.Rules, VBAvailable: in.VBAvailable, VBRequired: in.VBRequired, Early: in.Early,
		SizeLimit:   orDefault(in.SizeLimit, blockchain.MaxBlockWeight),
		SigopLimit:  orDefault(in.SigopLimit, blockchain.MaxBlockSigOpsCost),
		WeightLimit: orDefault(in.WeightLimit, blockchain.MaxBlockWeight),
	}
	return t, t.setHeader(in)
}

// complete fills in what follows from the transactions, and compares it with what the node says.
func (t *Template) complete(commitment string) error {
	t.FeesKnown = true
	for i := range t.Transactions {
		tx := &t.Transactions[i]
		t.Fees += tx.Fee
		t.FeesKnown = t.FeesKnown && tx.FeeKnown
		if t.Fees > t.Value { // at each step, so that the sum cannot overflow
			return fmt.Errorf("fees of %d sat exceed the coinbase value of %d sat", t.Fees, t.Value)
		}
	}
	t.summarise()
	t.identify()
	return t.checkCommitment(commitment)
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
	l, ok := layoutOf(raw)
	if !ok {
		return decodeTransaction(raw) // which tells what is wrong
	}
	tx := Transaction{Raw: raw, Hash: doubleHash(raw)}
	tx.TxID, tx.Weight = tx.Hash, int64(len(raw))*blockchain.WitnessScaleFactor
	if l.witness {
		const version, lockTime = 4, 4
		size := len(raw) - len(witnessMarker) - (l.to - l.from)
		bare := append(make([]byte, 0, 1024), raw[:version]...) // most fit the stack
		bare = append(bare, raw[version+len(witnessMarker):l.from]...)
		bare = append(bare, raw[len(raw)-lockTime:]...)
		tx.TxID = doubleHash(bare)
		tx.Weight = int64(size*(blockchain.WitnessScaleFactor-1) + len(raw))
	}
	return tx, nil
}

// decodeTransaction is newTransaction by the general decoder.
func decodeTransaction(raw []byte) (Transaction, error) {
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

// share makes t refer to the bytes of the transactions that are known.
func (t *Template) share(known map[chainhash.Hash]*Transaction) {
	for i := range t.Transactions {
		if old, ok := known[t.Transactions[i].Hash]; ok && old.Hash == t.Transactions[i].Hash {
			t.Transactions[i].Raw = old.Raw
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
