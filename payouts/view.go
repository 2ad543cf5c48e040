package payouts

import (
	"cmp"
	"context"
	"slices"
	"strconv"
)

// Detail is a settlement with all that is said of it.
type Detail struct {
	ID       uint64
	Plan     Plan
	Status   Status
	Versions []Version
	// Note says what it waits for; empty if for nothing.
	Note string
}

// Settlement returns one settlement, or ErrNotFound.
func Settlement(ctx context.Context, store Store, id uint64) (Detail, error) {
	st, err := load(ctx, store, id)
	if err != nil {
		return Detail{}, err
	}
	notes, err := store.Notes(ctx, NotesSettlements)
	return Detail{ID: id, Plan: st.plan, Status: st.status, Versions: st.versions, Note: current(st.status, notes[settlementField(id)])}, err
}

// current returns a note of a settlement, unless it is of when it was open.
func current(st Status, note string) string {
	if st.State.Open() || st.State == Final && st.Version > 0 {
		return note
	}
	return ""
}

// Summary is a settlement in short.
type Summary struct {
	ID     uint64
	Status Status
	Note   string
}

// Settlements returns all settlements, newest first.
func Settlements(ctx context.Context, store Store) ([]Summary, error) {
	statuses, err := table[Status](ctx, store, TableSettlements)
	if err != nil {
		return nil, err
	}
	notes, err := store.Notes(ctx, NotesSettlements)
	if err != nil {
		return nil, err
	}
	out := make([]Summary, 0, len(statuses))
	for name, st := range statuses {
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, Summary{ID: id, Status: st, Note: current(st, notes[name])})
	}
	slices.SortFunc(out, func(a, b Summary) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

// BlockSummary is a found block in short.
type BlockSummary struct {
	Hash  string
	State BlockState
	// Note says where it stands on the chain, or what keeps it from being credited; empty once it is.
	Note string
}

// Blocks returns the pool's blocks as the journal has them, highest first.
func Blocks(ctx context.Context, store Store) ([]BlockSummary, error) {
	states, err := table[BlockState](ctx, store, TableBlocks)
	if err != nil {
		return nil, err
	}
	notes, err := store.Notes(ctx, NotesBlocks)
	if err != nil {
		return nil, err
	}
	out := make([]BlockSummary, 0, len(states))
	for name, st := range states {
		out = append(out, BlockSummary{Hash: name, State: st, Note: notes[name]})
	}
	slices.SortFunc(out, func(a, b BlockSummary) int {
		return cmp.Or(cmp.Compare(b.State.Height, a.State.Height), cmp.Compare(a.Hash, b.Hash))
	})
	return out, nil
}
