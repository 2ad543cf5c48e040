package redisserver

import (
	"fmt"
	"strings"
	"testing"
)

// masterName is what the sentinels know the master by.
const masterName = "pool"

// Sentinel is a master with a replica, and three sentinels, two of which can replace it. Its methods
// end the test on failure and are for the test's goroutine alone.
type Sentinel struct {
	// Servers are the two that hold the data, at first the master and its replica.
	Servers []*Server
	// Sentinels watch them.
	Sentinels []*Server

	tb     testing.TB
	master *Server // since the last Failover
}

// NewSentinel starts the five servers and waits until all sentinels could replace the master. One
// that is away for two seconds is replaced, which a busy machine should not make it seem.
func NewSentinel(tb testing.TB) *Sentinel {
	tb.Helper()
	s := &Sentinel{tb: tb}
	// A replica would get its data five seconds later, lest another one comes.
	const atOnce = "repl-diskless-sync-delay 0"
	s.master = New(tb, Config{Args: []string{atOnce}})
	host, port := split(tb, s.master.Addr)
	s.Servers = []*Server{s.master, New(tb, Config{Args: []string{atOnce, "replicaof " + host + " " + port}})}
	// A sentinel asks a server for its replicas when it meets it, and again ten seconds later.
	s.awaitReplica(s.Servers[0], s.Servers[1])
	for range 3 {
		s.Sentinels = append(s.Sentinels, New(tb, Config{sentinel: true, Args: []string{
			"sentinel monitor " + masterName + " " + host + " " + port + " 2",
			"sentinel down-after-milliseconds " + masterName + " 2000",
			"sentinel failover-timeout " + masterName + " 5000",
		}}))
	}
	for _, one := range s.Sentinels {
		await(tb, "the sentinel at "+one.Addr, func() (bool, error) { return one.watches() })
	}
	return s
}

// watches reports whether a sentinel knows all that it takes to replace the master.
func (s *Server) watches() (bool, error) {
	quorum, err := s.try("SENTINEL", "CKQUORUM", masterName)
	if err != nil {
		return false, err
	}
	info, err := s.try("INFO", "sentinel")
	if err != nil {
		return false, err
	}
	if !strings.Contains(quorum, "3 usable") || !strings.Contains(info, "status=ok") || !strings.Contains(info, "slaves=1,") {
		return false, fmt.Errorf("it says %s\n%s", quorum, info)
	}
	return true, nil
}

// awaitReplica waits until one server has all data of another and follows it.
func (s *Sentinel) awaitReplica(of, replica *Server) {
	s.tb.Helper()
	await(s.tb, "the replica", func() (bool, error) {
		theirs, err := replica.try("INFO", "replication")
		if err != nil {
			return false, err
		}
		ours, err := of.try("INFO", "replication")
		if err != nil {
			return false, err
		}
		_, port := split(s.tb, of.Addr)
		if !strings.Contains(theirs, "master_port:"+port) || !strings.Contains(theirs, "master_link_status:up") ||
			!strings.Contains(ours, "role:master") || !strings.Contains(ours, "state=online") {
			return false, fmt.Errorf("they say\n%s\n%s", ours, theirs)
		}
		return true, nil
	})
}

// URL is where the sentinels are, as redis+sentinel://HOST:PORT,HOST:PORT,HOST:PORT/pool/0.
func (s *Sentinel) URL() string {
	return "redis+sentinel://" + addresses(s.Sentinels) + "/" + masterName + "/0"
}

// Master is the server that the first sentinel takes for the master.
func (s *Sentinel) Master() *Server {
	s.tb.Helper()
	m, err := s.masterOf(s.Sentinels[0])
	if err != nil {
		s.tb.Fatalf("redisserver: %v", err)
	}
	return m
}

func (s *Sentinel) masterOf(sentinel *Server) (*Server, error) {
	addr, err := sentinel.try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)
	if err != nil {
		return nil, err
	}
	for _, one := range s.Servers {
		host, port := split(s.tb, one.Addr)
		if addr == "["+host+" "+port+"]" {
			return one, nil
		}
	}
	return nil, fmt.Errorf("the sentinel at %s takes %s for the master", sentinel.Addr, addr)
}

// Failover has the other server become master, and returns it when all sentinels say so and it takes
// writes. The master, which is the first of Servers or what Failover last returned, is replaced on
// request if it answers, and is a replica then, which refuses writes (READONLY); the sentinels find
// out by themselves about one that was killed or frozen, or have already.
func (s *Sentinel) Failover() *Server {
	s.tb.Helper()
	old, next := s.master, s.Servers[0]
	if old == next {
		next = s.Servers[1]
	}
	_, err := old.try("PING")
	answers := err == nil
	if answers {
		// It is refused for some time after the last, and while no replica is there.
		await(s.tb, "the failover to begin", func() (bool, error) {
			if m, err := s.masterOf(s.Sentinels[0]); err == nil && m == next {
				return true, nil
			}
			_, err := s.Sentinels[0].try("SENTINEL", "FAILOVER", masterName)
			return err == nil, err
		})
	}
	for _, one := range s.Sentinels {
		await(s.tb, "the failover at "+one.Addr, func() (bool, error) {
			m, err := s.masterOf(one)
			return m == next, err
		})
	}
	await(s.tb, "the new master", func() (bool, error) {
		role, err := next.try("ROLE")
		return strings.HasPrefix(role, "[master "), err
	})
	if answers {
		s.awaitReplica(next, old)
	}
	s.master = next
	return next
}
