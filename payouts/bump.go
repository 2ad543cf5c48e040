package payouts

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoBump says that a settlement's fee cannot be raised, or need not be.
var ErrNoBump = errors.New("the fee is not raised")

// Bump drafts a replacement that pays a higher fee, rate, or the ceiling if that is less: the same payees
// get the same, and all inputs of the last version are spent. versions are all that were sealed, in order.
//
// What it costs more comes out of change first, and then of coins, the largest first; they are free ones,
// and confirmed. A new output for change goes to the script change. poolFunds is what the pool has for it in
// satoshis, beyond the fee that is in flight already. The replacement obeys BIP 125 with all earlier
// versions: for this the fee may be above what rate asks for, but not above the ceiling.
//
// It fails with ErrNoBump, and why.
func (p Policy) Bump(plan *Plan, versions []Version, rate int64, coins []Coin, change []byte, poolFunds int64) (Draft, error) {
	if err := errors.Join(p.Check(), plan.Check()); err != nil {
		return Draft{}, err
	}
	if len(versions) == 0 {
		return Draft{}, fmt.Errorf("%w: settlement %d has nothing sealed to replace", ErrNoBump, plan.ID)
	}
	last := &versions[len(versions)-1]
	if last.Change != nil {
		change = last.Change.Script
	}
	if _, ok := InputWeight(change); !ok {
		return Draft{}, fmt.Errorf("%w: change goes to %x, want P2WPKH or P2TR", ErrNoBump, change)
	}
	tx, err := last.decode()
	if err != nil {
		return Draft{}, fmt.Errorf("%w: version %d: %w", ErrNoBump, last.Number, err)
	}
	rate = min(rate, p.FeeCeiling)
	if now := last.Fee * 1000 / virtual(weightOf(tx)); rate <= now {
		return Draft{}, fmt.Errorf("%w: version %d pays %d sat per 1000 vB already, %d are wanted and %d are the ceiling",
			ErrNoBump, last.Number, now, rate, p.FeeCeiling)
	}
	r := replacement{policy: p, plan: plan, versions: versions, rate: rate, script: change, inputs: slices.Clone(last.Inputs), funds: last.Fee + poolFunds}
	return r.draft(newSpendable(coins, rate, true))
}

// replacement is a replacement that is being drafted.
type replacement struct {
	policy   Policy
	plan     *Plan
	versions []Version
	rate     int64
	script   []byte // of the change
	inputs   []Input
	// funds is what the whole fee may be for all that the pool has.
	funds int64
}

// draft adds coins until the inputs pay for a replacement.
func (r *replacement) draft(more spendable) (Draft, error) {
	mine := make(map[OutPoint]bool, len(r.inputs))
	for _, in := range r.inputs {
		mine[in.OutPoint] = true
	}
	coins := more.coins
	for {
		d, missing, err := r.attempt()
		if err != nil || missing == 0 {
			return d, err
		}
		for len(coins) > 0 && mine[OutPoint(coins[0].OutPoint)] {
			coins = coins[1:]
		}
		if len(coins) == 0 {
			return Draft{}, fmt.Errorf("%w: %d sat are missing, and there are no more coins that are worth spending at %d sat per 1000 vB",
				ErrNoBump, missing, r.rate)
		}
		r.inputs = append(r.inputs, Input{OutPoint: OutPoint(coins[0].OutPoint), Value: coins[0].Value, Script: coins[0].Script})
		coins = coins[1:]
	}
}

// attempt drafts a replacement with the inputs that there are, or says how many satoshis they lack.
func (r *replacement) attempt() (d Draft, missing int64, err error) {
	s, err := sizeOf(r.plan.Payees, r.inputs, nil)
	if err != nil {
		return Draft{}, 0, fmt.Errorf("%w: %w", ErrNoBump, err)
	}
	with, err := r.fee(s.with(r.script).weight())
	if err != nil {
		return Draft{}, 0, err
	}
	without, err := r.fee(s.weight())
	if err != nil {
		return Draft{}, 0, err
	}
	left := -r.plan.Outputs()
	for i := range r.inputs {
		left += r.inputs[i].Value
	}
	o := outcome{rest: left - with, paid: with, all: left, covered: left >= without}
	give, ok := o.change(r.script, r.rate, r.funds)
	weight, fee, need := s.weight(), left, without
	var change *Change
	if give {
		weight, fee, need = s.with(r.script).weight(), with, with
		change = &Change{Script: r.script, Value: o.rest}
	}
	switch {
	case !ok && without > r.funds || !ok && o.rest >= Dust(r.script):
		return Draft{}, 0, fmt.Errorf("%w: %w: a fee of %d sat is needed, with what is in flight the pool has %d sat", ErrNoBump, ErrPoolFunds, o.need(), r.funds)
	case weight > standardWeight:
		return Draft{}, 0, fmt.Errorf("%w: with enough coins it would weigh %d, nodes relay up to %d", ErrNoBump, weight, standardWeight)
	case !ok:
		return Draft{}, max(1, without-left), nil
	case need > feeAt(r.policy.FeeCeiling, weight):
		return Draft{}, 0, fmt.Errorf("%w: nodes would not replace the earlier versions for less than %d sat, the ceiling allows %d sat",
			ErrNoBump, need, feeAt(r.policy.FeeCeiling, weight))
	}
	rate := r.rate
	if need > feeAt(rate, weight) {
		rate = need * 1000 / virtual(weight)
	}
	return newDraft(r.plan.Payees, r.inputs, change, rate, fee), 0, nil
}

// fee returns the least fee for a weight at which nodes replace the earlier versions and the rate is paid.
func (r *replacement) fee(weight int64) (int64, error) {
	need, err := leastReplacing(r.versions, virtual(weight))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoBump, err)
	}
	return max(need, feeAt(r.rate, weight)), nil
}
