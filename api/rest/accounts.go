package rest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// rankEvery is how often accounts are ranked anew, and ranksKept how many rankings are kept for those who are
	// on their way through the pages of an older one.
	rankEvery = time.Minute
	ranksKept = 3
	// rankedIdle is how many accounts are listed at most that have no part of what the next block pays, but a share
	// in the last day.
	rankedIdle = 10_000
	// readAtOnce is of how many accounts figures are read at a time for one who asks.
	readAtOnce = 8
)

// ranking is the accounts by weight, heaviest first, as they were at a moment. It is immutable.
type ranking struct {
	at   time.Time
	list []shares.Credit
}

// ranks are the newest rankings, newest first.
type ranks struct {
	mu   sync.Mutex
	kept []*ranking // held by mu
}

// compareRank orders credits by weight, heaviest first, and then by account.
func compareRank(a, b shares.Credit) int {
	return cmp.Or(cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Account, b.Account))
}

// rank returns the ranking of a moment, if it is kept; else the newest one.
func (v *Views) rank(ctx context.Context, moment int64) (*ranking, error) {
	v.ranks.mu.Lock()
	at := slices.IndexFunc(v.ranks.kept, func(r *ranking) bool { return r.at.UnixMilli() == moment })
	if at >= 0 {
		defer v.ranks.mu.Unlock()
		return v.ranks.kept[at], nil
	}
	v.ranks.mu.Unlock()
	return v.ranked.get(ctx)
}

// readRanking ranks the accounts anew.
func (v *Views) readRanking(ctx context.Context) (*ranking, error) {
	r := &ranking{at: v.cfg.Now()}
	if f := v.cfg.Forecasts.Current(); f != nil {
		r.list = slices.Clone(f.Weights)
	}
	heavy := make(map[string]bool, len(r.list))
	for i := range r.list {
		heavy[r.list[i].Account] = true
	}
	active, err := v.cfg.Presence.ActiveAccounts(ctx, r.at.Add(-idleFor), rankedIdle)
	if err != nil {
		return nil, err
	}
	for _, account := range active {
		if !heavy[account] {
			r.list = append(r.list, shares.Credit{Account: account})
			heavy[account] = true
		}
	}
	slices.SortFunc(r.list, compareRank)
	v.ranks.mu.Lock()
	defer v.ranks.mu.Unlock()
	v.ranks.kept = append([]*ranking{r}, v.ranks.kept...)
	v.ranks.kept = v.ranks.kept[:min(len(v.ranks.kept), ranksKept)]
	return r, nil
}

// rankPlace is a place in a ranking, as cursors have it: the entry before the page, and of which ranking.
type rankPlace struct {
	moment int64
	last   shares.Credit
}

func (p rankPlace) String() string {
	return fmt.Sprintf("%d.%d.%s", p.moment, int64(p.last.Weight), p.last.Account)
}

func parseRankPlace(text string) (rankPlace, error) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) != 3 {
		return rankPlace{}, errCursor()
	}
	moment, err1 := strconv.ParseInt(parts[0], 10, 64)
	weight, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil {
		return rankPlace{}, errCursor()
	}
	return rankPlace{moment, shares.Credit{Account: parts[2], Weight: shares.Weight(weight)}}, nil
}

// ListAccounts implements oas.StrictServerInterface. Who goes from page to page within some minutes sees each account
// once, in the order of when he began; later the pages go on in the order of now.
func (v *Views) ListAccounts(ctx context.Context, request oas.ListAccountsRequestObject) (oas.ListAccountsResponseObject, error) {
	limit, err := limitOf(request.Params.Limit)
	if err != nil {
		return nil, err
	}
	text, given, err := placeOf("a", request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	var place rankPlace
	if given {
		if place, err = parseRankPlace(text); err != nil {
			return nil, err
		}
	}
	r, err := v.rank(ctx, place.moment)
	if err != nil {
		return nil, err
	}
	from := 0
	if given {
		var found bool
		if from, found = slices.BinarySearchFunc(r.list, place.last, compareRank); found {
			from++
		}
	}
	names, err := v.cutOf(ctx, len(r.list), from, limit, func(i int) string { return r.list[i].Account })
	if err != nil {
		return nil, err
	}
	list := r.list[names.from:names.to]
	out := oas.ListAccounts200JSONResponse{Accounts: []oas.AccountSummary{}}
	if names.to < len(r.list) {
		out.NextCursor = cursor("a", rankPlace{r.at.UnixMilli(), list[len(list)-1]}.String())
	}
	out.Accounts, err = v.summaries(ctx, list, names.names)
	out.HiddenCount = len(list) - len(out.Accounts)
	return out, err
}

// summaries describes those of some accounts that may be shown.
func (v *Views) summaries(ctx context.Context, list []shares.Credit, names *names) ([]oas.AccountSummary, error) {
	accounts := make([]string, len(list))
	for i := range list {
		accounts[i] = list[i].Account
	}
	accounts = slices.DeleteFunc(accounts, func(a string) bool { return !names.shows(a) })
	out := make([]oas.AccountSummary, len(accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for i, account := range accounts {
		group.Go(func() error {
			f, err := v.figuresOf(ctx, account)
			if err != nil {
				return err
			}
			s := &f.account.Stats
			out[i] = oas.AccountSummary{
				Address: account, DisplayName: names.display(account), HashRatesHs: ratesOf(s), LastShareAt: timeOf(s.Last),
				AcceptedCount: s.Accepted, BestDifficulty: s.Best.Difficulty(), BlocksFoundCount: &s.Blocks,
			}
			return nil
		})
	}
	return out, group.Wait()
}
