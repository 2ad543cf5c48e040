package rest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/shares"
)

// seriesPoints is how many points a series has at most: more than a screen shows.
const seriesPoints = 400

// spanOf returns how far back a span goes.
func spanOf(span *oas.Span) (oas.Span, time.Duration, error) {
	s := oas.N1D
	if span != nil {
		s = *span
	}
	const day = 24 * time.Hour
	switch s {
	case oas.N1H:
		return s, time.Hour, nil
	case oas.N1D:
		return s, day, nil
	case oas.N7D:
		return s, 7 * day, nil
	case oas.N30D:
		return s, 30 * day, nil
	case oas.N1Y:
		return s, 365 * day, nil
	default:
		return s, 0, problem(http.StatusBadRequest, "there is no span %q: give 1h, 1d, 7d, 30d or 1y", string(s))
	}
}

// rateName is the name of hash rates in series.
const rateName = "hash_rate_hs"

// GetHistory implements oas.StrictServerInterface.
func (v *Views) GetHistory(ctx context.Context, request oas.GetHistoryRequestObject) (oas.GetHistoryResponseObject, error) {
	if !request.Metric.Valid() {
		return nil, problem(http.StatusNotFound, "there is no history of %q", string(request.Metric))
	}
	span, length, err := spanOf(request.Params.Span)
	if err != nil {
		return nil, err
	}
	if v.cfg.Series == nil {
		if request.Metric != oas.MetricHashRate {
			return nil, problem(http.StatusNotFound, "this pool keeps no history of %s", string(request.Metric))
		}
		out, err := v.rates(ctx, shares.Who{}, span)
		return oas.GetHistory200JSONResponse(out), err
	}
	now := v.cfg.Now()
	points, err := v.cfg.Series.Range(ctx, string(request.Metric), now.Add(-length), now, seriesPoints)
	if err != nil {
		return nil, err
	}
	return oas.GetHistory200JSONResponse(seriesOf(request.Metric, span, length, points)), nil
}

// seriesOf describes points, each with all values that any has.
func seriesOf(metric oas.Metric, span oas.Span, length time.Duration, points []shares.Point) oas.Series {
	all := make(map[string]bool)
	for _, p := range points {
		for name := range p.Values {
			all[name] = true
		}
	}
	out := oas.Series{
		Metric: string(metric), Span: string(span), Names: slices.Sorted(maps.Keys(all)),
		StepSeconds: max(1, int(length.Seconds())/seriesPoints), Points: make([]oas.Point, 0, len(points)),
	}
	if out.Names == nil {
		out.Names = []string{}
	}
	for i, p := range points {
		if i > 0 {
			if step := int(p.At.Sub(points[i-1].At).Seconds()); i == 1 || step < out.StepSeconds {
				out.StepSeconds = max(1, step)
			}
		}
		values := make([]*float64, len(out.Names))
		for k, name := range out.Names {
			if value, ok := p.Values[name]; ok {
				values[k] = &value
			}
		}
		out.Points = append(out.Points, oas.Point{At: p.At.UTC(), Values: values})
	}
	return out
}

// GetAccountHistory implements oas.StrictServerInterface.
func (v *Views) GetAccountHistory(ctx context.Context, request oas.GetAccountHistoryRequestObject) (oas.GetAccountHistoryResponseObject, error) {
	span, _, err := spanOf(request.Params.Span)
	if err != nil {
		return nil, err
	}
	account, err := v.visible(ctx, request.Address)
	if err != nil {
		return nil, err
	}
	who := shares.Who{Account: account}
	if w := request.Params.Worker; w != nil {
		who.Worker, who.OfWorker = workerName(*w), true
	}
	out, err := v.rates(ctx, who, span)
	return oas.GetAccountHistory200JSONResponse(out), err
}

// rates describes somebody's hash rate. Who has no share yet has none.
func (v *Views) rates(ctx context.Context, who shares.Who, span oas.Span) (oas.Series, error) {
	kept := map[oas.Span]shares.HistorySpan{oas.N1H: shares.OneHour, oas.N1D: shares.OneDay, oas.N7D: shares.SevenDays}
	of, ok := kept[span]
	if !ok {
		return oas.Series{}, problem(http.StatusBadRequest, "hash rates are kept for seven days: give 1h, 1d or 7d")
	}
	points, err := v.cfg.Histories.History(ctx, who, of)
	if err != nil && !errors.Is(err, shares.ErrUnknown) {
		return oas.Series{}, err
	}
	out := oas.Series{
		Metric: string(oas.MetricHashRate), Span: string(span), Names: []string{rateName}, StepSeconds: 1, Points: make([]oas.Point, 0, len(points)),
	}
	for _, p := range points {
		rate := p.Rate
		point := oas.Point{At: p.Start.UTC(), Values: []*float64{&rate}}
		if p.Partial {
			point.Partial = &p.Partial
		} else {
			out.StepSeconds = p.Seconds
		}
		out.Points = append(out.Points, point)
	}
	return out, nil
}
