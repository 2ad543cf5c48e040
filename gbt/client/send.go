package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// maxSolves and maxShares are how many blocks and shares may wait to be submitted.
	maxSolves, maxShares = 16, 256
	// shareSenders is how many shares are submitted at a time.
	shareSenders = 3
	// sendFor is how long a share or a block is offered to a server that gives no verdict.
	sendFor = 2 * time.Minute
	// sendLate is how long sending may go on once the miner has stopped.
	sendLate = time.Second
)

// queue has a block submitted. Hashing never waits for the server: what is too much is dropped.
func (m *Miner) queue(f found) {
	queue := m.shares
	if f.solve {
		if f.work.done.Err() != nil {
			return // another block stands in its place already
		}
		f.work.end() // the next block stands on this one
		queue = m.solves
	}
	select {
	case queue <- f:
	default:
		m.drop()
		if m.crowded.CompareAndSwap(false, true) {
			m.event(Event{Kind: Trouble, Err: fmt.Errorf("%d shares wait to be submitted, more are dropped: ask for a harder target", cap(queue))})
		}
	}
}

// drop counts a share that is not sent.
func (m *Miner) drop() { m.count(func(s *Stats) { s.Dropped++ }) }

// send submits what is queued until the queue is closed and empty. When ctx ends it gives up what
// is left.
func (m *Miner) send(ctx context.Context, queue <-chan found) {
	for f := range queue {
		if !m.offer(ctx, f) {
			m.drop()
		}
		if f.solve {
			// Whatever the verdict, its work has ended.
			f.work.renew()
		}
		if len(m.shares) < maxShares/2 {
			m.crowded.Store(false)
		}
	}
}

// offer submits one block until there is a verdict, or until it is worth no more, and reports
// whether there is a verdict.
func (m *Miner) offer(ctx context.Context, f found) bool {
	var b backoff
	deadline := time.Now().Add(sendFor)
	// BIP 22: shares may be discarded once submitold says so. A block is worth a try.
	for f.solve || f.work.serial >= m.validFrom.Load() {
		ruling, err := m.cfg.Client.submit(ctx, f.block)
		if err == nil {
			m.verdict(f, ruling)
			return true
		}
		m.event(Event{Kind: Trouble, Err: fmt.Errorf("block %s: %w", f.hash, err)})
		if forbidden(err) || time.Now().After(deadline) || errors.Is(sleep(ctx, b.failed()), errStopped) {
			return false
		}
	}
	return false
}

// verdict counts what the server ruled on a block and tells of it.
func (m *Miner) verdict(f found, ruling Ruling) {
	m.count(func(s *Stats) {
		if !ruling.Accepted() {
			s.Refused[ruling.Reason]++
			return
		}
		s.Accepted++
		if !f.block.Template().Declared.IsZero() {
			s.Declared++
		}
		if f.solve {
			s.Blocks++
		}
		if hash := gbt.TargetFromHash(f.hash); s.Best == (gbt.Target{}) || hash.Cmp(s.Best) < 0 {
			s.Best = hash
		}
	})
	if ruling.Reason == gbt.UnknownWork && !f.block.Template().Declared.IsZero() {
		f.work.renew() // the server has lost what was declared
	}
	m.event(Event{Kind: Verdict, Template: f.work.template, Hash: f.hash, Reason: ruling.Reason, Detail: ruling.Detail, Block: f.solve})
}
