package hostile

import (
	"cmp"
	"context"
	"maps"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// keepHeights is how many blocks back shares are remembered to tell duplicates. Work on anything
// but the newest two blocks is refused as stale before it is recorded; the rest is for reorganised
// chains.
const keepHeights = 16

// tally is a Recorder that counts in memory, as simply as can be.
type tally struct {
	mu sync.Mutex
	// All below is held by mu.
	seen    map[int32]map[chainhash.Hash]struct{} // by height
	top     int32
	workers map[workerKey]*workerTally
}

type workerKey struct{ address, worker string }

// workerTally is what one worker has done since the process began.
type workerTally struct {
	Address, Worker string
	Accepted        int
	Refused         map[gbt.Reason]int
	// Work is the weight of the accepted shares: expected hashes.
	Work *big.Int
	// Blocks counts the accepted shares that met the network target.
	Blocks int
	// First and Last are the times of the first and the last accepted share.
	First, Last time.Time
}

// newTally returns an empty one.
func newTally() *tally {
	return &tally{
		seen:    make(map[int32]map[chainhash.Hash]struct{}),
		workers: make(map[workerKey]*workerTally),
	}
}

// Record implements Recorder.
func (t *tally) Record(_ context.Context, share gbt.Share) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.seen[share.Height][share.Hash]; ok {
		return shares.ErrDuplicate
	}
	t.remember(share)
	w := t.worker(share.Account, share.Worker)
	w.Accepted++
	w.Work.Add(w.Work, share.Work())
	if share.Block {
		w.Blocks++
	}
	// Shares are recorded at the same time, so they may come out of order.
	if w.First.IsZero() || share.Time.Before(w.First) {
		w.First = share.Time
	}
	if share.Time.After(w.Last) {
		w.Last = share.Time
	}
	return nil
}

// remember notes a share and forgets those too deep in the chain to come again.
func (t *tally) remember(share gbt.Share) {
	if t.seen[share.Height] == nil {
		t.seen[share.Height] = make(map[chainhash.Hash]struct{})
	}
	t.seen[share.Height][share.Hash] = struct{}{}
	t.top = max(t.top, share.Height)
	maps.DeleteFunc(t.seen, func(height int32, _ map[chainhash.Hash]struct{}) bool {
		return height <= t.top-keepHeights
	})
}

// Refused implements Recorder.
func (t *tally) Refused(s gbt.Submission, reason gbt.Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.worker(s.Account, s.Worker).Refused[reason]++
}

func (t *tally) worker(account gbt.Account, worker string) *workerTally {
	key := workerKey{account.Address, worker}
	w, ok := t.workers[key]
	if !ok {
		w = &workerTally{
			Address: account.Address, Worker: worker,
			Refused: make(map[gbt.Reason]int), Work: new(big.Int),
		}
		t.workers[key] = w
	}
	return w
}

// Workers returns a copy of the counts, by address and worker name.
func (t *tally) Workers() []workerTally {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]workerTally, 0, len(t.workers))
	for _, w := range t.workers {
		c := *w
		c.Refused, c.Work = maps.Clone(w.Refused), new(big.Int).Set(w.Work)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b workerTally) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Worker, b.Worker))
	})
	return out
}
