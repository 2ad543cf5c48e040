package gbt

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// memoryStore is a SetStore that fails when it is told to.
type memoryStore struct {
	mu      sync.Mutex
	records map[chainhash.Hash][][]byte
	err     error
}

func (m *memoryStore) Append(_ context.Context, previous chainhash.Hash, record []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.records[previous] = append(m.records[previous], slices.Clone(record))
	return nil
}

func (m *memoryStore) Records(_ context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.records[previous]
	return slices.Clone(all[min(from, len(all)):]), m.err
}

func (m *memoryStore) Keep(_ context.Context, previous ...chainhash.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.records {
		if !slices.Contains(previous, p) {
			delete(m.records, p)
		}
	}
	return m.err
}

// mixedSet returns some of the transactions of a mixed block.
func mixedSet(tb testing.TB, positions ...int) *txSet {
	tb.Helper()
	var txs []*Transaction
	for _, at := range positions {
		in := makeTransactions(tb, mixedSpecs())
		tx, err := parseTransaction(&in[at], at)
		if err != nil {
			tb.Fatal(err)
		}
		txs = append(txs, &tx)
	}
	return newTxSet(txs)
}

// TestDeclaredSets keeps sets over a restart, each transaction once, until their block is gone.
func TestDeclaredSets(t *testing.T) {
	store := &memoryStore{records: make(map[chainhash.Hash][][]byte)}
	first := newDeclaredSets(store, 1<<20)
	sets := []*txSet{mixedSet(t, 0, 1, 2), mixedSet(t, 2, 0), mixedSet(t)}
	for n, set := range sets {
		id := set.id(tipOf(1))
		for range 2 { // the second time there is nothing to do
			if err := first.add(t.Context(), tipOf(1), set, claim{set: id, value: int64(n), sigops: 7, size: 100}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(store.records[tipOf(1)]); n != len(sets) {
		t.Errorf("%d records, want %d", n, len(sets))
	}
	if one, two := len(store.records[tipOf(1)][0]), len(store.records[tipOf(1)][1]); two > 200 || one < 3*two/2 {
		t.Errorf("the records take %d and %d bytes: transactions are kept twice", one, two)
	}
	if n := len(first.blocks[tipOf(1)].txs); n != 3 {
		t.Errorf("%d transactions, want 3", n)
	}

	second := newDeclaredSets(store, 1<<20)
	var confirmed []claim
	for n, set := range sets {
		id := set.id(tipOf(1))
		got, err := second.find(t.Context(), tipOf(1), id, func(c claim) { confirmed = append(confirmed, c) })
		if err != nil || got == nil {
			t.Fatalf("set %d: %v", n, err)
		}
		if !cmp.Equal(got.branch, set.branch) || !got.matches(set.appendTo(nil), false) || !cmp.Equal(got.commitment, set.commitment) {
			t.Errorf("set %d is another after a restart", n)
		}
		if want := (claim{set: id, value: int64(n), sigops: 7, size: 100}); confirmed[n] != want {
			t.Errorf("set %d was confirmed for %+v, want %+v", n, confirmed[n], want)
		}
	}
	if len(confirmed) != len(sets) {
		t.Errorf("%d sets confirmed", len(confirmed))
	}
	if got, err := second.find(t.Context(), tipOf(2), sets[0].id(tipOf(1)), nil); got != nil || err != nil {
		t.Errorf("on another block: %v, %v", got, err)
	}
	if err := second.keep(t.Context(), tipOf(2), tipOf(1)); err != nil || len(store.records) != 1 {
		t.Errorf("%v, %d blocks kept, want the one in grace", err, len(store.records))
	}
	if err := second.keep(t.Context(), tipOf(3), tipOf(2)); err != nil || len(store.records) != 0 || second.blocks[tipOf(1)] != nil {
		t.Errorf("%v, %d blocks kept, want none", err, len(store.records))
	}
}

// TestDeclaredSetsBound refuses what is over the bound, and keeps nothing that the store did not.
func TestDeclaredSetsBound(t *testing.T) {
	set := mixedSet(t, 0, 1, 2)
	small := newDeclaredSets(nil, 300)
	if err := small.add(t.Context(), tipOf(1), set, claim{set: set.id(tipOf(1))}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want errFull", err)
	}
	broken := &memoryStore{records: make(map[chainhash.Hash][][]byte), err: nil}
	d := newDeclaredSets(broken, 1<<20)
	if _, err := d.find(t.Context(), tipOf(1), setID{}, nil); err != nil {
		t.Fatal(err)
	}
	broken.err = errors.New("no space left on device")
	if err := d.add(t.Context(), tipOf(1), set, claim{set: set.id(tipOf(1))}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, broken.err) {
		t.Errorf("error %v, want the store's", err)
	}
	if got, err := d.find(t.Context(), tipOf(1), set.id(tipOf(1)), nil); got != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("what cannot be looked up is %v, %v", got, err)
	}
	broken.err = nil
	if got, err := d.find(t.Context(), tipOf(1), set.id(tipOf(1)), nil); got != nil || err != nil {
		t.Errorf("what was not stored is kept: %v, %v", got, err)
	}
	if err := d.add(t.Context(), tipOf(1), set, claim{set: set.id(tipOf(1))}); err != nil {
		t.Errorf("once there is space: %v", err)
	}
}

// TestDeclaredSetsOfManyGateways has two gateways declare in turn, each on what it knows, and finds
// everything at both, and at a third that comes later.
func TestDeclaredSetsOfManyGateways(t *testing.T) {
	store := &memoryStore{records: make(map[chainhash.Hash][][]byte)}
	one, other := newDeclaredSets(store, 1<<20), newDeclaredSets(store, 1<<20)
	var ids []setID
	for i, positions := range [][]int{{0}, {0, 1}, {1, 2}, {0, 1, 2}, {1, 2}, {0, 3, 4}} {
		set := mixedSet(t, positions...)
		id := set.id(tipOf(1))
		ids = append(ids, id)
		gateway, elsewhere := one, other
		if i%2 == 1 {
			gateway, elsewhere = other, one
		}
		if err := gateway.add(t.Context(), tipOf(1), set, claim{set: id, value: int64(i)}); err != nil {
			t.Fatal(err)
		}
		var heard []claim
		got, err := elsewhere.find(t.Context(), tipOf(1), id, func(c claim) { heard = append(heard, c) })
		if err != nil || got == nil || got.id(tipOf(1)) != id {
			t.Fatalf("set %d at the other gateway: %v, %v", i, got, err)
		}
		if i != 4 && (len(heard) == 0 || heard[len(heard)-1] != claim{set: id, value: int64(i)}) {
			t.Errorf("set %d is good for %v at the other gateway", i, heard)
		}
	}
	later := newDeclaredSets(store, 1<<20)
	for _, d := range []*declaredSets{later, one, other} {
		for i, id := range ids {
			if got, err := d.find(t.Context(), tipOf(1), id, func(claim) {}); err != nil || got == nil {
				t.Errorf("set %d: %v, %v", i, got, err)
			}
		}
		if used := later.blocks[tipOf(1)].used; d.blocks[tipOf(1)].used != used {
			t.Errorf("one gateway uses %d bytes, another %d", d.blocks[tipOf(1)].used, used)
		}
	}
	// What cannot be read is left out, with nothing else.
	store.records[tipOf(1)] = append(store.records[tipOf(1)], []byte("of a later version"))
	set := mixedSet(t, 2, 4)
	if err := one.add(t.Context(), tipOf(1), set, claim{set: set.id(tipOf(1))}); err != nil {
		t.Fatal(err)
	}
	if got, err := other.find(t.Context(), tipOf(1), set.id(tipOf(1)), func(claim) {}); err != nil || got == nil {
		t.Errorf("behind what cannot be read: %v, %v", got, err)
	}
}

// FuzzDeclaration reads anything as a record: what is read is a set that is written as it was.
func FuzzDeclaration(f *testing.F) {
	block := &declaredBlock{sets: make(map[setID]*txSet), txs: make(map[chainhash.Hash]*Transaction)}
	known := mixedSet(f, 0)
	block.keep(known, known.id(tipOf(1)))
	f.Add(block.encode(known, claim{value: 1}))
	f.Add(block.encode(mixedSet(f, 0, 1, 2), claim{value: 5, sigops: 4, size: 3}))
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, record []byte) {
		set, c, err := block.decode(record)
		if err != nil {
			if !errors.Is(err, errRecord) {
				t.Errorf("error %v is no errRecord", err)
			}
			return
		}
		again, claimed, err := block.decode(block.encode(set, c))
		if err != nil || claimed != c || !cmp.Equal(again.branch, set.branch) || !again.matches(set.appendTo(nil), false) {
			t.Errorf("%+v %v is written as %+v %v, %v", set.branch, c, again, claimed, err)
		}
	})
}
