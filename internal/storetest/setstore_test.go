package storetest_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/storetest"
)

// memory is the simplest store: it shows that the contract asks for nothing more.
type memory struct {
	mu      sync.Mutex
	records map[chainhash.Hash][][]byte
}

// Append implements gbt.SetStore.
func (m *memory) Append(_ context.Context, previous chainhash.Hash, record []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[previous] = append(m.records[previous], bytes.Clone(record))
	return nil
}

// Records implements gbt.SetStore.
func (m *memory) Records(_ context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out [][]byte
	all := m.records[previous]
	for _, record := range all[min(from, len(all)):] {
		out = append(out, bytes.Clone(record))
	}
	return out, nil
}

// Keep implements gbt.SetStore.
func (m *memory) Keep(_ context.Context, previous ...chainhash.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.records, func(hash chainhash.Hash, _ [][]byte) bool { return !slices.Contains(previous, hash) })
	return nil
}

func TestMemory(t *testing.T) {
	storetest.SetStoreContract(t, func() gbt.SetStore { return &memory{records: make(map[chainhash.Hash][][]byte)} })
}
