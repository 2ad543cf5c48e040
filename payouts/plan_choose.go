package payouts

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// maxDebits is how many accounts a settlement debits at most: it is one record, and three legs are the
// pool's own.
const maxDebits = MaxLegs - 3

// Owed is what an account has, and what it is paid from on.
type Owed struct {
	Account string
	Script  []byte
	// Balance is what it has, and Threshold its own or the pool's, both in satoshis; 0 is the policy's.
	Balance, Threshold int64
}

// Choose returns who is to be paid now: the largest first, equal ones by script. Accounts that have the same
// script are paid by one output.
//
// A script is due if its accounts together have at least the lowest of their thresholds, and at least what
// is no dust. All that its accounts have is debited then. Everybody else waits for more, and so does who has
// a script that is not Payable. An account that is named twice counts once, with the lower balance. The
// order of owed does not matter, and owed is not changed.
func (p Policy) Choose(owed []Owed) []Payee {
	var payees []Payee
	rest := sound(owed)
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && bytes.Equal(rest[n].Script, rest[0].Script) {
			n++
		}
		if payee, ok := p.due(rest[:n]); ok {
			payees = append(payees, payee)
		}
		rest = rest[n:]
	}
	slices.SortFunc(payees, comparePayees)
	return payees
}

// sound returns those that can be paid, each account once, by script and from the largest on.
func sound(owed []Owed) []Owed {
	all := make([]Owed, 0, len(owed))
	for _, o := range owed {
		if o.Account != "" && o.Balance > 0 && o.Balance <= MaxMoney && Payable(o.Script) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Owed) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), cmp.Compare(a.Balance, b.Balance),
			bytes.Compare(a.Script, b.Script), cmp.Compare(a.Threshold, b.Threshold))
	})
	all = slices.CompactFunc(all, func(a, b Owed) bool { return a.Account == b.Account })
	slices.SortFunc(all, func(a, b Owed) int {
		return cmp.Or(bytes.Compare(a.Script, b.Script), cmp.Compare(b.Balance, a.Balance), strings.Compare(a.Account, b.Account))
	})
	return all
}

// due returns what accounts of one script are to be paid, from the largest on; false if they are to wait.
// More accounts than one settlement debits, or than there can be money for, wait for the next.
func (p Policy) due(accounts []Owed) (Payee, bool) {
	payee := Payee{Script: accounts[0].Script}
	threshold := int64(MaxMoney)
	for _, o := range accounts {
		own := o.Threshold
		if own <= 0 {
			own = p.Threshold
		}
		threshold = min(threshold, own)
		if len(payee.Debits) < maxDebits && payee.Output+o.Balance <= MaxMoney {
			payee.Output += o.Balance
			payee.Debits = append(payee.Debits, Debit{Account: o.Account, Amount: o.Balance})
		}
	}
	return payee, payee.Output >= max(threshold, Dust(payee.Script))
}

// amount is what is debited for a payee, in satoshis.
func (p *Payee) amount() int64 { return p.Output + p.Fee }

// comparePayees orders payees by what is debited for them, the largest first, then by script.
func comparePayees(a, b Payee) int {
	return cmp.Or(cmp.Compare(b.amount(), a.amount()), bytes.Compare(a.Script, b.Script))
}
