package payouts

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/gbtpool/gbtpool/shares"
)

// Scheme is how miners are paid. In the formulas B is what a block pays the pool, f the fee, D the network's
// difficulty (the work that a block takes on average) and w the work of a miner, in the same unit as D.
type Scheme string

// The schemes. docs/schemes.md explains them to miners, with examples. Chapters are those of Meni
// Rosenfeld's "Analysis of Bitcoin Pooled Mining Reward Systems", arXiv 1112.4980.
const (
	// PPLNS, pay per last N shares, pays (1-f) × B × w / W, w and W over the last N × D of work before the
	// block, whoever found the blocks in between (chapter 3.3, in the form that counts work instead of
	// shares, so that neither a change of difficulty nor of hash rate makes it worth while to come or go).
	// Every bit of work is paid N times on average, and never with probability exp(-N). Miners bear the
	// risk of bad luck; nobody gains by hopping. With N = 8 it is what OCEAN calls TIDES.
	PPLNS Scheme = "pplns"
	// PROP pays (1-f) × B × w / W, w and W over the round that the block ended (chapter 2.1). Work at the
	// beginning of a round is worth more: exp(x) × E1(x) of what it should be, x the round's age in
	// difficulties. Who mines only until x = 0.4348 gets 1.798 times that (appendix B), at the expense of
	// all others. Miners bear the risk of bad luck, and of hoppers.
	PROP Scheme = "prop"
	// PPS pays (1-f) × S × w / D for work whether blocks are found or not, S the subsidy alone (chapter
	// 2.2). The operator bears the risk, and keeps the transaction fees for it. To be ruined with
	// probability d at most takes a reserve of about B × ln(1/d) / 2f (appendix C); without a fee no
	// reserve is enough.
	PPS Scheme = "pps"
	// FPPS is PPS with S the subsidy and the average transaction fees. The operator bears the risk.
	FPPS Scheme = "fpps"
	// SOLO pays (1-f) × B to whoever finds the block. Every miner bears its own risk (chapter 1.2).
	SOLO Scheme = "solo"
)

// schemes lists all schemes.
func schemes() []Scheme { return []Scheme{PPLNS, PROP, PPS, FPPS, SOLO} }

// ErrTerms says that terms do not make sense.
var ErrTerms = errors.New("the payout terms do not fit")

// ParseScheme reads a scheme's name, in any case. It fails with ErrTerms.
func ParseScheme(text string) (Scheme, error) {
	s := Scheme(strings.ToLower(text))
	return s, s.check()
}

// check returns an error unless there is such a scheme.
func (s Scheme) check() error {
	var names []string
	for _, known := range schemes() {
		if s == known {
			return nil
		}
		names = append(names, string(known))
	}
	return fmt.Errorf("%w: there is no scheme %q: choose one of %s", ErrTerms, string(s), strings.Join(names, ", "))
}

// Whole is 100 % in basis points.
const Whole = 10_000

// The least and the most network difficulties that a PPLNS window may have.
const (
	MinMultiple = 2
	MaxMultiple = 8
)

// Terms are what a pool promises its miners.
type Terms struct {
	Scheme Scheme `json:"scheme"`
	// Multiple is PPLNS's N: how many network difficulties the window holds. Other schemes have no window,
	// and do not look at it.
	Multiple int64 `json:"multiple,omitempty"`
	// Fee is the pool's part, in basis points. It is rounded down to the satoshi.
	Fee int64 `json:"fee"`
	// Bonus is what of the rest goes to the finder of a block first, in basis points, rounded down too.
	// Schemes have none that pay per share or give the finder everything anyway.
	Bonus int64 `json:"bonus,omitempty"`
}

// Check returns an error that matches ErrTerms, and says what to change, unless the terms make sense.
func (t Terms) Check() error {
	if err := t.Scheme.check(); err != nil {
		return err
	}
	switch {
	case t.Scheme == PPLNS && (t.Multiple < MinMultiple || t.Multiple > MaxMultiple):
		return fmt.Errorf("%w: a window of %d network difficulties: give it %d to %d; in a shorter one much work is never paid, a longer one pays late",
			ErrTerms, t.Multiple, MinMultiple, MaxMultiple)
	case t.Fee < 0 || t.Fee > Whole:
		return fmt.Errorf("%w: a fee of %d basis points: give 0 to %d, 100 for one per cent", ErrTerms, t.Fee, Whole)
	case t.Bonus < 0 || t.Bonus > Whole:
		return fmt.Errorf("%w: a finder's bonus of %d basis points: give 0 to %d, 100 for one per cent", ErrTerms, t.Bonus, Whole)
	case t.Bonus > 0 && t.PerShare():
		return fmt.Errorf("%w: a finder's bonus with %s: leave it out; blocks are the operator's, and all work is paid at a fixed price", ErrTerms, t.Scheme)
	case t.Bonus > 0 && t.Scheme == SOLO:
		return fmt.Errorf("%w: a finder's bonus with solo: leave it out; the finder gets everything", ErrTerms)
	}
	return nil
}

// PerShare reports whether work is paid for itself, by Accrue, and not when a block is found.
func (t Terms) PerShare() bool { return t.Scheme == PPS || t.Scheme == FPPS }

// Division is what becomes of a block's reward, in satoshis. Credits, Fee, Carry and Reserve sum up to it.
type Division struct {
	// Credits are by account; none is of nothing.
	Credits []Credit
	// Fee is the pool's. Carry belongs to nobody yet, because nobody has done anything. Reserve is what
	// the operator gets who pays per share: the fee is in what was paid then, and not in Fee.
	Fee, Carry, Reserve int64
}

// ErrNoFinder says that a block is to be paid to whoever found it, and it is not known who did.
var ErrNoFinder = errors.New("nobody is named as the block's finder")

// Divide divides what a block has paid the pool, in satoshis. weights are of the window before it under
// PPLNS and of its round under PROP, in any order; other schemes do not look at them. finder is the account
// that found it.
//
// If it is not known who found the block, there is no bonus, and SOLO fails with ErrNoFinder. If nobody has
// any weight, what fee and bonus leave is carried. Divide fails with ErrTerms if the terms do not make sense,
// with ErrAmount if the reward is not between 0 and MaxMoney, and as Split does.
func (t Terms) Divide(reward int64, weights []shares.Credit, finder string) (Division, error) {
	if err := t.Check(); err != nil {
		return Division{}, err
	}
	if reward < 0 || reward > MaxMoney {
		return Division{}, fmt.Errorf("a reward of %d sat: %w", reward, ErrAmount)
	}
	if t.PerShare() {
		return Division{Reserve: reward}, nil
	}
	d := Division{Fee: part(reward, t.Fee)}
	rest := reward - d.Fee
	if t.Scheme == SOLO {
		if finder == "" {
			return Division{}, fmt.Errorf("solo: %w", ErrNoFinder)
		}
		d.Credits = addCredit(nil, finder, rest)
		return d, nil
	}
	bonus := part(rest, t.Bonus)
	if finder == "" {
		bonus = 0
	}
	credits, err := Split(rest-bonus, weights)
	switch {
	case errors.Is(err, ErrNothing):
		d.Carry = rest - bonus
	case err != nil:
		return Division{}, err
	}
	d.Credits = addCredit(credits, finder, bonus)
	return d, nil
}

// part returns basis points of an amount, both not negative, rounded down. The product may have more than
// 63 bits: MaxMoney × Whole has.
func part(amount, points int64) int64 {
	high, low := bits.Mul64(uint64(amount), uint64(points))
	quotient, _ := bits.Div64(high, low, Whole)
	return int64(quotient)
}
