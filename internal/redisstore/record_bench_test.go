package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// benchRound is how many shares go one way before as many go the other.
const benchRound = 1 << 14

// BenchmarkRecord records shares through the ledger, by as many goroutines at a time as there are miners, each its next
// share when the last one is in, and in turn the same shares with the same script in bare pipelines: as many at a time
// as the ledger has trips, each of as many shares as those had on average. The ratio is that of their rates: 1 is a
// ledger that costs nothing.
func BenchmarkRecord(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		l := benchLedger(b, "appendfsync "+fsync)
		pipelines := new(tripCount)
		l.redis.AddHook(pipelines)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		b.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
		r := &recordBench{b: b, ledger: l, opened: l.open.Load(), pipelines: pipelines}
		r.through(r.shares(), 1024) // so that all connections are there and the script is known
		for _, miners := range []int{64, 256, 1024} {
			b.Run(fmt.Sprintf("appendfsync=%s/miners=%d", fsync, miners), func(b *testing.B) {
				r.b = b
				r.measure(miners)
			})
		}
	}
}

// BenchmarkRecordGroup has the script record shares of one partition and of as many accounts, so many in a run: what a run
// takes beside its shares, and what each of them takes, is what differs between the sizes.
func BenchmarkRecordGroup(b *testing.B) {
	l := benchLedger(b, "appendfsync everysec")
	r := &recordBench{b: b, ledger: l, opened: l.open.Load()}
	for _, size := range []int{1, 4, 16, maxBatch} {
		b.Run(fmt.Sprintf("shares=%d", size), func(b *testing.B) {
			r.b = b
			spent, groups := 0.0, 0
			for b.Loop() {
				var own []*pending
				for list := r.shares(); len(own) < 16*maxBatch; list = r.shares() {
					for i := range list {
						if p, _ := r.opened.of(list[i].Account); p == 0 {
							own = append(own, &pending{share: &list[i]})
						}
					}
				}
				t := newTrip(l, r.opened)
				cpu := r.cpu()
				for group := range slices.Chunk(own[:16*maxBatch], size) {
					groups++
					if err := run(b.Context(), l.redis, t.encode([]batch{{0, group}}))[0].Err(); err != nil {
						b.Fatal(err)
					}
				}
				spent += r.cpu() - cpu
			}
			b.ReportMetric(0, "ns/op") // an op is as many groups as its shares make
			b.ReportMetric(spent*1e6/float64(groups), "redis-µs/group")
		})
	}
}

// recordBench makes shares and records them.
type recordBench struct {
	b         *testing.B
	ledger    *Ledger
	opened    *opened
	number    uint64
	pipelines *tripCount
}

// measure records for many miners.
func (r *recordBench) measure(miners int) {
	r.b.Helper()
	var ours, bare time.Duration
	var spent, allocated float64
	rounds, size := 0, 0
	for r.b.Loop() {
		list := r.shares()
		r.pipelines.trips.Store(0)
		cpu, before := r.cpu(), mallocs()
		ours += r.through(list, miners)
		spent += r.cpu() - cpu
		allocated += float64(mallocs() - before)
		size = max(1, benchRound/int(r.pipelines.trips.Load()))
		bare += r.bare(r.shares(), size)
		rounds++
	}
	all := float64(rounds * benchRound)
	r.b.ReportMetric(0, "ns/op") // an op is a round of both
	r.b.ReportMetric(spent*1e6/all, "redis-µs/share")
	r.b.ReportMetric(allocated/all, "allocs/share")
	r.b.ReportMetric(all/ours.Seconds(), "shares/s")
	r.b.ReportMetric(all/bare.Seconds(), "bare-shares/s")
	r.b.ReportMetric(float64(size), "shares/trip")
	r.b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}

// mallocs returns how many things were allocated so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// cpu returns for how many seconds Redis's main thread has worked.
func (r *recordBench) cpu() float64 {
	r.b.Helper()
	info, err := r.ledger.redis.Info(r.b.Context(), "cpu").Result()
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, parseErr := strconv.ParseFloat(value, 64)
			sum, err = sum+seconds, errors.Join(err, parseErr)
		}
	}
	if err != nil || sum == 0 {
		r.b.Fatalf("what redis has used: %g s, %v", sum, err)
	}
	return sum
}

// shares makes those of a round, of a thousand accounts with two workers each.
func (r *recordBench) shares() []shares.Share {
	r.b.Helper()
	target, err := gbt.TargetFromBits(0x1d00ffff)
	if err != nil {
		r.b.Fatal(err)
	}
	list := make([]shares.Share, benchRound)
	for i := range list {
		r.number++
		list[i] = shares.Share{
			Hash:    chainhash.Hash(sha256.Sum256(binary.BigEndian.AppendUint64(nil, r.number))),
			Account: addressOf(int(r.number % 1000)), Worker: "rig" + strconv.Itoa(int(r.number%2000/1000)),
			Weight: 1 << 22, Target: target, Height: 900_000, Time: time.Now(),
		}
	}
	return list
}

// through records shares through the ledger.
func (r *recordBench) through(list []shares.Share, miners int) time.Duration {
	r.b.Helper()
	var next atomic.Int64
	return r.timed(miners, func(int) error {
		for {
			n := int(next.Add(1)) - 1
			if n >= len(list) {
				return nil
			}
			if _, err := r.ledger.Record(r.b.Context(), &list[n]); err != nil {
				return err
			}
		}
	})
}

// bare records shares, so many in a pipeline.
func (r *recordBench) bare(list []shares.Share, size int) time.Duration {
	r.b.Helper()
	pipelines := slices.Collect(slices.Chunk(list, size))
	var next atomic.Int64
	return r.timed(maxTrips, func(int) error {
		t := newTrip(r.ledger, r.opened)
		for {
			n := int(next.Add(1)) - 1
			if n >= len(pipelines) {
				return nil
			}
			by := make([][]*pending, r.opened.Partitions)
			for i := range pipelines[n] {
				p, _ := r.opened.of(pipelines[n][i].Account)
				by[p] = append(by[p], &pending{share: &pipelines[n][i], partition: p})
			}
			for p, load := range by {
				if len(load) > 0 {
					t.load(p, load)
				}
			}
			for _, result := range run(r.b.Context(), r.ledger.redis, t.encode(t.batches())) {
				if err := result.Err(); err != nil {
					return err
				}
			}
			t.unload()
		}
	})
}

// timed runs a function many times at once and returns how long that takes.
func (r *recordBench) timed(many int, run func(number int) error) time.Duration {
	r.b.Helper()
	var all sync.WaitGroup
	start := time.Now()
	for n := range many {
		all.Go(func() {
			if err := run(n); err != nil {
				r.b.Error(err)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	if r.b.Failed() {
		r.b.FailNow()
	}
	return took
}

// tripCount counts pipelines.
type tripCount struct{ trips atomic.Int64 }

// DialHook implements redis.Hook.
func (c *tripCount) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (c *tripCount) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (c *tripCount) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips.Add(1)
		return next(ctx, cmds)
	}
}
