package payouts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sheet is what follows from the records of a journal: it is the books, recomputed from zero. It is used
// by one goroutine at a time.
type Sheet struct {
	Head     Head
	Balances map[Account]int64
	// Tables hold the fields that records have set, by table and field.
	Tables map[string]map[string]string
	keys   map[string]bool
	// credited is what accounts have been credited by blocks and rounds so far that have a root and are not
	// whole yet, by kind and block.
	credited map[string]int64
}

// NewSheet returns the sheet of an empty journal.
func NewSheet() *Sheet {
	return &Sheet{
		Balances: make(map[Account]int64), Tables: make(map[string]map[string]string),
		keys: make(map[string]bool), credited: make(map[string]int64),
	}
}

// fault is what a record must not be.
func fault(r *Record, format string, args ...any) error {
	return fmt.Errorf("record %d, %s: %w: %s", r.Seq, r.Key, ErrRecord, fmt.Sprintf(format, args...))
}

// Apply adds the next record. The error says what is wrong with it; the sheet is of no use then.
func (s *Sheet) Apply(ctx context.Context, r *Record) error {
	switch {
	case r.Seq != s.Head.Seq+1 || r.Previous != s.Head.Hash:
		return fault(r, "it does not follow record %d: the chain of hashes is broken", s.Head.Seq)
	case s.keys[r.Key]:
		return fault(r, "its key was there before")
	}
	if err := Judge(ctx, s, r); err != nil {
		return err
	}
	if err := s.tally(r); err != nil {
		return err
	}
	for _, l := range r.Legs {
		sum := s.Balances[l.Account] + l.Amount
		if sum < 0 && !l.Account.MayOwe() {
			return fault(r, "%s falls to %d sat", l.Account, sum)
		}
		if l.Account == Reserve && sum < 0 && l.Amount < 0 && r.Kind != KindLoss && r.Kind != KindCredit {
			return fault(r, "the reserve falls to %d sat", sum)
		}
		s.Balances[l.Account] = sum
	}
	for _, f := range r.Sets {
		table := s.Tables[f.Table]
		if table == nil {
			table = make(map[string]string)
			s.Tables[f.Table] = table
		}
		if f.Value == "" {
			delete(table, f.Field)
		} else {
			table[f.Field] = f.Value
		}
	}
	s.keys[r.Key] = true
	head, err := r.Head()
	s.Head = head
	return err
}

// Field returns the value of a field of a table, or ErrNotFound.
func (s *Sheet) Field(_ context.Context, table, field string) (string, error) {
	if v, ok := s.Tables[table][field]; ok {
		return v, nil
	}
	return "", fmt.Errorf("%s %s: %w", table, field, ErrNotFound)
}

// Sums are the books in a few numbers, in satoshis.
type Sums struct {
	// Accounts counts miners' accounts that are owed something, and Owed is the sum of that.
	Accounts int
	Owed     int64
	// Own are the pool's own accounts.
	Own map[Account]int64
}

// Sums sums the sheet up.
func (s *Sheet) Sums() Sums {
	out := Sums{Own: make(map[Account]int64)}
	for account, amount := range s.Balances {
		if _, miner := account.Miner(); !miner {
			out.Own[account] = amount
			continue
		}
		out.Owed += amount
		if amount > 0 {
			out.Accounts++
		}
	}
	return out
}

// Audit is what CheckBooks has found.
type Audit struct {
	Head    Head
	Records uint64
	Sums    Sums
	// Blocks and Settlements count them by what they have come to.
	Blocks      map[BlockStage]int
	Settlements map[State]int
	// Faults is what is wrong; none if the books are sound.
	Faults []string
}

// CheckBooks recomputes the books from the journal's first record and compares: that each record follows
// the one before and moves only what it may, that no account falls below zero, that each block is credited
// once with what its coinbase paid, that each settlement pays what it has debited and its versions exclude
// one another, and that balances and tables are what the records lead to. It fails only if the journal
// cannot be read; nobody should write meanwhile.
func CheckBooks(ctx context.Context, journal Journal, tables Tables) (Audit, error) {
	a := Audit{Blocks: make(map[BlockStage]int), Settlements: make(map[State]int)}
	s := NewSheet()
	for r, err := range journal.Records(ctx, 1) {
		if err != nil {
			return a, err
		}
		if err := s.Apply(ctx, r); err != nil {
			a.Faults = append(a.Faults, err.Error())
			break
		}
	}
	a.Head, a.Records, a.Sums = s.Head, s.Head.Seq, s.Sums()
	head, err := journal.Head(ctx)
	if err != nil {
		return a, err
	}
	if len(a.Faults) > 0 {
		return a, nil // what follows from a broken journal says nothing
	}
	if head != s.Head {
		a.fault("the journal says that it ends at record %d %s, its records end at %d %s", head.Seq, head.Hash, s.Head.Seq, s.Head.Hash)
	}
	a.checkSums(s)
	a.count(s)
	if err := a.compareBalances(ctx, s, tables); err != nil {
		return a, err
	}
	return a, a.compareTables(ctx, s, tables)
}

func (a *Audit) fault(format string, args ...any) {
	a.Faults = append(a.Faults, fmt.Sprintf(format, args...))
}

// checkSums checks what holds over all accounts: that nothing was made or lost, and that what is in flight
// is what open settlements have in flight.
func (a *Audit) checkSums(s *Sheet) {
	sum, flight := int64(0), int64(0)
	for _, amount := range s.Balances {
		sum += amount
	}
	if sum != 0 {
		a.fault("all accounts together have %d sat, not 0", sum)
	}
	for _, f := range fieldsOf(s, TableSettlements) {
		st, err := unmarshal[Status](f)
		if err != nil {
			a.fault("%s", err)
		} else if st.State.Open() {
			flight += st.Flight
		}
	}
	if got := s.Balances[InFlight]; got != flight {
		a.fault("%d sat are in flight, and settlements have %d sat in flight", got, flight)
	}
	crediting, rewarded := 0, int64(0)
	for _, f := range fieldsOf(s, TableBlocks) {
		b, err := unmarshal[BlockState](f)
		if err != nil {
			a.fault("%s", err)
			continue
		}
		rewarded += b.rewarded()
		if b.Stage == BlockCrediting {
			crediting++
		}
	}
	if got := s.Balances[Crediting]; got != 0 && crediting == 0 {
		a.fault("%d sat are being credited, and no block is", got)
	}
	if got := -s.Balances[Rewards]; got != rewarded {
		a.fault("%d sat of rewards are in the books, and the blocks that are credited paid %d sat", got, rewarded)
	}
}

// rewarded is what has to have been taken from Rewards for a block.
func (b *BlockState) rewarded() int64 {
	if b.Stage == BlockCrediting || b.Stage == BlockCredited {
		return b.Reward
	}
	return 0
}

func (a *Audit) count(s *Sheet) {
	for _, f := range fieldsOf(s, TableBlocks) {
		if b, err := unmarshal[BlockState](f); err == nil {
			a.Blocks[b.Stage]++
		}
	}
	for _, f := range fieldsOf(s, TableSettlements) {
		if st, err := unmarshal[Status](f); err == nil {
			a.Settlements[st.State]++
		}
	}
}

// fieldsOf returns the fields of a table by name.
func fieldsOf(s *Sheet, table string) []Set {
	fields := s.Tables[table]
	out := make([]Set, 0, len(fields))
	for _, field := range slices.SortedFunc(maps.Keys(fields), strings.Compare) {
		out = append(out, Set{table, field, fields[field]})
	}
	return out
}

// compareBalances compares the store's balances with the sheet's.
func (a *Audit) compareBalances(ctx context.Context, s *Sheet, tables Tables) error {
	left := maps.Clone(s.Balances)
	for l, err := range tables.Balances(ctx) {
		if err != nil {
			return err
		}
		if want := s.Balances[l.Account]; l.Amount != want {
			a.fault("%s has %d sat, its records lead to %d sat", l.Account, l.Amount, want)
		}
		delete(left, l.Account)
	}
	for account, amount := range left {
		if amount != 0 {
			a.fault("%s has nothing, its records lead to %d sat", account, amount)
		}
	}
	return nil
}

// compareTables compares the store's tables with the sheet's.
func (a *Audit) compareTables(ctx context.Context, s *Sheet, tables Tables) error {
	for _, table := range AllTables() {
		left := maps.Clone(s.Tables[table])
		for f, err := range tables.Fields(ctx, table) {
			if err != nil {
				return err
			}
			if want, ok := s.Tables[table][f.Field]; !ok || want != f.Value {
				a.fault("%s %s is %s, its records lead to %s", table, f.Field, f.Value, want)
			}
			delete(left, f.Field)
		}
		for field := range left {
			a.fault("%s %s is not there, its records lead to %s", table, field, left[field])
		}
	}
	return nil
}
