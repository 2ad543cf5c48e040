package payouts

import (
	"context"
	"errors"
)

// looker looks up what records before have set: Tables does, and a Sheet.
type looker interface {
	// Field returns the value of a field of a table, or ErrNotFound.
	Field(ctx context.Context, table, field string) (string, error)
}

// judge checks records against what is known before them.
type judge struct {
	ctx context.Context //nolint:containedctx // a judge lives as long as one call
	looker
}

// Judge checks that a record moves only what its kind may, given what records before it have set. It is
// asked before a record is posted, and again when the books are checked.
func Judge(ctx context.Context, tables looker, r *Record) error {
	if err := r.Check(); err != nil {
		return err
	}
	return judge{ctx, tables}.judge(r)
}

// look returns a field; empty if it is not there.
func (s judge) look(table, field string) (string, error) {
	return optional(s.Field(s.ctx, table, field))
}

func (s judge) judge(r *Record) error {
	legs := make(map[Account]int64, len(r.Legs))
	for _, l := range r.Legs {
		legs[l.Account] = l.Amount
	}
	if err := s.rule(r, legs); err != nil {
		return err
	}
	return mayTouch(r)
}

// rule checks what is particular to a record's kind.
func (s judge) rule(r *Record, legs map[Account]int64) error {
	switch r.Kind {
	case KindCredit, KindLoss, KindRestore:
		return s.judgeBlock(r, legs)
	case KindAccrue:
		return s.judgeAccrue(r, legs)
	case KindPlan:
		return s.judgePlan(r, legs)
	case KindSeal:
		return s.judgeSeal(r, legs)
	case KindFinal, KindReturn, KindSettle:
		return s.judgeEnd(r, legs)
	case KindApprove, KindPublish, KindConfirm, KindReopen:
		return s.judgeStep(r)
	case KindBook:
		for _, l := range r.Legs {
			if _, miner := l.Account.Miner(); miner && l.Amount < 0 {
				return fault(r, "the operator takes %d sat from %s", -l.Amount, l.Account)
			}
		}
		return nil
	case KindFound, KindVoid:
		return s.judgeTurn(r)
	case KindCoin:
		return s.judgeFreed(r, 0)
	default:
		return nil
	}
}

// judgeStep checks a step of a settlement that changes nothing of what it has sealed and in flight.
func (s judge) judgeStep(r *Record) error {
	_, last, next, err := s.settlement(r)
	switch {
	case err != nil:
		return err
	case next.Versions != last.Versions || next.Flight != last.Flight || next.Total != last.Total:
		return fault(r, "it changes what is sealed, in flight or to be paid")
	case r.Kind == KindConfirm && (next.Version < 1 || next.Version > last.Versions):
		return fault(r, "version %d was never sealed", next.Version)
	}
	return nil
}

// turn is what a record makes of a block: what was known of it before, and what is from then on.
type turn struct {
	name       string
	last, next BlockState
}

// turns returns what a record makes of blocks, in its order.
func (s judge) turns(r *Record) ([]turn, error) {
	var out []turn
	for _, f := range r.Sets {
		if f.Table != TableBlocks {
			continue
		}
		t := turn{name: f.Field}
		var err error
		if t.next, err = unmarshal[BlockState](f); err == nil {
			t.last, err = s.block(f.Field)
		}
		if err != nil {
			return nil, fault(r, "%s", err)
		}
		out = append(out, t)
	}
	return out, nil
}

// judgeBlock follows what is taken from Rewards, block by block.
func (s judge) judgeBlock(r *Record, legs map[Account]int64) error {
	turns, err := s.turns(r)
	if err != nil {
		return err
	}
	for _, t := range turns {
		if t.next.Stage == BlockVoid { // a block whose round is divided with this one's
			if err := judgeTree(r, legs, &t.last, &t.next); err != nil {
				return err
			}
			continue
		}
		if !mayFollow(t.last.Stage, t.next.Stage, r.Kind) {
			return fault(r, "block %s is %s and cannot be %s then", t.name, t.last.Stage, t.next.Stage)
		}
		if err := s.judgeFreed(r, 0); err != nil {
			return err
		}
		if got := t.last.rewarded() - legs[Rewards]; got != t.next.rewarded() {
			return fault(r, "block %s paid %d sat, and %d sat are credited for it", t.name, t.next.rewarded(), got)
		}
		return judgeTree(r, legs, &t.last, &t.next)
	}
	return fault(r, "it names no block")
}

// block returns what is known of a block; its stage is empty if nothing is.
func (s judge) block(name string) (BlockState, error) {
	text, err := s.look(TableBlocks, name)
	if err != nil || text == "" {
		return BlockState{}, err
	}
	return unmarshal[BlockState](Set{TableBlocks, name, text})
}

// judgeTurn checks that only what was never credited is found or void.
func (s judge) judgeTurn(r *Record) error {
	turns, err := s.turns(r)
	if err != nil {
		return err
	}
	for _, t := range turns {
		if t.last.Stage != "" && t.last.Stage != BlockFound && t.last.Stage != BlockVoid {
			return fault(r, "block %s is %s", t.name, t.last.Stage)
		}
		if err := judgeTree(r, nil, &t.last, &t.next); err != nil {
			return err
		}
	}
	return nil
}

// mayFollow reports whether a block may go from one stage to another by a record.
func mayFollow(last, next BlockStage, kind Kind) bool {
	switch kind {
	case KindCredit:
		return (last == BlockFound || last == BlockCrediting) && (next == BlockCrediting || next == BlockCredited)
	case KindLoss:
		return last == BlockCredited && next == BlockLost
	default:
		return last == BlockLost && next == BlockCredited
	}
}

// judgeAccrue checks that shares are paid from the reserve.
func (s judge) judgeAccrue(r *Record, legs map[Account]int64) error {
	for account, amount := range legs {
		if _, miner := account.Miner(); miner != (amount > 0) || !miner && account != Reserve {
			return fault(r, "%s changes by %d sat: shares are paid from the reserve", account, amount)
		}
	}
	turns, err := s.turns(r)
	if err != nil {
		return err
	}
	for _, t := range turns {
		if err := judgeTree(r, legs, &t.last, &t.next); err != nil {
			return err
		}
	}
	return nil
}

// settlement returns the settlement that a record is about: its plan, what became of it before, and what
// it says of it.
func (s judge) settlement(r *Record) (plan Plan, last, next Status, err error) {
	for _, f := range r.Sets {
		if f.Table != TableSettlements {
			continue
		}
		if next, err = unmarshal[Status](f); err != nil {
			return plan, last, next, fault(r, "%s", err)
		}
		if last, err = field[Status](s.ctx, s, TableSettlements, f.Field); err == nil {
			plan, err = field[Plan](s.ctx, s, TablePlans, f.Field)
		}
		if errors.Is(err, ErrNotFound) {
			err = fault(r, "settlement %s was never planned", f.Field)
		}
		if err != nil {
			return plan, last, next, err
		}
		if !stateFollows(last.State, next.State, r.Kind) {
			err = fault(r, "settlement %s is %s and cannot be %s then", f.Field, last.State, next.State)
		}
		return plan, last, next, err
	}
	return plan, last, next, fault(r, "it names no settlement")
}

// stateFollows reports whether a settlement may go from one state to another by a record.
func stateFollows(last, next State, kind Kind) bool {
	switch kind {
	case KindApprove:
		return last == Planned && next == Planned
	case KindSeal:
		return (last == Planned || last == Sealed || last == Published) && next == Sealed
	case KindPublish:
		return last == Sealed && next == Published
	case KindConfirm:
		return (last == Sealed || last == Published) && next == Confirmed
	case KindReopen:
		return last == Confirmed && next == Published
	case KindFinal:
		return last == Confirmed && next == Final
	case KindSettle:
		return last.Open() && last != Confirmed && next == Final
	default:
		return last.Open() && last != Confirmed && next == Returned
	}
}

// judgePlan checks that a plan debits what it will pay, and reserves coins that are free.
func (s judge) judgePlan(r *Record, legs map[Account]int64) error {
	var plan Plan
	var status Status
	coins := make(map[string]CoinState)
	for _, f := range r.Sets {
		var err error
		switch f.Table {
		case TablePlans:
			plan, err = unmarshal[Plan](f)
		case TableSettlements:
			status, err = unmarshal[Status](f)
		case TableCoins:
			coins[f.Field], err = unmarshal[CoinState](f)
		}
		if err != nil {
			return fault(r, "%s", err)
		}
	}
	if err := plan.Check(); err != nil {
		return fault(r, "%s", err)
	}
	before, err := s.look(TablePlans, settlementField(plan.ID))
	if err != nil {
		return err
	}
	if before != "" || status.State != Planned {
		return fault(r, "settlement %d is not new", plan.ID)
	}
	if err := s.reserve(r, plan.ID, plan.Inputs, coins); err != nil {
		return err
	}
	want := make(map[Account]int64)
	for _, p := range plan.Payees {
		for _, d := range p.Debits {
			want[Miner(d.Account)] -= d.Amount
		}
	}
	for account, amount := range want {
		if legs[account] != amount {
			return fault(r, "%s changes by %d sat, its plan debits %d sat", account, legs[account], -amount)
		}
	}
	miners := 0
	for account := range legs {
		if _, miner := account.Miner(); miner {
			miners++
		}
	}
	if pool := -(legs[Fee] + legs[Pool]); miners != len(want) || pool != plan.poolFee() || legs[InFlight] != status.Flight ||
		status.Flight != plan.Debits()+pool || status.Total != plan.Outputs() {
		return fault(r, "settlement %d does not debit what it pays", plan.ID)
	}
	return nil
}

// reserve checks that coins are free before a record, or reserved for the settlement already, and reserved
// for it by then.
func (s judge) reserve(r *Record, id uint64, inputs []Input, coins map[string]CoinState) error {
	for _, in := range inputs {
		text, err := in.OutPoint.MarshalText()
		if err != nil {
			return err
		}
		name := string(text)
		var before CoinState
		known, err := s.look(TableCoins, name)
		if err == nil && known != "" {
			before, err = unmarshal[CoinState](Set{TableCoins, name, known})
		}
		if err != nil {
			return fault(r, "%s", err)
		}
		after, ok := coins[name]
		if !ok {
			after = before
		}
		switch {
		case before.Reserved != 0 && before.Reserved != id:
			return fault(r, "%s is reserved for settlement %d", name, before.Reserved)
		case after.Reserved != id || after.Value != in.Value:
			return fault(r, "it does not reserve %s of %d sat", name, in.Value)
		}
	}
	return nil
}

// versions returns the versions of a settlement that are sealed.
func (s judge) versions(id uint64, count int) ([]Version, error) {
	out := make([]Version, 0, count)
	for n := 1; n <= count; n++ {
		v, err := field[Version](s.ctx, s, TableVersions, versionField(id, n))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// judgeSeal checks a version against the plan and the versions before it.
func (s judge) judgeSeal(r *Record, legs map[Account]int64) error {
	plan, last, next, err := s.settlement(r)
	if err != nil {
		return err
	}
	earlier, err := s.versions(plan.ID, last.Versions)
	if err != nil {
		return fault(r, "%s", err)
	}
	var v Version
	coins := make(map[string]CoinState)
	for _, f := range r.Sets {
		var err error
		switch f.Table {
		case TableVersions:
			v, err = unmarshal[Version](f)
			if err == nil && f.Field != versionField(plan.ID, v.Number) {
				return fault(r, "version %s calls itself number %d", f.Field, v.Number)
			}
		case TableCoins:
			coins[f.Field], err = unmarshal[CoinState](f)
		}
		if err != nil {
			return fault(r, "%s", err)
		}
	}
	if next.Versions != last.Versions+1 || v.Number != next.Versions || plan.Approval && last.Approved == "" {
		return fault(r, "version %d of settlement %d comes out of turn, or without approval", v.Number, plan.ID)
	}
	if err := CheckVersion(&plan, earlier, &v); err != nil {
		return fault(r, "%s", err)
	}
	if err := s.reserve(r, plan.ID, v.Inputs, coins); err != nil {
		return err
	}
	more := v.Fee - plan.Fee
	if len(earlier) > 0 {
		more = v.Fee - earlier[len(earlier)-1].Fee
	}
	if legs[InFlight] != more || -(legs[Fee]+legs[Pool]) != more || next.Flight != last.Flight+more || next.Total != last.Total {
		return fault(r, "settlement %d does not set aside what its fee rises by, %d sat", plan.ID, more)
	}
	return nil
}

// judgeEnd checks that what was in flight is paid, or goes back to where it came from.
func (s judge) judgeEnd(r *Record, legs map[Account]int64) error {
	plan, last, next, err := s.settlement(r)
	if err != nil {
		return err
	}
	if legs[InFlight] != -last.Flight {
		return fault(r, "%d sat were in flight, and %d sat are taken from there", last.Flight, -legs[InFlight])
	}
	if err := s.judgeFreed(r, plan.ID); err != nil {
		return err
	}
	if r.Kind == KindSettle {
		if legs[Paid] != plan.Outputs() || legs[TxFees]+legs[Fee]+legs[Pool] != last.Flight-plan.Outputs() {
			return fault(r, "settlement %d does not pay what it was to", plan.ID)
		}
		return nil
	}
	if r.Kind == KindFinal {
		if next.Version < 1 || next.Version > last.Versions {
			return fault(r, "version %d of settlement %d was never sealed", next.Version, plan.ID)
		}
		versions, err := s.versions(plan.ID, last.Versions)
		if err != nil {
			return fault(r, "%s", err)
		}
		fee := versions[next.Version-1].Fee
		if legs[Paid] != plan.Outputs() || legs[TxFees] != fee || legs[Fee]+legs[Pool] != last.Flight-plan.Outputs()-fee {
			return fault(r, "settlement %d paid %d sat and a fee of %d sat", plan.ID, plan.Outputs(), fee)
		}
		return nil
	}
	for _, p := range plan.Payees {
		for _, d := range p.Debits {
			legs[Miner(d.Account)] -= d.Amount
		}
	}
	back := int64(0)
	for account, amount := range legs {
		_, miner := account.Miner()
		switch {
		case miner && amount != 0:
			return fault(r, "%s does not get back what it was debited", account)
		case account == Fee || account == Pool:
			back += amount
		}
	}
	if back != last.Flight-plan.Debits() {
		return fault(r, "the pool does not get back what it had set aside")
	}
	return nil
}

// judgeFreed checks that a record changes nothing of coins that are reserved for another settlement.
func (s judge) judgeFreed(r *Record, id uint64) error {
	for _, f := range r.Sets {
		if f.Table != TableCoins {
			continue
		}
		text, err := s.look(TableCoins, f.Field)
		if err != nil {
			return err
		}
		if text == "" || text == f.Value {
			continue
		}
		c, err := unmarshal[CoinState](Set{TableCoins, f.Field, text})
		if err != nil {
			return fault(r, "%s", err)
		}
		if c.Reserved != 0 && c.Reserved != id {
			return fault(r, "%s is reserved for settlement %d", f.Field, c.Reserved)
		}
	}
	return nil
}

// Debits returns what a plan takes from accounts, in satoshis.
func (p *Plan) Debits() int64 {
	sum := int64(0)
	for i := range p.Payees {
		for _, d := range p.Payees[i].Debits {
			sum += d.Amount
		}
	}
	return sum
}

// Outputs returns what its payees get, in satoshis.
func (p *Plan) Outputs() int64 {
	sum := int64(0)
	for i := range p.Payees {
		sum += p.Payees[i].Output
	}
	return sum
}

// poolFee is what of the fee is the pool's.
func (p *Plan) poolFee() int64 {
	fee := p.Fee
	for i := range p.Payees {
		fee -= p.Payees[i].Fee
	}
	return fee
}
