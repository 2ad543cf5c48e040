package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// History implements shares.Histories, from the slots that hash rates are told from.
func (l *Ledger) History(ctx context.Context, who shares.Who, span shares.HistorySpan) ([]shares.RatePoint, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	if span.Length() == 0 {
		return nil, fmt.Errorf("history: %w: %s", shares.ErrMalformed, span)
	}
	t, err := l.tally(ctx, o.figuresOf(who)...)
	if err != nil {
		return nil, err
	}
	if t.accepted == 0 && who != (shares.Who{}) {
		return nil, fmt.Errorf("history of %q, worker %q: %w", who.Account, who.Worker, shares.ErrUnknown)
	}
	return t.history(o.Unit, span, l.cfg.Now()), nil
}

// figuresOf returns the keys of somebody's figures.
func (o *opened) figuresOf(who shares.Who) []string {
	_, k := o.of(who.Account)
	switch {
	case who.OfWorker:
		return []string{k.worker(who.Account, who.Worker)}
	case who.Account != "":
		return []string{k.account(who.Account)}
	}
	names := make([]string, len(o.parts))
	for i, k := range o.parts {
		names[i] = k.figures()
	}
	return names
}

// history makes the points of a span, whose slots are those of the level with its number. A gateway whose clock is
// slow takes the time of the newest share for now.
func (t *tallied) history(unit shares.Unit, span shares.HistorySpan, now time.Time) []shares.RatePoint {
	length, level := slots()[span], int64(span)
	end := max(now.UnixMilli(), t.last)
	running := end / length.Milliseconds()
	many := int64(span.Length() / length)
	out := make([]shares.RatePoint, 0, many+1)
	for slot := running - many; slot <= running; slot++ {
		p := shares.RatePoint{Start: time.UnixMilli(slot * length.Milliseconds()).UTC(), Seconds: int(length.Seconds())}
		if slot == running {
			p.Partial, p.Seconds = true, max(1, int(end/1000-p.Start.Unix()))
		}
		p.Rate = unit.Hashes(1) * t.slots[[2]int64{level, slot}] / float64(p.Seconds)
		out = append(out, p)
	}
	return out
}
