package pulse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// statsEvery is how often it is told how the pool does.
	statsEvery = 10 * time.Second
	// refreshEvery is how often a template is told that is on the same block as the last.
	refreshEvery = 15 * time.Second
	// journalEvery is how often the journal is looked at.
	journalEvery = 2 * time.Second
	// foundRoom is how many found blocks may wait to be told.
	foundRoom = 64
)

// Events is where events are published; see shares.Event.
type Events interface {
	// Publish publishes events in their order. Of those with the same Once only the first is, whoever's it was. After
	// an error any of them may be published or not.
	Publish(ctx context.Context, events ...shares.Event) error
	// Watched returns the accounts that somebody wants to be told of, on any gateway.
	Watched(ctx context.Context) ([]string, error)
}

// Journal says what becomes of blocks and settlements; a payouts.Journal is one.
type Journal interface {
	// Head returns the place of the newest record.
	Head(ctx context.Context) (payouts.Head, error)
	// Records returns the records from a number on, in order.
	Records(ctx context.Context, from uint64) iter.Seq2[*payouts.Record, error]
}

// TellerConfig configures a Teller. All but Journal is required.
type TellerConfig struct {
	Events    Events
	Templates Templates
	Figures   Figures
	Crowd     Crowd
	// Journal is nil if no money is moved here: of found blocks then only that is told.
	Journal  Journal
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// Teller publishes what happens. Each event is an object of JSON:
//
//   - template {height, number, previous_block, fees_sat, transaction_count, value_sat}: on each new block at once, and
//     on the same block at most every 15 seconds. The first gateway tells it.
//   - block {hash, height, state}: found, as soon as a node has taken it, and then each stage that the journal has it
//     in; see payouts.BlockStage. Who found it is for the REST views to tell: accounts may be hidden.
//   - payout {id, state, total_sat}: whenever a settlement's state changes; see payouts.State.
//   - stats {hash_rates_hs, accounts_count, workers_count, accepted_count}: every 10 seconds.
//   - share {shares: [{worker, accepted, reason, difficulty, time}], omitted_count}: for accounts that somebody
//     watches, what was ruled on in the last 300 milliseconds. The difficulty is that of the issued share target.
//
// While the log of events is away, news of templates waits for the newest one, and news of blocks and payouts until
// it is told, in order. Stats and shares are left out.
type Teller struct {
	cfg     TellerConfig
	watched atomic.Pointer[map[string]struct{}]
	heard   chan verdict
	found   chan shares.Event
	dropped *prometheus.CounterVec
	// One for each thing that is written by itself.
	templates, blocks, journal, stats, verdicts, watching outage
}

// NewTeller makes a Teller.
func NewTeller(cfg TellerConfig) (*Teller, error) {
	if cfg.Events == nil || cfg.Templates == nil || cfg.Figures == nil || cfg.Crowd == nil || cfg.Registry == nil || cfg.Log == nil {
		return nil, errors.New("pulse: all but Journal is required of a Teller")
	}
	t := &Teller{
		cfg: cfg, heard: make(chan verdict, heardRoom), found: make(chan shares.Event, foundRoom),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gbtpool_events_dropped_total", Help: "Events that were not told, by kind: they came too fast, or the log of events was away.",
		}, []string{"kind"}),
	}
	for what, o := range map[string]*outage{
		"events of templates": &t.templates, "events of found blocks": &t.blocks, "events of the journal": &t.journal,
		"events of stats": &t.stats, "events of shares": &t.verdicts,
		"what is watched": &t.watching,
	} {
		o.log, o.what = cfg.Log, what
	}
	if err := cfg.Registry.Register(t.dropped); err != nil {
		return nil, fmt.Errorf("pulse: metrics: %w", err)
	}
	for _, kind := range []string{shares.EventShare, shares.EventStats, shares.EventBlock} {
		t.dropped.WithLabelValues(kind) // so that their first increase is seen
	}
	t.watched.Store(new(map[string]struct{}))
	return t, nil
}

// Run publishes until ctx ends. It runs once.
func (t *Teller) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context){t.tellTemplates, t.tellFound, t.tellJournal, t.tellStats, t.tellShares, t.watch} {
		g.Go(func() error {
			run(ctx)
			return nil
		})
	}
	return g.Wait()
}

// Heard takes a verdict. It never blocks, and is safe for concurrent use.
func (t *Teller) Heard(s gbt.Submission, v gbt.Verdict) {
	if v.Block && v.BlockErr == nil && v.BlockReason == "" {
		t.hearBlock(v)
	}
	t.hearShare(s, v)
}

// hearBlock has a block told that a node has taken.
func (t *Teller) hearBlock(v gbt.Verdict) {
	said := blockSaid{Hash: v.Hash.String(), Height: v.Share.Height, State: string(payouts.BlockFound)}
	select {
	case t.found <- event(shares.EventBlock, onceBlock(said.Hash, 0, payouts.BlockFound), said):
	default:
		t.dropped.WithLabelValues(shares.EventBlock).Inc() // the journal has it, and tells it later
	}
}

// What events say.
type (
	templateSaid struct {
		Height           int32  `json:"height"`
		Number           uint64 `json:"number"`
		PreviousBlock    string `json:"previous_block"`
		FeesSat          *int64 `json:"fees_sat"` // null if the node did not tell all
		TransactionCount int    `json:"transaction_count"`
		ValueSat         int64  `json:"value_sat"`
	}
	blockSaid struct {
		Hash string `json:"hash"`
		// Height is left out if it is not known yet: the share was not accepted.
		Height int32  `json:"height,omitempty"`
		State  string `json:"state"`
	}
	payoutSaid struct {
		ID       uint64 `json:"id"`
		State    string `json:"state"`
		TotalSat int64  `json:"total_sat"`
	}
	statsSaid struct {
		HashRatesHs   map[string]float64 `json:"hash_rates_hs"`
		AccountsCount int                `json:"accounts_count"`
		WorkersCount  int                `json:"workers_count"`
		AcceptedCount int64              `json:"accepted_count"`
	}
)

// onceBlock is what the stage of a block is told once by, whoever hears of it first.
func onceBlock(hash string, turn int, stage payouts.BlockStage) string {
	return fmt.Sprintf("block:%s:%d:%s", hash, turn, stage)
}

// event makes an event that is told once by something; empty if nobody else tells it.
func event(kind, once string, said any) shares.Event {
	data, err := json.Marshal(said)
	if err != nil {
		panic(err) // what is said is made of texts and finite numbers
	}
	return shares.Event{Kind: kind, Once: once, Data: data, Time: time.Now().Truncate(time.Millisecond)}
}

// tellFound tells of found blocks, each until it is told.
func (t *Teller) tellFound(ctx context.Context) {
	for {
		select {
		case e := <-t.found:
			untilDone(ctx, &t.blocks, func(ctx context.Context) error { return t.cfg.Events.Publish(ctx, e) })
		case <-ctx.Done():
			return
		}
	}
}

// tellStats tells how the pool does.
func (t *Teller) tellStats(ctx context.Context) {
	eachSlot(ctx, statsEvery, func(at time.Time) {
		err := within(ctx, func(ctx context.Context) error { return t.tellStatsOnce(ctx, at) })
		t.stats.note(ctx, err)
		if err != nil {
			t.dropped.WithLabelValues(shares.EventStats).Inc()
		}
	})
}

func (t *Teller) tellStatsOnce(ctx context.Context, at time.Time) error {
	pool, err := t.cfg.Figures.Pool(ctx)
	if err != nil {
		return err
	}
	said := statsSaid{HashRatesHs: make(map[string]float64, shares.SpanCount), AcceptedCount: pool.Accepted}
	if said.AccountsCount, said.WorkersCount, err = t.cfg.Crowd.Active(ctx, at.Add(-lately)); err != nil {
		return err
	}
	for n, span := range shares.Spans() {
		said.HashRatesHs[spanName(span)] = finite(pool.Rates[n])
	}
	return t.cfg.Events.Publish(ctx, event(shares.EventStats, "stats:"+strconv.FormatInt(at.Unix(), 10), said))
}

// spanName returns a span as people write it, such as 15m.
func spanName(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
}
