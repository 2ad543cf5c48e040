package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// The mutations of BIP 23 that the package makes or that other keys imply.
const (
	mutationCoinbase     = "coinbase"
	mutationAppend       = "coinbase/append"
	mutationGeneration   = "generation"
	mutationIncrement    = "time/increment"
	mutationDecrement    = "time/decrement"
	mutationTransactions = "transactions"
	mutationAdd          = "transactions/add"
)

// The abbreviations of BIP 23 (Submission Abbreviation) that the package makes.
const (
	submitCoinbase = "submit/coinbase"
	submitHash     = "submit/hash"
	shareCoinbase  = "share/coinbase"
	shareMerkle    = "share/merkle"
)

// templateJSON is an answer as it comes.
type templateJSON struct {
	Version           *int32             `json:"version"`
	Rules             []string           `json:"rules"`
	VBAvailable       map[string]int     `json:"vbavailable"`
	VBRequired        uint32             `json:"vbrequired"`
	PreviousBlockHash string             `json:"previousblockhash"`
	Bits              string             `json:"bits"`
	Height            *int32             `json:"height"`
	Target            string             `json:"target"`
	CurTime           *int64             `json:"curtime"`
	MinTime           *int64             `json:"mintime"`
	MaxTime           *int64             `json:"maxtime"`
	MinTimeOff        *int64             `json:"mintimeoff"`
	MaxTimeOff        *int64             `json:"maxtimeoff"`
	Expires           int64              `json:"expires"`
	NonceRange        string             `json:"noncerange"`
	SizeLimit         int64              `json:"sizelimit"`
	WeightLimit       int64              `json:"weightlimit"`
	SigopLimit        int64              `json:"sigoplimit"`
	CoinbaseTxn       *transactionJSON   `json:"coinbasetxn"`
	CoinbaseValue     *int64             `json:"coinbasevalue"`
	CoinbaseAux       map[string]string  `json:"coinbaseaux"`
	Transactions      *[]transactionJSON `json:"transactions"`
	Commitment        string             `json:"default_witness_commitment"`
	Capabilities      []string           `json:"capabilities"`
	Mutable           []string           `json:"mutable"`
	WorkID            string             `json:"workid"`
	LongPollID        string             `json:"longpollid"`
	LongPollURI       string             `json:"longpolluri"`
	SubmitOld         *bool              `json:"submitold"`
}

type transactionJSON struct {
	Data     string `json:"data"`
	TxID     string `json:"txid"`
	Hash     string `json:"hash"`
	Depends  []int  `json:"depends"` // counted from 1
	Fee      *int64 `json:"fee"`
	Sigops   *int64 `json:"sigops"`
	Required bool   `json:"required"`
}

// ParseTemplate decodes and checks a getblocktemplate result, which must not be changed after.
// Received stays zero and LongPollURI as the server has it. Errors match ErrTemplate.
func ParseTemplate(raw []byte) (*Template, error) {
	var in templateJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	t, err := in.parse()
	if err != nil {
		return nil, err
	}
	t.JSON = raw
	return t, nil
}

// parse checks an answer and makes the template of it.
func (in *templateJSON) parse() (*Template, error) {
	if err := checkRules(in); err != nil {
		return nil, err
	}
	t := &Template{
		Expires:   time.Duration(in.Expires) * time.Second,
		SizeLimit: in.SizeLimit, WeightLimit: in.WeightLimit, SigopLimit: in.SigopLimit,
		Rules: in.Rules, VBAvailable: in.VBAvailable, VBRequired: in.VBRequired,
		Capabilities: in.Capabilities, Mutable: mutable(in), WorkID: in.WorkID, LongPollID: in.LongPollID, LongPollURI: in.LongPollURI,
		// BIP 22: old work remains potentially valid unless the server says otherwise.
		SubmitOld: in.SubmitOld == nil || *in.SubmitOld,
	}
	for _, step := range []func(*templateJSON) error{t.setHeader, t.setTime, t.setNonces, t.setCoinbase, t.setTransactions} {
		if err := step(in); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	}
	return t, nil
}

// checkRules refuses a template that names a deployment, active or pending, which has to be
// understood and is not.
func checkRules(in *templateJSON) error {
	for _, rule := range slices.Concat(in.Rules, slices.Sorted(maps.Keys(in.VBAvailable))) {
		if name, strict := strings.CutPrefix(rule, "!"); strict && !slices.Contains(supportedRules(), name) {
			return &RuleError{Rule: name}
		}
	}
	return nil
}

// mutable returns the mutations that the server allows, in words or through other keys (BIP 23,
// Mutations).
func mutable(in *templateJSON) []string {
	out := slices.Clone(in.Mutable)
	if in.MaxTime != nil || in.MaxTimeOff != nil {
		out = append(out, mutationIncrement)
	}
	if in.MinTime != nil || in.MinTimeOff != nil {
		out = append(out, mutationDecrement)
	}
	if in.CoinbaseTxn == nil {
		out = append(out, mutationCoinbase, mutationGeneration)
	}
	if in.Transactions == nil {
		out = append(out, mutationTransactions)
	}
	return out
}

func (t *Template) setHeader(in *templateJSON) error {
	switch {
	case in.Version == nil:
		return errors.New("version is missing")
	case in.Height == nil:
		return errors.New("height is missing")
	case *in.Height < 1:
		return fmt.Errorf("height %d is out of range", *in.Height)
	}
	t.Version, t.Height = *in.Version, *in.Height
	previous, err := chainhash.NewHashFromStr(in.PreviousBlockHash)
	if err != nil || len(in.PreviousBlockHash) != chainhash.MaxHashStringSize {
		return errors.New("previousblockhash is not 64 hexadecimal digits")
	}
	t.PreviousBlock = *previous
	bits, err := strconv.ParseUint(in.Bits, 16, 32)
	if err != nil {
		return fmt.Errorf("bits: %w", err)
	}
	t.Bits = uint32(bits)
	if t.NetworkTarget, err = gbt.TargetFromBits(t.Bits); err != nil {
		return err
	}
	if t.Target = t.NetworkTarget; in.Target != "" {
		if t.Target, err = gbt.ParseTarget(in.Target); err != nil {
			return err
		}
	}
	if t.Target == (gbt.Target{}) {
		return errors.New("target is 0: nothing meets it")
	}
	return nil
}

func (t *Template) setTime(in *templateJSON) error {
	const last = 1<<32 - 1 // of the header's time
	if in.CurTime == nil {
		return errors.New("curtime is missing")
	}
	t.CurTime = *in.CurTime
	if in.MinTime != nil {
		t.MinTime = *in.MinTime
	}
	if in.MaxTime != nil {
		t.MaxTime = min(*in.MaxTime, last) // a server may have no bound of its own
	}
	switch {
	case t.CurTime < 0 || t.CurTime > last:
		return fmt.Errorf("curtime %d is out of range", t.CurTime)
	case t.MinTime < 0 || t.MinTime > last:
		return fmt.Errorf("mintime %d is out of range", t.MinTime)
	case t.MaxTime < t.MinTime && in.MaxTime != nil:
		return fmt.Errorf("maxtime %d is before mintime %d", t.MaxTime, t.MinTime)
	case in.Expires < 0 || in.Expires > last:
		return fmt.Errorf("expires %d is out of range", in.Expires)
	}
	return nil
}

func (t *Template) setNonces(in *templateJSON) error {
	if t.NonceLast = 1<<32 - 1; in.NonceRange == "" {
		return nil
	}
	both, err := strconv.ParseUint(in.NonceRange, 16, 64)
	if err != nil || len(in.NonceRange) != 16 {
		return errors.New("noncerange is not 16 hexadecimal digits")
	}
	if t.NonceFirst, t.NonceLast = uint32(both>>32), uint32(both); t.NonceFirst > t.NonceLast {
		return fmt.Errorf("noncerange %s is empty", in.NonceRange)
	}
	return nil
}

func (t *Template) setCoinbase(in *templateJSON) error {
	if in.CoinbaseTxn == nil && in.CoinbaseValue == nil {
		return errors.New("neither coinbasetxn nor coinbasevalue is there")
	}
	var err error
	if in.CoinbaseTxn != nil {
		if t.CoinbaseTxn, err = hex.DecodeString(in.CoinbaseTxn.Data); err != nil {
			return fmt.Errorf("coinbasetxn: %w", err)
		}
		if t.CoinbaseTxn, err = stripCoinbase(t.CoinbaseTxn); err != nil {
			return err
		}
	}
	if in.CoinbaseValue != nil {
		if t.CoinbaseValue = *in.CoinbaseValue; t.CoinbaseValue < 0 {
			return fmt.Errorf("coinbasevalue %d is negative", t.CoinbaseValue)
		}
	} else if t.CoinbaseValue, err = claimed(t.CoinbaseTxn); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(in.CoinbaseAux)) {
		aux, err := hex.DecodeString(in.CoinbaseAux[name])
		if err != nil {
			return fmt.Errorf("coinbaseaux %q: %w", name, err)
		}
		t.CoinbaseAux = append(t.CoinbaseAux, aux)
	}
	if in.Commitment != "" {
		if t.DefaultWitnessCommitment, err = hex.DecodeString(in.Commitment); err != nil {
			return fmt.Errorf("default_witness_commitment: %w", err)
		}
	}
	return nil
}

// claimed returns what the outputs of a coinbase sum to, in satoshis.
func claimed(coinbase []byte) (int64, error) {
	tx, err := parseTransaction(coinbase)
	if err != nil {
		return 0, fmt.Errorf("coinbasetxn: %w", err)
	}
	value := int64(0)
	for _, out := range tx.TxOut {
		if out.Value < 0 || out.Value > btcutil.MaxSatoshi-value {
			return 0, errors.New("coinbasetxn: its outputs are more than all money")
		}
		value += out.Value
	}
	return value, nil
}

// stripCoinbase checks a server's coinbase and returns it without the witness that btcd gives it.
func stripCoinbase(raw []byte) ([]byte, error) {
	tx, err := parseTransaction(raw)
	if err != nil {
		return nil, fmt.Errorf("coinbasetxn: %w", err)
	}
	if !blockchain.IsCoinBaseTx(tx) {
		return nil, errors.New("coinbasetxn is not a coinbase transaction")
	}
	if n := len(tx.TxIn[0].SignatureScript); n < blockchain.MinCoinbaseScriptLen || n > blockchain.MaxCoinbaseScriptLen {
		return nil, fmt.Errorf("coinbasetxn: its scriptSig has %d bytes, not %d to %d",
			n, blockchain.MinCoinbaseScriptLen, blockchain.MaxCoinbaseScriptLen)
	}
	if !tx.HasWitness() {
		return raw, nil
	}
	var out bytes.Buffer
	if err := tx.SerializeNoWitness(&out); err != nil {
		return nil, fmt.Errorf("coinbasetxn: %w", err)
	}
	return out.Bytes(), nil
}

func (t *Template) setTransactions(in *templateJSON) error {
	if in.Transactions == nil {
		return nil
	}
	t.Transactions = make([]Transaction, 0, len(*in.Transactions))
	for i := range *in.Transactions {
		tx, err := (*in.Transactions)[i].parse(i)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i+1, err)
		}
		t.Transactions = append(t.Transactions, tx)
	}
	return nil
}

// parse decodes and checks one transaction, the one at a position from 0.
func (in *transactionJSON) parse(position int) (Transaction, error) {
	raw, err := hex.DecodeString(in.Data)
	if err != nil {
		return Transaction{}, err
	}
	tx, err := parseTransaction(raw)
	if err != nil {
		return Transaction{}, err
	}
	out := Transaction{
		Raw: raw, TxID: tx.TxHash(), Hash: tx.WitnessHash(), Fee: in.Fee, Sigops: in.Sigops, Required: in.Required,
		Weight: int64(tx.SerializeSizeStripped()*(blockchain.WitnessScaleFactor-1) + len(raw)), // BIP 141
	}
	// What other transactions and both merkle roots refer to is worth a check.
	if in.TxID != "" && in.TxID != out.TxID.String() {
		return Transaction{}, fmt.Errorf("its txid is %s, not %.64q", out.TxID, in.TxID)
	}
	if in.Hash != "" && in.Hash != out.Hash.String() {
		return Transaction{}, fmt.Errorf("its hash is %s, not %.64q", out.Hash, in.Hash)
	}
	if in.Depends == nil {
		return out, nil
	}
	out.Depends = make([]int, len(in.Depends))
	for i, parent := range in.Depends {
		if parent < 1 || parent > position {
			return Transaction{}, fmt.Errorf("it depends on %d, which does not come before it", parent)
		}
		out.Depends[i] = parent - 1
	}
	return out, nil
}

// parseTransaction decodes a transaction and nothing after it.
func parseTransaction(raw []byte) (*wire.MsgTx, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil {
		return nil, err
	}
	if r.Len() != 0 {
		return nil, fmt.Errorf("%d bytes follow it", r.Len())
	}
	return &tx, nil
}
