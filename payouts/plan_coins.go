package payouts

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// spendable is coins that are worth spending at a fee rate, from the largest on.
type spendable struct {
	coins []Coin
	// worth is what each brings: its value, less at least a part of what spending it costs if that is to be
	// paid from coins. left is what those from each on are worth together, up to what fits 63 bits.
	worth, left []int64
}

// newSpendable returns the coins that can be spent and have more than that costs, each once. One that is named
// twice counts with its lower value.
func newSpendable(coins []Coin, rate int64, feeFromCoins bool) spendable {
	all := make([]Coin, 0, len(coins))
	for _, c := range coins {
		if w, ok := InputWeight(c.Script); ok && c.Value > feeAt(rate, w) && c.Value <= MaxMoney {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Coin) int {
		return cmp.Or(compareOutPoints(a.OutPoint, b.OutPoint), cmp.Compare(a.Value, b.Value), bytes.Compare(a.Script, b.Script))
	})
	all = slices.CompactFunc(all, func(a, b Coin) bool { return a.OutPoint == b.OutPoint })
	slices.SortStableFunc(all, func(a, b Coin) int { return cmp.Compare(b.Value, a.Value) })

	p := spendable{coins: all, worth: make([]int64, len(all)), left: make([]int64, len(all)+1)}
	for i := len(all) - 1; i >= 0; i-- {
		p.worth[i] = all[i].Value
		if w, _ := InputWeight(all[i].Script); feeFromCoins {
			p.worth[i] -= w * rate / 4000 // rounded down: never less than it brings
		}
		p.left[i] = addUpTo(p.left[i+1], p.worth[i])
	}
	return p
}

// total is what the coins from one on have, in satoshis, up to what fits.
func (p *spendable) total(from int) int64 {
	sum := int64(0)
	for _, c := range p.coins[from:] {
		sum = addUpTo(sum, c.Value)
	}
	return sum
}

// fit says whether a payee fits into a batch with those that are in it.
type fit int

// doesFit is for a payee that does fit. isFull is for one that does not because of the limits of one
// transaction: it may fit into another. isShort is for one that all coins that are left cannot pay.
const (
	doesFit fit = iota
	isFull
	isShort
)

// batch is a settlement that is being planned.
type batch struct {
	payees []Payee
	debits int
	// amount is what is debited.
	amount int64
	size   size
	// The coins that it spends, and what they have.
	first, last int
	value       int64
	// reach is at most what coins bring that a transaction holds.
	reach int64
}

// open returns a batch that has nobody yet.
func (pl *planner) open() batch {
	b := batch{first: pl.next, last: pl.next}
	weight := (&size{}).weight()
	for i := pl.next; i < len(pl.coins.coins); i++ {
		w, _ := InputWeight(pl.coins.coins[i].Script)
		if weight += w; weight > pl.policy.maxWeight() {
			break
		}
		b.reach += pl.coins.worth[i] // some 2000 of at most MaxMoney do not wrap
	}
	return b
}

// add adds a payee to a batch if it fits.
func (pl *planner) add(b *batch, payee *Payee) fit {
	next := *b
	next.amount += payee.amount()
	next.debits += len(payee.Debits)
	next.size.pay(payee.Script)
	if len(b.payees) >= pl.policy.maxOutputs() || next.debits > maxDebits {
		return isFull
	}
	if fits := pl.cover(&next); fits != doesFit {
		return fits
	}
	*b = next
	b.payees = append(b.payees, *payee)
	return doesFit
}

// weight is what a batch's transaction weighs.
func (pl *planner) weight(b *batch, change bool) int64 {
	if change {
		return b.size.with(pl.in.Change).weight()
	}
	return b.size.weight()
}

// cover takes coins until they pay for a batch. There is always room for change. What is debited stays within
// MaxMoney, because what coins have does.
func (pl *planner) cover(b *batch) fit {
	switch {
	case b.amount > pl.coins.left[b.first]:
		return isShort
	case b.amount > b.reach || pl.weight(b, true) > pl.policy.maxWeight():
		return isFull
	}
	for b.value < pl.due(b, false) {
		if fits := pl.take(b); fits != doesFit {
			return fits
		}
	}
	return doesFit
}

// due is what a batch's coins have to have: what is debited, and the fee unless payees bear it.
func (pl *planner) due(b *batch, change bool) int64 {
	if pl.policy.Bearer == BearerPayees {
		return b.amount
	}
	return b.amount + feeAt(pl.in.FeeRate, pl.weight(b, change))
}

// take takes the next coin.
func (pl *planner) take(b *batch) fit {
	if b.last == len(pl.coins.coins) {
		return isShort
	}
	next := *b
	c := &pl.coins.coins[next.last]
	next.last++
	next.value += c.Value
	if err := next.size.spend(c.Script); err != nil || next.value > MaxMoney || pl.weight(&next, true) > pl.policy.maxWeight() {
		return isFull
	}
	*b = next
	return doesFit
}

// finish decides what change a batch has, 0 for none, and takes more coins if it has to. It fails with
// ErrPoolFunds.
func (pl *planner) finish(b *batch) (change int64, err error) {
	for {
		o := outcome{rest: b.value - pl.due(b, true), paid: pl.due(b, true) - b.amount, all: b.value - b.amount, covered: true}
		give, ok := o.change(pl.in.Change, pl.in.FeeRate, pl.funds)
		switch {
		case ok && give:
			return o.rest, nil
		case ok:
			return 0, nil
		case o.paid > pl.funds || pl.take(b) != doesFit:
			return 0, fmt.Errorf("%w: settlement %d needs %d sat for its fee at %d sat per 1000 vB, the pool has %d sat",
				ErrPoolFunds, pl.in.NextID+uint64(len(pl.plans)), o.need(), pl.in.FeeRate, pl.funds)
		}
	}
}

// outcome is what becomes of a transaction with change and without.
type outcome struct {
	// rest is what change would have, and paid what the pool would bear then.
	rest, paid int64
	// all is what the pool bears without change, and covered is true if that suffices for the fee.
	all     int64
	covered bool
}

// change reports whether to give change, and whether the transaction is possible at all. Change that costs
// more than it is worth goes to the fee, unless the pool cannot afford that.
func (o outcome) change(script []byte, rate, funds int64) (give, ok bool) {
	switch {
	case o.rest >= leastChange(script, rate) && o.paid <= funds:
		return true, true
	case o.covered && o.all <= funds:
		return false, true
	}
	give = o.rest >= Dust(script) && o.paid <= funds
	return give, give
}

// need is the least that the pool has to bear.
func (o outcome) need() int64 {
	if o.rest > 0 || !o.covered {
		return o.paid
	}
	return o.all
}
