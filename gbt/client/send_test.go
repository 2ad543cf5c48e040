package client

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// shareOnly returns a template whose share target half of all hashes meet, and whose network target
// none.
func shareOnly(t *testing.T, change answer) func(context.Context) (any, error) {
	t.Helper()
	both := answer{"target": "7fffff0000000000000000000000000000000000000000000000000000000000", "longpollid": "a"}
	for key, value := range change {
		both[key] = value
	}
	return hard(t, both)
}

// hits is a Hasher that finds the nonce 0, or whatever comes first.
func hits(header [wire.MaxBlockHeaderPayload]byte, target gbt.Target, first uint32, count int) []uint32 {
	if first != 0 {
		return nil
	}
	return hashOnProcessor(header, target, first, count)
}

// TestSubmitAgain has a server that is in trouble at the first tries.
func TestSubmitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *script
		s = &script{submit: func(context.Context) (any, error) {
			if len(s.asked("submit")) < 4 {
				return nil, statusError(503)
			}
			return "stale-work", nil
		}}
		var events []Event
		m := s.miner(t, MinerConfig{Events: func(e Event) { events = append(events, e) }})
		f := found{block: testBlock(t), work: &work{}}
		if !m.offer(t.Context(), f) {
			t.Error("there is no verdict")
		}
		if len(events) != 4 || events[0].Kind != Trouble || events[3].Kind != Verdict || events[3].Reason != gbt.StaleWork {
			t.Errorf("the events are %+v", events)
		}
		checkBackoff(t, s.asked("submit"))
		if stats := m.Stats(); stats.Accepted != 0 || stats.Refused[gbt.StaleWork] != 1 {
			t.Errorf("the stats are %+v", stats)
		}

		// For ever is too long.
		s.submit = nil
		if start := time.Now(); m.offer(t.Context(), f) || time.Since(start) > sendFor+maxDelay {
			t.Errorf("a share was offered for %s to a server that is away", time.Since(start))
		}
	})
}

// testBlock returns some block.
func testBlock(t *testing.T) *Block {
	t.Helper()
	b, _ := assemble(t, newAnswer(t, nil).parse(t), Options{PayTo: []byte{0x51}})
	return b
}

// TestSubmitOld looks at which shares are still sent once the server says that old work is
// worthless: those of no work from before, however long ago. Blocks are.
func TestSubmitOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{submit: func(context.Context) (any, error) { return nil, nil }}
		m := s.miner(t, MinerConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for serial, old := range []bool{true, true, true, false, true} {
			template := newAnswer(t, nil).parse(t)
			template.SubmitOld = old
			if err := m.adopt(ctx, template, uint64(serial)+1); err != nil {
				t.Fatal(err)
			}
		}
		for serial, want := range []bool{1: false, 2: false, 3: false, 4: true, 5: true} {
			if serial == 0 {
				continue
			}
			w := &work{serial: uint64(serial)}
			if got := m.offer(ctx, found{block: testBlock(t), work: w}); got != want {
				t.Errorf("a share of template %d is sent: %t", serial, got)
			}
			if !m.offer(ctx, found{block: testBlock(t), work: w, solve: true}) {
				t.Errorf("a block of template %d is not sent", serial)
			}
		}
	})
}

// TestCrowded has a server that never answers submissions: hashing goes on, shares are dropped and
// that is told once. A block passes all the shares that wait.
func TestCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{fetch: shareOnly(t, nil), poll: pending, submit: pending}
		var troubles atomic.Int32
		m := s.miner(t, MinerConfig{Threads: 2, HashRate: 2000, Events: func(e Event) {
			if e.Kind == Trouble {
				troubles.Add(1)
			}
		}})
		done := make(chan struct{})
		go func() { defer close(done); runFor(t, m, 30*time.Second) }()
		time.Sleep(20 * time.Second)
		if stats := m.Stats(); stats.Hashes < 39_000 || stats.Dropped < 10_000 || troubles.Load() != 1 {
			t.Errorf("%d hashes were made, %d shares dropped and %d troubles told", stats.Hashes, stats.Dropped, troubles.Load())
		}
		before := len(s.asked("submit"))
		block, solved := testBlock(t), newWork(t.Context(), testAssembler(t), 1, &m.numbers)
		m.queue(found{block: block, work: solved, solve: true})
		synctest.Wait()
		if after := len(s.asked("submit")); after != before+1 || solved.done.Err() == nil {
			t.Errorf("a block was not submitted before the shares that wait")
		}
		<-done
	})
}

func testAssembler(t *testing.T) *Assembler {
	t.Helper()
	a, err := NewAssembler(newAnswer(t, nil).parse(t), Options{PayTo: []byte{0x51}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStop looks at what becomes of a share that is being sent when the miner stops: it arrives if
// that takes less than a second, and holds nobody up if it takes longer.
func TestStop(t *testing.T) {
	for name, tt := range map[string]struct {
		takes    time.Duration
		accepted int
		stop     time.Duration
	}{
		"quick": {500 * time.Millisecond, 1, 500 * time.Millisecond},
		"slow":  {time.Hour, 0, sendLate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan struct{}, 1)
				s := &script{fetch: shareOnly(t, answer{"noncerange": "0000000000000000"}), poll: pending}
				s.submit = func(ctx context.Context) (any, error) {
					sent <- struct{}{}
					return nil, sleep(ctx, tt.takes)
				}
				m := s.miner(t, MinerConfig{Threads: 1, HashRate: 1, Hasher: hits})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- m.Run(ctx) }()
				<-sent
				cancel()
				start := time.Now()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.stop {
					t.Errorf("the stop took %s, want %s", took, tt.stop)
				}
				if stats := m.Stats(); stats.Accepted != tt.accepted || stats.Dropped != 1-tt.accepted {
					t.Errorf("the stats are %+v", stats)
				}
			})
		})
	}
}

// TestSolveWithoutPoll has a server that refuses a block and tells nothing of other work: mining
// goes on with a template that is fetched.
func TestSolveWithoutPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetch := hard(t, answer{"longpollid": "a", "bits": "207fffff", "target": nil})
		s := &script{fetch: fetch, poll: pending, submit: func(context.Context) (any, error) {
			time.Sleep(time.Second)
			return "rejected", nil
		}}
		m := s.miner(t, MinerConfig{Threads: 1, HashRate: 10})
		runFor(t, m, time.Minute)
		if stats := m.Stats(); stats.Refused[gbt.Rejected] < 20 || len(s.asked("fetch")) < stats.Refused[gbt.Rejected] {
			t.Errorf("%+v after a minute and %d fetches", stats, len(s.asked("fetch")))
		}
	})
}
