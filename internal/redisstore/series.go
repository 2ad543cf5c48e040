package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// yearOfTens is how many points a series keeps unless told otherwise: a year of one each ten minutes.
	yearOfTens = 52_704
	// maxValues is the most values of one point.
	maxValues = 32
	// maxPoints is the most points that Range is asked for.
	maxPoints = 10_000
	// endOfTime is behind every point, in Unix milliseconds (the year 10889), so that steps do not overflow.
	endOfTime = 1 << 48
)

// SeriesConfig configures Series. Ledger is required.
type SeriesConfig struct {
	// Ledger is beside which the series lie.
	Ledger *Ledger
	// Keep is how many points of a series are kept, or up to a hundred more; a year of ten minutes if 0.
	Keep int
}

// Series keeps how the pool was over time, for charts. Each point is added once, whichever gateway is first. Memory:
// a point takes some twenty bytes a value, and there are Keep of them; the names of series are the program's own.
type Series struct {
	*Ledger
	keep int
}

// NewSeries makes Series.
func NewSeries(cfg SeriesConfig) (*Series, error) {
	if cfg.Ledger == nil || cfg.Keep < 0 {
		return nil, errors.New("series: Ledger is required, and Keep not below 0")
	}
	if cfg.Keep == 0 {
		cfg.Keep = yearOfTens
	}
	return &Series{cfg.Ledger, cfg.Keep}, nil
}

// errAhead says that a point is of the future. With it in the series nothing could be added until then.
var errAhead = errors.New("by redis's clock that time is more than a minute ahead")

// Add adds a point to a series. It returns false if there is one of that time, or of a later one, already: then
// another gateway was first. The caller has all gateways take the same times, such as whole ten minutes. The point's
// values must be finite and at most 32.
func (s *Series) Add(ctx context.Context, name string, at time.Time, values map[string]float64) (bool, error) {
	if err := checkName("the name of a series", name); err != nil {
		return false, err
	}
	if len(values) == 0 || len(values) > maxValues || at.UnixMilli() <= 0 {
		return false, fmt.Errorf("series %s: %w: a point of %d values at %s", name, shares.ErrMalformed, len(values), at)
	}
	args := []any{s.keep, at.UnixMilli()}
	// In one order: Redis keeps the names once if they are those of the point before.
	for _, value := range slices.Sorted(maps.Keys(values)) {
		if v := values[value]; math.IsNaN(v) || math.IsInf(v, 0) {
			return false, fmt.Errorf("series %s: %w: %s is %g", name, shares.ErrMalformed, value, v)
		}
		args = append(args, value, strconv.FormatFloat(values[value], 'g', -1, 64))
	}
	v, err := s.ask(ctx, s.scripts.point, []string{s.series(name)}, args...)
	n, ok := v.(int64)
	switch {
	case err == nil && !ok:
		err = errReply
	case err == nil && n < 0:
		err = errAhead
	}
	if err != nil {
		return false, fmt.Errorf("series %s at %s: %w", name, at.UTC().Format(time.RFC3339), err)
	}
	return n == 1, nil
}

// Range returns the points of a series from one time up to and with another, the oldest first, at most most of them
// and one. If there are more, time is divided into steps of one length, and each has its first point.
func (s *Series) Range(ctx context.Context, name string, from, to time.Time, most int) ([]shares.Point, error) {
	if _, err := s.opened(); err != nil {
		return nil, err
	}
	first, last := max(0, from.UnixMilli()), min(to.UnixMilli(), endOfTime)
	if first > last || most < 1 {
		return nil, nil
	}
	step := (last-first)/int64(min(most, maxPoints)) + 1
	var cmds []*redis.XMessageSliceCmd
	// Redis finds the first point of a step without reading the others. The steps begin at multiples of their
	// length, so that a chart does not flicker as time goes on.
	_, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for begin := first - first%step; begin <= last; begin += step {
			end := min(begin+step-1, last)
			cmds = append(cmds, p.XRangeN(ctx, s.series(name), strconv.FormatInt(max(begin, first), 10), strconv.FormatInt(end, 10), 1))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("series %s: %w", name, translate(err))
	}
	var out []shares.Point
	for _, cmd := range cmds {
		for _, message := range cmd.Val() {
			p, err := readPoint(message)
			if err != nil {
				return nil, fmt.Errorf("series %s: %w", name, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// readPoint reads an entry of the stream.
func readPoint(m redis.XMessage) (shares.Point, error) {
	place, err := parsePlace(m.ID)
	if err != nil {
		return shares.Point{}, err
	}
	p := shares.Point{At: time.UnixMilli(place.Millis).UTC(), Values: make(map[string]float64, len(m.Values))}
	for name, v := range m.Values {
		text, _ := v.(string)
		if p.Values[name], err = strconv.ParseFloat(text, 64); err != nil {
			return shares.Point{}, fmt.Errorf("%s at %s: %w: %w", name, m.ID, errReply, err)
		}
	}
	return p, nil
}

// series is the key of a series.
func (s *Series) series(name string) string { return s.keys.pool("series:" + name) }
