package app

import (
	"log/slog"
	"testing"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// TestClusterMasterKilled has one of three masters die while miners record, and come back.
func TestClusterMasterKilled(t *testing.T) {
	t.Parallel()
	c := redisserver.NewCluster(t, 3)
	cfg := settings(t, c.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	end := r.crowd(8)
	r.more(t, 100)
	dead := c.Owner("{pool:0}:state")
	dead.Kill()
	r.away("ended the connection", "connection refused", "slots are not served")
	r.more(t, 100)
	dead.Start()
	c.Await()
	r.await("")
	r.more(t, 100)
	end()
	r.whole()
}

// TestClusterMovesSlots has the slot of a partition move to another master, key by key, while miners record.
// A script is run where all its keys are, or not at all, so that shares go to the spool meanwhile.
func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	c := redisserver.NewCluster(t, 3)
	cfg := settings(t, c.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	end := r.crowd(8)
	r.more(t, 100)
	for p, key := range []string{"{pool:0}:state", "{pool:1}:state", "{pool:2}:state", "{pool:3}:state", "{pool}:genesis"} {
		to := c.Servers[p%3]
		if c.Owner(key) == to {
			to = c.Servers[(p+1)%3]
		}
		c.Move(key, to, func() { r.more(t, 10) })
	}
	if said := "moving slots"; !r.journal.has(slog.LevelError, said) {
		t.Errorf("the log does not say %q", said)
	}
	r.await("")
	r.more(t, 100)
	end()
	r.whole()
}
