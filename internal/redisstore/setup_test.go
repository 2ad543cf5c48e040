package redisstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// sound is a setup that nothing is wrong with.
func sound() Setup {
	return Setup{Version: "7.0.15", AppendOnly: true, Fsync: "always", Policy: "noeviction"}
}

func TestSetupCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		change        func(*Setup)
		check, notice string // what they say; empty for nothing
	}{
		"sound":             {func(*Setup) {}, "", ""},
		"sound and new":     {func(s *Setup) { s.WaitAOF = true }, "", ""},
		"no file":           {func(s *Setup) { s.AppendOnly = false }, "appendonly yes", ""},
		"never synced":      {func(s *Setup) { s.Fsync = "no" }, "appendfsync everysec or always", "appendfsync no"},
		"synced by seconds": {func(s *Setup) { s.Fsync = "everysec" }, "", "up to two seconds"},
		"waited for":        {func(s *Setup) { s.Fsync, s.WaitAOF = "everysec", true }, "", "nothing but time"},
		"drops any":         {func(s *Setup) { s.Policy = "allkeys-lru" }, "maxmemory-policy noeviction", ""},
		"drops some":        {func(s *Setup) { s.Policy = "volatile-ttl" }, "maxmemory-policy noeviction", ""},
		"nothing known":     {func(s *Setup) { *s = Setup{} }, "appendonly yes", "appendfsync"},
	} {
		s := sound()
		tt.change(&s)
		err := s.Check()
		if tt.check == "" && err != nil || tt.check != "" && (!errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), tt.check)) {
			t.Errorf("%s: Check says %v, want %q", name, err, tt.check)
		}
		if got := s.Notice(); (got == "") != (tt.notice == "") || !strings.Contains(got, tt.notice) {
			t.Errorf("%s: Notice says %q, want %q", name, got, tt.notice)
		}
	}
}

// told is a server that says of itself what a test wants.
type told struct {
	redis.Cmdable
	info string
}

func (s told) Info(context.Context, ...string) *redis.StringCmd {
	return redis.NewStringResult(s.info, nil)
}

func (s told) ConfigGet(_ context.Context, name string) *redis.MapStringStringCmd {
	return redis.NewMapStringStringResult(map[string]string{name: "yes"}, nil)
}

func TestSetupWaitsFromVersion(t *testing.T) {
	for version, want := range map[string]bool{
		"7.2.0": true, "7.2": true, "7.4.1": true, "8.0.0": true, "10.1": true, "7.2.0-rc1": true, "255.255.255": true,
		"7.0.15": false, "7": false, "6.2.14": false, "": false, "unstable": false,
	} {
		s, err := setupOf(t.Context(), told{info: "# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n"})
		if err != nil || s.Version != version || s.WaitAOF != want {
			t.Errorf("version %q: %+v, %v; want that it can wait: %t", version, s, err, want)
		}
	}
}

// dialed is a client of a server, with one to change its settings.
func dialed(t *testing.T, url, addr string) (*Client, *redis.Client) {
	t.Helper()
	c, err := Dial(Config{URL: url, Prefix: "setup", Slow: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = errors.Join(c.Close(), admin.Close()) })
	return c, admin
}

func TestSetupOfServer(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	c, admin := dialed(t, s.URL(), s.Addr)
	expect := func(want Setup) {
		t.Helper()
		got, err := c.Setup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want.Version, want.WaitAOF = got.Version, got.WaitAOF
		if diff := cmp.Diff(want, got); diff != "" || got.Version == "" {
			t.Fatalf("version %q (-want +got):\n%s", got.Version, diff)
		}
	}
	expect(sound())
	for name, value := range map[string]string{"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "volatile-lru"} {
		if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	expect(Setup{Fsync: "everysec", Policy: "volatile-lru"})
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "default", "-config").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Setup(t.Context()); !errors.Is(err, shares.ErrAway) || !strings.Contains(err.Error(), "CONFIG GET") || !strings.Contains(err.Error(), "grant") {
		t.Errorf("without the right to ask: %v", err)
	}
	s.Stop()
	if _, err := c.Setup(t.Context()); !errors.Is(err, shares.ErrAway) {
		t.Errorf("with nobody there: %v", err)
	}
}

// TestSetupOfCluster has one master at a time be the worst.
func TestSetupOfCluster(t *testing.T) {
	t.Parallel()
	cluster := redisserver.NewCluster(t, 3)
	for i, server := range cluster.Servers {
		c, admin := dialed(t, cluster.URL(), server.Addr)
		for _, tt := range []struct{ name, value, good, check, notice string }{
			{"appendonly", "no", "yes", "appendonly", ""},
			{"appendfsync", "everysec", "always", "", "appendfsync everysec"},
			{"appendfsync", "no", "always", "appendfsync", "appendfsync no"},
			{"maxmemory-policy", "allkeys-random", "noeviction", "allkeys-random", ""},
		} {
			if err := admin.ConfigSet(t.Context(), tt.name, tt.value).Err(); err != nil {
				t.Fatal(err)
			}
			s, err := c.Setup(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Check(); (err == nil) != (tt.check == "") || err != nil && !strings.Contains(err.Error(), tt.check) {
				t.Errorf("%s %s on master %d: Check says %v", tt.name, tt.value, i, err)
			}
			if got := s.Notice(); (got == "") != (tt.notice == "") || !strings.Contains(got, tt.notice) {
				t.Errorf("%s %s on master %d: Notice says %q", tt.name, tt.value, i, got)
			}
			if err := admin.ConfigSet(t.Context(), tt.name, tt.good).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := c.Setup(t.Context()); err != nil || s.Check() != nil || s.Notice() != "" {
			t.Errorf("all sound: %+v, %v", s, err)
		}
	}
	cluster.Servers[1].Kill()
	c, _ := dialed(t, cluster.URL(), cluster.Servers[0].Addr)
	if _, err := c.Setup(t.Context()); !errors.Is(err, shares.ErrAway) {
		t.Errorf("with a master that is away: %v", err)
	}
}
