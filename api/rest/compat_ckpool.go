package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/shares"
)

// suffixed writes a number as ckpool does: three digits and a letter for powers of 1000, and a whole number below
// 1000. Readers know no letter above P, and no exponents, so that a thousand petahashes are 1000P.
func suffixed(n float64) string {
	if !(n >= 1) { // nor NaN
		return "0"
	}
	if n < 999.5 {
		return strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	}
	letters := "KMGTP"
	at := 0
	for n /= 1000; n >= 999.5 && at < len(letters)-1; n /= 1000 {
		at++
	}
	decimals := 0
	switch {
	case n < 9.995:
		decimals = 2
	case n < 99.95:
		decimals = 1
	}
	text := strconv.FormatFloat(n, 'f', decimals, 64)
	if decimals > 0 {
		text = string(bytes.TrimRight(bytes.TrimRight([]byte(text), "0"), "."))
	}
	return text + letters[at:at+1]
}

// ckpoolRates are hash rates as ckpool writes them.
type ckpoolRates struct {
	OneMinute   string `json:"hashrate1m"`
	FiveMinutes string `json:"hashrate5m"`
	OneHour     string `json:"hashrate1hr"`
	OneDay      string `json:"hashrate1d"`
	SevenDays   string `json:"hashrate7d"`
}

// ckpoolFigures are what ckpool tells of a worker and of a user alike. Work is in units of difficulty 1.
type ckpoolFigures struct {
	ckpoolRates
	LastShare int64   `json:"lastshare"` // seconds since 1970
	Shares    int64   `json:"shares"`
	BestShare float64 `json:"bestshare"`
	BestEver  int64   `json:"bestever"`
}

func newCkpoolFigures(s *shares.Stats) ckpoolFigures {
	r := s.Rates // in the order of shares.Spans
	out := ckpoolFigures{
		ckpoolRates: ckpoolRates{suffixed(r[0]), suffixed(r[1]), suffixed(r[3]), suffixed(r[5]), suffixed(r[6])},
		Shares:      difficulties(s.Unit.Hashes(s.Weight)), BestShare: s.Best.Difficulty(), BestEver: whole(s.Best.Difficulty()),
	}
	if !s.Last.IsZero() {
		out.LastShare = s.Last.Unix()
	}
	return out
}

// hashesPerDifficulty is how many hashes difficulty 1 takes on average, as ckpool counts.
const hashesPerDifficulty = 1 << 32

func difficulties(hashes float64) int64 { return whole(hashes / hashesPerDifficulty) }

// whole returns the whole number below a figure, as far as programs that keep numbers as doubles can tell it.
func whole(n float64) int64 { return int64(min(max(0, math.Floor(n)), 1<<53)) }

type ckpoolWorker struct {
	WorkerName string `json:"workername"`
	ckpoolFigures
}

// ckpoolUser is an account as ckpool keeps it in a file of its own. There is none for who has no share.
func (v *Views) ckpoolUser(ctx context.Context, r *http.Request) (any, error) {
	account, f, err := v.compatFigures(ctx, r)
	if err != nil {
		return nil, err
	}
	if !f.known {
		return nil, problem(http.StatusNotFound, "the account has no share yet")
	}
	out := struct {
		ckpoolFigures
		Workers    int            `json:"workers"`
		Authorised int64          `json:"authorised"` // seconds since 1970
		Worker     []ckpoolWorker `json:"worker"`
	}{newCkpoolFigures(&f.account.Stats), 0, f.account.First.Unix(), make([]ckpoolWorker, 0, len(f.workers))}
	for i := range f.workers {
		w := &f.workers[i]
		name := account
		if w.Worker != "" {
			name += "." + w.Worker
		}
		if statusOf(w.Last, v.cfg.Now()) == oas.Active {
			out.Workers++
		}
		out.Worker = append(out.Worker, ckpoolWorker{name, newCkpoolFigures(&w.Stats)})
	}
	return out, nil
}

// ckpoolStatus is the pool as ckpool keeps it in a file: three lines, each an object. diff is the part of a block's
// work that the round has, in per cent, and accepted and rejected are of the round.
func (v *Views) ckpoolStatus(ctx context.Context, _ *http.Request) (any, error) {
	stats, err := v.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	present, err := v.presence.get(ctx)
	if err != nil {
		return nil, err
	}
	now, r, round := v.cfg.Now(), stats.Rates, v.ckpoolRound(&stats)
	var out bytes.Buffer
	for _, line := range []any{
		struct {
			Runtime      int64 `json:"runtime"`
			LastUpdate   int64 `json:"lastupdate"`
			Users        int   `json:"Users"`
			Workers      int   `json:"Workers"`
			Idle         int   `json:"Idle"`
			Disconnected int   `json:"Disconnected"`
		}{int64(now.Sub(v.cfg.Started) / time.Second), now.Unix(), present.accounts, present.workers, 0, 0},
		struct {
			OneMinute      string `json:"hashrate1m"`
			FiveMinutes    string `json:"hashrate5m"`
			FifteenMinutes string `json:"hashrate15m"`
			OneHour        string `json:"hashrate1hr"`
			SixHours       string `json:"hashrate6hr"`
			OneDay         string `json:"hashrate1d"`
			SevenDays      string `json:"hashrate7d"`
		}{suffixed(r[0]), suffixed(r[1]), suffixed(r[2]), suffixed(r[3]), suffixed(r[4]), suffixed(r[5]), suffixed(r[6])},
		round,
	} {
		text, err := json.Marshal(line)
		if err != nil {
			return nil, fmt.Errorf("pool.status: %w", err)
		}
		out.Write(append(text, '\n'))
	}
	return out.Bytes(), nil
}

// ckpoolRound is the third line of pool.status.
type ckpoolRound struct {
	Diff           float64 `json:"diff"`
	Accepted       int64   `json:"accepted"`
	Rejected       int64   `json:"rejected"`
	BestShare      int64   `json:"bestshare"`
	OneMinute      float64 `json:"SPS1m"`
	FiveMinutes    float64 `json:"SPS5m"`
	FifteenMinutes float64 `json:"SPS15m"`
	OneHour        float64 `json:"SPS1h"`
}

func (v *Views) ckpoolRound(stats *shares.Stats) ckpoolRound {
	out := ckpoolRound{BestShare: whole(stats.Best.Difficulty())}
	if f := v.cfg.Forecasts.Current(); f != nil {
		out.Accepted = difficulties(f.Unit.Hashes(f.Round.Total))
		out.Diff = math.Round(ratio(f.Round.Total, f.Network)*10_000) / 100
	}
	if stats.Accepted == 0 {
		return out
	}
	// What was refused has no weight; it is taken for as much as other shares.
	out.Rejected = whole(float64(out.Accepted) * float64(stats.Stale()+stats.Rejected()) / float64(stats.Accepted))
	average := max(1, stats.Unit.Hashes(stats.Weight)/float64(stats.Accepted))
	perSecond := func(rate float64) float64 { return math.Round(rate/average*1000) / 1000 }
	r := stats.Rates // in the order of shares.Spans
	out.OneMinute, out.FiveMinutes, out.FifteenMinutes, out.OneHour = perSecond(r[0]), perSecond(r[1]), perSecond(r[2]), perSecond(r[3])
	return out
}
