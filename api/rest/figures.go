package rest

import (
	"cmp"
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// activeFor is for how long after its last share a worker counts as active, and idleFor as idle.
const (
	activeFor = 15 * time.Minute
	idleFor   = 24 * time.Hour
)

// timeOf returns a time as answers have it; nil for never.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// textOf returns a text; nil if it is empty.
func textOf(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// hashes returns the expected hashes that a weight stands for, exactly.
func hashes(w shares.Weight, unit shares.Unit) string {
	n := big.NewInt(int64(max(w, 0)))
	return n.Lsh(n, uint(unit)).String()
}

// ratio returns a part of a whole; 0 if there is none.
func ratio(part, whole shares.Weight) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func ratesOf(s *shares.Stats) oas.HashRates {
	r := s.Rates // in the order of shares.Spans
	return oas.HashRates{
		OneMinute: r[0], FiveMinutes: r[1], FifteenMinutes: r[2], OneHour: r[3], SixHours: r[4], OneDay: r[5], SevenDays: r[6],
	}
}

func sharesOf(s *shares.Stats) oas.Shares {
	out := oas.Shares{
		AcceptedCount: s.Accepted, StaleCount: s.Stale(), RejectedCount: s.Rejected(),
		WorkHashes: hashes(s.Weight, s.Unit), BestDifficulty: s.Best.Difficulty(),
		FirstAt: timeOf(s.First), LastAt: timeOf(s.Last), Rejects: make([]oas.Reject, 0, len(s.Refused)),
	}
	for reason, count := range s.Refused {
		out.Rejects = append(out.Rejects, oas.Reject{Reason: string(reason), Count: count, Explanation: gbt.Explain(reason, "")})
	}
	slices.SortFunc(out.Rejects, func(a, b oas.Reject) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	return out
}

// statusOf says how a worker is, by the age of its last share.
func statusOf(last, now time.Time) oas.WorkerStatus {
	switch age := now.Sub(last); {
	case last.IsZero() || age > idleFor:
		return oas.Offline
	case age > activeFor:
		return oas.Idle
	default:
		return oas.Active
	}
}

// figures are those of an account and its workers; known is false if it never had a share.
type figures struct {
	account shares.AccountStats
	workers []shares.WorkerStats // by name
	known   bool
}

// figuresOf returns the figures of an account, which may be some seconds old.
func (v *Views) figuresOf(ctx context.Context, account string) (*figures, error) {
	return v.accounts.get(ctx, account, v.readFigures(account))
}

// readFigures returns what reads the figures of an account.
func (v *Views) readFigures(account string) func(context.Context) (*figures, error) {
	return func(ctx context.Context) (*figures, error) {
		a, workers, err := v.cfg.Figures.Account(ctx, account)
		if errors.Is(err, shares.ErrUnknown) {
			return &figures{account: shares.AccountStats{Account: account, Stats: shares.Stats{Unit: v.cfg.Unit}}}, nil
		}
		if err != nil {
			return nil, err
		}
		slices.SortFunc(workers, func(a, b shares.WorkerStats) int { return strings.Compare(a.Worker, b.Worker) })
		return &figures{account: a, workers: workers, known: true}, nil
	}
}

// standing is what an account has beside its figures: what its owner has set, and its balance and own threshold in
// satoshis, 0 if it has none.
type standing struct {
	profile            shares.Profile
	balance, threshold int64
}

// standingOf returns the standing of an account, which may be some seconds old.
func (v *Views) standingOf(ctx context.Context, account string) (*standing, error) {
	return v.standings.get(ctx, account, v.readStanding(account))
}

// readStanding returns what reads the standing of an account, all at once.
func (v *Views) readStanding(account string) func(context.Context) (*standing, error) {
	return func(ctx context.Context) (*standing, error) {
		var s standing
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			s.profile, err = v.cfg.Profiles.Profile(ctx, account)
			return err
		})
		group.Go(func() (err error) {
			s.balance, err = v.cfg.Journal.Balance(ctx, payouts.Miner(account))
			return err
		})
		group.Go(func() (err error) {
			s.threshold, err = v.thresholdOf(ctx, account)
			return err
		})
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return &s, nil
	}
}

// presence is who works.
type presence struct{ accounts, workers int }

func (v *Views) readPresence(ctx context.Context) (presence, error) {
	accounts, workers, err := v.cfg.Presence.Active(ctx, v.cfg.Now().Add(-activeFor))
	return presence{accounts, workers}, err
}

// maxPrograms is how many mining programs are told of: what a program calls itself is its own choice.
const maxPrograms = 50

// readPrograms counts workers by program, those of the most workers first.
func (v *Views) readPrograms(ctx context.Context) ([]oas.Program, error) {
	agents, err := v.cfg.Presence.Agents(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]oas.Program, 0, len(agents))
	for name, count := range agents {
		out = append(out, oas.Program{Name: name, WorkersCount: count})
	}
	slices.SortFunc(out, func(a, b oas.Program) int {
		return cmp.Or(cmp.Compare(b.WorkersCount, a.WorkersCount), strings.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), maxPrograms)], nil
}
