package app

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// TestClockJumps has a gateway's clock be wrong, jump while it records, and be another after a restart.
// Shares and refusals all count, once. Redis's own clock cannot be moved without that of the machine. All
// that the ledger needs of it is that it numbers the shares of a partition upwards, which Redis does also
// while its clock goes back: the next entry of a stream then has the last one's time, and a number after it.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	all, refused := new(work), int64(0)
	const year = 365 * 24 * time.Hour
	for _, wrong := range []time.Duration{0, time.Hour, -time.Hour, 30 * year, -30 * year, -60 * year, 0} {
		var off atomic.Int64
		off.Store(int64(wrong))
		r := newRecorder(t, cfg, all)
		r.hurry(func() time.Time { return time.Now().Add(time.Duration(off.Load())) })
		r.run()
		for _, now := range []time.Duration{wrong, 0, -wrong, wrong} {
			off.Store(int64(now))
			if err := r.recordAt("account0", time.Now().Add(now)); err != nil {
				t.Fatal(err)
			}
			r.keeper.Refused(gbt.Submission{Account: gbt.Account{Address: "account0"}, Worker: "rig"}, gbt.HighHash)
			refused++
		}
		r.until("the refusals to be counted", func() bool {
			pool, err := r.ledger.Pool(t.Context())
			return err == nil && pool.Rejected() == refused
		})
		r.whole()
		r.stop()
	}
}
