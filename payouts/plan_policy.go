package payouts

import (
	"errors"
	"fmt"
)

// What a Policy has where it says 0.
const (
	DefaultMaxOutputs = 2000
	DefaultMaxWeight  = 390_000
	DefaultFeeFloor   = 1000
)

var (
	// ErrFeeTooHigh says that fees are above the ceiling: settlements wait.
	ErrFeeTooHigh = errors.New("fees are too high")
	// ErrPoolFunds says that the pool has not enough for its part of the fee: settlements wait.
	ErrPoolFunds = errors.New("the pool lacks money for fees")
	// ErrCoins says that the wallet's coins do not suffice for all that is due: some wait.
	ErrCoins = errors.New("the wallet lacks coins")
	// ErrTooSmall says that nothing would be left of what is due, because payees bear the fee: they wait.
	ErrTooSmall = errors.New("the transaction fee would leave payees less than dust")
	// ErrPolicy says that a policy cannot be followed.
	ErrPolicy = errors.New("not a sound payout policy")
	// ErrPlan says that a plan is not sound, or that none can be made of what was given.
	ErrPlan = errors.New("not a sound plan")
)

// Policy says who is paid when, and what for a fee. Its methods change nothing and are safe for concurrent
// use.
type Policy struct {
	// Threshold is what an account has to have to be paid, in satoshis, unless it has one of its own.
	Threshold int64
	// FeeFloor is the lowest fee rate that is paid, and FeeCeiling the highest, in satoshis per 1000 virtual
	// bytes: above it settlements wait. A floor of 0 is DefaultFeeFloor.
	FeeFloor, FeeCeiling int64
	// FeeFallback is the fee rate while no node can estimate any; 0 waits until one can.
	FeeFallback int64
	Bearer      Bearer
	// MaxOutputs is to how many scripts a settlement pays at most; 0 is DefaultMaxOutputs.
	MaxOutputs int
	// MaxWeight is what its transaction weighs at most; 0 is DefaultMaxWeight. It is below what nodes relay,
	// 400,000, so that a replacement may spend some coins more.
	MaxWeight int64
	// ApproveAbove is what a settlement may take from accounts without an operator's approval, in satoshis;
	// 0 never asks.
	ApproveAbove int64
}

// Check returns an error that matches ErrPolicy unless the policy can be followed.
func (p Policy) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrPolicy, fmt.Sprintf(format, args...))
	}
	floor := p.floor()
	switch {
	case p.Threshold < 0 || p.Threshold > MaxMoney:
		return bad("a threshold of %d sat, want 0 to %d", p.Threshold, int64(MaxMoney))
	case floor < 1 || p.FeeCeiling > MaxFeeRate || floor > p.FeeCeiling:
		return bad("fee rates from %d to %d sat per 1000 vB, want 1 or more to at most %d", floor, p.FeeCeiling, int64(MaxFeeRate))
	case p.FeeFallback != 0 && (p.FeeFallback < floor || p.FeeFallback > p.FeeCeiling):
		return bad("a fee rate of %d sat per 1000 vB without an estimate, want 0 or %d to %d", p.FeeFallback, floor, p.FeeCeiling)
	case p.Bearer != BearerPool && p.Bearer != BearerPayees:
		return bad("%q bears fees, want %q or %q", p.Bearer, BearerPool, BearerPayees)
	case p.MaxOutputs < 0 || p.MaxOutputs > maxDebits:
		return bad("%d outputs, want 1 to %d, or 0 for %d", p.MaxOutputs, maxDebits, DefaultMaxOutputs)
	case p.maxWeight() < minWeight || p.maxWeight() > standardWeight:
		return bad("a weight of %d, want %d to %d, or 0 for %d", p.MaxWeight, minWeight, standardWeight, DefaultMaxWeight)
	case p.ApproveAbove < 0:
		return bad("approval from %d sat, want 0 or more", p.ApproveAbove)
	}
	return nil
}

// minWeight is the least MaxWeight of use: some payees, some coins.
const minWeight = 4000

func (p Policy) floor() int64 {
	if p.FeeFloor == 0 {
		return DefaultFeeFloor
	}
	return p.FeeFloor
}

func (p Policy) maxOutputs() int {
	if p.MaxOutputs == 0 {
		return DefaultMaxOutputs
	}
	return p.MaxOutputs
}

func (p Policy) maxWeight() int64 {
	if p.MaxWeight == 0 {
		return DefaultMaxWeight
	}
	return p.MaxWeight
}

// FeeRate returns what to pay given what Network.FeeRate says, in satoshis per 1000 virtual bytes: the
// estimate, or the floor if that is more. Otherwise it returns why to wait: ErrFeeTooHigh; ErrNoEstimate, if
// there is no FeeFallback; or whatever else went wrong.
func (p Policy) FeeRate(estimate int64, err error) (rate int64, wait error) {
	if err == nil && estimate <= 0 {
		err = fmt.Errorf("%w: %d sat per 1000 vB", ErrNoEstimate, estimate)
	}
	switch {
	case errors.Is(err, ErrNoEstimate) && p.FeeFallback > 0:
		return p.FeeFallback, nil
	case errors.Is(err, ErrNoEstimate):
		return 0, fmt.Errorf("settlements wait for a fee estimate, or for a fee rate to be set that needs none: %w", err)
	case err != nil:
		return 0, fmt.Errorf("settlements wait for a fee estimate: %w", err)
	case estimate > p.FeeCeiling:
		return 0, fmt.Errorf("%w: %d sat per 1000 vB are needed, the ceiling is %d", ErrFeeTooHigh, estimate, p.FeeCeiling)
	}
	return max(estimate, p.floor()), nil
}
