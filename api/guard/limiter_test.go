package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

func buckets(tb testing.TB, track int) *Buckets {
	tb.Helper()
	b, err := NewBuckets(BucketsConfig{Track: track, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// answer is what Allow returns.
type answer struct {
	OK         bool
	RetryAfter time.Duration
	Remaining  int
}

func ask(t *testing.T, l Limiter, key string, r Rate) answer {
	t.Helper()
	ok, retryAfter, remaining, err := l.Allow(t.Context(), key, r.Count, r.Per, r.Burst)
	if err != nil {
		t.Fatal(err)
	}
	return answer{ok, retryAfter, remaining}
}

func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, rate := buckets(t, 0), Rate{Count: 2, Per: time.Second, Burst: 3}
		var got []answer
		next := func(wait time.Duration) { time.Sleep(wait); got = append(got, ask(t, b, "k", rate)) }
		for range 4 {
			next(0)
		}
		next(499 * time.Millisecond) // refused requests cost nothing
		next(time.Millisecond)
		next(time.Hour)
		want := []answer{
			{true, 0, 2}, {true, 0, 1}, {true, 0, 0}, {false, 500 * time.Millisecond, 0},
			{false, time.Millisecond, 0}, {true, 0, 0}, {true, 0, 2},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if other := ask(t, b, "other", rate); other.Remaining != 2 {
			t.Errorf("keys share a bucket: %+v", other)
		}
	})
}

// TestBucketsRate: over any time no more passes than the rate and the burst allow, and who comes
// back when told passes.
func TestBucketsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		b, err := NewBuckets(BucketsConfig{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		rate := Rate{
			Count: rapid.IntRange(1, 100).Draw(t, "count"), Burst: rapid.IntRange(1, 50).Draw(t, "burst"),
			Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 7 * time.Second}).Draw(t, "per"),
		}
		begin, passed := now, 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(rate.Per)/10).Draw(t, "wait")))
			ok, retryAfter, _, err := b.Allow(context.Background(), "k", rate.Count, rate.Per, rate.Burst)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				now = now.Add(retryAfter)
				if ok, _, _, _ = b.Allow(context.Background(), "k", rate.Count, rate.Per, rate.Burst); !ok {
					t.Fatalf("refused after the %s that it was told to wait", retryAfter)
				}
			}
			passed++
			if most := rate.Burst + int(now.Sub(begin)/rate.interval()); passed > most {
				t.Fatalf("%d passed in %s, want at most %d", passed, now.Sub(begin), most)
			}
		}
	})
}

func TestBucketsForget(t *testing.T) {
	b := buckets(t, 10)
	for i := range 1000 {
		ask(t, b, strconv.Itoa(i), Rate{1, time.Hour, 1})
	}
	if n := b.full.Len(); n > 20 {
		t.Errorf("%d keys are kept", n)
	}
	if ask(t, b, "999", Rate{1, time.Hour, 1}).OK {
		t.Error("the latest is forgotten")
	}
}

func TestRates(t *testing.T) {
	for _, r := range []Rate{{}, {-1, time.Second, 1}, {1, time.Second, 0}, {1, 0, 1}, {10, 9, 1}} {
		if _, _, _, err := buckets(t, 0).Allow(t.Context(), "k", r.Count, r.Per, r.Burst); err == nil {
			t.Errorf("%+v passes", r)
		}
	}
	if _, err := NewBuckets(BucketsConfig{}); err == nil {
		t.Error("passes without a clock")
	}
}

// shared is a Limiter that refuses all, fails or hangs.
type shared struct {
	asked int
	err   error
	hang  bool
}

func (s *shared) Allow(ctx context.Context, _ string, _ int, _ time.Duration, _ int) (bool, time.Duration, int, error) {
	s.asked++
	if s.hang {
		<-ctx.Done()
		return false, 0, 0, ctx.Err()
	}
	return false, time.Minute, 0, s.err
}

// TestFallback: while what is shared fails or hangs, the local limiter counts, and the shared one is
// asked now and then.
func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, rate := new(shared), Rate{1, time.Hour, 2}
		f, err := NewFallback(FallbackConfig{Shared: s, Local: buckets(t, 0), Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		var got []answer
		for _, state := range []shared{{}, {err: errors.New("away")}, {hang: true}, {}} {
			s.err, s.hang = state.err, state.hang
			begin := time.Now()
			for range 2 {
				got = append(got, ask(t, f, "k", rate))
			}
			if took := time.Since(begin); took > 100*time.Millisecond {
				t.Errorf("took %s", took)
			}
			time.Sleep(time.Second)
		}
		want := []answer{
			{false, time.Minute, 0}, {false, time.Minute, 0}, {true, 0, 1}, {true, 0, 0},
			{false, time.Hour - 1100*time.Millisecond, 0}, {false, time.Hour - 1100*time.Millisecond, 0},
			{false, time.Minute, 0}, {false, time.Minute, 0},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if s.asked != 2+1+1+2 {
			t.Errorf("asked %d times", s.asked)
		}
		if strings.Count(log.String(), "not shared") != 1 || strings.Count(log.String(), "shared again") != 1 {
			t.Errorf("log: %s", &log)
		}
		// Who hangs up does not make others do without it.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.hang = true
		_, _, _, _ = f.Allow(ctx, "k", 1, time.Hour, 1)
		s.hang = false
		if got := ask(t, f, "k", rate); got.RetryAfter != time.Minute {
			t.Errorf("got %+v", got)
		}
	})
}

func TestFallbackConfig(t *testing.T) {
	if _, err := NewFallback(FallbackConfig{Shared: new(shared), Now: time.Now, Log: quiet()}); err == nil {
		t.Error("passes without Local")
	}
}

func quota(t *testing.T, cfg QuotaConfig) http.Handler {
	t.Helper()
	wrap, err := Quota(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(pages())
}

// from sends a request from an address.
func from(h http.Handler, addr string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/api/v1/pool", http.NoBody)
	if addr != "" {
		r = r.WithContext(WithClient(r.Context(), netip.MustParseAddr(addr)))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		h := quota(t, QuotaConfig{
			Limiter: buckets(t, 0), Name: "address", Rate: Rate{Count: 6, Per: time.Minute, Burst: 2}, Key: ByAddress,
			Advice: "or read /api/v1/events instead", Refused: func() { refused++ },
		})
		for i, want := range []string{`"address";r=1;t=10`, `"address";r=0;t=20`} {
			w := from(h, "2001:db8::1")
			if got := w.Header().Get("RateLimit"); w.Code != 200 || got != want || w.Header().Get("Retry-After") != "" {
				t.Errorf("%d: %d %v", i, w.Code, w.Header())
			}
		}
		time.Sleep(8500 * time.Millisecond)
		w := from(h, "2001:db8::2") // of the same network
		want := map[string]any{
			"type":  "https://iana.org/assignments/http-problem-types#quota-exceeded",
			"title": "Too many requests", "status": 429.0, "violated-policies": []any{"address"},
			"detail": "more requests than 6 in 1m0s, and 2 at once: wait 2 s, or read /api/v1/events instead",
		}
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for name, want := range map[string]string{
			"Retry-After": "2", "RateLimit": `"address";r=0;t=20`, "RateLimit-Policy": `"address";q=6;w=60`,
			"Content-Type": "application/problem+json", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		time.Sleep(2 * time.Second)
		for _, addr := range []string{"2001:db8::1", "2001:db8:0:1::1", "192.0.2.1"} {
			if w := from(h, addr); w.Code != 200 {
				t.Errorf("%s: %d", addr, w.Code)
			}
		}
		for range 10 { // nobody knows from where
			if w := from(h, ""); w.Code != 200 || w.Header().Get("RateLimit") != "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		}
		if refused != 1 {
			t.Errorf("told of %d refusals, want 1", refused)
		}
	})
}

// TestQuotas: quotas around each other tell of both, and only the one that is exceeded is named.
func TestQuotas(t *testing.T) {
	b := buckets(t, 0)
	key := func(*http.Request) string { return "k" }
	wrap, err := Quota(QuotaConfig{Limiter: b, Name: "address", Rate: Rate{9, time.Hour, 9}, Key: key, Advice: "a"})
	if err != nil {
		t.Fatal(err)
	}
	h := wrap(quota(t, QuotaConfig{Limiter: b, Name: "account", Rate: Rate{1, time.Hour, 1}, Key: key, Advice: "b"}))
	w := from(h, "")
	if diff := cmp.Diff([]string{`"address";r=8;t=400`, `"account";r=0;t=3600`}, w.Header()["Ratelimit"]); diff != "" || w.Code != 200 {
		t.Errorf("%d %s", w.Code, diff)
	}
	w = from(h, "")
	if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), `"violated-policies":["account"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestQuotaFails: who cannot be counted passes.
func TestQuotaFails(t *testing.T) {
	h := quota(t, QuotaConfig{
		Limiter: &shared{err: errors.New("away")}, Name: "a", Rate: Rate{1, time.Hour, 1}, Key: ByAddress, Advice: "a",
	})
	if w := from(h, "192.0.2.1"); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestQuotaConfig(t *testing.T) {
	good := QuotaConfig{Limiter: new(shared), Name: "a", Rate: Rate{1, time.Hour, 1}, Key: ByAddress, Advice: "a"}
	for i, spoil := range []func(*QuotaConfig){
		func(c *QuotaConfig) { c.Limiter = nil }, func(c *QuotaConfig) { c.Name = "" }, func(c *QuotaConfig) { c.Key = nil },
		func(c *QuotaConfig) { c.Advice = "" }, func(c *QuotaConfig) { c.Rate.Count = 0 }, func(c *QuotaConfig) { c.Rate.Burst = 0 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := Quota(cfg); err == nil {
			t.Errorf("%d passes", i)
		}
	}
}

func calls(t *testing.T, bans *Bans, address, account Rate) *Calls {
	t.Helper()
	c, err := NewCalls(CallsConfig{Bans: bans, Buckets: buckets(t, 0), Address: address, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCallsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := calls(t, newTestBans(t, new(memory), quiet()), Rate{1, time.Second, 5}, Rate{1, time.Second, 3})
		check := func(method, account, addr string) *CallError {
			t.Helper()
			at, _ := netip.ParseAddr(addr)
			var r *CallError
			if err := c.Check(method, at, account); err != nil && !errors.As(err, &r) {
				t.Fatal(err)
			}
			return r
		}
		for range 3 {
			if r := check("getblocktemplate", "alice", "192.0.2.1"); r != nil {
				t.Fatal(r)
			}
		}
		r := check("getblocktemplate", "alice", "192.0.2.1")
		if r == nil || r.Status != 429 || r.RetryAfter != time.Second || r.Ban != nil || !strings.Contains(r.Message, "alice@192.0.2.1/32") ||
			!strings.Contains(r.Message, "long polls") {
			t.Fatalf("the account's: %+v", r)
		}
		if r := check("getblocktemplate", "alice", "192.0.2.2"); r != nil {
			t.Errorf("who names alice elsewhere uses up what she has: %+v", r)
		}
		if r := check("getmininginfo", "bob", "192.0.2.1"); r != nil {
			t.Errorf("bob: %+v", r)
		}
		if r := check("getwork", "carol", "192.0.2.1"); r == nil || strings.Contains(r.Message, "carol") {
			t.Errorf("the address's: %+v", r)
		}
		for range 100 {
			if r := check("submitblock", "alice", "192.0.2.1"); r != nil {
				t.Fatalf("a submission is limited: %+v", r)
			}
			if r := check("getblocktemplate", "alice", ""); r != nil {
				t.Fatalf("who cannot be told apart is limited: %+v", r)
			}
		}
		if r := check("getblocktemplate", "alice", "192.0.2.1"); r == nil {
			t.Error("submissions give calls back")
		}
		time.Sleep(time.Second)
		if r := check("getblocktemplate", "alice", "192.0.2.1"); r != nil {
			t.Errorf("after the time that it was told: %+v", r)
		}
	})
}

func TestCallsBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bans := newTestBans(t, new(memory), quiet())
		put(t, bans, "alice@192.0.2.1", time.Hour)
		put(t, bans, "mallory", 0)
		c := calls(t, bans, Rate{}, Rate{})
		time.Sleep(time.Minute)
		at := netip.MustParseAddr("192.0.2.1")
		want := &CallError{Status: 403, RetryAfter: 59 * time.Minute}
		var got *CallError
		if err := c.Check("getblocktemplate", at, "alice"); !errors.As(err, &got) || got.Status != want.Status || got.RetryAfter != want.RetryAfter ||
			!strings.Contains(err.Error(), "because") || !strings.Contains(err.Error(), "2000-01-01T01:00:00Z") || got.Ban.Subject != "alice@192.0.2.1/32" {
			t.Errorf("got %+v", got)
		}
		if err := c.Check("getblocktemplate", at, "mallory"); !errors.As(err, &got) || got.RetryAfter != 0 {
			t.Errorf("got %+v", got)
		}
		for _, err := range []error{c.Check("submitblock", at, "alice"), c.Check("getblocktemplate", at, "bob")} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestCallsConfig(t *testing.T) {
	bans := newTestBans(t, new(memory), quiet())
	address, account := DefaultCalls()
	for _, cfg := range []CallsConfig{
		{Bans: bans}, {Buckets: buckets(t, 0)}, {Bans: bans, Buckets: buckets(t, 0), Address: Rate{Count: 1}},
	} {
		if _, err := NewCalls(cfg); err == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
	if _, err := NewCalls(CallsConfig{Bans: bans, Buckets: buckets(t, 0), Address: address, Account: account}); err != nil {
		t.Error(err)
	}
}

func BenchmarkCalls(b *testing.B) {
	bans, err := NewBans(BansConfig{Store: new(memory), Now: time.Now, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	if err := bans.Ban(b.Context(), shares.Ban{Subject: "mallory@203.0.113.1/32", Since: time.Now(), By: "test"}); err != nil {
		b.Fatal(err)
	}
	address, account := DefaultCalls()
	c, err := NewCalls(CallsConfig{Bans: bans, Buckets: buckets(b, 0), Address: address, Account: account})
	if err != nil {
		b.Fatal(err)
	}
	at := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Check("getblocktemplate", at, "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp")
	}
}
