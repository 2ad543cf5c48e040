package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// eventsKept is how many events are kept unless told otherwise.
	eventsKept = 10_000
	// eventGroup is how many events one run of the script publishes.
	eventGroup = 100
	// maxEvents is the most events that After returns at a time.
	maxEvents = 1000
	// maxWatched is the most accounts that are watched at a time, and maxWatching those that one call names.
	maxWatched, maxWatching = 10_000, 1000
)

// EventsConfig configures Events. Ledger is required.
type EventsConfig struct {
	// Ledger is beside which the events lie.
	Ledger *Ledger
	// Keep is how many events are kept, or up to a hundred more; 10,000 if 0.
	Keep int
	// Once is for how long it is known what was published once: longer than the first and the last gateway see the
	// same thing apart. A day if 0.
	Once time.Duration
}

// Events is what the gateways of a pool tell all clients of, in one order, and whom of anybody wants to be told.
// Memory: Keep events of at most 16 KiB, 10,000 watched accounts, and what was published once in the last day.
type Events struct {
	*Ledger
	keep int
	once time.Duration
}

// NewEvents makes Events.
func NewEvents(cfg EventsConfig) (*Events, error) {
	if cfg.Ledger == nil || cfg.Keep < 0 || cfg.Once < 0 {
		return nil, errors.New("events: Ledger is required, and Keep and Once not below 0")
	}
	return &Events{cfg.Ledger, cmp.Or(cfg.Keep, eventsKept), cmp.Or(cfg.Once, 24*time.Hour)}, nil
}

// Publish publishes events in their order. Of those with the same Once only the first is, whoever's it was. After an
// error any of them may be published or not; those with Once may be tried again. One that is not sound is
// shares.ErrMalformed, and then none is.
func (e *Events) Publish(ctx context.Context, events ...shares.Event) error {
	o, err := e.opened()
	if err != nil || len(events) == 0 {
		return err
	}
	var calls []invocation
	for group := range slices.Chunk(events, eventGroup) {
		names := []string{e.keys.pool("genesis"), e.stream(), e.trimmed()}
		args := make([]any, 0, 4+5*len(group))
		args = append(args, o.Ledger, e.keep, eventGroup, e.once.Milliseconds())
		for _, one := range group {
			if err := one.Check(); err != nil {
				return err
			}
			key := 0
			if one.Once != "" {
				names = append(names, e.keys.pool("once:"+one.Once))
				key = len(names)
			}
			args = append(args, key, one.Kind, one.Account, one.Data, one.Time.UnixMilli())
		}
		calls = append(calls, invocation{script: e.scripts.publish, keys: names, args: args})
	}
	for _, result := range run(ctx, e.redis, calls) {
		if err := result.Err(); err != nil {
			return fmt.Errorf("events: %w", translate(err))
		}
	}
	return nil
}

// After returns the events after one, the oldest first, at most most of them and a thousand. The empty id, as that of
// Last before there is any, stands before the first event there ever was. gap says that events behind id are gone:
// forgotten, or lost with a Redis. An id that is none is shares.ErrMalformed.
func (e *Events) After(ctx context.Context, id string, most int) (events []shares.Event, gap bool, err error) {
	if _, err := e.opened(); err != nil {
		return nil, false, err
	}
	at, err := eventPlace(id)
	if err != nil || most < 1 {
		return nil, false, err
	}
	var list, newest *redis.XMessageSliceCmd
	var trimmed *redis.StringCmd
	// In this order: what is forgotten meanwhile may say that there is a gap where there is none, never the reverse.
	_, _ = e.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		list = p.XRangeN(ctx, e.stream(), "("+at.String(), "+", int64(min(most, maxEvents)))
		trimmed = p.Get(ctx, e.trimmed())
		newest = p.XRevRangeN(ctx, e.stream(), "+", "-", 1)
		return nil
	})
	for _, err := range []error{list.Err(), trimmed.Err(), newest.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, false, fmt.Errorf("events: %w", translate(err))
		}
	}
	for _, message := range list.Val() {
		event, err := readEvent(message)
		if err != nil {
			return nil, false, fmt.Errorf("event %s: %w", message.ID, err)
		}
		events = append(events, event)
	}
	gone, err1 := eventPlace(trimmed.Val())
	last, err2 := lastPlace(newest.Val())
	if err := errors.Join(err1, err2); err != nil {
		return nil, false, fmt.Errorf("events: %w: %w", errReply, err)
	}
	return events, gone.Compare(at) > 0 || at.Compare(last) > 0, nil
}

// Last returns the id of the newest event; 0-0 if there is none.
func (e *Events) Last(ctx context.Context) (string, error) {
	if _, err := e.opened(); err != nil {
		return "", err
	}
	newest, err := e.redis.XRevRangeN(ctx, e.stream(), "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("events: %w", translate(err))
	}
	last, err := lastPlace(newest)
	return last.String(), err
}

// lastPlace returns where the newest of a stream is.
func lastPlace(newest []redis.XMessage) (shares.Position, error) {
	if len(newest) == 0 {
		return shares.Position{}, nil
	}
	return parsePlace(newest[0].ID)
}

// eventPlace reads the id of an event; the empty one is before all.
func eventPlace(id string) (shares.Position, error) {
	if id == "" {
		return shares.Position{}, nil
	}
	at, err := parsePlace(id)
	if err != nil || at.String() != id || at.Millis < 0 || at.Seq < 0 {
		return shares.Position{}, fmt.Errorf("%w: %.40q is no id of an event", shares.ErrMalformed, id)
	}
	return at, nil
}

// readEvent reads an entry of the stream.
func readEvent(m redis.XMessage) (shares.Event, error) {
	f := &fields{values: m.Values}
	event := shares.Event{ID: m.ID, Kind: f.text("k"), Account: f.text("a"), Data: []byte(f.text("d")), Time: time.UnixMilli(f.number("t")).UTC()}
	return event, f.err
}

// Watch says that somebody wants to be told of accounts, for a time from now; the latest end stands. If more than
// 10,000 are watched, those go whose time is over first.
func (e *Events) Watch(ctx context.Context, accounts []string, within time.Duration) error {
	if len(accounts) > maxWatching || within < time.Millisecond {
		return fmt.Errorf("%w: watching %d accounts for %s", shares.ErrMalformed, len(accounts), within)
	}
	args := []any{within.Milliseconds(), maxWatched}
	for _, account := range accounts {
		if err := shares.CheckAccount(account); err != nil {
			return err
		}
		args = append(args, account)
	}
	if len(accounts) == 0 {
		return nil
	}
	if _, err := e.ask(ctx, e.scripts.watch, []string{e.watching()}, args...); err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	return nil
}

// Watched returns the accounts that somebody wants to be told of, on any gateway.
func (e *Events) Watched(ctx context.Context) ([]string, error) {
	v, err := e.ask(ctx, e.scripts.watched, []string{e.watching()})
	if err != nil {
		return nil, fmt.Errorf("watched: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("watched: %v: %w", v, errReply)
	}
	out := make([]string, len(list))
	for i, one := range list {
		if out[i], ok = one.(string); !ok {
			return nil, fmt.Errorf("watched: %v: %w", one, errReply)
		}
	}
	slices.Sort(out)
	return out, nil
}

// stream is the key of the events, trimmed that of the last one that was forgotten, and watching that of the accounts
// that somebody looks at.
func (e *Events) stream() string   { return e.keys.pool("events") }
func (e *Events) trimmed() string  { return e.keys.pool("events:trimmed") }
func (e *Events) watching() string { return e.keys.pool("watched") }
