package pulse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("away")

// store is all that pulse writes to and asks, in memory.
type store struct {
	mu     sync.Mutex
	events []shares.Event
	once   map[string]bool
	points []point
	seen   []shares.Presence
	calls  int
	watch  []string
	pool   shares.Stats
	record []*payouts.Record
	// away fails what is asked; with kept what is to be written is written all the same.
	away error
	kept bool
}

type point struct {
	name   string
	at     time.Time
	values map[string]float64
}

func newStore() *store { return &store{once: make(map[string]bool)} }

func (s *store) Publish(_ context.Context, events ...shares.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if err := e.Check(); err != nil {
			return err
		}
	}
	if s.away == nil || s.kept {
		for _, e := range events {
			if e.Once != "" && s.once[e.Once] {
				continue
			}
			s.once[e.Once] = true
			s.events = append(s.events, e)
		}
	}
	return s.away
}

func (s *store) Watched(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.watch), s.away
}

func (s *store) Pool(context.Context) (shares.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pool, s.away
}

func (s *store) Active(_ context.Context, since time.Time) (accounts, workers int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(since) != lately {
		return 0, 0, fmt.Errorf("asked for %s", time.Since(since))
	}
	return 3, 5, s.away
}

func (s *store) Add(_ context.Context, name string, at time.Time, values map[string]float64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(values) == 0 || len(values) > 32 {
		return false, fmt.Errorf("a point of %d values", len(values))
	}
	had := slices.ContainsFunc(s.points, func(p point) bool { return p.name == name && !p.at.Before(at) })
	if !had && (s.away == nil || s.kept) {
		s.points = append(s.points, point{name, at, values})
	}
	return !had, s.away
}

func (s *store) Seen(_ context.Context, list []shares.Presence) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	for n := range list {
		if err := list[n].Check(); err != nil {
			return err
		}
	}
	if s.away == nil || s.kept {
		s.seen = append(s.seen, list...)
	}
	return s.away
}

func (s *store) Head(context.Context) (payouts.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return payouts.Head{Seq: uint64(len(s.record))}, s.away
}

func (s *store) Records(_ context.Context, from uint64) iter.Seq2[*payouts.Record, error] {
	return func(yield func(*payouts.Record, error) bool) {
		s.mu.Lock()
		records, err := slices.Clone(s.record), s.away
		s.mu.Unlock()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range records[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// post adds a record to the journal.
func (s *store) post(sets ...payouts.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = append(s.record, &payouts.Record{Seq: uint64(len(s.record)) + 1, Time: time.Now(), Sets: sets})
}

// fail makes the store fail, with or without doing what is asked.
func (s *store) fail(err error, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.kept = err, kept
}

// told returns the events of a kind as text, with their account before them.
func (s *store) told(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.events {
		if e.Kind == kind {
			out = append(out, e.Account+string(e.Data))
		}
	}
	return out
}

// forget forgets the events.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = nil
}

// feed is what miners are given.
type feed struct {
	mu      sync.Mutex
	current *gbt.Template
	err     error
	changed chan struct{}
}

func newFeed() *feed { return &feed{err: gbt.ErrUnavailable, changed: make(chan struct{})} }

func (f *feed) Current() (*gbt.Template, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, f.err
}

func (f *feed) Wait(ctx context.Context, id string) error {
	for {
		f.mu.Lock()
		t, err, changed := f.current, f.err, f.changed
		f.mu.Unlock()
		if err != nil || t.LongPollID() != id {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish puts a template into force, on a block, as if its node had answered some time ago.
func (f *feed) publish(block byte, seq uint64, ago time.Duration) *gbt.Template {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = &gbt.Template{
		PreviousBlock: chainhash.Hash{block}, Seq: seq, Height: 100 + int32(block), Fees: int64(seq), FeesKnown: true,
		Value: 5_000_000_000 + int64(seq), Transactions: make([]gbt.Transaction, 2), Received: time.Now().Add(-ago),
	}
	f.err = nil
	close(f.changed)
	f.changed = make(chan struct{})
	return f.current
}

func (f *feed) lose(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	close(f.changed)
	f.changed = make(chan struct{})
}

// run runs something until the test ends, or until the function that it returns is called.
func run(t *testing.T, what interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- what.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// newTeller makes a Teller on a store that is also its journal.
func newTeller(t *testing.T, s *store, f *feed) *Teller {
	t.Helper()
	teller, err := NewTeller(TellerConfig{
		Events: s, Templates: f, Figures: s, Crowd: s, Journal: s,
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return teller
}

// field returns a member of an event that was told.
func field(t *testing.T, told, name string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(told), &m); err != nil {
		t.Fatalf("%s: %v", told, err)
	}
	return string(m[name])
}

// fields returns a member of each event that was told.
func fields(t *testing.T, told []string, name string) []string {
	t.Helper()
	var out []string
	for _, one := range told {
		out = append(out, field(t, one, name))
	}
	return out
}

// count reads a counter.
func count(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue()
}

// byWorker orders presences.
func byWorker(a, b shares.Presence) int {
	return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Worker, b.Worker))
}
