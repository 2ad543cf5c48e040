package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/shares"
)

var errAway = errors.New("the store is away")

// memory is a BanStore that can be away.
type memory struct {
	mu   sync.Mutex
	bans map[shares.Subject]shares.Ban
	away bool
}

func (m *memory) set(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *memory) Bans(context.Context) ([]shares.Ban, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, errAway
	}
	var out []shares.Ban
	for _, ban := range m.bans {
		out = append(out, ban)
	}
	return out, nil
}

func (m *memory) Ban(_ context.Context, ban shares.Ban) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if m.bans == nil {
		m.bans = make(map[shares.Subject]shares.Ban)
	}
	m.bans[ban.Subject] = ban
	return nil
}

func (m *memory) Lift(_ context.Context, subject shares.Subject) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return false, errAway
	}
	_, ok := m.bans[subject]
	delete(m.bans, subject)
	return ok, nil
}

func (m *memory) has(subject shares.Subject) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.bans[subject]
	return ok
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newTestBans(t *testing.T, store BanStore, log *slog.Logger) *Bans {
	t.Helper()
	b, err := NewBans(BansConfig{Store: store, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b *Bans, text string, lasts time.Duration) shares.Ban {
	t.Helper()
	subject, err := shares.ParseSubject(text)
	if err != nil {
		t.Fatal(err)
	}
	ban := shares.Ban{Subject: subject, Reason: "because", Since: time.Now(), By: "test"}
	if lasts > 0 {
		ban.Until = ban.Since.Add(lasts)
	}
	if err := b.Ban(t.Context(), ban); err != nil {
		t.Fatal(err)
	}
	return ban
}

func TestBanned(t *testing.T) {
	b := newTestBans(t, new(memory), quiet())
	for _, subject := range []string{
		"mallory", "203.0.113.0/24", "2001:db8::/48", "198.51.100.7", "alice@192.0.2.1/32", "bob@2001:db8:1:2::/64",
	} {
		put(t, b, subject, time.Hour)
	}
	for _, tt := range []struct{ addr, account, want string }{
		{"192.0.2.99", "mallory", "mallory"},
		{"", "mallory", "mallory"},
		{"203.0.113.77", "carol", "203.0.113.0/24"},
		{"203.0.113.77", "", "203.0.113.0/24"},
		{"::ffff:203.0.113.77", "", "203.0.113.0/24"},
		{"203.0.114.1", "carol", ""},
		{"2001:db8::5", "", "2001:db8::/48"},
		{"2001:db8:1::5", "", ""},
		{"198.51.100.7", "", "198.51.100.7/32"},
		{"198.51.100.8", "", ""},
		{"192.0.2.1", "alice", "alice@192.0.2.1/32"},
		{"192.0.2.1", "bob", ""},
		{"192.0.2.2", "alice", ""},
		{"", "alice", ""},
		{"2001:db8:1:2:3::", "bob", "bob@2001:db8:1:2::/64"},
		{"2001:db8:1:3::", "bob", ""},
		{"", "", ""},
	} {
		addr, _ := netip.ParseAddr(tt.addr)
		ban, ok := b.Banned(addr, tt.account)
		if string(ban.Subject) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s at %s: got %q, want %q", tt.account, tt.addr, ban.Subject, tt.want)
		}
	}
}

// TestBanMalformed: what no store would keep is not in force either.
func TestBanMalformed(t *testing.T) {
	b := newTestBans(t, new(memory), quiet())
	for _, subject := range []shares.Subject{"", "@", "alice@", "@192.0.2.1", "192.0.2.1/24", "192.0.2.1", "a.b", "alice@bob"} {
		if err := b.Ban(t.Context(), shares.Ban{Subject: subject, Since: time.Now(), By: "test"}); !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%q can be banned: %v", subject, err)
		}
	}
	if err := b.Ban(t.Context(), shares.Ban{Subject: "alice", By: "test"}); !errors.Is(err, shares.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if len(b.All()) != 0 {
		t.Errorf("got %v", b.All())
	}
}

// TestBanEnds: a ban is over at its end, and one without an end is not.
func TestBanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBans(t, new(memory), quiet())
		put(t, b, "short", time.Minute)
		put(t, b, "ever", 0)
		time.Sleep(time.Minute - 1)
		if _, ok := b.Banned(netip.Addr{}, "short"); !ok || len(b.All()) != 2 {
			t.Error("over too early")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := b.Banned(netip.Addr{}, "short"); ok || len(b.All()) != 1 {
			t.Error("not over")
		}
		time.Sleep(1000 * time.Hour)
		if _, ok := b.Banned(netip.Addr{}, "ever"); !ok {
			t.Error("over without an end")
		}
	})
}

// TestLongerBanHolds: a ban makes none shorter, in whichever order they come.
func TestLongerBanHolds(t *testing.T) {
	for _, lasts := range [][]time.Duration{{time.Hour, time.Minute}, {time.Minute, time.Hour}, {0, time.Hour}, {time.Hour, 0}} {
		b := newTestBans(t, new(memory), quiet())
		want := time.Time{}
		for _, d := range lasts {
			if ban := put(t, b, "alice", d); d == slices.Max(lasts) && slices.Min(lasts) != 0 {
				want = ban.Until
			}
		}
		if got, _ := b.Banned(netip.Addr{}, "alice"); !got.Until.Equal(want) {
			t.Errorf("%v: until %s, want %s", lasts, got.Until, want)
		}
	}
}

// run runs a component until the test's end.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestBansOfOthers: what another gateway bans and lifts holds here soon.
func TestBansOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		here, there := newTestBans(t, store, quiet()), newTestBans(t, store, quiet())
		run(t, here.Run)
		synctest.Wait()
		put(t, there, "alice", time.Hour)
		if _, ok := here.Banned(netip.Addr{}, "alice"); ok {
			t.Error("known before it can be")
		}
		time.Sleep(defaultBansEvery + 1)
		synctest.Wait()
		if _, ok := here.Banned(netip.Addr{}, "alice"); !ok {
			t.Error("not known")
		}
		if ok, err := there.Lift(t.Context(), "alice"); !ok || err != nil {
			t.Errorf("lifted %t: %v", ok, err)
		}
		if ok, err := there.Lift(t.Context(), "alice"); ok || err != nil {
			t.Errorf("lifted again %t: %v", ok, err)
		}
		time.Sleep(defaultBansEvery)
		synctest.Wait()
		if _, ok := here.Banned(netip.Addr{}, "alice"); ok {
			t.Error("not lifted")
		}
	})
}

// TestStoreAway: bans hold and can be made while the store is away, which gets them when it is back;
// the log says it once. Lifting says that it did not work.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := new(memory)
		b := newTestBans(t, store, slog.New(slog.NewTextHandler(&log, nil)))
		put(t, b, "alice", time.Hour)
		run(t, b.Run)
		synctest.Wait()
		store.set(true)
		time.Sleep(time.Minute)
		ban := shares.Ban{Subject: "bob", By: "test", Since: time.Now(), Until: time.Now().Add(time.Hour)}
		if err := b.Ban(t.Context(), ban); !errors.Is(err, errAway) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Lift(t.Context(), "alice"); !errors.Is(err, errAway) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, who := range []string{"alice", "bob"} {
			if _, ok := b.Banned(netip.Addr{}, who); !ok {
				t.Errorf("%s is not banned any more", who)
			}
		}
		if n := strings.Count(log.String(), "cannot be read"); n != 1 {
			t.Errorf("%d lines: %s", n, &log)
		}
		store.set(false)
		time.Sleep(defaultBansEvery)
		synctest.Wait()
		if !store.has("bob") || !strings.Contains(log.String(), "read again") {
			t.Errorf("the store did not hear of it; log %s", &log)
		}
		if _, ok := b.Banned(netip.Addr{}, "bob"); !ok {
			t.Error("bob is not banned any more")
		}
	})
}

// TestUnknownSubject: what another version of the program banned does not hide the rest.
func TestUnknownSubject(t *testing.T) {
	store := &memory{bans: map[shares.Subject]shares.Ban{
		"": {}, "worker:x.y": {Subject: "worker:x.y"}, "alice": {Subject: "alice"},
	}}
	b := newTestBans(t, store, quiet())
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Banned(netip.Addr{}, "alice"); !ok {
		t.Errorf("got %v", b.All())
	}
	for _, who := range []string{"", "bob"} {
		if ban, ok := b.Banned(netip.MustParseAddr("192.0.2.1"), who); ok {
			t.Errorf("%q is banned: %v", who, ban)
		}
	}
}

func TestShut(t *testing.T) {
	b := newTestBans(t, new(memory), quiet())
	until := time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, ban := range []shares.Ban{
		{Subject: "203.0.113.0/24", Reason: "floods the pool", Until: until},
		{Subject: "mallory@192.0.2.1/32", Reason: "lies"},
	} {
		ban.Since, ban.By = time.Now(), "test"
		if err := b.Ban(t.Context(), ban); err != nil {
			t.Fatal(err)
		}
	}
	h := b.Shut(func(r *http.Request) string { return r.URL.Query().Get("as") })(pages())
	get := func(h http.Handler, addr, path string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(WithClient(r.Context(), netip.MustParseAddr(addr))))
		return w
	}
	w := get(h, "203.0.113.9", "/")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "about:blank", "title": "Banned", "status": 403.0, "reason": "floods the pool", "until": "2100-01-02T03:04:05Z",
		"detail": "203.0.113.0/24 is banned until 2100-01-02T03:04:05Z: floods the pool",
	}
	if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), diff)
	}
	w = get(h, "192.0.2.1", "/?as=mallory")
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "until an operator lifts it: lies") || strings.Contains(w.Body.String(), `"until":`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, free := range []*httptest.ResponseRecorder{
		get(h, "192.0.2.1", "/"), get(h, "192.0.2.1", "/?as=alice"), get(b.Shut(nil)(pages()), "192.0.2.1", "/?as=mallory"),
	} {
		if free.Code != http.StatusOK {
			t.Errorf("%d %s", free.Code, free.Body)
		}
	}
}

func TestBansConfig(t *testing.T) {
	good := BansConfig{Store: new(memory), Now: time.Now, Log: quiet()}
	for i, spoil := range []func(*BansConfig){
		func(c *BansConfig) { c.Store = nil }, func(c *BansConfig) { c.Now = nil },
		func(c *BansConfig) { c.Log = nil }, func(c *BansConfig) { c.Every = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := NewBans(cfg); err == nil {
			t.Errorf("%d passes", i)
		}
	}
}

// FuzzSubject: a subject that is taken is found again, and no other account is.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"alice", "192.0.2.1", "alice@2001:db8::/64", "@", "a@@1.2.3.4", "::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		subject, err := shares.ParseSubject(text)
		if err != nil {
			return
		}
		account, network := subject.Parts()
		s := newBanned([]shares.Ban{{Subject: subject}})
		if _, ok := s.find(network.Addr(), account, time.Time{}); !ok {
			t.Errorf("%q bans nobody", text)
		}
		if _, ok := s.find(netip.Addr{}, account+"x", time.Time{}); ok {
			t.Errorf("%q bans another account", text)
		}
	})
}

func BenchmarkBanned(b *testing.B) {
	var list []shares.Ban
	for i := range 10000 {
		list = append(list, shares.Ban{Subject: shares.Subject(fmt.Sprintf("alice%d@10.0.%d.%d/32", i, i/256, i%256))})
	}
	s := newBanned(list)
	addr, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.find(addr, "carol", now)
	}
}
