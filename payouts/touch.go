package payouts

import "slices"

// scope is what records of a kind may touch: accounts of the pool's own, miners' accounts, and tables.
type scope struct {
	accounts []Account
	miners   bool
	tables   []string
}

// scopeOf returns what records of a kind may touch; false if the kind is not known.
func scopeOf(kind Kind) (scope, bool) {
	fees := []Account{InFlight, Fee, Pool}
	switch kind {
	case KindFound:
		return scope{tables: []string{TableBlocks, TableLists}}, true
	case KindVoid:
		return scope{tables: []string{TableBlocks}}, true
	case KindCredit:
		return scope{[]Account{Rewards, Carry, Fee, Reserve, Paid, Crediting}, true, []string{TableBlocks, TableCoins}}, true
	case KindAccrue:
		return scope{[]Account{Reserve}, true, []string{TableBlocks}}, true
	case KindLoss, KindRestore:
		return scope{[]Account{Rewards, Reserve, Paid}, true, []string{TableBlocks, TableCoins, TablePool}}, true
	case KindPlan:
		return scope{fees, true, []string{TablePlans, TableSettlements, TableCoins}}, true
	case KindSeal:
		return scope{fees, false, []string{TableVersions, TableSettlements, TableCoins}}, true
	case KindFinal, KindSettle:
		return scope{append(fees, Paid, TxFees), false, []string{TableSettlements, TableCoins}}, true
	case KindReturn:
		return scope{fees, true, []string{TableSettlements, TableCoins}}, true
	case KindApprove, KindPublish, KindConfirm, KindReopen:
		return scope{tables: []string{TableSettlements}}, true
	case KindBook:
		return scope{accounts: []Account{Outside, Pool, Fee, Carry, Reserve}, miners: true}, true
	case KindCoin:
		return scope{tables: []string{TableCoins}}, true
	case KindThreshold:
		return scope{tables: []string{TableThresholds}}, true
	case KindPause, KindResume:
		return scope{tables: []string{TablePool}}, true
	default:
		return scope{}, false
	}
}

// mayTouch checks that a record touches only what its kind may.
func mayTouch(r *Record) error {
	may, known := scopeOf(r.Kind)
	if !known {
		return fault(r, "kind %q is not known", r.Kind)
	}
	for _, l := range r.Legs {
		_, miner := l.Account.Miner()
		switch allowed := miner && may.miners || !miner && slices.Contains(may.accounts, l.Account); {
		case len(may.accounts) == 0:
			return fault(r, "a record of kind %s moves no money", r.Kind)
		case !allowed && r.Kind == KindBook:
			return fault(r, "%s is not the operator's to book", l.Account)
		case !allowed:
			return fault(r, "a record of kind %s does not change %s", r.Kind, l.Account)
		}
	}
	for _, f := range r.Sets {
		if !slices.Contains(may.tables, f.Table) {
			return fault(r, "a record of kind %s sets nothing in %s", r.Kind, f.Table)
		}
	}
	return nil
}
