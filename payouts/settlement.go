package payouts

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// State is how far a settlement has come.
type State string

// The states of a settlement, in order. Planned: the debits are in flight and the inputs reserved. Sealed:
// a signed transaction is stored. Published: a node has it. Confirmed: it is in a block. Final: it is
// deep enough, and the money is paid. Returned: an input was spent by something else for good, and the
// debits went back.
const (
	Planned   State = "planned"
	Sealed    State = "sealed"
	Published State = "published"
	Confirmed State = "confirmed"
	Final     State = "final"
	Returned  State = "returned"
)

// Open reports whether a settlement in this state may still change.
func (s State) Open() bool { return s != Final && s != Returned }

// Bearer is who pays the transaction fee.
type Bearer string

// Who may bear fees. The pool bears them from Fee and then from Pool; payees bear them in proportion to
// what they get, as planned: what a replacement costs more is the pool's.
const (
	BearerPool   Bearer = "pool"
	BearerPayees Bearer = "payees"
)

// Hex is bytes that are hexadecimal digits in text.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Payee is one output of a settlement to miners.
type Payee struct {
	Script Hex `json:"script"`
	// Output is what it gets, in satoshis, and Fee what of the debits goes to the transaction fee: the
	// debits' sum is both together.
	Output int64 `json:"output"`
	Fee    int64 `json:"fee,omitempty"`
	// Debits are what its accounts are debited, by account: more than one if several have this script.
	Debits []Debit `json:"debits"`
}

// Debit is what a settlement takes from an account.
type Debit struct {
	Account string `json:"account"`
	Amount  int64  `json:"amount"`
}

// Input is a coin that a settlement has reserved.
type Input struct {
	OutPoint OutPoint `json:"at"`
	Value    int64    `json:"value"` // satoshis
	Script   Hex      `json:"script"`
}

// Change is what a transaction gives back to the pool.
type Change struct {
	Script Hex   `json:"script"`
	Value  int64 `json:"value"` // satoshis
}

// Plan is a settlement before it is signed. It fixes the transaction to the last byte but its witnesses.
type Plan struct {
	ID      uint64    `json:"id"`
	Created time.Time `json:"created"`
	// Since is the best block when it was planned: what spends its inputs comes after it.
	Since  chainhash.Hash `json:"since"`
	Height int32          `json:"height"`

	Payees []Payee `json:"payees"`
	Inputs []Input `json:"inputs"`
	Change *Change `json:"change,omitempty"`
	Bearer Bearer  `json:"bearer"`
	// FeeRate is what the fee was computed with, in satoshis per 1000 virtual bytes, and Fee is inputs
	// less outputs, in satoshis. Of it the payees bear the sum of their Fee and the pool the rest.
	FeeRate int64 `json:"fee_rate"`
	Fee     int64 `json:"fee"`
	// Approval is true if an operator has to approve before it is sealed.
	Approval bool `json:"approval,omitempty"`
}

// Version is a signed transaction of a settlement: the first, or a replacement that pays a higher fee. All
// versions pay the same, and each spends an input of every earlier one.
type Version struct {
	// Number counts from 1.
	Number int            `json:"number"`
	TxID   chainhash.Hash `json:"txid"`
	// Raw is the transaction as serialised with its witnesses.
	Raw     Hex     `json:"raw"`
	Inputs  []Input `json:"inputs"`
	Change  *Change `json:"change,omitempty"`
	FeeRate int64   `json:"fee_rate"` // satoshis per 1000 virtual bytes
	Fee     int64   `json:"fee"`      // satoshis
}

// Status is what has become of a settlement.
type Status struct {
	State State `json:"state"`
	// Approved says who approved it; empty if nobody has.
	Approved string `json:"approved,omitempty"`
	// Sent is true once a node has had a version of it.
	Sent bool `json:"sent,omitempty"`
	// Versions counts what was sealed.
	Versions int `json:"versions,omitempty"`
	// Version is the number of the version that was confirmed, and Block and Height where; while it is.
	Version int    `json:"version,omitempty"`
	Block   string `json:"block,omitempty"`
	Height  int32  `json:"height,omitempty"`
	// Confirms counts how often it was confirmed: a reorganisation may undo it.
	Confirms int `json:"confirms,omitempty"`
	// Flight is what is in flight for it: debits and the pool's part of the fee, in satoshis.
	Flight int64 `json:"flight"`
	// Total is what payees get.
	Total int64 `json:"total"`
	// Why says why it was returned.
	Why string `json:"why,omitempty"`
}

// CoinState is what the journal knows of a coin of the pool's.
type CoinState struct {
	Value  int64 `json:"value"` // satoshis
	Script Hex   `json:"script"`
	// From is the block or settlement that made it, or "operator".
	From string `json:"from"`
	// Reserved is the id of the settlement that it is reserved for; 0 if it is free.
	Reserved uint64 `json:"reserved,omitempty"`
}

// OutPoint is an outpoint as text: the txid, a colon and the output's number.
type OutPoint wire.OutPoint

// MarshalText implements encoding.TextMarshaler.
func (o OutPoint) MarshalText() ([]byte, error) { return []byte(wire.OutPoint(o).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OutPoint) UnmarshalText(text []byte) error {
	p, err := wire.NewOutPointFromString(string(text))
	if err != nil {
		return fmt.Errorf("outpoint %q: %w", text, err)
	}
	*o = OutPoint(*p)
	return nil
}
