package redisserver_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestServerKeepsGoesBackAndForgets(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: 5})
	t.Cleanup(func() { _ = client.Close() })
	set := func(value string) {
		t.Helper()
		if err := client.Set(t.Context(), "key", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got, err := client.Get(t.Context(), "key").Result(); got != want || err != nil && want != "" {
			t.Fatalf("key = %q, %v; want %q", got, err, want)
		}
	}
	set("one")
	old := s.Backup()
	set("two")
	s.Start() // kills it first
	expect("two")
	s.Freeze()
	s.Thaw()
	expect("two")
	s.Restore(old)
	expect("one")
	s.Wipe()
	expect("")
	s.Stop()
	if err := client.Get(t.Context(), "key").Err(); err == nil {
		t.Fatal("a stopped server answers")
	}
}

// TestClusterServes uses a cluster, and moves a slot.
func TestClusterServes(t *testing.T) {
	t.Parallel()
	c := redisserver.NewCluster(t, 3)
	addrs := make([]string, 0, 3)
	for _, s := range c.Servers {
		addrs = append(addrs, s.Addr)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	from, steps := c.Owner("{a}"), 0
	to := c.Servers[0]
	if from == to {
		to = c.Servers[1]
	}
	c.Move("{a}", to, func() { steps++ })
	if c.Owner("a") != to || steps != 2 {
		t.Fatalf("slot of a is at %s after %d steps, want %s after 2", c.Owner("a").Addr, steps, to.Addr)
	}
	direct := redis.NewClient(&redis.Options{Addr: to.Addr})
	t.Cleanup(func() { _ = direct.Close() })
	for _, asked := range []redis.Cmdable{direct, client} {
		if got, err := asked.Get(t.Context(), "a").Result(); got != "a" || err != nil {
			t.Fatalf("what was moved is %q, %v", got, err)
		}
	}
}
