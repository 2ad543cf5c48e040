package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gbtpool/gbtpool/api/recent"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// ConductConfig configures a Conduct. What is zero takes its default.
type ConductConfig struct {
	// Bans puts bans in force. Required.
	Bans Banner
	// Proxies are the trusted proxies, whose own addresses are never banned. Required.
	Proxies *Proxies

	// Window is how far back submissions count; default 5 min.
	Window time.Duration
	// Minimum is how many invalid submissions in the window it takes, from one account at one
	// address; default 100. Percent is what part of all submissions they must be more than;
	// default 50. AddressMinimum is how many it takes from an address, whatever account they name;
	// default ten times Minimum.
	Minimum, AddressMinimum, Percent int
	// First is how long the first ban lasts; default 10 min. Each further one lasts twice as long
	// as the one before, and Most at most; default 1 day. After as long without one all is forgotten.
	First, Most time.Duration
	// Track is how many accounts at an address are kept in mind; default 20000.
	Track int

	// Now and Log are required.
	Now func() time.Time
	Log *slog.Logger
}

// Banner puts bans in force.
type Banner interface {
	Ban(ctx context.Context, ban shares.Ban) error
}

// byConduct is who bans for invalid work.
const byConduct = "conduct"

// slots is how many parts the window moves on in.
const slots = 10

// Conduct hears the verdict on each submission, and bans whoever sends little but invalid work, for
// a reason that says what to change. It bans an account at an address: the account alone can be
// named by anybody. An address as a whole is banned if it sends much more of that, in whose name ever.
// It is safe for concurrent use.
//
// What may be the pool's fault does not count as invalid: stale work, work that is not known, and
// what could not be ruled on. Duplicates count as far as there are more of them than of accepted shares:
// a program that did not hear an answer asks again.
type Conduct struct {
	cfg  ConductConfig
	bans chan shares.Ban
	mu   sync.Mutex
	// records is held by mu.
	records *recent.Map[place, *record]
}

// NewConduct makes a Conduct. Call Run to have bans put in force.
func NewConduct(cfg ConductConfig) (*Conduct, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("guard: Conduct: %w", err)
	}
	return &Conduct{
		cfg: cfg, bans: make(chan shares.Ban, 64), records: recent.New[place, *record](cfg.Track),
	}, nil
}

func (cfg *ConductConfig) complete() error {
	if cfg.Bans == nil || cfg.Proxies == nil || cfg.Now == nil || cfg.Log == nil {
		return errors.New("Bans, Proxies, Now and Log are required")
	}
	if cfg.Minimum == 0 {
		cfg.Minimum = 100
	}
	for _, f := range []struct {
		value    *int
		fallback int
	}{{&cfg.Minimum, 0}, {&cfg.AddressMinimum, 10 * cfg.Minimum}, {&cfg.Percent, 50}, {&cfg.Track, 20000}} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
		if *f.value < 0 {
			return errors.New("a number is negative")
		}
	}
	for _, f := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&cfg.Window, 5 * time.Minute}, {&cfg.First, 10 * time.Minute}, {&cfg.Most, 24 * time.Hour}} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
		if *f.value < time.Second {
			return errors.New("a duration is shorter than a second")
		}
	}
	if cfg.First > cfg.Most || cfg.Percent >= 100 {
		return errors.New("the first ban must not last longer than Most, and Percent must be below 100")
	}
	return nil
}

// Run puts bans in force until ctx ends.
func (c *Conduct) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ban := <-c.bans:
			attrs := []slog.Attr{
				slog.String("subject", string(ban.Subject)), slog.String("reason", ban.Reason), slog.Time("until", ban.Until),
			}
			level := slog.LevelInfo
			if err := c.cfg.Bans.Ban(ctx, ban); err != nil {
				level, attrs = slog.LevelWarn, append(attrs, slog.Any("error", err))
			}
			c.cfg.Log.LogAttrs(ctx, level, "banned for invalid work", attrs...)
		}
	}
}

// Hear takes in the verdict on a submission. The context names the client; a submission whose
// client is not known counts for nothing, nor does a block, whatever became of it.
func (c *Conduct) Hear(ctx context.Context, s gbt.Submission, v gbt.Verdict) {
	client := ClientOf(ctx)
	network := Network(client)
	if !network.IsValid() || v.Err != nil || v.Block {
		return
	}
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	// Behind this machine's address there may be a proxy that nobody has told of, and behind that are all.
	if !c.cfg.Proxies.trusts(plain(client)) && !plain(client).IsLoopback() {
		c.count(place{network: network}, v.Reason, now, c.cfg.AddressMinimum)
	}
	if s.Account.Address != "" {
		c.count(place{s.Account.Address, network}, v.Reason, now, c.cfg.Minimum)
	}
}

// count adds to a record, and bans if that was enough.
func (c *Conduct) count(at place, reason gbt.Reason, now time.Time, minimum int) {
	r, ok := c.records.Get(at)
	if !ok {
		r = new(record)
		c.records.Put(at, r)
	}
	r.add(reason, now.UnixNano()/(int64(c.cfg.Window)/slots))
	sum := r.sum()
	invalid, total := sum.invalid(), sum.total()
	if invalid < minimum || invalid*100 <= c.cfg.Percent*total {
		return
	}
	if now.Sub(r.until) > c.cfg.Most {
		r.bans = 0
	}
	lasts := c.cfg.Most
	if r.bans < 16 {
		lasts = min(lasts, c.cfg.First<<r.bans)
	}
	since := now.Truncate(time.Millisecond)
	ban := shares.Ban{
		Subject: subjectOf(at.account, at.network), Reason: sum.text(), Since: since, Until: since.Add(lasts), By: byConduct,
	}
	select {
	case c.bans <- ban:
		*r = record{bans: r.bans + 1, until: ban.Until}
	default: // the next invalid submission tries again
	}
}

// record is what is known of one place.
type record struct {
	// parts are the parts of the window, the newest of which is that of time newest.
	parts  [slots]tally
	newest int64
	// bans counts those so far, the last of which lasts until until.
	bans  int
	until time.Time
}

// add counts a submission in the part of time now.
func (r *record) add(reason gbt.Reason, now int64) {
	for r.newest = max(r.newest, now-slots); r.newest < now; {
		r.newest++
		r.parts[r.newest%slots] = tally{}
	}
	r.parts[r.newest%slots].add(reason)
}

func (r *record) sum() (t tally) {
	for i := range r.parts {
		t.accepted += r.parts[i].accepted
		t.duplicates += r.parts[i].duplicates
		t.neutral += r.parts[i].neutral
		for j, n := range r.parts[i].faults {
			t.faults[j] += n
		}
	}
	return t
}

// tally counts submissions.
type tally struct {
	accepted, duplicates, neutral int
	faults                        [numFaults]int
}

func (t *tally) add(reason gbt.Reason) {
	list := faults()
	at := slices.IndexFunc(list[:], func(f fault) bool { return f.reason == reason })
	switch {
	case reason == "":
		t.accepted++
	case reason == gbt.Duplicate:
		t.duplicates++
	case at >= 0:
		t.faults[at]++
	default:
		t.neutral++
	}
}

// repeated is how many of the duplicates count as invalid.
func (t *tally) repeated() int { return max(0, t.duplicates-t.accepted) }

func (t *tally) invalid() int {
	n := t.repeated()
	for _, count := range t.faults {
		n += count
	}
	return n
}

func (t *tally) total() int {
	return t.invalid() + t.accepted + t.neutral + t.duplicates - t.repeated()
}

// text says what was wrong and what to change. It has at most 200 characters, which is what a store keeps.
func (t *tally) text() string {
	worst := fault{gbt.Duplicate, "your program sends the same work again: give each miner work of its own, or update it"}
	most := t.repeated()
	for i, f := range faults() {
		if t.faults[i] > most {
			worst, most = f, t.faults[i]
		}
	}
	return fmt.Sprintf("%d of your last %d submissions were invalid, %d of them %s: %s", t.invalid(), t.total(), most, worst.reason, worst.advice)
}

// fault is a reason that is the miner's own fault, and what to do about it.
type fault struct {
	reason gbt.Reason
	advice string
}

const numFaults = 12

// faults are all there are. What else a submission may be refused for is neutral.
func faults() [numFaults]fault {
	const (
		coinbase = "your program changes the coinbase as it must not: turn off what does"
		clock    = "the time in your blocks is wrong: set your machine's clock"
	)
	return [numFaults]fault{
		{gbt.HighHash, "your program does not keep to the share target: it is the \"target\" of the template"},
		{gbt.Rejected, "what your program sends is no block: update it"},
		{gbt.BadCbFlag, coinbase},
		{gbt.BadCbLength, coinbase},
		{gbt.BadCbPrefix, coinbase},
		{gbt.BadDiffbits, "your program does not take \"bits\" from the template: update it"},
		{gbt.BadTxnmrklroot, "the merkle root is not that of the transactions: update your program"},
		{gbt.BadTxns, "the transactions in your blocks are not valid: let the pool choose them"},
		{gbt.BadVersion, "your program changes version bits that it must not: turn that off"},
		{gbt.TimeInvalid, clock},
		{gbt.TimeTooNew, clock},
		{gbt.TimeTooOld, clock},
	}
}
