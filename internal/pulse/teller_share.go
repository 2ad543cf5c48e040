package pulse

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// heardRoom is how many verdicts of watched accounts may wait to be gathered.
	heardRoom = 8192
	// gather is for how long verdicts are gathered into one event of each account.
	gather = 300 * time.Millisecond
	// maxGathered bounds the accounts that are told of at a time, and maxShareBytes what one is told: the log of
	// events takes 16 KiB.
	maxGathered, maxShareBytes = 1000, 8 << 10
	// maxReason bounds what is told of a reason, in bytes: a node may have a lot to say.
	maxReason = 64
	// watchedEvery is how often it is looked up who is watched.
	watchedEvery = 2 * time.Second
)

// verdict is what is told of one.
type verdict struct {
	account string
	said    shareSaid
}

type shareSaid struct {
	Worker     string    `json:"worker"`
	Accepted   bool      `json:"accepted"`
	Reason     string    `json:"reason,omitempty"`
	Difficulty float64   `json:"difficulty,omitempty"` // not known of what was refused
	Time       time.Time `json:"time"`
}

// sharesSaid is what one account is told. Omitted are those that were too many.
type sharesSaid struct {
	Shares  []json.RawMessage `json:"shares"`
	Omitted int               `json:"omitted_count,omitempty"`
	bytes   int
}

// watch keeps looking up who is watched.
func (t *Teller) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := within(ctx, func(ctx context.Context) error {
			accounts, err := t.cfg.Events.Watched(ctx)
			if err != nil {
				return err
			}
			set := make(map[string]struct{}, len(accounts))
			for _, a := range accounts {
				set[a] = struct{}{}
			}
			t.watched.Store(&set)
			return nil
		})
		t.watching.note(ctx, err)
		pause(ctx, watchedEvery)
	}
}

// hearShare takes what was ruled on a submission of a watched account. What nothing was ruled on is no news.
func (t *Teller) hearShare(s gbt.Submission, v gbt.Verdict) {
	account := s.Account.Address
	if _, watched := (*t.watched.Load())[account]; !watched || v.Err != nil {
		return
	}
	said := shareSaid{
		Worker: s.Worker, Accepted: v.Accepted(), Reason: string(v.Reason[:min(len(v.Reason), maxReason)]),
		Time: s.Received.UTC().Truncate(time.Millisecond),
	}
	if v.Accepted() {
		said.Difficulty = finite(v.Share.Target.Difficulty())
	}
	select {
	case t.heard <- verdict{account, said}:
	default:
		t.dropped.WithLabelValues(shares.EventShare).Inc()
	}
}

// tellShares gathers verdicts and tells them.
func (t *Teller) tellShares(ctx context.Context) {
	gathered := make(map[string]*sharesSaid)
	due := time.NewTimer(0)
	due.Stop()
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-t.heard:
			if len(gathered) == 0 {
				due.Reset(gather)
			}
			t.gather(gathered, v)
		case <-due.C:
			t.tellGathered(ctx, gathered)
			clear(gathered)
		}
	}
}

// gather adds a verdict to what its account is told.
func (t *Teller) gather(gathered map[string]*sharesSaid, v verdict) {
	said := gathered[v.account]
	if said == nil {
		if len(gathered) == maxGathered {
			t.dropped.WithLabelValues(shares.EventShare).Inc()
			return
		}
		said = new(sharesSaid)
		gathered[v.account] = said
	}
	text, err := json.Marshal(v.said)
	if err != nil || said.bytes+len(text) > maxShareBytes { // the year of a clock that is off may be no year of JSON
		said.Omitted++
		return
	}
	said.bytes += len(text)
	said.Shares = append(said.Shares, text)
}

// tellGathered tells what was gathered, or drops it: who watches looks at what is, not at what was.
func (t *Teller) tellGathered(ctx context.Context, gathered map[string]*sharesSaid) {
	events := make([]shares.Event, 0, len(gathered))
	n := 0
	for account, said := range gathered {
		n += len(said.Shares) + said.Omitted
		if said.Shares == nil {
			said.Shares = []json.RawMessage{}
		}
		e := event(shares.EventShare, "", said)
		e.Account = account
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b shares.Event) int { return cmp.Compare(a.Account, b.Account) })
	err := within(ctx, func(ctx context.Context) error { return t.cfg.Events.Publish(ctx, events...) })
	t.verdicts.note(ctx, err)
	if err != nil {
		t.dropped.WithLabelValues(shares.EventShare).Add(float64(n))
	}
}

// finite returns a number that JSON has: 0 for those that it has not.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// parseID reads the number of a settlement.
func parseID(field string) (uint64, error) { return strconv.ParseUint(field, 10, 64) }
