package redisserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// slots is how many hash slots a cluster has.
const slots = 16384

// Cluster is some servers that share the slots.
type Cluster struct{ Servers []*Server }

// NewCluster starts a cluster of so many masters and waits until all of them serve.
func NewCluster(tb testing.TB, masters int) *Cluster {
	tb.Helper()
	c := new(Cluster)
	for range masters {
		c.Servers = append(c.Servers, New(tb, Config{Args: []string{
			"cluster-enabled yes", "cluster-node-timeout 2000", "cluster-require-full-coverage yes",
		}}))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	host, port := split(c.Servers[0].Addr)
	for i, s := range c.Servers {
		first, last := i*slots/masters, (i+1)*slots/masters-1
		commands := [][]any{{"CLUSTER", "ADDSLOTSRANGE", first, last}, {"CLUSTER", "SET-CONFIG-EPOCH", i + 1}}
		if i > 0 {
			commands = append(commands, []any{"CLUSTER", "MEET", host, port})
		}
		for _, command := range commands {
			s.do(ctx, tb, command...)
		}
	}
	for _, s := range c.Servers {
		for !strings.Contains(s.do(ctx, tb, "CLUSTER", "INFO"), "cluster_state:ok") ||
			strings.Count(s.do(ctx, tb, "CLUSTER", "NODES"), "connected") != masters ||
			strings.Count(s.do(ctx, tb, "CLUSTER", "SLOTS"), s.host()) < masters {
			select {
			case <-ctx.Done():
				tb.Fatalf("redisserver: the cluster does not come up: %s", s.do(context.Background(), tb, "CLUSTER", "NODES"))
			case <-time.After(interval):
			}
		}
	}
	return c
}

// URL is where the cluster is.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		addrs[i] = s.Addr
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

func (s *Server) host() string {
	host, _ := split(s.Addr)
	return host
}

// do runs one command.
func (s *Server) do(ctx context.Context, tb testing.TB, command ...any) string {
	tb.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer client.Close() //nolint:errcheck // nothing is kept in it
	v, err := client.Do(ctx, command...).Result()
	if err != nil {
		tb.Fatalf("redisserver: %v: %v", command, err)
	}
	return fmt.Sprint(v)
}
