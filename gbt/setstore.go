package gbt

import (
	"context"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// SetStore keeps what declared work needs over restarts, or for other gateways too: records by
// previous block, in the order they were added. The Judge makes and reads the records; to a store they
// are bytes. Implementations are safe for concurrent use.
type SetStore interface {
	// Append adds a record of declared work on the block after previous. It returns once the
	// record would outlive a crash.
	Append(ctx context.Context, previous chainhash.Hash, record []byte) error
	// Records returns the records for the block after previous but for the oldest from, oldest first.
	// None is no error. A record that a crash cut short is left out.
	Records(ctx context.Context, previous chainhash.Hash, from int) ([][]byte, error)
	// Keep drops the records for all other previous blocks.
	Keep(ctx context.Context, previous ...chainhash.Hash) error
}
