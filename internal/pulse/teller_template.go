package pulse

import (
	"context"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// tellTemplates tells of templates: those on another block at once, and of others the last of each step of time, which
// the first gateway tells.
func (t *Teller) tellTemplates(ctx context.Context) {
	news := make(chan *gbt.Template, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		followTemplates(ctx, t.cfg.Templates, func(tmpl *gbt.Template, _ bool) { replace(news, tmpl) })
		return nil
	})
	g.Go(func() error {
		var on chainhash.Hash
		var last *gbt.Template // to be told once due fires, for the step of time that begins then
		var at time.Time
		due := time.NewTimer(0)
		due.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case last = <-news:
				if last.PreviousBlock == on {
					now := time.Now()
					at = slot(now, refreshEvery).Add(refreshEvery)
					due.Reset(at.Sub(now))
					continue
				}
				on = last.PreviousBlock
				t.tellTemplate(ctx, last, "template:"+on.String(), news)
			case <-due.C:
				t.tellTemplate(ctx, last, "template:"+strconv.FormatInt(at.Unix(), 10), news)
			}
			due.Stop()
		}
	})
	_ = g.Wait() // neither fails
}

// tellTemplate tries to tell of a template until it is told, or there is news that is told instead.
func (t *Teller) tellTemplate(ctx context.Context, tmpl *gbt.Template, once string, news chan *gbt.Template) {
	said := templateSaid{
		Height: tmpl.Height, Number: tmpl.Seq, PreviousBlock: tmpl.PreviousBlock.String(),
		TransactionCount: len(tmpl.Transactions), ValueSat: tmpl.Value,
	}
	if tmpl.FeesKnown {
		said.FeesSat = &tmpl.Fees
	}
	e := event(shares.EventTemplate, once, said)
	for ctx.Err() == nil {
		err := within(ctx, func(ctx context.Context) error { return t.cfg.Events.Publish(ctx, e) })
		t.templates.note(ctx, err)
		if err == nil || len(news) > 0 {
			return
		}
		pause(ctx, again)
	}
}

// replace puts a template into a channel with room for one, in place of the one there.
func replace(news chan *gbt.Template, tmpl *gbt.Template) {
	for {
		select {
		case news <- tmpl:
			return
		default:
		}
		select {
		case <-news:
		default:
		}
	}
}
