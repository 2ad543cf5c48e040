package events

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// watchFor is how long an account is watched, and watchEvery how often that is renewed.
	watchFor, watchEvery = time.Minute, 20 * time.Second
	// watchMost is how many accounts one call names.
	watchMost = 1000
	// watchPause is the least time between two renewals, however many streams begin.
	watchPause = 250 * time.Millisecond
)

// watch keeps the accounts with streams on the list of those whose shares the gateways tell of, until ctx ends.
func (h *Hub) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.wanted:
		}
		if err := h.renew(ctx); err != nil && ctx.Err() == nil {
			// What keeps the log from answering is told by who reads it.
			h.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "accounts cannot be watched", slog.Any("error", err))
			ticker.Reset(h.cfg.Limits.Away)
		} else {
			ticker.Reset(watchEvery)
		}
		pause(ctx, watchPause)
	}
}

func (h *Hub) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for accounts := range slices.Chunk(h.watched(), watchMost) {
		if err := h.cfg.Source.Watch(ctx, accounts, watchFor); err != nil {
			return err
		}
	}
	return nil
}
