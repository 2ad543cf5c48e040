package redisserver_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// TestSentinelFailsOver has a master replaced on request, and then one that was killed.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := redisserver.NewSentinel(t)
	addrs := make([]string, 0, 3)
	for _, one := range s.Sentinels {
		addrs = append(addrs, one.Addr)
	}
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "pool", SentinelAddrs: addrs, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	set := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := client.Incr(t.Context(), "key").Err()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	set()
	first := s.Master()
	second := s.Failover()
	if first == second || s.Master() != second {
		t.Fatalf("the master at %s was replaced by the one at %s, now it is at %s", first.Addr, second.Addr, s.Master().Addr)
	}
	old := redis.NewClient(&redis.Options{Addr: first.Addr})
	t.Cleanup(func() { _ = old.Close() })
	if err := old.Set(t.Context(), "key", 1, 0).Err(); !redis.IsReadOnlyError(err) {
		t.Fatalf("the old master took a write: %v", err)
	}
	set()
	// A master that is killed takes along what no replica has yet.
	for deadline := time.Now().Add(10 * time.Second); old.Get(t.Context(), "key").Val() != "2"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
	}
	second.Kill()
	if third := s.Failover(); third != first {
		t.Fatalf("the new master is at %s", third.Addr)
	}
	set()
	second.Start()
	if n, err := client.Get(t.Context(), "key").Int(); n < 3 || err != nil {
		t.Fatalf("it counted %d of 3, %v", n, err)
	}
}
