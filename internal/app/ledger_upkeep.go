package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// upkeepEvery is how often the ledger is tidied by whoever holds the lease.
	upkeepEvery = time.Minute
	// keepDetail is how many shares stay in each partition's log, with everything about them.
	keepDetail = 10_000
	// seenDepth is for how many blocks the ledger can tell whether a share was recorded, and goneDepth for
	// how many it waits for a gateway that is cut off, whose spool may have shares of then: two weeks.
	seenDepth, goneDepth = 144, 2016
	// keptBelow is by how many blocks a share in a spool may be below what was worked on last.
	keptBelow = 2
	// trimMargin is how much more detail is kept than windows need now: difficulties grow.
	trimMargin = 4
)

// tend keeps the gateway's name, and the ledger small while this gateway holds the lease for it.
func (b *books) tend(ctx context.Context, height func() (int32, gbt.Target, error)) {
	name, upkeep := time.NewTicker(nameTTL/3), time.NewTicker(upkeepEvery)
	defer name.Stop()
	defer upkeep.Stop()
	complain := func(what string, err error) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, shares.ErrAway) {
			b.log.LogAttrs(ctx, slog.LevelError, "ledger work failed", slog.String("what", what), slog.Any("error", err))
		}
	}
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerRetry)
			defer cancel()
			complain("give up the name", errors.Join(
				b.ledger.GiveUp(last, "gateway:"+b.cfg.Gateway), b.ledger.GiveUp(last, "upkeep"), b.ledger.GiveUp(last, payouts.Job)))
			return
		case <-name.C:
			complain("keep the name", b.claim(ctx))
			complain("say that nothing waits", b.contact(ctx, height))
		case <-upkeep.C:
			complain("upkeep", b.tidy(ctx, height))
		}
	}
}

// contact says that nothing waits in this gateway's spool, if that is so.
func (b *books) contact(ctx context.Context, height func() (int32, gbt.Target, error)) error {
	at, _, err := height()
	if err != nil || b.keeper.Status().Away != nil {
		return nil //nolint:nilerr // there is no template yet, or something may wait
	}
	_, err = b.ledger.Contact(ctx, at)
	return err
}

// tidy compacts, forgets and trims, if no other gateway does, and if the ledger is as it should be: what
// waits in spools needs the hashes that were seen.
func (b *books) tidy(ctx context.Context, height func() (int32, gbt.Target, error)) error {
	status := b.keeper.Status()
	if status.Away != nil || status.Lost != nil {
		return nil //nolint:nilerr // that is said elsewhere
	}
	lease, err := b.ledger.Acquire(ctx, "upkeep", 2*upkeepEvery)
	switch {
	case errors.Is(err, shares.ErrFenced):
		return nil // another gateway does it
	case err != nil:
		return err
	}
	if err = b.tidyUnder(ctx, lease, height); errors.Is(err, shares.ErrFenced) {
		// Somebody has a newer token, or this one is older than it should be. The next one is newer.
		return errors.Join(err, b.ledger.GiveUp(ctx, "upkeep"))
	}
	return err
}

func (b *books) tidyUnder(ctx context.Context, lease shares.Lease, height func() (int32, gbt.Target, error)) error {
	at, network, err := height()
	if err != nil {
		return err
	}
	block, err := b.unit.Network(network)
	if err != nil {
		return err
	}
	window := shares.MaxWeight
	if many := shares.Weight(b.cfg.Multiple * trimMargin); block <= shares.MaxWeight/many {
		window = block * many
	}
	if err := b.ledger.Compact(ctx, lease, keepDetail); err != nil {
		return err
	}
	lowest, err := b.ledger.Contact(ctx, at)
	if err != nil {
		return err
	}
	if err := b.ledger.Retire(ctx, lease, retired(at, lowest)); err != nil {
		return err
	}
	return b.ledger.Trim(ctx, lease, window)
}

// retired returns up to which height hashes are forgotten while work is on one, and the lowest height that
// any gateway's spool may have shares of is another.
func retired(at, lowest int32) int32 {
	return max(at-goneDepth, min(at-seenDepth, lowest-keptBelow))
}
