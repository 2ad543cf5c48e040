package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// benchMiners is how many goroutines record at a time, each its next share when the last one is in.
	benchMiners = 1024
	// benchRound is how many shares go one way before as many go the other.
	benchRound = 1 << 14
)

// BenchmarkRecord records shares through the ledger, and in turn with the same calls of the script in bare
// pipelines: as many at a time as there are partitions, each of as many shares as the ledger's groups had
// on average. The ratio is that of their rates: 1 is a ledger that costs nothing.
func BenchmarkRecord(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		b.Run("appendfsync="+fsync, func(b *testing.B) {
			l := benchLedger(b, "appendfsync "+fsync)
			pipelines := new(groupCount)
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
			r := &recordBench{b: b, ledger: l, opened: l.open.Load()}
			r.through(r.shares()) // so that all connections are there and the script is known
			var ours, bare time.Duration
			rounds, size := 0, 0
			for b.Loop() {
				pipelines.reset()
				ours += r.through(r.shares())
				size = pipelines.mean()
				bare += r.bare(r.groups(r.shares(), size))
				rounds++
			}
			all := float64(rounds * benchRound)
			b.ReportMetric(0, "ns/op") // an op is a round of both
			b.ReportMetric(float64(ours.Nanoseconds())/all, "ns/share")
			b.ReportMetric(all/ours.Seconds(), "shares/s")
			b.ReportMetric(all/bare.Seconds(), "bare-shares/s")
			b.ReportMetric(float64(size), "shares/group")
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
		})
	}
}

// recordBench makes shares and records them.
type recordBench struct {
	b      *testing.B
	ledger *Ledger
	opened *opened
	number uint64
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
func (r *recordBench) through(list []shares.Share) time.Duration {
	r.b.Helper()
	var next atomic.Int64
	return r.timed(benchMiners, func(int) error {
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

// group is calls of one partition.
type group struct {
	partition int
	calls     []invocation
}

// groups makes the calls that record shares, in groups of a size.
func (r *recordBench) groups(list []shares.Share, size int) []group {
	open := make([]group, r.opened.Partitions)
	var out []group
	for i := range list {
		p, k := r.opened.of(list[i].Account)
		open[p] = group{p, append(open[p].calls, r.ledger.recording(r.opened, k, &list[i]))}
		if len(open[p].calls) == size {
			out = append(out, open[p])
			open[p].calls = nil
		}
	}
	return append(out, slices.DeleteFunc(open, func(g group) bool { return len(g.calls) == 0 })...)
}

// bare makes calls, each group in a pipeline, as many at a time as there are partitions.
func (r *recordBench) bare(groups []group) time.Duration {
	r.b.Helper()
	var next atomic.Int64
	marks := make([]atomic.Value, r.opened.Partitions)
	return r.timed(len(marks), func(int) error {
		for {
			n := int(next.Add(1)) - 1
			if n >= len(groups) {
				return nil
			}
			mark := &marks[groups[n].partition]
			place, err := r.pipeline(groups[n].calls, mark.Load())
			if err != nil {
				return err
			}
			mark.Store(place)
		}
	})
}

// pipeline makes calls that name the place of a share that has to be there, nil for none, and returns the
// place of the last.
func (r *recordBench) pipeline(calls []invocation, mark any) (any, error) {
	var last *redis.Cmd
	_, err := r.ledger.redis.Pipelined(r.b.Context(), func(p redis.Pipeliner) error {
		for _, c := range calls {
			if mark != nil {
				c.args[markAt] = mark
			}
			last = p.EvalSha(r.b.Context(), c.script.Hash(), c.keys, c.args...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	reply, err := last.Slice()
	if err != nil {
		return nil, err
	}
	return reply[1], nil
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

// groupCount counts pipelines and what is in them.
type groupCount struct{ pipelines, calls atomic.Int64 }

func (g *groupCount) reset() {
	g.pipelines.Store(0)
	g.calls.Store(0)
}

// mean returns how many calls a pipeline had on average, rounded.
func (g *groupCount) mean() int {
	calls, pipelines := g.calls.Load(), g.pipelines.Load()
	return int((calls + pipelines/2) / pipelines)
}

// DialHook implements redis.Hook.
func (g *groupCount) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (g *groupCount) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (g *groupCount) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.pipelines.Add(1)
		g.calls.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
