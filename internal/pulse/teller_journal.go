package pulse

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// journalBack is how many records before its newest a Teller begins with: those of them that are not older than
	// journalAge and that nobody has told, because a gateway died between posting and telling.
	journalBack = 100
	journalAge  = time.Hour
	// journalGroup is how many events are published at a time.
	journalGroup = 50
)

// tellJournal tells what becomes of blocks and settlements: what each record of the journal says of them, in order.
// Gateways tell the same, and each thing once.
func (t *Teller) tellJournal(ctx context.Context) {
	if t.cfg.Journal == nil {
		return
	}
	var next uint64 // the number of the next record to tell; 0 before the head is known
	for ctx.Err() == nil {
		var err error
		next, err = t.tellRecords(ctx, next)
		t.journal.note(ctx, err)
		pause(ctx, journalEvery)
	}
}

// tellRecords tells the records from a number on and returns the number of the next one to tell.
func (t *Teller) tellRecords(ctx context.Context, next uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	head, err := t.cfg.Journal.Head(ctx)
	if err != nil {
		return next, err
	}
	if next == 0 {
		next = 1 + head.Seq - min(head.Seq, journalBack)
	}
	if head.Seq < next {
		return head.Seq + 1, nil // or it was replaced by a shorter one
	}
	var group []shares.Event
	for r, err := range t.cfg.Journal.Records(ctx, next) {
		if err != nil {
			return next, err
		}
		if time.Since(r.Time) < journalAge {
			group = append(group, t.recordSaid(ctx, r)...)
		}
		if len(group) >= journalGroup {
			if err := t.cfg.Events.Publish(ctx, group...); err != nil {
				return next, err
			}
			group, next = nil, r.Seq+1
		}
		if r.Seq >= head.Seq {
			break
		}
	}
	if len(group) > 0 {
		if err := t.cfg.Events.Publish(ctx, group...); err != nil {
			return next, err
		}
	}
	return head.Seq + 1, nil
}

// recordSaid returns what a record says of blocks and settlements.
func (t *Teller) recordSaid(ctx context.Context, r *payouts.Record) []shares.Event {
	var out []shares.Event
	for _, set := range r.Sets {
		var err error
		switch set.Table {
		case payouts.TableBlocks:
			var s payouts.BlockState
			if err = json.Unmarshal([]byte(set.Value), &s); err == nil {
				out = append(out, event(shares.EventBlock, onceBlock(set.Field, s.Turn, s.Stage),
					blockSaid{Hash: set.Field, Height: s.Height, State: string(s.Stage)}))
			}
		case payouts.TableSettlements:
			var s payouts.Status
			var id uint64
			if err = json.Unmarshal([]byte(set.Value), &s); err == nil {
				id, err = parseID(set.Field)
			}
			if err == nil {
				out = append(out, event(shares.EventPayout, fmt.Sprintf("payout:%d:%s:%d", id, s.State, s.Confirms),
					payoutSaid{ID: id, State: string(s.State), TotalSat: s.Total}))
			}
		}
		if err != nil { // the journal's keepers say what is wrong with it; here it must not stop all that follows
			t.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a record is not told", slog.Uint64("seq", r.Seq), slog.Any("error", err))
		}
	}
	return out
}
