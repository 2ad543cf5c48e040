package payouts

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// Bounds of a list. Script is the longest that a script may be, in bytes.
const (
	maxListPayees = 4000
	maxListScript = 100
	maxListName   = 200
)

// ErrList says that a list of payees is not as lists have to be.
var ErrList = errors.New("not a sound list of payees")

// List says whom coinbases of blocks on one previous block pay, each according to its weight in a window
// that ended before. It implements gbt.Payees and is immutable.
type List struct {
	// Previous is the block that the coinbases' blocks are on, and Height is one above it.
	Previous chainhash.Hash
	Height   int32
	// End and Size are of the window, and Total is all weight in it, in units of Unit, also that of accounts
	// which are not on the list.
	End         shares.Position
	Size, Total shares.Weight
	Unit        shares.Unit
	// Fee and Bonus stay in the pool's output, in basis points, each rounded down: the fee of the block's
	// value, the finder's bonus of the rest.
	Fee, Bonus int64
	// Minimum is the least that an output to an account pays in satoshis. MaxOutputs and MaxWeight bound all
	// outputs together, the pool's own among them; MaxWeight is in weight units.
	Minimum    int64
	MaxOutputs int
	MaxWeight  int64
	// Pool is the script of the pool's own output.
	Pool Hex
	// Payees come in the order in which they are paid.
	Payees []ListPayee
}

// ListPayee is an account that a coinbase may pay.
type ListPayee struct {
	Account string
	Script  Hex
	Weight  shares.Weight // its part of the window
	Carry   int64         // what it is owed from earlier blocks, in satoshis
}

// listJSON is a list as it is hashed and stored. Weights are text, as in all that leaves the ledger.
type listJSON struct {
	Previous   string          `json:"previous"`
	Height     int32           `json:"height"`
	End        [3]int64        `json:"end"` // millis, seq, partition
	Size       shares.Weight   `json:"size,string"`
	Total      shares.Weight   `json:"total,string"`
	Unit       shares.Unit     `json:"unit"`
	Fee        int64           `json:"fee"`
	Bonus      int64           `json:"bonus"`
	Minimum    int64           `json:"minimum"`
	MaxOutputs int             `json:"max_outputs"`
	MaxWeight  int64           `json:"max_weight"`
	Pool       Hex             `json:"pool"`
	Payees     []listPayeeJSON `json:"payees"`
}

type listPayeeJSON struct {
	Account string        `json:"account"`
	Script  Hex           `json:"script"`
	Weight  shares.Weight `json:"weight,string"`
	Carry   int64         `json:"carry,omitempty"`
}

// Encode returns the list as one line of JSON in its only spelling, which Name is of.
func (l *List) Encode() ([]byte, error) {
	out := listJSON{
		Previous: l.Previous.String(), Height: l.Height, End: [3]int64{l.End.Millis, l.End.Seq, int64(l.End.Partition)},
		Size: l.Size, Total: l.Total, Unit: l.Unit, Fee: l.Fee, Bonus: l.Bonus,
		Minimum: l.Minimum, MaxOutputs: l.MaxOutputs, MaxWeight: l.MaxWeight, Pool: l.Pool, Payees: make([]listPayeeJSON, len(l.Payees)),
	}
	for i, p := range l.Payees {
		out.Payees[i] = listPayeeJSON(p)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("list of payees on %s: %w", l.Previous, err)
	}
	return text, nil
}

// DecodeList reads a list that Encode has written, and fails with ErrList if it is not sound.
func DecodeList(text []byte) (*List, error) {
	var in listJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	previous, err := chainhash.NewHashFromStr(in.Previous)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	l := &List{
		Previous: *previous, Height: in.Height, End: shares.Position{Millis: in.End[0], Seq: in.End[1], Partition: int(in.End[2])},
		Size: in.Size, Total: in.Total, Unit: in.Unit, Fee: in.Fee, Bonus: in.Bonus,
		Minimum: in.Minimum, MaxOutputs: in.MaxOutputs, MaxWeight: in.MaxWeight, Pool: in.Pool,
	}
	for _, p := range in.Payees {
		l.Payees = append(l.Payees, ListPayee(p))
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	again, err := l.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, fmt.Errorf("%w: it is not in its only spelling", ErrList)
	}
	return l, nil
}

// Name implements gbt.Payees. It is the SHA-256 of the list's text.
func (l *List) Name() [sha256.Size]byte {
	text, err := l.Encode()
	if err != nil {
		return [sha256.Size]byte{} // there is nothing in a list that has no text
	}
	return sha256.Sum256(text)
}

// Check returns an error that matches ErrList unless the list's parts fit together.
func (l *List) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: on %s: %s", ErrList, l.Previous, fmt.Sprintf(format, args...))
	}
	switch {
	case l.Height < 1 || l.End.Millis < 0 || l.End.Seq < 0 || l.End.Partition < 0:
		return bad("height %d, a window that ends at %v", l.Height, l.End)
	case l.Size < 0 || l.Total < 0 || l.Total > l.Size:
		return bad("a window of %d with %d in it", l.Size, l.Total)
	case l.Fee < 0 || l.Fee > Whole || l.Bonus < 0 || l.Bonus > Whole:
		return bad("a fee of %d and a bonus of %d basis points", l.Fee, l.Bonus)
	case l.Minimum < 1 || l.Minimum > MaxMoney:
		return bad("outputs of at least %d sat", l.Minimum)
	case len(l.Pool) == 0 || len(l.Pool) > maxListScript || l.MaxOutputs < 1 || l.MaxWeight < gbt.OutputWeight(l.Pool):
		return bad("no room for the pool's own output: %d outputs, %d weight units, a script of %d bytes", l.MaxOutputs, l.MaxWeight, len(l.Pool))
	case len(l.Payees) > maxListPayees:
		return bad("%d payees, at most %d", len(l.Payees), maxListPayees)
	}
	weight, carry, seen := shares.Weight(0), int64(0), make(map[string]bool, len(l.Payees))
	for _, p := range l.Payees {
		switch {
		case p.Account == "" || len(p.Account) > maxListName || !utf8.ValidString(p.Account) || seen[p.Account]:
			return bad("account %q is on it twice or has no fit name", p.Account)
		case len(p.Script) == 0 || len(p.Script) > maxListScript:
			return bad("%s has a script of %d bytes", p.Account, len(p.Script))
		case p.Weight < 0 || p.Weight > l.Total-weight:
			return bad("%s weighs %d, more than is left of %d", p.Account, p.Weight, l.Total)
		case p.Carry < 0 || p.Carry > MaxMoney-carry:
			return bad("%s is owed %d sat", p.Account, p.Carry)
		}
		seen[p.Account] = true
		weight, carry = weight+p.Weight, carry+p.Carry
	}
	return nil
}

// listPayment is what a list pays of a block's value, in satoshis: to accounts, and what is left to the
// pool. The sum is the value.
type listPayment struct {
	credits []Credit
	// scripts are whom the outputs pay that are not the pool's, and amounts how much.
	scripts []Hex
	amounts []int64
	pool    int64 // what stays with the pool, without what accounts get that have its script
	merged  int64 // that
}

// pay divides a value.
func (l *List) pay(value int64) (listPayment, error) {
	if value < 0 || value > MaxMoney {
		return listPayment{}, fmt.Errorf("a coinbase of %d sat: %w", value, ErrAmount)
	}
	fee := part(value, l.Fee)
	divided := value - fee - part(value-fee, l.Bonus)
	out := listPayment{pool: value}
	room := l.MaxWeight - gbt.OutputWeight(l.Pool)
	places := make(map[string]int, len(l.Payees))
	for _, p := range l.Payees {
		// Who is owed more than there is gets what there is: else a large debt would never be paid.
		amount := min(l.portion(divided, p.Weight)+p.Carry, out.pool)
		if amount < l.Minimum {
			continue
		}
		own := bytes.Equal(p.Script, l.Pool)
		at, known := places[string(p.Script)]
		if !own && !known {
			room -= gbt.OutputWeight(p.Script)
			if room < 0 || len(out.scripts)+1 == l.MaxOutputs {
				break // nobody with less comes before it
			}
			at = len(out.scripts)
			places[string(p.Script)] = at
			out.scripts, out.amounts = append(out.scripts, p.Script), append(out.amounts, 0)
		}
		if own {
			out.merged += amount
		} else {
			out.amounts[at] += amount
		}
		out.pool -= amount
		out.credits = append(out.credits, Credit{p.Account, amount})
	}
	return out, nil
}

// weights returns the accounts of a list with their weights; none of no list.
func (l *List) weights() []shares.Credit {
	if l == nil {
		return nil
	}
	out := make([]shares.Credit, 0, len(l.Payees))
	for _, p := range l.Payees {
		if p.Weight > 0 {
			out = append(out, shares.Credit{Account: p.Account, Weight: p.Weight})
		}
	}
	return out
}

// portion returns the part of an amount that a weight has of the total, rounded down.
func (l *List) portion(amount int64, weight shares.Weight) int64 {
	if l.Total == 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(amount), uint64(weight))
	quotient, _ := bits.Div64(high, low, uint64(l.Total)) // weight is not above the total, so it fits
	return int64(quotient)
}

// Outputs implements gbt.Payees. Each account gets its part of what fee and bonus leave of value, rounded
// down, and what it is owed from before, or what is left, in the list's order, if that is Minimum at least, and
// as long as there is room for outputs. Who gets less than its part for that is owed the rest. The pool's own output is the last. It has what is left,
// and is there unless that is nothing and others are.
func (l *List) Outputs(value int64) ([]gbt.Output, error) {
	paid, err := l.pay(value)
	if err != nil {
		return nil, err
	}
	return l.outputs(&paid), nil
}

func (l *List) outputs(paid *listPayment) []gbt.Output {
	out := make([]gbt.Output, len(paid.scripts), len(paid.scripts)+1)
	for i, script := range paid.scripts {
		out[i] = gbt.Output{Value: paid.amounts[i], Script: script}
	}
	if rest := paid.pool + paid.merged; rest > 0 || len(out) == 0 {
		out = append(out, gbt.Output{Value: rest, Script: l.Pool})
	}
	return out
}

// Paid reads from the outputs of a real coinbase what it paid by this list: accounts, in the list's order,
// and the pool. value is what was recorded that it pays beside what a miner added, which the sum is. ok is
// false if an output is missing or pays less: then it was made by another list.
func (l *List) Paid(value int64, outs []*wire.TxOut) (credits []Credit, pool int64, ok bool) {
	paid, err := l.pay(value)
	if err != nil {
		return nil, 0, false
	}
	free := slices.Clone(outs)
	for _, due := range l.outputs(&paid) {
		i := slices.IndexFunc(free, func(out *wire.TxOut) bool {
			return out.Value >= due.Value && bytes.Equal(out.PkScript, due.Script)
		})
		if i < 0 {
			return nil, 0, false
		}
		free = slices.Delete(free, i, i+1)
	}
	return paid.credits, paid.pool, true
}
