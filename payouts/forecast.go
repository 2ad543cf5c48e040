package payouts

import (
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// Forecast is what the next block would pay whom if it were found now, and what blocks that are found already
// will credit. It is a picture of one moment and immutable; nothing is decided by it. Amounts are in satoshis,
// weights in units of Unit.
type Forecast struct {
	// At is when it was made, and Took how long that took.
	At   time.Time
	Took time.Duration
	// Terms are what the block would be divided by.
	Terms Terms
	Unit  shares.Unit
	// Height is of the block that is being mined, and Network the work that it takes on average.
	Height  int32
	Network shares.Weight
	// Reward is what its coinbase may claim, and Carry what is divided beside, of earlier blocks.
	Reward, Carry int64
	// Division is what becomes of both together under schemes that divide blocks. If there is a finder's bonus,
	// somebody who is not among the accounts gets it: it is not in the credits. Under PPS and FPPS the credits
	// are what the work since the last block has earned, and Reserve is the block's reward. Under SOLO there are
	// no credits: Of says what each would get.
	Division Division
	// Size is how much work a block pays under PPLNS, and Total how much there is; under other schemes Size is
	// Network, and Total is that of the round.
	Size, Total shares.Weight
	// Weights are the accounts' parts of Total, by account. They must not be modified.
	Weights []shares.Credit
	// Round is the round that goes on, without its credits.
	Round shares.Round
	// Pending are the found blocks that Immature is of, newest first: those that are neither credited nor off
	// the best chain, maxPending at most.
	Pending []chainhash.Hash

	solo     int64
	immature []Credit // by account
}

// Expected is what an account may expect.
type Expected struct {
	// Weight is its part of Forecast.Total, and Credit what the next block would credit it.
	Weight shares.Weight
	Credit int64
	// Immature is what found blocks will credit it that are not deep enough yet, beside what their coinbases
	// paid it directly. It is an estimate: which chain is best, and what is carried, may change.
	Immature int64
}

// Of returns what an account may expect. It takes time by the logarithm of how many accounts there are.
func (f *Forecast) Of(account string) Expected {
	e := Expected{Credit: f.solo, Immature: amountOf(f.immature, account)}
	if i, found := slices.BinarySearchFunc(f.Weights, account, compareWeight); found {
		e.Weight = f.Weights[i].Weight
	}
	if f.Terms.Scheme != SOLO {
		e.Credit = amountOf(f.Division.Credits, account)
	}
	return e
}

// compareWeight orders weights by account.
func compareWeight(c shares.Credit, account string) int { return strings.Compare(c.Account, account) }

// amountOf returns what an account has among credits that are by account.
func amountOf(credits []Credit, account string) int64 {
	i, found := slices.BinarySearchFunc(credits, account, func(c Credit, account string) int { return strings.Compare(c.Account, account) })
	if !found {
		return 0
	}
	return credits[i].Amount
}

// somebody stands for a finder who is none of the accounts: no account's name has a space in it.
const somebody = "somebody else"

// divide divides a reward as if somebody else had found the block, who keeps the bonus.
func (t Terms) divide(reward, carry int64, weights []shares.Credit) (Division, error) {
	finder := ""
	if t.Bonus > 0 {
		finder = somebody
	}
	d, err := t.Divide(reward, weights, finder)
	if err != nil {
		return Division{}, err
	}
	if t.PerShare() {
		return d, nil // what is carried is for schemes that divide blocks
	}
	d.Credits = slices.DeleteFunc(d.Credits, func(c Credit) bool { return c.Account == somebody })
	return d, d.addCarry(carry, weights)
}
