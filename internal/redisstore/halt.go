package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Halt implements shares.Ledger.
func (l *Ledger) Halt(ctx context.Context, why string) error { return l.halt(ctx, l.cfg.Gateway, why) }

// HaltFor is Halt for a part of this gateway, whose reason stands beside those of the gateway and its other parts:
// shares.Halt names both.
func (l *Ledger) HaltFor(ctx context.Context, part, why string) error {
	return l.halt(ctx, l.cfg.Gateway+", "+part, why)
}

func (l *Ledger) halt(ctx context.Context, who, why string) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	text := haltText(shares.Halt{Since: l.cfg.Now(), Why: why})
	if err := l.do(ctx, l.scripts.halt, l.haltKeys(), o.Ledger, who, text); err != nil {
		return fmt.Errorf("halt: %w", err)
	}
	return nil
}

// Halted implements shares.Ledger.
func (l *Ledger) Halted(ctx context.Context) ([]shares.Halt, error) {
	values, err := l.redis.HGetAll(ctx, l.keys.pool("halts")).Result()
	if err != nil {
		return nil, fmt.Errorf("halts: %w", translate(err))
	}
	var out []shares.Halt
	for _, gateway := range slices.Sorted(maps.Keys(values)) {
		millis, why, ok := strings.Cut(values[gateway], " ")
		since, err := strconv.ParseInt(millis, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("halts: %q of gateway %s: %w", values[gateway], gateway, errReply)
		}
		out = append(out, shares.Halt{Gateway: gateway, Since: time.UnixMilli(since).UTC(), Why: why})
	}
	return out, nil
}

// Resume lets payouts go on as far as these are the reasons why they stopped. What stopped them since
// the reasons were read stands.
func (l *Ledger) Resume(ctx context.Context, seen []shares.Halt) error {
	o, err := l.opened()
	if err != nil {
		return err
	}
	args := []any{o.Ledger}
	for _, h := range seen {
		args = append(args, h.Gateway, haltText(h))
	}
	if err := l.do(ctx, l.scripts.resume, l.haltKeys(), args...); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

func (l *Ledger) haltKeys() []string { return []string{l.keys.pool("genesis"), l.keys.pool("halts")} }

func haltText(h shares.Halt) string { return strconv.FormatInt(h.Since.UnixMilli(), 10) + " " + h.Why }
