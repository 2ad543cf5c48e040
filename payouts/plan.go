package payouts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// PlanInput is what settlements are planned with. It is not changed.
type PlanInput struct {
	// NextID is the first settlement's id; the others follow.
	NextID  uint64
	Created time.Time
	// Since is the tip of the best chain.
	Since Place
	// Payees are whom Choose has chosen, in any order.
	Payees []Payee
	// Coins are those that can be spent and no settlement has reserved, in any order.
	Coins []Coin
	// Change is the script that change goes to: P2WPKH or P2TR.
	Change []byte
	// FeeRate is what Policy.FeeRate says, in satoshis per 1000 virtual bytes.
	FeeRate int64
	// PoolFunds is what the pool has for fees, in satoshis: Fee and Pool together.
	PoolFunds int64
}

// Plan plans settlements that pay payees, the largest first, with the largest coins first. Each coin and
// each payee is in one settlement at most, and each settlement's transaction is within the policy's limits.
// The same input has the same plans, in whatever order payees and coins come.
//
// Amounts are paid whole or not at all. If some payees have to wait, the plans for the others are returned
// together with an error that says how much is missing: ErrCoins, ErrPoolFunds or ErrTooSmall. With any
// other error, ErrPlan, ErrPolicy or ErrFeeTooHigh, there are no plans.
//
// If payees bear the fee, each settlement's is divided among its payees in proportion to what is debited for
// them. A payee who would get less than dust then is left out. Change that is worth nothing at the fee rate
// goes to the fee, at the pool's expense.
func (p Policy) Plan(in PlanInput) ([]Plan, error) {
	if err := p.checkInput(&in); err != nil {
		return nil, err
	}
	if err := checkPayees(in.Payees); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	payees := slices.Clone(in.Payees)
	slices.SortFunc(payees, comparePayees)
	pl := newPlanner(p, in)
	stopped := pl.run(payees)
	if stopped != nil && !errors.Is(stopped, ErrPoolFunds) {
		return nil, stopped
	}
	for i := range pl.plans {
		if err := pl.plans[i].Check(); err != nil {
			return nil, err
		}
	}
	return pl.plans, pl.why(stopped)
}

// checkInput checks all but payees and coins.
func (p Policy) checkInput(in *PlanInput) error {
	if err := p.Check(); err != nil {
		return err
	}
	_, spendable := InputWeight(in.Change)
	switch {
	case in.FeeRate > p.FeeCeiling:
		return fmt.Errorf("%w: %d sat per 1000 vB, the ceiling is %d", ErrFeeTooHigh, in.FeeRate, p.FeeCeiling)
	case in.FeeRate < p.floor():
		return fmt.Errorf("%w: a fee rate of %d sat per 1000 vB, the floor is %d", ErrPlan, in.FeeRate, p.floor())
	case !spendable:
		return fmt.Errorf("%w: change goes to %x, want P2WPKH or P2TR", ErrPlan, in.Change)
	case in.NextID == 0 || in.NextID > math.MaxInt64:
		return fmt.Errorf("%w: settlements are numbered from 1", ErrPlan)
	case in.PoolFunds > MaxMoney:
		return fmt.Errorf("%w: the pool has %d sat: %w", ErrPlan, in.PoolFunds, ErrAmount)
	}
	return nil
}

// tally is how many payees wait for something, and for how much.
type tally struct {
	payees int
	amount int64
}

func (t *tally) add(p *Payee) {
	t.payees++
	t.amount = addUpTo(t.amount, p.amount())
}

// addUpTo adds amounts that are not negative, up to what fits.
func addUpTo(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// planner is how far planning has come.
type planner struct {
	policy Policy
	in     PlanInput
	coins  spendable
	// next is the first coin that is free, and funds what the pool has left for fees.
	next  int
	funds int64
	plans []Plan
	// short wait for more coins, wide for larger ones, and small are not worth the fee.
	short, wide, small tally
}

func newPlanner(p Policy, in PlanInput) *planner {
	return &planner{policy: p, in: in, coins: newSpendable(in.Coins, in.FeeRate, p.Bearer == BearerPool), funds: in.PoolFunds}
}

// run makes plans for payees, until there are no more or the pool cannot pay for them.
func (pl *planner) run(payees []Payee) error {
	b := pl.open()
	for i := range payees {
		payee := &payees[i]
		if payee.amount() < Dust(payee.Script) {
			pl.small.add(payee)
			continue
		}
		fits := pl.add(&b, payee)
		if fits == isFull && len(b.payees) > 0 {
			if err := pl.close(b); err != nil {
				return err
			}
			b = pl.open()
			fits = pl.add(&b, payee)
		}
		switch fits {
		case isFull:
			pl.wide.add(payee)
		case isShort:
			pl.short.add(payee)
		case doesFit:
		}
	}
	return pl.close(b)
}

// close plans a batch.
func (pl *planner) close(b batch) error {
	for len(b.payees) > 0 {
		change, err := pl.finish(&b)
		if err != nil {
			return err
		}
		fee := feeAt(pl.in.FeeRate, pl.weight(&b, change > 0))
		if pl.policy.Bearer == BearerPool {
			pl.plan(b, change)
			return nil
		}
		left, err := pl.charge(&b, fee)
		switch {
		case err != nil:
			return err
		case left == nil:
			pl.plan(b, change)
			return nil
		}
		// Without them the transaction is smaller, so that fewer coins may do.
		b = pl.open()
		for i := range left {
			if pl.add(&b, &left[i]) != doesFit {
				return fmt.Errorf("%w: %d payees do not fit where more did", ErrPlan, len(left))
			}
		}
	}
	return nil
}

// charge divides a fee among the payees of a batch. If some would get less than dust, it returns those who
// would not, and changes nothing.
func (pl *planner) charge(b *batch, fee int64) (left []Payee, err error) {
	weights := make([]shares.Credit, len(b.payees))
	for i := range b.payees {
		weights[i] = shares.Credit{Account: hex.EncodeToString(b.payees[i].Script), Weight: shares.Weight(b.payees[i].amount())}
	}
	parts, err := Split(fee, weights)
	if err != nil {
		return nil, fmt.Errorf("%w: the fee: %w", ErrPlan, err)
	}
	part := make(map[string]int64, len(parts))
	for _, c := range parts {
		part[c.Account] = c.Amount
	}
	charged := make([]Payee, len(b.payees))
	left = make([]Payee, 0, len(b.payees))
	for i := range b.payees {
		c := b.payees[i]
		c.Fee = part[weights[i].Account]
		c.Output = b.payees[i].amount() - c.Fee
		charged[i] = c
		if c.Output >= Dust(c.Script) {
			left = append(left, b.payees[i])
		} else {
			pl.small.add(&b.payees[i])
		}
	}
	if len(left) < len(charged) {
		return left, nil
	}
	b.payees = charged
	return nil, nil
}

// plan adds the plan of a batch that is done.
func (pl *planner) plan(b batch, change int64) {
	p := Plan{
		ID: pl.in.NextID + uint64(len(pl.plans)), Created: pl.in.Created.UTC().Truncate(time.Millisecond),
		Since: pl.in.Since.Hash, Height: pl.in.Since.Height,
		Payees: b.payees, Inputs: make([]Input, 0, b.last-b.first), Bearer: pl.policy.Bearer, FeeRate: pl.in.FeeRate,
		Approval: pl.policy.ApproveAbove > 0 && b.amount > pl.policy.ApproveAbove,
	}
	for _, c := range pl.coins.coins[b.first:b.last] {
		p.Inputs = append(p.Inputs, Input{OutPoint: OutPoint(c.OutPoint), Value: c.Value, Script: c.Script})
	}
	slices.SortFunc(p.Inputs, compareInputs)
	p.Fee = b.value - change
	for i := range p.Payees {
		p.Fee -= p.Payees[i].Output
	}
	if change > 0 {
		p.Change = &Change{Script: pl.in.Change, Value: change}
	}
	pl.funds -= p.poolFee()
	pl.next = b.last
	pl.plans = append(pl.plans, p)
}

// why says why payees wait; nil if none does.
func (pl *planner) why(stopped error) error {
	var why []error
	if pl.short.payees > 0 {
		why = append(why, fmt.Errorf("%w: %d payees with %d sat and the fee for them wait, and the coins that are left have %d sat",
			ErrCoins, pl.short.payees, pl.short.amount, pl.coins.total(pl.next)))
	}
	if pl.wide.payees > 0 {
		why = append(why, fmt.Errorf("%w: %d payees with %d sat wait, because of coins that small a transaction of %d weight units does not hold enough: join some in the wallet",
			ErrCoins, pl.wide.payees, pl.wide.amount, pl.policy.maxWeight()))
	}
	if pl.small.payees > 0 && len(pl.plans) == 0 {
		why = append(why, fmt.Errorf("%w: %d payees with %d sat wait at %d sat per 1000 vB",
			ErrTooSmall, pl.small.payees, pl.small.amount, pl.in.FeeRate))
	}
	if stopped != nil {
		why = append(why, stopped)
	}
	return errors.Join(why...)
}
