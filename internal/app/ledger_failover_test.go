package app

import (
	"path/filepath"
	"testing"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// TestMasterKilled has the master of a Redis with sentinels die while miners record. The gateway finds the
// one that takes over by itself. What that one had not got yet is recorded again.
func TestMasterKilled(t *testing.T) {
	t.Parallel()
	s := redisserver.NewSentinel(t)
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	end := r.crowd(8)
	r.more(t, 100)
	s.Servers[0].Kill()
	r.away("ended the connection", "connection refused")
	s.Failover()
	r.until("the new master to take shares", func() bool { return r.keeper.Status().Away == nil })
	r.more(t, 100)
	end()
	r.whole()
}

// TestMasterDemoted has a replica take over from a master that lives, and learns of it only seconds later.
// One gateway asks the sentinels and goes over; another knows the old master alone, which takes its shares
// and then loses them and becomes read-only. In the end each share that either acknowledged is there once.
func TestMasterDemoted(t *testing.T) {
	t.Parallel()
	s := redisserver.NewSentinel(t)
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	all := new(work)
	r := openRecorder(t, cfg, all)
	direct := cfg
	direct.Gateway, direct.Spool = "two", filepath.Join(t.TempDir(), "spool")
	direct.Redis.URL = s.Servers[0].URL()
	stray := openRecorder(t, direct, all)
	r.await("")
	stray.await("")
	end, endStray := r.crowd(8), stray.crowd(2)
	all.more(t, 100)
	s.Failover()
	stray.away("this redis is a read-only replica: after a failover the new master is elsewhere")
	all.more(t, 100)
	end()
	endStray()
	stray.stop()
	direct.Redis.URL = s.URL()
	stray = openRecorder(t, direct, all)
	stray.await("payouts stop")
	stray.whole()
	r.audit()
}
