package redisstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gbtpool/gbtpool/internal/recordtext"
	"github.com/gbtpool/gbtpool/payouts"
)

// JournalConfig configures a Journal. All is required.
type JournalConfig struct {
	// Ledger is the share ledger beside which the journal lies, in the same Redis. In another one nothing
	// can be posted.
	Ledger *Ledger
}

// Journal is the pool's journal of money. It implements payouts.Journal, payouts.Tables and payouts.Notes.
// A record is one run of a script, and as durable as shares are.
type Journal struct {
	*Ledger
	packer *recordtext.Packer
}

// NewJournal makes a Journal.
func NewJournal(cfg JournalConfig) (*Journal, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("journal: Ledger is required")
	}
	packer, err := recordtext.New()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &Journal{cfg.Ledger, packer}, nil
}

// Post implements payouts.Journal. A record that is not sound, or whose text is longer than
// recordtext.Max, fails with payouts.ErrRecord, and one with which an account would have more than all
// bitcoin there will ever be with payouts.ErrAmount.
func (j *Journal) Post(ctx context.Context, token int64, r *payouts.Record) error {
	o, err := j.opened()
	if err != nil {
		return err
	}
	call, err := j.posting(o, token, r)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	results, err := j.durably(ctx, []invocation{call})
	if own := results[0].Err(); own != nil {
		err = translate(own)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// posting is the call that posts a record.
func (j *Journal) posting(o *opened, token int64, r *payouts.Record) (invocation, error) {
	if err := r.Check(); err != nil {
		return invocation{}, err
	}
	text, err := r.Encode()
	if err != nil {
		return invocation{}, err
	}
	packed, err := j.packer.Pack(text)
	if err != nil {
		return invocation{}, fmt.Errorf("%w: %s: %w", payouts.ErrRecord, r.Key, err)
	}
	// Those that may owe come first, so that the script knows them by their number.
	legs, debtors := slices.Clone(r.Legs), 0
	for i, l := range legs {
		if l.Account.MayOwe() {
			legs[i], legs[debtors] = legs[debtors], l
			debtors++
		}
	}
	args := make([]any, 0, 9+2*len(legs)+3*len(r.Sets))
	args = append(args, o.Ledger, token, r.Seq, r.Previous.String(), payouts.Digest(sha256.Sum256(text)).String(),
		r.Key, packed, len(legs), debtors)
	for _, l := range legs {
		args = append(args, string(l.Account))
	}
	for _, l := range legs {
		args = append(args, l.Amount)
	}
	names := []string{j.keys.pool("genesis"), j.moneyKey("head"), j.moneyKey("records"), j.moneyKey("keys"), j.moneyKey("balances")}
	names, args = withSets(names, args, r.Sets, j.table)
	return invocation{script: j.scripts.money, keys: names, args: args}, nil
}

// withSets adds to a call what the script put reads.
func withSets(names []string, args []any, sets []payouts.Set, table func(string) string) ([]string, []any) {
	at := make(map[string]int)
	for _, s := range sets {
		if at[s.Table] == 0 {
			names = append(names, table(s.Table))
			at[s.Table] = len(names)
		}
		args = append(args, at[s.Table], s.Field, s.Value)
	}
	return names, args
}

// Note implements payouts.Notes.
func (j *Journal) Note(ctx context.Context, notes ...payouts.Set) error {
	o, err := j.opened()
	if err != nil || len(notes) == 0 {
		return err
	}
	for _, n := range notes {
		if n.Table == "" || n.Field == "" {
			return fmt.Errorf("notes: a note without table or field: %q", strings.TrimSpace(n.Value))
		}
	}
	names, args := withSets([]string{j.keys.pool("genesis")}, []any{o.Ledger}, notes, j.notes)
	if err := j.do(ctx, j.scripts.note, names, args...); err != nil {
		return fmt.Errorf("notes: %w", err)
	}
	return nil
}

// Discard puts the journal aside that ends at head, under names of their own, so that another can be posted in
// its place. It fails with payouts.ErrMoved if it ends elsewhere. It is for a journal that is not the one that
// the mirror is of.
func (j *Journal) Discard(ctx context.Context, head payouts.Head) error {
	o, err := j.opened()
	if err != nil {
		return err
	}
	var keys []string
	for _, name := range []string{"head", "records", "keys", "balances"} {
		keys = append(keys, j.moneyKey(name))
	}
	for _, table := range payouts.AllTables() {
		keys = append(keys, j.table(table))
	}
	names := append([]string{j.keys.pool("genesis"), j.moneyKey("head")}, keys...)
	for _, key := range keys {
		names = append(names, fmt.Sprintf("%s:discarded:%d:%s", key, head.Seq, head.Hash))
	}
	if err := j.do(ctx, j.scripts.discard, names, o.Ledger, head.Seq, head.Hash.String()); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// moneyKey names a key of the journal. All are in one slot: a record changes all of them at once.
func (j *Journal) moneyKey(name string) string { return j.keys.pool("money:" + name) }

// table is the key of a table, and notes that of a table of notes.
func (j *Journal) table(name string) string { return j.moneyKey("table:" + name) }
func (j *Journal) notes(name string) string { return j.moneyKey("notes:" + name) }
