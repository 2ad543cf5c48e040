package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// ErrTemplate matches every error about a template that cannot be mined.
var ErrTemplate = errors.New("unusable template")

// Request is what to ask of getblocktemplate.
type Request struct {
	// LongPollID makes the call wait until the template that it names should be replaced.
	LongPollID string
	// Target is the share target to ask for; zero asks for none.
	Target gbt.Target
}

// Template is a server's proposal for a block (BIP 22, 23, 9 and 145). It is immutable.
type Template struct {
	Version       int32
	PreviousBlock chainhash.Hash
	Bits          uint32
	Height        int32
	// Target is what the server wants: a share's or, from a node, a block's.
	Target gbt.Target
	// NetworkTarget is what the network wants: Bits expanded.
	NetworkTarget gbt.Target
	// CurTime is the server's time for the header; MinTime and MaxTime bound it, MaxTime only if
	// it is not 0. All are Unix seconds.
	CurTime, MinTime, MaxTime int64
	// Received is when the answer had arrived.
	Received time.Time
	// Expires is how long the work is good for from then on; 0 if the server did not say.
	Expires time.Duration
	// NonceFirst and NonceLast bound the header's nonce.
	NonceFirst, NonceLast uint32

	// CoinbaseTxn is the coinbase that the server wants, without witness; nil if it leaves it to
	// the miner. CoinbaseValue is what a coinbase of the miner's own may claim, in satoshis.
	CoinbaseTxn   []byte
	CoinbaseValue int64
	// CoinbaseAux is what else the scriptSig of the miner's own coinbase should hold.
	CoinbaseAux [][]byte
	// Transactions are all but the coinbase, serialised, in block order; TxIDs and WTxIDs identify
	// them.
	Transactions  [][]byte
	TxIDs, WTxIDs []chainhash.Hash

	// Mutable lists what the server lets miners change (BIP 23, Mutations).
	Mutable []string
	// WorkID goes back with the block.
	WorkID string
	// LongPollID names the event that replaces the template; empty if the server does not offer
	// long polling. LongPollURI is where to wait for it; empty if it is where the rest is.
	LongPollID, LongPollURI string
	// SubmitOld reports, on the answer to a long poll, whether work from before is worth sending.
	SubmitOld bool
}

// templateJSON is an answer as it comes.
type templateJSON struct {
	Version           *int32            `json:"version"`
	Rules             []string          `json:"rules"`
	PreviousBlockHash string            `json:"previousblockhash"`
	Bits              string            `json:"bits"`
	Height            *int32            `json:"height"`
	Target            string            `json:"target"`
	CurTime           *int64            `json:"curtime"`
	MinTime           int64             `json:"mintime"`
	MaxTime           int64             `json:"maxtime"`
	Expires           int64             `json:"expires"`
	NonceRange        string            `json:"noncerange"`
	CoinbaseTxn       *transactionJSON  `json:"coinbasetxn"`
	CoinbaseValue     *int64            `json:"coinbasevalue"`
	CoinbaseAux       map[string]string `json:"coinbaseaux"`
	Transactions      []transactionJSON `json:"transactions"`
	Mutable           []string          `json:"mutable"`
	WorkID            string            `json:"workid"`
	LongPollID        string            `json:"longpollid"`
	LongPollURI       string            `json:"longpolluri"`
	SubmitOld         *bool             `json:"submitold"`
}

type transactionJSON struct {
	Data string `json:"data"`
	TxID string `json:"txid"`
}

// supportedRules are the deployments that Assemble knows how to follow. Of others it needs to know
// only those that a server marks with '!' (BIP 9).
func supportedRules() []string { return []string{"csv", "segwit", "taproot"} }

// Template asks for a template. With a LongPollID it waits as long as the server takes, at the
// server's own URI for that if from, the template that the id is from, names one; ctx alone ends
// the wait. An answer that cannot be mined gives an error that matches ErrTemplate.
func (c *Client) Template(ctx context.Context, req Request, from *Template) (*Template, error) {
	u := c.url
	if req.LongPollID == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	} else if from != nil && from.LongPollURI != "" {
		ref, err := url.Parse(from.LongPollURI)
		if err != nil {
			return nil, fmt.Errorf("%w: longpolluri: %w", ErrTemplate, err)
		}
		u = u.ResolveReference(ref)
	}
	params := map[string]any{
		"capabilities": []string{"coinbasetxn", "coinbasevalue", "longpoll", "workid", "coinbase/append", "time/increment", "submit/coinbase"},
		"rules":        supportedRules(),
	}
	if req.LongPollID != "" {
		params["longpollid"] = req.LongPollID
	}
	if req.Target != (gbt.Target{}) {
		params["target"] = req.Target.String()
	}
	var raw json.RawMessage
	if err := c.call(ctx, u, &raw, "getblocktemplate", params); err != nil {
		return nil, err
	}
	t, err := ParseTemplate(raw)
	if err != nil {
		return nil, err
	}
	t.Received = time.Now()
	return t, nil
}

// ParseTemplate decodes and checks a getblocktemplate result. Received stays zero. Errors match
// ErrTemplate.
func ParseTemplate(raw []byte) (*Template, error) {
	var in templateJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	if err := checkRules(in.Rules); err != nil {
		return nil, err
	}
	t := &Template{
		MinTime: in.MinTime, MaxTime: in.MaxTime, Expires: time.Duration(in.Expires) * time.Second,
		Mutable: in.Mutable, WorkID: in.WorkID, LongPollID: in.LongPollID, LongPollURI: in.LongPollURI,
		// BIP 22: old work remains potentially valid unless the server says otherwise.
		SubmitOld: in.SubmitOld == nil || *in.SubmitOld, NonceLast: 1<<32 - 1,
	}
	for _, step := range []func(*templateJSON) error{t.setHeader, t.setCoinbase, t.setTransactions} {
		if err := step(&in); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	}
	return t, nil
}

// checkRules refuses a template that asks for a deployment which has to be understood and is not.
func checkRules(rules []string) error {
	for _, rule := range rules {
		if name, strict := strings.CutPrefix(rule, "!"); strict && !slices.Contains(supportedRules(), name) {
			return fmt.Errorf("%w: the rule %q is required and not supported", ErrTemplate, name)
		}
	}
	return nil
}

func (t *Template) setHeader(in *templateJSON) error {
	if in.Version == nil || in.Height == nil || in.CurTime == nil {
		return errors.New("version, height or curtime is missing")
	}
	t.Version, t.Height, t.CurTime = *in.Version, *in.Height, *in.CurTime
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
	if in.NonceRange != "" {
		both, err := strconv.ParseUint(in.NonceRange, 16, 64)
		if err != nil || len(in.NonceRange) != 16 {
			return errors.New("noncerange is not 16 hexadecimal digits")
		}
		t.NonceFirst, t.NonceLast = uint32(both>>32), uint32(both)
	}
	switch {
	case t.Height < 1:
		return fmt.Errorf("height %d is out of range", t.Height)
	case min(t.CurTime, t.MinTime, t.MaxTime, in.Expires) < 0 || max(t.CurTime, t.MinTime, t.MaxTime) > 1<<32-1 || in.Expires > 1<<31:
		return errors.New("a time is out of range")
	case t.MaxTime != 0 && t.MaxTime < t.MinTime:
		return fmt.Errorf("maxtime %d is before mintime %d", t.MaxTime, t.MinTime)
	case t.NonceFirst > t.NonceLast:
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
		if _, err := parseCoinbase(t.CoinbaseTxn); err != nil {
			return err
		}
	}
	if in.CoinbaseValue != nil {
		t.CoinbaseValue = *in.CoinbaseValue
	}
	names := make([]string, 0, len(in.CoinbaseAux))
	for name := range in.CoinbaseAux {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		aux, err := hex.DecodeString(in.CoinbaseAux[name])
		if err != nil {
			return fmt.Errorf("coinbaseaux %q: %w", name, err)
		}
		t.CoinbaseAux = append(t.CoinbaseAux, aux)
	}
	return nil
}

func (t *Template) setTransactions(in *templateJSON) error {
	for i := range in.Transactions {
		raw, err := hex.DecodeString(in.Transactions[i].Data)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i+1, err)
		}
		var tx wire.MsgTx
		r := bytes.NewReader(raw)
		if err := tx.Deserialize(r); err != nil {
			return fmt.Errorf("transaction %d: %w", i+1, err)
		}
		if r.Len() != 0 {
			return fmt.Errorf("transaction %d: %d bytes follow it", i+1, r.Len())
		}
		txid := tx.TxHash()
		if in.Transactions[i].TxID != "" && in.Transactions[i].TxID != txid.String() {
			return fmt.Errorf("transaction %d: its txid is %s, not %.64q", i+1, txid, in.Transactions[i].TxID)
		}
		t.Transactions = append(t.Transactions, raw)
		t.TxIDs = append(t.TxIDs, txid)
		t.WTxIDs = append(t.WTxIDs, tx.WitnessHash())
	}
	return nil
}

// Allows reports whether the server lets miners make a change, by its name in BIP 23.
func (t *Template) Allows(mutation string) bool { return slices.Contains(t.Mutable, mutation) }

// HasWitness reports whether a transaction has a witness, so that the coinbase has to commit to
// them (BIP 141).
func (t *Template) HasWitness() bool { return !slices.Equal(t.TxIDs, t.WTxIDs) }

// Time returns the time for a header made at now: the server's clock, as far as its answer told,
// within the bounds.
func (t *Template) Time(now time.Time) int64 {
	at := t.CurTime + int64(max(0, now.Sub(t.Received))/time.Second)
	if t.MaxTime != 0 {
		at = min(at, t.MaxTime)
	}
	return max(at, t.MinTime)
}
