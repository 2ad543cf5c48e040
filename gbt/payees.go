package gbt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Output is one output of a coinbase.
type Output struct {
	Value  int64 // satoshis
	Script []byte
}

// Coinbaser decides whom coinbases pay. Implementations are safe for concurrent use.
type Coinbaser interface {
	// Payees returns whom coinbases of blocks on previous pay, at a height and with a network target in
	// compact form. All gateways of the pool get the same for one previous block, whenever they ask and
	// also after a restart, because work that one of them has issued any of them judges. Whatever makes it
	// so outlives a crash before Payees returns. An error means that there is no work to give for now.
	Payees(ctx context.Context, previous chainhash.Hash, height int32, bits uint32) (Payees, error)
}

// Payees are whom coinbases of blocks on one previous block pay. They are immutable.
type Payees interface {
	// Outputs returns the outputs of a coinbase that pays value satoshis beside what a miner may add, the
	// witness commitment not among them. Their values sum to value, and no script is in them twice. The
	// answer depends on nothing but value. The scripts must not be modified.
	Outputs(value int64) ([]Output, error)
	// Name tells them from others: who has the same name pays the same.
	Name() [sha256.Size]byte
}

// PayTo is a Coinbaser that pays everything to one script, whatever the block.
type PayTo []byte

// Payees implements Coinbaser.
func (p PayTo) Payees(context.Context, chainhash.Hash, int32, uint32) (Payees, error) { return p, nil }

// Outputs implements Payees.
func (p PayTo) Outputs(value int64) ([]Output, error) {
	return []Output{{Value: value, Script: p}}, nil
}

// Name implements Payees.
func (p PayTo) Name() [sha256.Size]byte { return sha256.Sum256(p) }

// errPayees says that there is no template because nobody can say now whom its coinbase pays.
var errPayees = errors.New("whom the coinbase has to pay is not known")

const (
	// payeesPatience is how long a template waits for its payees.
	payeesPatience = 5 * time.Second
	// payeesEvery is how soon they are asked for again without news of the nodes.
	payeesEvery = time.Second
	// keepPayees is on how many blocks they are remembered.
	keepPayees = 32
)

// roster remembers the payees of the last blocks, so that they are asked for once, and known also while
// whoever knows them is away. It is safe for concurrent use.
type roster struct {
	mu    sync.Mutex
	by    map[chainhash.Hash]Payees // held by mu
	order []chainhash.Hash          // oldest first; held by mu
}

func (r *roster) get(previous chainhash.Hash) (Payees, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.by[previous]
	return p, ok
}

// put remembers p unless there are payees of this block already, and returns which are. The oldest make
// room.
func (r *roster) put(previous chainhash.Hash, p Payees) Payees {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, ok := r.by[previous]; ok {
		return first
	}
	if len(r.order) == keepPayees {
		delete(r.by, r.order[0])
		r.order = r.order[1:]
	}
	r.by[previous] = p
	r.order = append(r.order, previous)
	return p
}

// payees returns whom coinbases on previous pay. The error matches errPayees.
func (f *Feed) payees(ctx context.Context, previous chainhash.Hash, height int32, bits uint32) (Payees, error) {
	if p, ok := f.roster.get(previous); ok {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, payeesPatience)
	defer cancel()
	p, err := f.cfg.Coinbaser.Payees(ctx, previous, height, bits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPayees, err)
	}
	return f.roster.put(previous, p), nil
}
