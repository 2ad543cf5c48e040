package redisstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// maxTrips is how many trips to one server there are at a time: while Redis works on one, the shares of the next
// gather. With more of them none would be recorded sooner, and the fewer there are the more shares each has.
const maxTrips = 2

// maxBreadth is of how many partitions a trip is at the most, where one server has them all: while those of two trips
// are on their way, the shares of as many others gather. A run of the script for a single share costs Redis as much as
// one for three of an account, so fewer and larger runs record more than every partition on every trip.
const maxBreadth = 4

// commit takes shares to Redis. While one trip is on its way the next shares gather, so that many miners share a round
// trip, a run of the script and a sync of Redis's disk. Each run names the newest share that is known to be there,
// because Redis may be another one, or an older one, by now.
func (l *Ledger) commit(ctx context.Context, t *trip) {
	for ctx.Err() == nil {
		runtime.Gosched() // who is about to put a share there may do so first
		trips, partitions := l.breadth()
		if !l.queue.take(t, trips, partitions) {
			select {
			case <-l.queue.wake:
			case <-ctx.Done():
			}
			continue
		}
		if away := l.travel(ctx, t); away != nil {
			l.queue.turnAway(l.alike(t), away) // nobody else needs to wait as long for the same
		}
		l.queue.free(t)
	}
}

// breadth says how many trips there are at a time, and of how many partitions each is. A cluster's servers share the
// partitions, so there a trip is of one. Where trips wait for Redis's disk, which may take a second while Redis itself
// is idle, there are as many as there can be.
func (l *Ledger) breadth() (trips, partitions int) {
	switch {
	case l.clustered():
		return MaxPartitions, 1
	case l.waitAOF.Load():
		return MaxPartitions, MaxPartitions
	default:
		return maxTrips, maxBreadth
	}
}

func (l *Ledger) clustered() bool {
	_, cluster := l.redis.(*redis.ClusterClient)
	return cluster
}

// alike returns the partitions that are away if those of a trip are.
func (l *Ledger) alike(t *trip) []int {
	if l.clustered() {
		return t.on
	}
	all := make([]int, len(t.parts))
	for p := range all {
		all[p] = p
	}
	return all
}

// travel records the shares of a trip and answers each. If Redis is away for all of them, it returns the error.
func (l *Ledger) travel(ctx context.Context, t *trip) error {
	// What is on its way is not called back when the gateway stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Client.cfg.Slow)
	defer cancel()
	a := answers{marks: l.queue.marks}
	if l.deliver(ctx, t, t.batches(), &a); len(a.alone) > 0 {
		alone := a.alone
		l.deliver(ctx, t, alone, &a)
	}
	if a.reached {
		return nil
	}
	return a.away
}

// deliver records batches in one pipeline.
func (l *Ledger) deliver(ctx context.Context, t *trip, batches []batch, a *answers) {
	results, err := l.durably(ctx, t.encode(batches))
	for i, b := range batches {
		text, failed := results[i].Text()
		switch {
		case failed != nil:
			a.fail(b, translate(failed))
		case err != nil:
			a.fail(b, err)
		default:
			a.give(b, text)
		}
	}
}

// answers is what becomes of the shares of a trip.
type answers struct {
	// marks are the newest places by partition that are known to be there.
	marks []shares.Position
	// alone are shares that were refused together, and may be for one of them: they go again, each by itself.
	alone []batch
	// away is the first error that says that Redis is away, and reached that not all are.
	away    error
	reached bool
}

// fail answers shares that a run of the script did not record.
func (a *answers) fail(b batch, err error) {
	away, back := errors.Is(err, shares.ErrAway), errors.Is(err, shares.ErrWentBack)
	switch {
	case away && a.away == nil:
		a.away = err
	case back:
		a.marks[b.partition] = shares.Position{} // whoever recorded knows now, and decides how to go on
	}
	a.reached = a.reached || !away
	if len(b.shares) > 1 && !away && !back {
		for i := range b.shares {
			a.alone = append(a.alone, batch{b.partition, b.shares[i : i+1]})
		}
		return
	}
	for _, w := range b.shares {
		w.answer(shares.Receipt{}, err)
	}
}

// give answers shares by what the script returned: a line for each.
func (a *answers) give(b batch, text string) {
	a.reached = true
	for i, w := range b.shares {
		line, rest, more := strings.Cut(text, "\n")
		if last := i == len(b.shares)-1; more == last {
			line = "" // it is no answer to these
		}
		text = rest
		r, err := receipt(w, line)
		if r.Compare(a.marks[b.partition]) > 0 {
			a.marks[b.partition] = r.Position
		}
		w.answer(r, err)
	}
}

// receipt reads what recording a share returned.
func receipt(w *pending, line string) (shares.Receipt, error) {
	if why, is := strings.CutPrefix(line, "!"); is {
		if means := refused(why); means != nil {
			return shares.Receipt{}, means
		}
		return shares.Receipt{}, fmt.Errorf("recording a share returned %q: %w", line, errReply)
	}
	place, known := strings.CutPrefix(line, "=")
	at, err := parsePlace(place)
	if err != nil {
		return shares.Receipt{}, fmt.Errorf("recording a share: %w", err)
	}
	at.Partition = w.partition
	r := shares.Receipt{Position: at, Hash: w.share.Hash}
	if known {
		return r, shares.ErrDuplicate
	}
	return r, nil
}
