package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// ErrTemplate matches every error about a template that cannot be mined.
var ErrTemplate = errors.New("unusable template")

// RuleError says that a template must not be mined, not even as it is, because it follows a rule
// that has to be understood and is not (BIP 9, getblocktemplate changes). It matches ErrTemplate.
type RuleError struct {
	// Rule is the deployment's name without prefix.
	Rule string
}

// Error implements error.
func (e *RuleError) Error() string {
	return fmt.Sprintf("%v: the rule %q has to be understood and is not: update the miner", ErrTemplate, e.Rule)
}

// Unwrap returns ErrTemplate.
func (e *RuleError) Unwrap() error { return ErrTemplate }

// Template is a server's proposal for a block (BIP 22, 23, 9 and 145). It is immutable.
type Template struct {
	Version       int32
	PreviousBlock chainhash.Hash
	Bits          uint32
	Height        int32
	// Target is what the server wants: a share's or, from a node, a block's.
	Target gbt.Target
	// NetworkTarget is what the network wants: Bits expanded ("fulltarget").
	NetworkTarget gbt.Target
	// CurTime is the server's time for the header; MinTime and MaxTime bound it, MaxTime only if
	// it is not 0. All are Unix seconds.
	CurTime, MinTime, MaxTime int64
	// Received is when the answer had arrived.
	Received time.Time
	// Expires is how long the work is good for from then on; 0 if the server did not say.
	Expires time.Duration
	// NonceFirst and NonceLast bound the header's nonce; both are included.
	NonceFirst, NonceLast uint32

	// CoinbaseTxn is the coinbase that the server wants, without witness; nil if it leaves it to
	// the miner. CoinbaseValue is what the coinbase may claim, in satoshis: what CoinbaseTxn does
	// if the server did not say.
	CoinbaseTxn   []byte
	CoinbaseValue int64
	// CoinbaseAux is what else the scriptSig of the miner's own coinbase should hold.
	CoinbaseAux [][]byte
	// Transactions are all but the coinbase, in block order.
	Transactions []Transaction
	// DefaultWitnessCommitment is the scriptPubKey that the server commits to the witnesses with;
	// nil if it did not say. Assembling does not depend on it.
	DefaultWitnessCommitment []byte

	// SizeLimit, WeightLimit and SigopLimit are the block's limits in bytes, weight units and
	// BIP 141 sigop cost; 0 if the server did not say.
	SizeLimit, WeightLimit, SigopLimit int64
	// Rules are the active deployments, with their prefixes. VBAvailable are the pending ones with
	// their bits in Version, and VBRequired the bits that have to stay set (BIP 9).
	Rules       []string
	VBAvailable map[string]int
	VBRequired  uint32

	// Capabilities lists what else the server can do, such as "proposal" (BIP 23, Block Proposal).
	Capabilities []string
	// Mutable lists what the server lets miners change, by the names of BIP 23 (Mutations),
	// including what other keys imply. Allows looks it up.
	Mutable []string
	// WorkID goes back with the block.
	WorkID string
	// LongPollID names the event that replaces the template; empty if the server does not offer
	// long polling. LongPollURI is where to wait for it; empty if it is where the rest is.
	LongPollID, LongPollURI string
	// SubmitOld reports, on the answer to a long poll, whether work from before is worth sending.
	// It is true elsewhere.
	SubmitOld bool

	// JSON is the answer as it came; nil if the template was not made from one.
	JSON json.RawMessage
	// Origin is the server's template that this one was made of by choosing other transactions
	// (Offer.With); nil if it is the server's own.
	Origin *Template
	// Declared is when the server was asked to take this as declared work, which it did: WorkID
	// then names the miner's own choice (BIP 23, Block Proposal). Zero if it is not declared.
	Declared time.Time
}

// Transaction is one transaction of a template.
type Transaction struct {
	// Raw is the transaction as serialised with its witness, if it has one.
	Raw []byte
	// TxID and Hash identify it without and with its witness (txid and wtxid).
	TxID, Hash chainhash.Hash
	// Depends are the positions in Template.Transactions, from 0, of those that have to stay in
	// the block with it; nil if the server did not say, which does not mean none.
	Depends []int
	// Fee is in satoshis and Sigops in BIP 141 sigop cost; nil if the server did not say.
	Fee, Sigops *int64
	// Weight is in weight units.
	Weight int64
	// Required transactions have to stay in the block.
	Required bool
}

// supportedRules are the deployments that Assemblers know how to follow. Of others they need to
// know only those that a server marks with '!' (BIP 9).
func supportedRules() []string { return []string{"csv", "segwit", "taproot"} }

// Allows reports whether the server lets miners make a change, by its name in BIP 23. A name
// without a part after the slash stands for all that have one: "time" for "time/increment".
func (t *Template) Allows(mutation string) bool {
	group, _, _ := strings.Cut(mutation, "/")
	return slices.Contains(t.Mutable, mutation) || slices.Contains(t.Mutable, group)
}

// proposes reports whether the server takes proposals.
func (t *Template) proposes() bool { return slices.Contains(t.Capabilities, "proposal") }

// origin returns the server's own template that t was made of, which may be t.
func (t *Template) origin() *Template {
	if t.Origin != nil {
		return t.Origin
	}
	return t
}

// expiry returns when the work expires, if it does.
func (t *Template) expiry() (at time.Time, expires bool) {
	from := t.Received
	if !t.Declared.IsZero() {
		from = t.Declared
	}
	return from.Add(t.Expires), t.Expires > 0
}

// HasWitness reports whether a transaction has a witness, so that the coinbase has to commit to
// them (BIP 141).
func (t *Template) HasWitness() bool {
	return slices.ContainsFunc(t.Transactions, func(tx Transaction) bool { return tx.Hash != tx.TxID })
}

// WitnessCommitment returns the scriptPubKey that commits to the transactions' witnesses
// (BIP 141).
func (t *Template) WitnessCommitment() []byte {
	hashes := make([]chainhash.Hash, len(t.Transactions))
	for i := range t.Transactions {
		hashes[i] = t.Transactions[i].Hash
	}
	return gbt.WitnessCommitment(hashes)
}

// MerkleBranch returns the hashes that link the coinbase's txid to the merkle root.
func (t *Template) MerkleBranch() []chainhash.Hash {
	txids := make([]chainhash.Hash, len(t.Transactions))
	for i := range t.Transactions {
		txids[i] = t.Transactions[i].TxID
	}
	return gbt.MerkleBranch(txids)
}

// Time returns the time for a header made at now: the server's clock, as far as its answer told,
// within the bounds, or the server's time as it is if it does not allow any other.
func (t *Template) Time(now time.Time) int64 {
	if !t.Allows(mutationIncrement) {
		return t.CurTime
	}
	at := t.CurTime + int64(max(0, now.Sub(t.Received))/time.Second)
	if t.MaxTime != 0 {
		at = min(at, t.MaxTime)
	}
	return max(at, t.MinTime)
}
