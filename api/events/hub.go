// Package events tells people and their programs what happens in the pool, as it happens: GET /api/v1/events as
// server-sent events (HTML, section 9.2). One reader per process follows the event log, which all gateways write,
// and hands each event to the streams that it is for; an event is made into text once. A client that comes back
// with Last-Event-ID, to whichever gateway, is sent what it has missed, each once and in order, from memory or from
// the log; if the log does not have it any more, the client is told of the gap. A client that does not keep up is
// cut and comes back the same way, so that nobody waits for anybody.
package events

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/shares"
)

// Source is the pool's event log. Implementations are safe for concurrent use.
type Source interface {
	// After returns the events after the one with an ID, oldest first, at most a number of them. An ID that no event
	// has stands for its place. gap reports that some after it are not kept any more, or that the log ends before it.
	After(ctx context.Context, id string, most int) (events []shares.Event, gap bool, err error)
	// Last returns the newest event's ID; 0-0 or empty if there is none.
	Last(ctx context.Context) (string, error)
	// Watch asks all gateways for the events of accounts' shares for a time. It takes up to 1000 accounts.
	Watch(ctx context.Context, accounts []string, d time.Duration) error
}

// Config configures a Hub. Everything is required but Client; begin Limits with DefaultLimits.
type Config struct {
	Source Source
	// Caller returns the account of the token that a request came with; false if it came with none of an account.
	Caller func(ctx context.Context) (account string, ok bool)
	// Client returns whom a request counts for in Limits.PerClient. Without it that is the IPv4 address, or the IPv6
	// network of 64 bits, that the connection came from.
	Client func(r *http.Request) string
	// Problem writes an error (RFC 9457).
	Problem  func(w http.ResponseWriter, status int, detail string)
	Registry prometheus.Registerer
	Log      *slog.Logger
	Limits   Limits
}

// Limits bound what streams take.
type Limits struct {
	// Streams bounds the streams at a time, and PerClient those of one client.
	Streams, PerClient int
	// Queue is how many events a stream may be behind before it is cut, and Ring how many are kept in memory for
	// those who come back.
	Queue, Ring int
	// Poll is how often the log is looked at, and Away how often while it does not answer.
	Poll, Away time.Duration
	// Heartbeat is after how long without an event a stream is sent a comment, so that it is not taken for dead.
	Heartbeat time.Duration
	// Write is how long a client may take to read a few events.
	Write time.Duration
	// Retry is after how long, on average, clients come back whose stream has ended.
	Retry time.Duration
	// Age is after how long a stream ends, up to a tenth less. Its client comes back, with a token that is still good.
	Age time.Duration
}

// DefaultLimits suit a pool on the open Internet.
func DefaultLimits() Limits {
	return Limits{
		Streams: 10_000, PerClient: 32, Queue: 128, Ring: 8192,
		Poll: 250 * time.Millisecond, Away: 2 * time.Second,
		Heartbeat: 15 * time.Second, Write: 10 * time.Second, Retry: 3 * time.Second, Age: 30 * time.Minute,
	}
}

func (l Limits) validate() error {
	if l.Streams <= 0 || l.PerClient <= 0 || l.Queue <= 0 || l.Ring <= 0 || l.Poll <= 0 || l.Away <= 0 ||
		l.Heartbeat <= 0 || l.Write <= 0 || l.Retry <= 0 || l.Age <= 0 {
		return errors.New("events: every limit must be above 0; begin with DefaultLimits")
	}
	return nil
}

const (
	// page is how many events are read from the log at a time.
	page = 512
	// back is how far before its start a Hub reads: clients of the one before it come back then.
	back = 2 * time.Minute
	// readers is how many streams read the log themselves at a time.
	readers = 4
	// patience is how long the log may take to answer.
	patience = 5 * time.Second
)

// Hub follows the event log and serves streams. All methods are safe for concurrent use.
type Hub struct {
	cfg     Config
	metrics *metrics
	// reading holds a token for each stream that reads the log itself.
	reading chan struct{}
	// wanted is told when there is an account to watch that was not there before.
	wanted chan struct{}

	mu sync.Mutex
	// All below is held by mu. streams are all, and attached those that get events; byAccount has the attached ones
	// of accounts.
	streams   map[*stream]struct{}
	attached  map[*stream]struct{}
	byAccount map[string]map[*stream]struct{}
	byClient  map[string]int
	// ring has the events after base up to newest, once placed.
	ring         []*frame
	base, newest place
	placed       bool
	closed       bool
}

// New makes a Hub. Without Run its streams get nothing but heartbeats.
func New(cfg Config) (*Hub, error) {
	if cfg.Source == nil || cfg.Caller == nil || cfg.Problem == nil || cfg.Registry == nil || cfg.Log == nil {
		return nil, errors.New("events: Source, Caller, Problem, Registry and Log are required")
	}
	if err := cfg.Limits.validate(); err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = network
	}
	h := &Hub{
		cfg: cfg, reading: make(chan struct{}, readers), wanted: make(chan struct{}, 1),
		streams: make(map[*stream]struct{}), attached: make(map[*stream]struct{}),
		byAccount: make(map[string]map[*stream]struct{}), byClient: make(map[string]int),
	}
	var err error
	h.metrics, err = newMetrics(cfg.Registry)
	return h, err
}

// Run follows the event log until ctx ends, and then ends all streams: their clients go to another gateway. It runs
// once.
func (h *Hub) Run(ctx context.Context) error {
	defer h.close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		h.follow(ctx)
		return nil
	})
	g.Go(func() error {
		h.watch(ctx)
		return nil
	})
	return g.Wait()
}

// follow hands out what comes into the log. While the log does not answer, nothing comes, and nothing is missed: the
// next events are those after the last one.
func (h *Hub) follow(ctx context.Context) {
	away := false
	for ctx.Err() == nil {
		more, err := h.step(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !away:
			h.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "events cannot be read", slog.Any("error", err))
		case err == nil && away:
			h.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "events can be read again")
		}
		away = err != nil
		switch {
		case away:
			h.metrics.faults.Inc()
			pause(ctx, h.cfg.Limits.Away)
		case !more:
			pause(ctx, h.cfg.Limits.Poll)
		}
	}
}

// step hands out what has come since the last step, and reports whether there may be more.
func (h *Hub) step(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at, placed := h.reached()
	if !placed {
		return true, h.place(ctx)
	}
	news, gap, err := h.read(ctx, at)
	switch {
	case err != nil:
		return false, err
	case gap && len(news) == 0: // all that came meanwhile is gone
		last, err := h.last(ctx)
		if err != nil {
			return false, err
		}
		h.skip(at, last)
	case gap:
		h.skip(at, news[0].place)
	}
	h.dispatch(news)
	return len(news) == page, nil
}

// place finds the end of the log, and reads what came shortly before it.
func (h *Hub) place(ctx context.Context) error {
	end, err := h.last(ctx)
	if err != nil {
		return err
	}
	base := end.before(back)
	at := base
	var ring []*frame
	for end.after(at) {
		news, gap, err := h.read(ctx, at)
		if err != nil {
			return err
		}
		if len(news) == 0 {
			break
		}
		at = news[len(news)-1].place
		if gap { // what was between the place asked for and the first one is not known
			base, ring, news = news[0].place, nil, news[1:]
		}
		ring = append(ring, news...)
		if over := len(ring) - h.cfg.Limits.Ring; over > 0 {
			base, ring = ring[over-1].place, ring[over:]
		}
	}
	if end.after(at) {
		at = end
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring, h.base, h.newest, h.placed = ring, base, at, true
	return nil
}

// read returns a page of what comes after a place in the log.
func (h *Hub) read(ctx context.Context, at place) (news []*frame, gap bool, err error) {
	events, gap, err := h.cfg.Source.After(ctx, at.String(), page)
	if err != nil {
		return nil, false, err
	}
	news, err = frames(events)
	return news, gap, err
}

// last returns the newest event's place.
func (h *Hub) last(ctx context.Context) (place, error) {
	id, err := h.cfg.Source.Last(ctx)
	if err != nil || id == "" {
		return place{}, err
	}
	return parsePlace(id)
}

// frames makes events into text.
func frames(events []shares.Event) ([]*frame, error) {
	out := make([]*frame, 0, len(events))
	for n := range events {
		f, err := newFrame(&events[n])
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
