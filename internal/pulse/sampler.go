package pulse

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// sampleEvery is the time between two points of a series.
	sampleEvery = 10 * time.Minute
	// sampleAgain is how often what the store did not take is tried once more, until the next point is due.
	sampleAgain = 15 * time.Second
	// maxReasons bounds the reasons that have values of their own in a point: those with the most submissions.
	maxReasons = 24
)

// The series, by name, with the values of their points. The values of all but Delay and Fees are the pool's, so that
// it does not matter which gateway adds a point.
const (
	// SeriesHashRate has hash_rate_hs: what the accepted shares of the last 15 minutes prove.
	SeriesHashRate = "hash_rate"
	// SeriesWorkers has accounts_count and workers_count: those that had shares in the last 15 minutes.
	SeriesWorkers = "workers"
	// SeriesShares has accepted_total, stale_total and rejected_total, and refused_total:REASON for each reason: how
	// many submissions there were since the beginning. Charts show differences, so that no restart is seen in them.
	SeriesShares = "shares"
	// SeriesDelay has mean_seconds and max_seconds: how long after a node's answer templates were published in the
	// ten minutes before, and templates_count. They are of the gateway that was the first to add the point: what each
	// does is for Prometheus to tell.
	SeriesDelay = "template_delay"
	// SeriesFees has fees_sat, value_sat, transactions_count and height of the template in force. fees_sat is left
	// out if the node did not tell all fees.
	SeriesFees = "fees"
)

// Series keeps points.
type Series interface {
	// Add adds a point; false if there is one of that time, or of a later one.
	Add(ctx context.Context, name string, at time.Time, values map[string]float64) (bool, error)
}

// SamplerConfig configures a Sampler. Everything is required.
type SamplerConfig struct {
	Series    Series
	Templates Templates
	Figures   Figures
	Crowd     Crowd
	Log       *slog.Logger
}

// Sampler adds a point to each series every ten minutes of the clock, unless another gateway was first. While the
// store is away it tries until the next point is due, and then leaves one out.
type Sampler struct {
	cfg    SamplerConfig
	series outage
	delays delays
}

// NewSampler makes a Sampler.
func NewSampler(cfg SamplerConfig) (*Sampler, error) {
	if cfg.Series == nil || cfg.Templates == nil || cfg.Figures == nil || cfg.Crowd == nil || cfg.Log == nil {
		return nil, errors.New("pulse: everything is required of a Sampler")
	}
	return &Sampler{cfg: cfg, series: outage{log: cfg.Log, what: "series for charts"}}, nil
}

// Run adds points until ctx ends. It runs once.
func (s *Sampler) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		followTemplates(ctx, s.cfg.Templates, func(t *gbt.Template, prompt bool) {
			if prompt {
				s.delays.add(time.Since(t.Received))
			}
		})
		return nil
	})
	g.Go(func() error {
		eachSlot(ctx, sampleEvery, func(at time.Time) { s.sample(ctx, at) })
		return nil
	})
	return g.Wait()
}

// sample adds the points of a time.
func (s *Sampler) sample(ctx context.Context, at time.Time) {
	ctx, cancel := context.WithDeadline(ctx, at.Add(sampleEvery-sampleAgain))
	defer cancel()
	left := map[string]func(context.Context) (map[string]float64, error){
		SeriesHashRate: s.hashRate, SeriesWorkers: s.workers, SeriesShares: s.shares,
		SeriesDelay: fixed(s.delays.take()), SeriesFees: fixed(s.fees()),
	}
	for {
		var faults []error
		for _, name := range slices.Sorted(maps.Keys(left)) {
			if err := within(ctx, func(ctx context.Context) error { return s.add(ctx, name, at, left[name]) }); err != nil {
				faults = append(faults, err)
				continue
			}
			delete(left, name)
		}
		s.series.note(ctx, errors.Join(faults...))
		if len(left) == 0 {
			return
		}
		if pause(ctx, sampleAgain); ctx.Err() != nil {
			return
		}
	}
}

// add adds one point. One without values is left out.
func (s *Sampler) add(ctx context.Context, name string, at time.Time, of func(context.Context) (map[string]float64, error)) error {
	values, err := of(ctx)
	if err != nil || len(values) == 0 {
		return err
	}
	_, err = s.cfg.Series.Add(ctx, name, at, values)
	return err
}

// fixed returns values that are known.
func fixed(values map[string]float64) func(context.Context) (map[string]float64, error) {
	return func(context.Context) (map[string]float64, error) { return values, nil }
}

func (s *Sampler) hashRate(ctx context.Context) (map[string]float64, error) {
	pool, err := s.cfg.Figures.Pool(ctx)
	if err != nil {
		return nil, err
	}
	spans := shares.Spans()
	return map[string]float64{"hash_rate_hs": finite(pool.Rates[slices.Index(spans[:], lately)])}, nil
}

func (s *Sampler) workers(ctx context.Context) (map[string]float64, error) {
	accounts, workers, err := s.cfg.Crowd.Active(ctx, time.Now().Add(-lately))
	return map[string]float64{"accounts_count": float64(accounts), "workers_count": float64(workers)}, err
}

func (s *Sampler) shares(ctx context.Context) (map[string]float64, error) {
	pool, err := s.cfg.Figures.Pool(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{
		"accepted_total": float64(pool.Accepted), "stale_total": float64(pool.Stale()), "rejected_total": float64(pool.Rejected()),
	}
	reasons := slices.SortedFunc(maps.Keys(pool.Refused), func(a, b gbt.Reason) int {
		return cmp.Or(cmp.Compare(pool.Refused[b], pool.Refused[a]), cmp.Compare(a, b))
	})
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		out["refused_total:"+string(r)] = float64(pool.Refused[r])
	}
	return out, nil
}

// fees returns what the template in force is worth; nothing if there is none.
func (s *Sampler) fees() map[string]float64 {
	t, err := s.cfg.Templates.Current()
	if err != nil {
		return nil
	}
	out := map[string]float64{
		"value_sat": float64(t.Value), "transactions_count": float64(len(t.Transactions)), "height": float64(t.Height),
	}
	if t.FeesKnown {
		out["fees_sat"] = float64(t.Fees)
	}
	return out
}

// delays sums up how long templates took since the last point.
type delays struct {
	mu sync.Mutex
	// All below is held by mu.
	sum, most time.Duration
	count     int
}

func (d *delays) add(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delay = max(0, delay) // another gateway's clock may be ahead
	d.sum += delay
	d.most = max(d.most, delay)
	d.count++
}

// take returns the values of a point and begins the next; nothing if there was no template.
func (d *delays) take() map[string]float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == 0 {
		return nil
	}
	out := map[string]float64{
		"mean_seconds": d.sum.Seconds() / float64(d.count), "max_seconds": d.most.Seconds(), "templates_count": float64(d.count),
	}
	d.sum, d.most, d.count = 0, 0, 0
	return out
}
