package rest

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/gbtpool/gbtpool/payouts"
)

// countAtOnce is how many settlements are read to sum up what accounts were paid before others get a turn: after a
// start there may be thousands.
const countAtOnce = 2000

// settlements are all settlements, newest first, with what is in flight. They are immutable.
type settlements struct {
	list     []payouts.Summary
	inFlight map[string]int64
	// counted is true if tally has all that are final.
	counted bool
}

// tally sums up what final settlements have paid accounts. What is final does not change.
type tally struct {
	mu   sync.RWMutex
	paid map[string]int64    // held by mu
	done map[uint64]struct{} // readSettlements' own, which runs once at a time
}

func (v *Views) readSettlements(ctx context.Context) (*settlements, error) {
	list, err := payouts.Settlements(ctx, v.cfg.Journal)
	if err != nil {
		return nil, err
	}
	out := &settlements{list: list, inFlight: make(map[string]int64), counted: true}
	read := 0
	for i := range list {
		s := &list[i]
		if _, done := v.tally.done[s.ID]; done || s.Status.State == payouts.Returned {
			continue
		}
		if read++; read > countAtOnce {
			out.counted = false
			break
		}
		d, err := v.detail(ctx, s)
		if err != nil {
			return nil, err
		}
		if s.Status.State == payouts.Final {
			v.tally.add(s.ID, &d.Plan)
			continue
		}
		for p := range payeesOf(&d.Plan) {
			out.inFlight[p.account] += p.amount + p.fee
		}
	}
	return out, nil
}

// add counts a settlement.
func (t *tally) add(id uint64, plan *payouts.Plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paid == nil {
		t.paid, t.done = make(map[string]int64), make(map[uint64]struct{})
	}
	for p := range payeesOf(plan) {
		t.paid[p.account] += p.amount
	}
	t.done[id] = struct{}{}
}

// paidTo returns what an account has in settlements that are not final, and what final ones have paid it. It fails
// with a *Problem while not all have been read since the start: half of a sum is a wrong sum.
func (v *Views) paidTo(ctx context.Context, account string) (inFlight, paid int64, err error) {
	s, err := v.settled.get(ctx)
	if err != nil {
		return 0, 0, err
	}
	if !s.counted {
		return 0, 0, away("the pool has just started and is still reading what it has paid: try again in a moment", nil)
	}
	v.tally.mu.RLock()
	defer v.tally.mu.RUnlock()
	return s.inFlight[account], v.tally.paid[account], nil
}

// detail returns what a settlement pays and the versions that are signed; both do not change any more.
func (v *Views) detail(ctx context.Context, s *payouts.Summary) (*payouts.Detail, error) {
	return v.details.get(ctx, fmt.Sprintf("%d/%d", s.ID, s.Status.Versions), func(ctx context.Context) (*payouts.Detail, error) {
		d, err := payouts.Settlement(ctx, v.cfg.Journal, s.ID)
		return &d, err
	})
}

// payee is an account's part of a settlement, in satoshis: what its output has for it, and what of its debit went to
// the transaction fee.
type payee struct {
	account     string
	amount, fee int64
}

// payeesOf lists the accounts that a settlement pays. Accounts that share a script share its output in proportion to
// their debits, the last one with what is left.
func payeesOf(plan *payouts.Plan) func(yield func(payee) bool) {
	return func(yield func(payee) bool) {
		for i := range plan.Payees {
			p := &plan.Payees[i]
			fee, debits := p.Fee, int64(0)
			for _, d := range p.Debits {
				debits += d.Amount
			}
			for k, d := range p.Debits {
				part := fee
				if k < len(p.Debits)-1 && debits > 0 {
					high, low := bits.Mul64(uint64(p.Fee), uint64(d.Amount))
					quotient, _ := bits.Div64(high, low, uint64(debits)) // no debit is above their sum
					part = min(fee, int64(quotient))
				}
				fee -= part
				if !yield(payee{d.Account, d.Amount - part, part}) {
					return
				}
			}
		}
	}
}
