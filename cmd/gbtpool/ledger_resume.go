package main

import (
	"context"
	"time"

	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// ledgerResumeCmd lets payouts go on.
type ledgerResumeCmd struct {
	ledgerFlags `embed:""`
	Yes         bool `help:"Let payouts go on; without it the reasons why they stopped are only shown."`
}

// Run implements the command.
func (c *ledgerResumeCmd) Run(ctx context.Context, out *screen) error {
	return c.with(ctx, func(l *redisstore.Ledger) error {
		halts, err := l.Halted(ctx)
		if err != nil {
			return err
		}
		if len(halts) == 0 {
			out.printf("nothing stops payouts from ledger %s", l.ID())
			return nil
		}
		for _, h := range halts {
			out.printf("%s  gateway %s  %s", h.Since.Format(time.RFC3339), out.paint(bold, h.Gateway), h.Why)
		}
		if !c.Yes {
			out.printf("Payouts from ledger %s have stopped. Have every gateway up, so that its spool is recorded again, see that", l.ID())
			out.printf("gbtpool ledger audit finds nothing, and find out what Redis lost; then say --yes.")
			return errSilent
		}
		if err := l.Resume(ctx, halts); err != nil {
			return err
		}
		out.printf("%s from ledger %s go on", out.paint(green, "payouts"), l.ID())
		return nil
	})
}
