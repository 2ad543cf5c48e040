package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// embeddedDoor is a door on a ledger in an embedded Redis.
func embeddedDoor(t *testing.T) (*Embedded, *bench, *door) {
	t.Helper()
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "door", 1)
	d, err := doorOf(b.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	return e, b, d
}

// again opens the bench's ledger as another gateway, with a clock of its own.
func (b *bench) again(t *testing.T, now func() time.Time) *Ledger {
	t.Helper()
	l, err := NewLedger(LedgerConfig{Client: b.Client, Chain: "regtest", Gateway: "again", Now: now, Log: b.cfg.Log})
	if err == nil {
		err = l.Open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestChallengeLimits(t *testing.T) {
	e, b, d := embeddedDoor(t)
	ctx := t.Context()
	for what, tt := range map[string]struct {
		id, text string
		ttl      time.Duration
	}{
		"no id":     {"", "text", time.Hour},
		"long id":   {strings.Repeat("i", 129), "text", time.Hour},
		"long text": {"id", strings.Repeat("t", 4097), time.Hour},
		"no time":   {"id", "text", 0},
	} {
		if err := d.Put(ctx, tt.id, tt.text, tt.ttl); !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", what, err)
		}
		if text, ok, err := d.Take(ctx, tt.id); err != nil || ok || text != "" {
			t.Errorf("%s: %q, %t, %v", what, text, ok, err)
		}
	}
	id, text := strings.Repeat("i", 128), strings.Repeat("t", 4096)
	if err := d.Put(ctx, id, text, time.Hour); err != nil {
		t.Fatal(err)
	}
	if left := b.redis.PTTL(ctx, d.challenge(id)).Val(); left <= 59*time.Minute || left > time.Hour {
		t.Errorf("the challenge is kept for %s", left)
	}
	e.server.FastForward(2 * time.Hour)
	if text, ok, err := d.Take(ctx, id); err != nil || ok || text != "" {
		t.Errorf("a challenge whose time is over: %q, %t, %v", text, ok, err)
	}
}

func TestRevocationsExpire(t *testing.T) {
	e, b, d := embeddedDoor(t)
	ctx := t.Context()
	for _, until := range []time.Time{time.Now().Add(time.Minute), time.Now().Add(time.Hour)} {
		if err := d.Revoke(ctx, "id", until); err != nil {
			t.Fatal(err)
		}
	}
	if left := b.redis.PTTL(ctx, d.revoked("id")).Val() - time.Hour - skew; left.Abs() > time.Minute {
		t.Errorf("the entry is kept for %s too long", left)
	}
	e.server.FastForward(time.Hour)
	if revoked, err := d.Revoked(ctx, "id"); err != nil || !revoked {
		t.Errorf("as long as the clocks may differ: %t, %v", revoked, err)
	}
	e.server.FastForward(skew + time.Second)
	if revoked, err := d.Revoked(ctx, "id"); err != nil || revoked {
		t.Errorf("after its time: %t, %v", revoked, err)
	}
	if n := b.redis.Exists(ctx, d.revoked("id")).Val(); n != 0 {
		t.Error("the entry is still there")
	}
}

// TestBansEnd has bans end: they are not told of any more, and forgotten when the next one comes.
func TestBansEnd(t *testing.T) {
	e, b, d := embeddedDoor(t)
	ctx, now := t.Context(), time.Now()
	ban := func(subject shares.Subject, until time.Time) {
		t.Helper()
		if err := d.Ban(ctx, shares.Ban{Subject: subject, Since: now, Until: until, By: "a test"}); err != nil {
			t.Fatal(err)
		}
	}
	ban("alice", now.Add(time.Hour))
	ban("bob", now.Add(3*time.Hour))
	ban("carol", time.Time{})
	later := now.Add(2 * time.Hour)
	e.server.SetTime(later)
	reader, err := doorOf(b.again(t, func() time.Time { return later }))
	if err != nil {
		t.Fatal(err)
	}
	list, err := reader.Bans.Bans(ctx)
	if err != nil || len(list) != 2 || list[0].Subject != "bob" || list[1].Subject != "carol" || !list[1].Until.IsZero() {
		t.Errorf("two hours later there are %+v, %v", list, err)
	}
	if was, err := d.Lift(ctx, "alice"); err != nil || was {
		t.Errorf("one that is over was in force: %t, %v", was, err)
	}
	ban("alice", later.Add(time.Hour))
	e.server.SetTime(later.Add(24 * time.Hour))
	ban("dave", later.Add(48*time.Hour))
	same(t, "subjects", b.redis.HKeys(ctx, d.keyOf("bans")).Val(), []string{"carol", "dave"})
	same(t, "subjects that end", b.redis.ZRange(ctx, d.keyOf("bans:ends"), 0, -1).Val(), []string{"dave"})
}

func (d *door) keyOf(name string) string { return d.Bans.keys.pool(name) }

// TestBansAreFull puts as many bans as there may be.
func TestBansAreFull(t *testing.T) {
	_, b, d := embeddedDoor(t)
	ctx, ends := t.Context(), time.Now().Add(time.Hour)
	values := make([]any, 0, 2*maxBans)
	scores := make([]redis.Z, 0, maxBans)
	for i := range maxBans {
		subject := fmt.Sprint("account", i)
		values = append(values, subject, fmt.Sprintf(`%d 5 {"by":"a test"}`, ends.UnixMilli()))
		scores = append(scores, redis.Z{Score: float64(ends.UnixMilli()), Member: subject})
	}
	if err := errors.Join(b.redis.HSet(ctx, d.keyOf("bans"), values...).Err(), b.redis.ZAdd(ctx, d.keyOf("bans:ends"), scores...).Err()); err != nil {
		t.Fatal(err)
	}
	one := shares.Ban{Subject: "alice", Since: time.UnixMilli(6), Until: ends, By: "a test"}
	if err := d.Ban(ctx, one); !errors.Is(err, shares.ErrFull) {
		t.Errorf("one more: error %v, want ErrFull", err)
	}
	one.Subject, one.Until = "account7", ends.Add(time.Hour)
	if err := d.Ban(ctx, one); err != nil {
		t.Errorf("a longer one: %v", err)
	}
	if was, err := d.Lift(ctx, "account8"); err != nil || !was {
		t.Errorf("Lift: %t, %v", was, err)
	}
	if err := b.redis.ZScore(ctx, d.keyOf("bans:ends"), "account8").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the end of a ban that was lifted is still there: %v", err)
	}
	one.Subject = "alice"
	if err := d.Ban(ctx, one); err != nil {
		t.Errorf("when one was lifted: %v", err)
	}
	if list, err := d.Bans.Bans(ctx); err != nil || len(list) != maxBans {
		t.Errorf("there are %d, %v", len(list), err)
	}
}

// TestSeriesForget has the oldest points go.
func TestSeriesForget(t *testing.T) {
	_, b, d := embeddedDoor(t)
	for i := range 1500 {
		if did, err := d.Add(t.Context(), "pool", time.UnixMilli(int64(1+i)), map[string]float64{"n": float64(i)}); err != nil || !did {
			t.Fatalf("point %d: %t, %v", i, did, err)
		}
	}
	if n := b.redis.XLen(t.Context(), d.series("pool")).Val(); n < 1000 || n > 1100 {
		t.Errorf("%d points are kept", n)
	}
	points, err := d.Range(t.Context(), "pool", time.UnixMilli(0), time.UnixMilli(2000), 5000)
	if err != nil || len(points) < 1000 || points[len(points)-1].Values["n"] != 1499 {
		t.Errorf("%d points, %v", len(points), err)
	}
}

// TestPresenceForgets has workers go who were not there for a day, and those that were there longest ago when there
// are too many; nothing is left of either.
func TestPresenceForgets(t *testing.T) {
	e, b, d := embeddedDoor(t)
	ctx, now := t.Context(), time.Now()
	note := func(account, worker string, at time.Time) {
		t.Helper()
		if err := d.Seen(ctx, []shares.Presence{{Account: account, Worker: worker, Agent: "p/1", Time: at}}); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(what string, accounts, workers []string) {
		t.Helper()
		same(t, what+": accounts", b.redis.ZRange(ctx, d.present("accounts"), 0, -1).Val(), accounts)
		same(t, what+": workers", b.redis.ZRange(ctx, d.present("workers"), 0, -1).Val(), workers)
		slices.Sort(workers)
		same(t, what+": names", b.redis.ZRange(ctx, d.present("names"), 0, -1).Val(), workers)
		agents := b.redis.HKeys(ctx, d.present("agents")).Val()
		slices.Sort(agents)
		same(t, what+": agents", agents, workers)
		if got, err := d.Agents(ctx); err != nil || len(got) != 1 || got["p"] != len(workers) {
			t.Errorf("%s: programs %v, %v", what, got, err)
		}
	}
	for i := range 7 { // of which 4 accounts and 6 workers are known
		note(fmt.Sprint("account", i/2), strconv.Itoa(i%2), now.Add(time.Duration(i-100)*time.Minute))
	}
	note("account9", "", now.Add(-50*time.Minute))
	holds("too many", []string{"account1", "account2", "account3", "account9"},
		[]string{"account1.0", "account1.1", "account2.0", "account2.1", "account3.0", "account9."})
	e.server.SetTime(now.Add(23 * time.Hour))
	note("account1", "0", now.Add(23*time.Hour))
	holds("a day later", []string{"account9", "account1"}, []string{"account9.", "account1.0"})
	if accounts, workers, err := d.Active(ctx, now.Add(-time.Hour)); err != nil || accounts != 2 || workers != 2 {
		t.Errorf("%d accounts and %d workers, %v", accounts, workers, err)
	}
}

// TestPresenceOfManyWorkers has no account have more workers than may have figures.
func TestPresenceOfManyWorkers(t *testing.T) {
	_, b, _ := embeddedDoor(t)
	p, err := NewPresence(PresenceConfig{Ledger: b.Ledger})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]shares.Presence, 0, 1100)
	for i := range 1100 {
		list = append(list, shares.Presence{Account: "alice", Worker: strconv.Itoa(i), Time: time.Now()})
	}
	list = append(list, shares.Presence{Account: "alice-", Time: time.Now()}, shares.Presence{Account: "bob", Time: time.Now()})
	for range 2 {
		if err := p.Seen(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if accounts, workers, err := p.Active(t.Context(), time.UnixMilli(0)); err != nil || accounts != 3 || workers != 1002 {
			t.Errorf("%d accounts and %d workers, %v", accounts, workers, err)
		}
	}
}

// TestDoorConfig wants a ledger.
func TestDoorConfig(t *testing.T) {
	if _, err := doorOf(nil); err == nil || len(strings.Split(err.Error(), "\n")) != 9 {
		t.Errorf("without a ledger: %v", err)
	}
}
