package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// door is the stores of what the door keeps, beside the bench's ledger.
type door struct {
	*Challenges
	*Revocations
	*Profiles
	*Bans
	*Series
	*Presence
	*Events
	*Limiter
	*Acts
}

func doorOf(l *Ledger) (*door, error) {
	challenges, err1 := NewChallenges(ChallengesConfig{Ledger: l})
	revocations, err2 := NewRevocations(RevocationsConfig{Ledger: l})
	profiles, err3 := NewProfiles(ProfilesConfig{Ledger: l})
	bans, err4 := NewBans(BansConfig{Ledger: l})
	series, err5 := NewSeries(SeriesConfig{Ledger: l, Keep: 1000})
	presence, err6 := NewPresence(PresenceConfig{Ledger: l, Accounts: 4, Workers: 6})
	events, err7 := NewEvents(EventsConfig{Ledger: l, Keep: 200})
	limiter, err8 := NewLimiter(LimiterConfig{Ledger: l})
	acts, err9 := NewActs(ActsConfig{Ledger: l})
	return &door{challenges, revocations, profiles, bans, series, presence, events, limiter, acts}, errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
}

// deed is something that the door has a store do, which may be done twice.
type deed struct {
	name   string
	script func(*scripts) **redis.Script
	// before is done first, if it is set.
	before, do func(context.Context, *door) error
	reads      bool
	// adds is set if doing it twice is more than doing it once.
	adds   bool
	leaves func(before, after map[string]any) bool
}

func deeds() []deed {
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	ban := func(until time.Time) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			return d.Ban(ctx, shares.Ban{Subject: "alice", Reason: "a test", Since: time.UnixMilli(5).UTC(), Until: until, By: "a test"})
		}
	}
	challenge := func(s *scripts) **redis.Script { return &s.challenge }
	revoke := func(s *scripts) **redis.Script { return &s.revoke }
	put := func(ctx context.Context, d *door) error { return d.Put(ctx, "id", "text", time.Hour) }
	return []deed{
		{name: "challenge", script: challenge, do: put},
		{name: "revoke", script: revoke, do: func(ctx context.Context, d *door) error { return d.Revoke(ctx, "id", soon) }},
		{
			name: "revoke longer", script: revoke,
			before: func(ctx context.Context, d *door) error { return d.Revoke(ctx, "id", soon) },
			do:     func(ctx context.Context, d *door) error { return d.Revoke(ctx, "id", soon.Add(time.Hour)) },
		},
		{
			name: "revoked", script: func(s *scripts) **redis.Script { return &s.revoked }, reads: true,
			do: func(ctx context.Context, d *door) error { _, err := d.Revoked(ctx, "id"); return err },
		},
		{name: "profile", script: func(s *scripts) **redis.Script { return &s.note }, do: func(ctx context.Context, d *door) error {
			return d.SetProfile(ctx, "alice", shares.Profile{DisplayName: "Alice", Updated: soon})
		}},
		{name: "ban", script: func(s *scripts) **redis.Script { return &s.ban }, do: ban(soon)},
		{
			name: "ban longer", script: func(s *scripts) **redis.Script { return &s.ban },
			before: ban(soon), do: ban(soon.Add(time.Hour)),
		},
		{
			name: "ban for ever", script: func(s *scripts) **redis.Script { return &s.ban },
			before: ban(soon), do: ban(time.Time{}),
		},
		{
			name: "lift", script: func(s *scripts) **redis.Script { return &s.lift }, before: ban(soon),
			do: func(ctx context.Context, d *door) error { _, err := d.Lift(ctx, "alice"); return err },
		},
		{
			name: "point", script: func(s *scripts) **redis.Script { return &s.point },
			do: func(ctx context.Context, d *door) error {
				_, err := d.Add(ctx, "pool", time.UnixMilli(1_700_000_000_000), map[string]float64{"a": 1, "b": 2})
				return err
			},
			// The point itself, which is not added again.
			leaves: func(before, after map[string]any) bool { return len(after) == len(before)+1 },
		},
		{
			name: "seen", script: func(s *scripts) **redis.Script { return &s.seen },
			before: func(ctx context.Context, d *door) error { return d.Seen(ctx, present(4, 6)) },
			do:     func(ctx context.Context, d *door) error { return d.Seen(ctx, present(6, 7)) },
			// Who is seen again is noted again.
			leaves: func(_, after map[string]any) bool { return agree(after) },
		},
		{name: "publish", script: func(s *scripts) **redis.Script { return &s.publish }, do: publishing(0, 3)},
		{name: "publish more", script: func(s *scripts) **redis.Script { return &s.publish }, before: publishing(0, 3), do: publishing(2, 5)},
		{
			name: "publish and forget", script: func(s *scripts) **redis.Script { return &s.publish },
			before: publishing(0, 299), do: publishing(299, 303),
			leaves: func(before, after map[string]any) bool { return forgot(before, after, 300, 103) },
		},
		{
			name: "watch", script: func(s *scripts) **redis.Script { return &s.watch },
			do:     func(ctx context.Context, d *door) error { return d.Watch(ctx, []string{"alice", "bob"}, time.Hour) },
			leaves: func(map[string]any, map[string]any) bool { return true }, // who looks says so again
		},
		{name: "limit", script: func(s *scripts) **redis.Script { return &s.limit }, do: use},
		{name: "limit again", script: func(s *scripts) **redis.Script { return &s.limit }, before: use, do: use},
		{name: "act", script: func(s *scripts) **redis.Script { return &s.act }, do: act, adds: true},
		{
			name: "watched", script: func(s *scripts) **redis.Script { return &s.watched }, reads: true,
			do: func(ctx context.Context, d *door) error { _, err := d.Watched(ctx); return err },
		},
	}
}

// use uses a rate that allows it often.
func use(ctx context.Context, d *door) error {
	got, err := d.Allow(ctx, "key", Rate{Count: 1, Per: time.Hour, Burst: 100})
	if err == nil && !got.Allowed {
		err = errReply
	}
	return err
}

// act writes an act down.
func act(ctx context.Context, d *door) error {
	_, err := d.Append(ctx, shares.Act{By: "carol", What: "test", Time: time.UnixMilli(1)})
	return err
}

// publishing publishes events with numbers, each once.
func publishing(from, to int) func(context.Context, *door) error {
	return func(ctx context.Context, d *door) error {
		var list []shares.Event
		for i := from; i < to; i++ {
			list = append(list, shares.Event{Kind: "test", Data: []byte(strconv.Itoa(i)), Time: time.UnixMilli(int64(1 + i)), Once: fmt.Sprint("event ", i)})
		}
		return d.Publish(ctx, list...)
	}
}

// forgot reports whether publishing some events behind many left nothing but that the oldest are gone, and which. Of
// those that are noted as gone some may be there.
func forgot(before, after map[string]any, many, gone int) bool {
	var was, is []redis.XMessage
	var noted string
	for key, v := range before {
		if list, ok := v.([]redis.XMessage); ok && strings.HasSuffix(key, "}:events") {
			was = list
		}
	}
	for key, v := range after {
		if list, ok := v.([]redis.XMessage); ok && strings.HasSuffix(key, "}:events") {
			is = list
		}
		if text, ok := v.(string); ok && strings.HasSuffix(key, ":trimmed") {
			noted = text
		}
	}
	if len(was) != many-1 || noted != was[gone-1].ID {
		return false
	}
	return cmp.Equal(is, was) || cmp.Equal(is, was[gone:])
}

// present makes presences of a number of accounts, each of one worker but for the last one.
func present(accounts, workers int) []shares.Presence {
	out := make([]shares.Presence, 0, workers)
	for i := range workers {
		out = append(out, shares.Presence{
			Account: fmt.Sprint("account", min(i, accounts-1)), Worker: strconv.Itoa(i), Agent: fmt.Sprintf("p%d/%d", i%accounts%3, accounts), Time: time.Now().Add(-time.Duration(i) * time.Minute).Truncate(time.Minute),
		})
	}
	return out
}

// agree reports whether programs are counted as workers have them.
func agree(dump map[string]any) bool {
	programs, want := make(map[string]float64), make(map[string]float64)
	for key, v := range dump {
		switch list := v.(type) {
		case []redis.Z:
			for _, z := range list {
				if name, ok := z.Member.(string); ok && strings.HasSuffix(key, ":present:programs") {
					programs[name] = -z.Score
				}
			}
		case map[string]string:
			for _, agent := range list {
				if strings.HasSuffix(key, ":present:agents") {
					want[shares.AgentProgram(agent)]++
				}
			}
		}
	}
	return len(want) > 0 && cmp.Equal(programs, want)
}

// doorVerbs are the deeds as verbs.
func doorVerbs() []verb {
	all := deeds()
	out := make([]verb, 0, len(all))
	for _, deed := range all {
		out = append(out, verb{
			name: deed.name, partitions: 1, script: deed.script, reads: deed.reads, leaves: deed.leaves,
			prepare: func(t *testing.T, b *bench) func(context.Context) error {
				t.Helper()
				d, err := doorOf(b.Ledger)
				if err == nil && deed.before != nil {
					err = deed.before(t.Context(), d)
				}
				if err != nil {
					t.Fatal(err)
				}
				return func(ctx context.Context) error { return deed.do(ctx, d) }
			},
		})
	}
	return out
}

// TestDoorOverABadLine loses each request on its way, and then its answer. Either is shares.ErrAway, and doing it
// again has the same come of it as doing it once, or twice where that is what it does.
func TestDoorOverABadLine(t *testing.T) {
	t.Parallel()
	server := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}})
	proxy := redisserver.NewProxy(t, server.Addr)
	for _, deed := range deeds() {
		t.Run(deed.name, func(t *testing.T) {
			// The first one has the server know the script: what gets lost is the deed itself.
			want := overALine(t, proxy, deed, "no fault", func() {})
			same(t, "without the request", overALine(t, proxy, deed, "request", func() { proxy.CutRequests(0) }), want)
			if deed.adds {
				more := deed
				more.do = twice(deed.do, deed.do)
				want = overALine(t, proxy, more, "no fault, twice", func() {})
			}
			same(t, "without the answer", overALine(t, proxy, deed, "answer", func() { proxy.CutReplies(0) }), want)
		})
	}
}

// twice does one thing after another.
func twice(first, second func(context.Context, *door) error) func(context.Context, *door) error {
	return func(ctx context.Context, d *door) error {
		return errors.Join(first(ctx, d), second(ctx, d))
	}
}

// overALine does a deed on a new ledger with a fault of the line, and again without it if there was one. It returns
// what came of it.
func overALine(t *testing.T, proxy *redisserver.Proxy, deed deed, name string, fault func()) map[string]any {
	t.Helper()
	prefix := "line " + deed.name + ", " + name
	b := newBench(t, proxy.URL(), prefix, 1)
	d, err := doorOf(b.Ledger)
	if err == nil && deed.before != nil {
		err = deed.before(t.Context(), d)
	}
	if err != nil {
		t.Fatal(err)
	}
	fault()
	err = deed.do(t.Context(), d)
	proxy.None()
	if !strings.HasPrefix(name, "no fault") {
		if !errors.Is(err, shares.ErrAway) {
			t.Errorf("without the %s: error %v, want ErrAway", name, err)
		}
		err = deed.do(t.Context(), d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return doorDump(b.dump(t), prefix)
}

// doorDump is what a dump has of the pool as a whole, but for its genesis and leases.
func doorDump(dump map[string]any, prefix string) map[string]any {
	out := make(map[string]any)
	for key, v := range dump {
		name, ok := strings.CutPrefix(key, "{"+prefix+"}:")
		if ok && name != "genesis" && !strings.HasPrefix(name, "lease") {
			if list, ok := v.([]redis.Z); ok {
				members := make([]string, len(list))
				for i, z := range list {
					members[i] = fmt.Sprint(z.Member)
				}
				slices.Sort(members) // their order is that of times
				v = members
			}
			if list, ok := v.([]redis.XMessage); ok {
				texts := make([]string, len(list))
				for i, m := range list {
					texts[i] = fmt.Sprint(m.Values) // their ids are times
				}
				v = texts
			}
			if name == "events:trimmed" {
				v = "an id"
			}
			out[name] = v
		}
	}
	return out
}

// TestDoorIsOfOneLedger has nothing written, and nothing said that matters, where another ledger is by now, or none.
func TestDoorIsOfOneLedger(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for _, deed := range deeds() {
		b := newBench(t, e.URL(), "foreign "+deed.name, 1)
		d, err := doorOf(b.Ledger)
		if err == nil {
			// Another's, of the pool and of its partition.
			for _, key := range []string{b.keys.pool("genesis"), b.keys.part(0).state()} {
				err = errors.Join(err, b.redis.HSet(t.Context(), key, "ledger", strings.Repeat("cd", idSize)).Err())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		before := b.dump(t)
		if err := deed.do(t.Context(), d); !errors.Is(err, shares.ErrForeign) {
			t.Errorf("%s: error %v, want ErrForeign", deed.name, err)
		}
		same(t, deed.name, b.dump(t), before)
	}
	l, err := NewLedger(LedgerConfig{Client: newBench(t, e.URL(), "closed", 1).Client, Chain: "regtest", Gateway: "g", Now: time.Now, Log: newBench(t, e.URL(), "log", 1).cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	d, err := doorOf(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, deed := range deeds() {
		if err := deed.do(t.Context(), d); !errors.Is(err, shares.ErrAway) {
			t.Errorf("%s before the ledger is open: error %v, want ErrAway", deed.name, err)
		}
	}
}
