package app

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// TestPipelineFails has a pipeline of many shares meet a network that fails: it is cut after so many
// bytes, of the requests or of the replies. No share is lost and none counts twice.
func TestPipelineFails(t *testing.T) {
	t.Parallel()
	const many, before = 100, 3
	type fault struct {
		fail func(*redisserver.Proxy)
		// some says that Redis has recorded some of the shares, and not all.
		some bool
	}
	faults := map[string]fault{
		"refused":  {(*redisserver.Proxy).Refuse, false},
		"too slow": {func(p *redisserver.Proxy) { p.Delay(600 * time.Millisecond) }, false},
	}
	// A share takes some 450, and 64 of them are recorded together or not at all.
	for _, bytes := range []int{0, 1, 500, 2000, 20_000, 32_000} {
		faults[fmt.Sprintf("cut after %d bytes", bytes)] = fault{func(p *redisserver.Proxy) { p.CutRequests(bytes) }, bytes > 64*450}
	}
	for _, bytes := range []int{0, 1, 100, 1000} {
		faults[fmt.Sprintf("ended by %d bytes of replies", bytes)] = fault{func(p *redisserver.Proxy) { p.CutReplies(bytes) }, false}
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, redisserver.Config{})
			cfg := settings(t, p.proxy.URL())
			makeLedger(t, cfg, "")
			r := openRecorder(t, cfg, new(work))
			r.await("")
			r.put(before)
			// While the first is held back, the others gather for one pipeline.
			p.proxy.Hang()
			var group sync.WaitGroup
			var begun atomic.Int64
			for range many {
				group.Go(func() {
					begun.Add(1)
					if err := r.record("account0"); err != nil {
						t.Error(err)
					}
				})
			}
			r.until("all to record", func() bool { return begun.Load() == many })
			f.fail(p.proxy)
			group.Wait()
			if !r.journal.has(slog.LevelError, "ledger is away") {
				t.Error("nothing failed")
			}
			if n := p.recorded(); f.some && (n == before || n == before+many) {
				t.Errorf("the pipeline was not cut in the middle: Redis has %d shares", n)
			}
			p.proxy.None()
			r.await("")
			r.whole()
		})
	}
}

// recorded is how many shares the server has.
func (p *patient) recorded() int {
	p.t.Helper()
	sum := 0
	names, err := p.admin.Keys(p.t.Context(), "{pool:*}:state").Result()
	for _, name := range names {
		n, countErr := p.admin.HGet(p.t.Context(), name, "shares").Int()
		if errors.Is(countErr, redis.Nil) {
			continue
		}
		err = errors.Join(err, countErr)
		sum += n
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return sum
}

// TestNetworkFlaps has the network fail in one way after the other while many miners record.
func TestNetworkFlaps(t *testing.T) {
	t.Parallel()
	p := newPatient(t, redisserver.Config{})
	cfg := settings(t, p.proxy.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	end := r.crowd(8)
	faults := []func(){
		p.proxy.Refuse, func() { p.proxy.CutReplies(0) }, p.proxy.Hang, func() { p.proxy.CutReplies(rand.IntN(500)) },
		func() { p.proxy.CutRequests(rand.IntN(5000)) }, func() { p.proxy.Delay(700 * time.Millisecond) },
		func() { p.proxy.Answer("LOADING for a moment") },
	}
	for _, fail := range faults {
		r.more(t, 100)
		fail()
		r.until("the ledger to be away", func() bool { return r.keeper.Status().Away != nil })
		p.proxy.None()
		r.await("")
	}
	end()
	r.whole()
}

// TestScriptsForgotten has Redis forget the scripts all the while: they are told again, and no share goes
// to the spool for that.
func TestScriptsForgotten(t *testing.T) {
	t.Parallel()
	p := newPatient(t, redisserver.Config{})
	cfg := settings(t, p.server.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	end := r.crowd(8)
	for range 200 {
		p.do("SCRIPT FLUSH SYNC")
	}
	end()
	if r.journal.has(slog.LevelError, "") {
		t.Error("the log has errors")
	}
	r.whole()
}
