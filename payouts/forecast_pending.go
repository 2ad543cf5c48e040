package payouts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// undecided returns the found blocks that may still be credited, newest first, with what the journal says of all.
func (f *Forecaster) undecided(ctx context.Context, blocks []shares.Block) ([]*shares.Block, map[string]BlockState, error) {
	states, err := table[BlockState](ctx, f.cfg.Journal, TableBlocks)
	if err != nil {
		return nil, nil, err
	}
	notes, err := f.cfg.Journal.Notes(ctx, NotesBlocks)
	if err != nil {
		return nil, nil, err
	}
	var out []*shares.Block
	for i := range blocks {
		b := &blocks[i]
		st, name := states[b.Hash.String()], b.Hash.String()
		open := st.Stage == "" || st.Stage == BlockFound
		if !open || b.Found == nil || !b.Frozen || strings.HasPrefix(notes[name], noteOrphaned) || f.paid(st) {
			continue
		}
		if out = append(out, b); len(out) == maxPending {
			break
		}
	}
	return out, states, nil
}

// noteOrphaned begins the note of a block that is off the best chain.
const noteOrphaned = "orphaned "

// paid reports whether a found block's round has been paid per share: it credits nothing more.
func (f *Forecaster) paid(st BlockState) bool {
	return st.Terms != nil && st.Terms.PerShare() && st.AccruedAll
}

// willCredit returns what a found block will credit, by account. Names are taken from known where they are there,
// so that many blocks do not keep as many copies of them.
func (f *Forecaster) willCredit(ctx context.Context, b *shares.Block, st BlockState, known []shares.Credit) ([]Credit, error) {
	d, err := f.division(ctx, b, st)
	if err != nil {
		return nil, err
	}
	credits := d.Credits
	for _, p := range d.direct {
		i, found := slices.BinarySearchFunc(credits, p, compareCredits)
		if found {
			credits[i].Amount -= p.Amount
		} else {
			credits = slices.Insert(credits, i, Credit{p.Account, -p.Amount})
		}
	}
	for i := range credits {
		if k, found := slices.BinarySearchFunc(known, credits[i].Account, compareWeight); found {
			credits[i].Account = known[k].Account
		}
	}
	return credits, nil
}

// compareCredits orders credits by account.
func compareCredits(a, b Credit) int { return strings.Compare(a.Account, b.Account) }

// division is how a found block is divided.
type division struct {
	Division
	weights []shares.Credit
	// direct is what its coinbase paid accounts of that, by account.
	direct []Credit
}

// division divides a found block: as its first credit has noted, or as it would be now.
func (f *Forecaster) division(ctx context.Context, b *shares.Block, st BlockState) (*division, error) {
	list, direct, err := f.listOf(ctx, b, st)
	if err != nil {
		return nil, err
	}
	d := &division{direct: direct}
	terms, reward := f.termsOf(st, list), b.Found.Paid
	if st.Reward > 0 {
		reward = st.Reward
	}
	if d.weights, err = f.weightsOf(ctx, b, terms, list); err != nil {
		return nil, err
	}
	if terms.PerShare() {
		network := st.Network // as it was when the round was paid
		if network == 0 {
			if network, err = f.network(b); err != nil {
				return nil, err
			}
		}
		d.Credits, _, err = terms.Accrue(d.weights, network, f.subsidy(b.Height), max(st.Fees, 0))
		return d, err
	}
	if d.Division, err = terms.Divide(reward, d.weights, b.Account); err != nil {
		return nil, err
	}
	return d, d.addCarry(st.Carry, d.weights)
}

// network returns the weight of one block when a block was found.
func (f *Forecaster) network(b *shares.Block) (shares.Weight, error) {
	target, err := gbt.TargetFromBits(b.Found.Bits)
	if err != nil {
		return 0, fmt.Errorf("block %s: %w", b.Hash, err)
	}
	return f.cfg.Unit.Network(target)
}

// termsOf returns what a block is divided by, as Settler.terms does.
func (f *Forecaster) termsOf(st BlockState, list *List) Terms {
	if st.Terms != nil {
		return *st.Terms
	}
	t := f.cfg.Terms
	if list != nil {
		t.Scheme, t.Fee, t.Bonus = PPLNS, list.Fee, list.Bonus
		t.Multiple = min(max(t.Multiple, MinMultiple), MaxMultiple)
	}
	return t
}

// weightsOf returns what a block is divided by, as Settler.weights does. Rounds of void blocks that may be divided
// with it are left out.
func (f *Forecaster) weightsOf(ctx context.Context, b *shares.Block, terms Terms, list *List) ([]shares.Credit, error) {
	switch {
	case terms.Scheme == SOLO:
		return nil, nil
	case terms.Scheme != PPLNS:
		round, err := f.cfg.Ledger.Round(ctx, b.Hash)
		return round.Credits, err
	case list != nil && list.Total > 0:
		w, err := f.cfg.Ledger.WindowAt(ctx, list.End, list.Size)
		return w.Credits, err
	}
	network, err := f.network(b)
	if err != nil {
		return nil, err
	}
	size := b.Found.Window
	if most := size / shares.Weight(terms.Multiple); network < most {
		size = network * shares.Weight(terms.Multiple)
	}
	w, err := f.cfg.Ledger.Window(ctx, b.Hash, size)
	return w.Credits, err
}

// listOf returns the list that a block's coinbase paid by, and what it paid accounts by it; nil if by none. Until
// the journal says what was paid directly, it is the list on the block before, which it most likely paid by.
func (f *Forecaster) listOf(ctx context.Context, b *shares.Block, st BlockState) (*List, []Credit, error) {
	for n := 1; n <= st.Lists; n++ {
		text, err := f.cfg.Journal.Field(ctx, TableLists, fmt.Sprintf("%s/%d", b.Hash, n))
		if err != nil {
			return nil, nil, err
		}
		list, err := DecodeList([]byte(text))
		if err != nil {
			return nil, nil, err
		}
		direct, sum, err := list.direct(b.Found.Paid)
		if err != nil {
			return nil, nil, err
		}
		if st.Reward == 0 || sum == st.Direct {
			return list, direct, nil
		}
	}
	return nil, nil, nil
}

// direct returns what a coinbase of a value pays accounts by the list, by account, and the sum of it.
func (l *List) direct(value int64) ([]Credit, int64, error) {
	outputs, err := l.Outputs(value)
	if err != nil {
		return nil, 0, err
	}
	outs := make([]*wire.TxOut, len(outputs))
	for i, o := range outputs {
		outs[i] = wire.NewTxOut(o.Value, o.Script)
	}
	paid, _, _ := l.Paid(value, outs)
	sums, sum := make(map[string]int64, len(paid)), int64(0)
	for _, c := range paid {
		sums[c.Account] += c.Amount
		sum += c.Amount
	}
	return sortedCredits(sums), sum, nil
}
