package shares

import (
	"context"
	"strings"
	"sync"

	"github.com/gbtpool/gbtpool/gbt"
)

// maxRefusals bounds what is counted between two flushes: names cost nothing.
const maxRefusals = 10_000

// refusals counts submissions that earned nothing until they are written, in numbered batches.
type refusals struct {
	mu sync.Mutex
	// counts gathers the next batch; all else is flush's.
	counts map[Refusal]int64
	batch  int64
	sent   []Refusal
}

// Refused implements Recorder.
func (k *Keeper) Refused(s gbt.Submission, reason gbt.Reason) { k.refused.add(s, reason) }

func (r *refusals) add(s gbt.Submission, reason gbt.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[Refusal]int64)
	}
	key := Refusal{Account: s.Account.Address, Worker: s.Worker, Reason: word(reason)}
	if _, known := r.counts[key]; !known && len(r.counts) >= maxRefusals {
		key = Refusal{Reason: key.Reason} // still counted for the pool
	}
	r.counts[key]++
}

// word returns a reason without what a node adds in brackets, which differs from block to block.
func word(reason gbt.Reason) gbt.Reason {
	if end := strings.IndexAny(string(reason), " (:"); end > 0 {
		return reason[:end]
	}
	return reason
}

// flush writes a batch. One that failed is written again as it was, so that it counts once.
func (r *refusals) flush(ctx context.Context, l Ledger) error {
	if r.sent == nil {
		r.mu.Lock()
		counts := r.counts
		r.counts = nil
		r.mu.Unlock()
		for key, n := range counts {
			key.Count = n
			r.sent = append(r.sent, key)
		}
		r.batch++
	}
	if len(r.sent) == 0 {
		return nil
	}
	if err := l.Refuse(ctx, r.batch, r.sent); err != nil {
		return err
	}
	r.sent = nil
	return nil
}
