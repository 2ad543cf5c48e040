package redisserver

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// slots is how many hash slots a cluster has.
const slots = 16384

// Cluster is some servers that share the slots, a like number each in the order of Servers.
type Cluster struct {
	// Servers are its masters; it has no replicas.
	Servers []*Server

	tb    testing.TB
	moved map[int]*Server // who has a slot since Move
}

// NewCluster starts a cluster of so many masters and waits until all of them serve.
func NewCluster(tb testing.TB, masters int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, moved: make(map[int]*Server)}
	for range masters {
		c.Servers = append(c.Servers, New(tb, Config{Args: []string{
			"cluster-enabled yes", "cluster-node-timeout 2000", "cluster-require-full-coverage yes",
		}}))
	}
	host, port := split(tb, c.Servers[0].Addr)
	for i, s := range c.Servers {
		first, last := i*slots/masters, (i+1)*slots/masters-1
		s.do("CLUSTER", "ADDSLOTSRANGE", first, last)
		s.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i > 0 {
			s.do("CLUSTER", "MEET", host, port)
		}
	}
	c.Await()
	return c
}

// Await waits until every server serves and knows all the others, as after one was away.
func (c *Cluster) Await() {
	c.tb.Helper()
	for _, s := range c.Servers {
		await(c.tb, "the cluster at "+s.Addr, func() (bool, error) { return s.serves(c.Servers) })
	}
}

// serves reports whether a server sees its cluster whole.
func (s *Server) serves(all []*Server) (bool, error) {
	info, err := s.try("CLUSTER", "INFO")
	if err != nil {
		return false, err
	}
	nodes, err := s.try("CLUSTER", "NODES")
	if err != nil {
		return false, err
	}
	table, err := s.try("CLUSTER", "SLOTS")
	if err != nil {
		return false, err
	}
	ok := strings.Contains(info, "cluster_state:ok") && strings.Count(nodes, " connected") == len(all) &&
		!strings.Contains(nodes, "fail")
	for _, other := range all {
		host, port := split(s.tb, other.Addr)
		ok = ok && strings.Contains(table, host+" "+port)
	}
	if !ok {
		return false, fmt.Errorf("it says\n%s\n%s", info, nodes)
	}
	return true, nil
}

// Owner is the server that has the slot of a key.
func (c *Cluster) Owner(key string) *Server {
	c.tb.Helper()
	slot := c.slot(key)
	if s, ok := c.moved[slot]; ok {
		return s
	}
	for i, s := range c.Servers {
		if slot < (i+1)*slots/len(c.Servers) {
			return s
		}
	}
	c.tb.Fatalf("redisserver: nobody has slot %d", slot)
	return nil
}

// Move gives the slot of a key to another server, one key after the other, as redis-cli --cluster
// reshard does. between is called before each key and once more after the last, before the servers agree
// on who has the slot: until then clients are told to ask the other one, or to try again.
func (c *Cluster) Move(key string, to *Server, between func()) {
	c.tb.Helper()
	from, slot := c.Owner(key), c.slot(key)
	fromID, toID := from.do("CLUSTER", "MYID"), to.do("CLUSTER", "MYID")
	to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	host, port := split(c.tb, to.Addr)
	for {
		between()
		name := strings.Trim(from.do("CLUSTER", "GETKEYSINSLOT", slot, 1), "[]")
		if name == "" {
			break
		}
		from.do("MIGRATE", host, port, name, 0, limit.Milliseconds())
	}
	for _, s := range []*Server{to, from} {
		s.do("CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
	c.moved[slot] = to
	c.Await()
}

// slot is the number of the slot of a key.
func (c *Cluster) slot(key string) int {
	c.tb.Helper()
	slot, err := strconv.Atoi(c.Servers[0].do("CLUSTER", "KEYSLOT", key))
	if err != nil {
		c.tb.Fatalf("redisserver: the slot of %q: %v", key, err)
	}
	return slot
}

// URL is where the cluster is, as redis+cluster://HOST:PORT,HOST:PORT.
func (c *Cluster) URL() string { return "redis+cluster://" + addresses(c.Servers) }

func addresses(servers []*Server) string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s.Addr
	}
	return strings.Join(out, ",")
}
