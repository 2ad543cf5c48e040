package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/shares"
)

// inspected is the ledger, whose Redis is looked at each time that it comes back: it may be another one,
// with other settings. What it takes to record shares is timed.
type inspected struct {
	*redisstore.Ledger
	books *books
}

// Open implements shares.Opener.
func (i inspected) Open(ctx context.Context) error {
	if err := i.books.inspectRedis(ctx); err != nil {
		return err
	}
	return i.Ledger.Open(ctx)
}

// inspect looks at Redis before it is trusted with shares. If it is away and this gateway has worked
// with it before, the spool bridges that.
func (b *books) inspect(ctx context.Context, known string) error {
	err := b.inspectRedis(ctx)
	if errors.Is(err, shares.ErrAway) && !errors.Is(err, shares.ErrForeign) && known != "" {
		b.log.LogAttrs(ctx, slog.LevelError, "ledger is away at the start, shares go to the spool", slog.Any("error", err))
		return nil
	}
	return err
}

func (b *books) inspectRedis(ctx context.Context) error {
	genesis, err := b.client.Genesis(ctx)
	if errors.Is(err, shares.ErrForeign) && b.cfg.Ephemeral && b.ledger.ID() == "" {
		if err = InitLedger(ctx, b.client, b.chain, ephemeralPartitions, ""); err == nil {
			genesis, err = b.client.Genesis(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if genesis.Chain != b.chain.Name || genesis.Unit != b.unit {
		return fmt.Errorf("redis: %w: the ledger there is for chain %s, this pool is on %s", shares.ErrForeign, genesis.Chain, b.chain.Name)
	}
	if b.id == "" {
		b.id = genesis.Ledger
	}
	if b.embedded != nil {
		return nil // it has no settings to look at
	}
	setup, err := b.client.Setup(ctx)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	before := b.setup.Swap(&setup)
	if err := setup.Check(); err != nil && !b.cfg.Ephemeral {
		return fmt.Errorf("redis: %w, or say ephemeral if shares may be lost", err)
	}
	b.ledger.SetWaitAOF(setup.WaitAOF && setup.Fsync == "everysec")
	if notice := setup.Notice(); notice != "" && *before != setup {
		b.log.LogAttrs(ctx, slog.LevelWarn, "redis may lose shares in an outage", slog.String("notice", notice))
	}
	return nil
}
