package payouts

import "github.com/btcsuite/btcd/chainhash/v2"

// judgeTree checks what a record says of a block's tree. The record that begins a credit publishes its root, which
// has to be of what that record divides; no other changes it. Earlier versions have published none.
func judgeTree(r *Record, legs map[Account]int64, last, next *BlockState) error {
	perShare := next.Terms != nil && next.Terms.PerShare()
	begins := r.Kind == KindCredit && !perShare && last.Stage == BlockFound && next.Stage != BlockVoid ||
		r.Kind == KindAccrue && perShare && last.Accrued == 0
	if !begins || last.Tree != nil {
		if !sameTree(last, next) {
			return fault(r, "it changes the root of a block")
		}
		return nil
	}
	if next.Tree == nil {
		return nil
	}
	if next.Terms == nil {
		return fault(r, "a root without terms")
	}
	b := basisOf(chainhash.Hash{}, next)
	b.Unit = next.Tree.Unit
	totals, err := b.check(*next.Tree)
	switch {
	case err != nil:
		return fault(r, "its root: %s", err)
	case perShare:
		return nil
	case legs[Fee] != totals.Fee || legs[Carry] != totals.Carry-next.Carry:
		return fault(r, "its root is of a fee of %d sat and %d sat carried on, and %d sat and %d sat are booked",
			totals.Fee, totals.Carry, legs[Fee], legs[Carry]+next.Carry)
	case legs[Paid] != next.Direct:
		return fault(r, "the coinbase has paid accounts %d sat, and %d sat are booked", next.Direct, legs[Paid])
	}
	return nil
}

// sameTree reports whether a block's root, and what it is bound to alone, is the same.
func sameTree(a, b *BlockState) bool {
	if a.Tree == nil || b.Tree == nil {
		return a.Tree == b.Tree && a.Worth == b.Worth && a.Network == b.Network
	}
	return *a.Tree == *b.Tree && a.Worth == b.Worth && a.Network == b.Network
}

// tally adds up what the parts of a credit give accounts, and compares it with the root once it is whole: what
// goes to miners, what of their credit the coinbase has paid them, and, the other way, what the reserve bears of
// that because it was paid twice.
func (s *Sheet) tally(r *Record) error {
	if r.Kind != KindCredit && r.Kind != KindAccrue {
		return nil
	}
	for _, f := range r.Sets {
		if f.Table != TableBlocks {
			continue
		}
		next, err := unmarshal[BlockState](f)
		if err != nil {
			return fault(r, "%s", err)
		}
		if next.Tree == nil || next.Terms == nil || next.Terms.PerShare() != (r.Kind == KindAccrue) || r.Kind == KindCredit && next.Stage == BlockVoid {
			continue
		}
		key := string(r.Kind) + ":" + f.Field
		for _, l := range r.Legs {
			if _, miner := l.Account.Miner(); miner || r.Kind == KindCredit && (l.Account == Paid || l.Account == Reserve) {
				s.credited[key] += l.Amount
			}
		}
		if r.Kind == KindCredit && next.Stage != BlockCredited || r.Kind == KindAccrue && !next.AccruedAll {
			continue
		}
		if got := s.credited[key]; got != next.Tree.Credit {
			return fault(r, "accounts are credited %d sat for block %s, and its root is of %d sat", got, f.Field, next.Tree.Credit)
		}
		delete(s.credited, key)
	}
	return nil
}
