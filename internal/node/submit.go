package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// offerPause is the pause after the first failed attempt to submit a block and maxOfferPause
	// the longest.
	offerPause    = 250 * time.Millisecond
	maxOfferPause = 10 * time.Second
)

var errShutDown = errors.New("nodes: shut down, nothing is offered to them any more")

// offers counts blocks or transactions that are being offered, so that shutting down can wait for them.
type offers struct {
	mu     sync.Mutex
	open   int
	closed bool
	quit   chan struct{} // closed when waiting is over
	idle   chan struct{} // closed when closed and none is open
}

func newOffers() *offers {
	return &offers{quit: make(chan struct{}), idle: make(chan struct{})}
}

// begin takes in one more; false after drain.
func (o *offers) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.open++
	}
	return !o.closed
}

func (o *offers) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open--; o.open == 0 && o.closed {
		close(o.idle)
	}
}

// drain takes in no more, waits for those under way, and breaks off what is left after the limit.
// It returns how many those were.
func (o *offers) drain(limit time.Duration) int {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return 0
	}
	o.closed = true
	if o.open == 0 {
		close(o.idle)
	}
	o.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-o.idle:
		return 0
	case <-timer.C:
	}
	o.mu.Lock()
	left := o.open
	o.mu.Unlock()
	close(o.quit)
	<-o.idle
	return left
}

// BlockResult is what became of a found block at a node.
type BlockResult string

// The results: the node took the block or had it, refused it, or gave no answer for SetConfig.SubmitFor.
const (
	BlockAccepted    BlockResult = "accepted"
	BlockRefused     BlockResult = "refused"
	BlockUndelivered BlockResult = "undelivered"
)

// counts counts the blocks offered to one node.
type counts struct{ accepted, refused, undelivered, pending atomic.Int64 }

func (c *counts) snapshot() BlockCounts {
	return BlockCounts{
		Accepted: c.accepted.Load(), Refused: c.refused.Load(),
		Undelivered: c.undelivered.Load(), Pending: c.pending.Load(),
	}
}

// outcome is what came of offering a block to a node: its reason, or why it gave none.
type outcome struct {
	node   int
	reason gbt.Reason
	err    error
	last   bool // the node is not asked again
}

func (o outcome) accepted() bool {
	return o.err == nil && (o.reason == "" || o.reason == gbt.Duplicate)
}

// SubmitBlock implements gbt.Network. A node that does not answer at the first attempt does not
// hold up a refusal by those that do; it is offered the block all the same.
func (s *Set) SubmitBlock(ctx context.Context, block gbt.RawBlock) (gbt.Reason, error) {
	if !s.offers.begin() {
		return "", errShutDown
	}
	offering, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.SubmitFor)
	outcomes := make(chan outcome, 2*len(s.watchers)) // room for all, so that none waits for a reader
	go func() {
		select {
		case <-s.offers.quit:
			cancel()
		case <-offering.Done():
		}
	}()
	go func() {
		defer s.offers.end()
		defer cancel()
		var all sync.WaitGroup
		for _, w := range s.watchers {
			all.Go(func() { w.offerBlock(offering, block, outcomes) })
		}
		all.Wait()
	}()
	return s.await(ctx, outcomes)
}

// await returns as soon as the nodes' answers decide.
func (s *Set) await(ctx context.Context, outcomes <-chan outcome) (gbt.Reason, error) {
	heard := make(map[int]outcome)
	ended := 0
	for {
		select {
		case o := <-outcomes:
			if o.accepted() {
				return "", nil
			}
			if known, ok := heard[o.node]; !ok || known.err != nil {
				heard[o.node] = o
			}
			if o.last {
				ended++
			}
		case <-ctx.Done():
			return s.verdict(heard, ctx.Err())
		}
		reason, err := s.verdict(heard, nil)
		if ended == len(s.watchers) || len(heard) == len(s.watchers) && err == nil {
			return reason, err
		}
	}
}

// verdict returns the reason of the leader or else of the first node that refused the block, and
// an error if none did.
func (s *Set) verdict(heard map[int]outcome, cause error) (gbt.Reason, error) {
	var errs []error
	first := -1
	status := *s.status.Load()
	for i := range s.watchers {
		o, ok := heard[i]
		switch {
		case ok && o.err != nil:
			errs = append(errs, o.err)
		case ok && (first < 0 || status[i].Leading):
			first = i
		}
	}
	if first >= 0 {
		return heard[first].reason, nil
	}
	return "", fmt.Errorf("no node has taken or refused the block: %w", errors.Join(append(errs, cause)...))
}

// offerBlock offers a block to the node until it takes or refuses it. It leaves in outcomes what
// came of the first attempt and what of the last.
func (w *watcher) offerBlock(ctx context.Context, block gbt.RawBlock, outcomes chan<- outcome) {
	count, began := &w.set.counts[w.id], w.set.cfg.Now()
	count.pending.Add(1)
	defer count.pending.Add(-1)
	log := w.set.cfg.Log.With(slog.String("node", w.node.Name()),
		slog.String("block", block.Hash().String()))
	for attempt := 1; ; attempt++ {
		o := w.offerOnce(ctx, block)
		switch {
		case o.accepted():
			count.accepted.Add(1)
			w.answered(BlockAccepted, began)
			log.LogAttrs(ctx, slog.LevelInfo, "block accepted", slog.String("reason", string(o.reason)), slog.Int("attempt", attempt))
			signal(w.poke)
		case o.last:
			count.refused.Add(1)
			w.answered(BlockRefused, began)
			log.LogAttrs(ctx, slog.LevelWarn, "block refused", slog.String("reason", string(o.reason)), slog.Int("attempt", attempt))
		case attempt == 1:
			log.LogAttrs(ctx, slog.LevelWarn, "block not taken yet", slog.String("reason", string(o.reason)), slog.Any("error", o.err))
		}
		if attempt == 1 || o.last {
			outcomes <- o
		}
		if o.last {
			return
		}
		timer := time.NewTimer(backoff(offerPause, attempt, maxOfferPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			count.undelivered.Add(1)
			w.answered(BlockUndelivered, began)
			log.LogAttrs(ctx, slog.LevelError, "block not delivered", slog.Int("attempts", attempt),
				slog.String("reason", string(o.reason)), slog.Any("error", o.err))
			o.last = true
			outcomes <- o
			return
		}
	}
}

// answered says what became of a block at the node.
func (w *watcher) answered(what BlockResult, began time.Time) {
	if w.set.cfg.Answered != nil {
		w.set.cfg.Answered(w.node.Name(), what, w.set.cfg.Now().Sub(began))
	}
}

// offerOnce submits a block once. The node is asked again if it gave no answer or does not know
// the previous block, which it may be about to learn.
func (w *watcher) offerOnce(ctx context.Context, block gbt.RawBlock) outcome {
	reason, err := within(ctx, w.set.cfg.CallTimeout, func(ctx context.Context) (gbt.Reason, error) {
		return w.node.SubmitBlock(ctx, block)
	})
	if errors.Is(err, ErrUndecodable) {
		reason, err = gbt.Rejected, nil
	}
	return outcome{node: w.id, reason: reason, err: err, last: err == nil && reason != PrevUnknown}
}
