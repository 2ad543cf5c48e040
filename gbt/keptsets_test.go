package gbt

import (
	"context"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// keptSets is a SetStore that outlives the Judges that use it, and fails while err is set.
type keptSets struct {
	mu      sync.Mutex
	records map[chainhash.Hash][][]byte // held by mu, as is err
	err     error
}

func newKeptSets() *keptSets { return &keptSets{records: make(map[chainhash.Hash][][]byte)} }

func (k *keptSets) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *keptSets) blocks() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.records)
}

func (k *keptSets) Append(_ context.Context, previous chainhash.Hash, record []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.records[previous] = append(k.records[previous], slices.Clone(record))
	}
	return k.err
}

func (k *keptSets) Records(_ context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.records[previous]
	return slices.Clone(all[min(from, len(all)):]), k.err
}

func (k *keptSets) Keep(_ context.Context, previous ...chainhash.Hash) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range k.records {
		if !slices.Contains(previous, p) {
			delete(k.records, p)
		}
	}
	return k.err
}
