package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// BenchmarkDoor does what the door asks for often, and in turn the least that Redis could do for it in a bare pipeline
// of commands, which checks nothing. The ratio is that of their times per piece: 1 is a store that costs nothing.
func BenchmarkDoor(b *testing.B) {
	l := benchLedger(b, "appendfsync everysec")
	d, err := doorOf(l)
	if err != nil {
		b.Fatal(err)
	}
	if d.Presence, err = NewPresence(PresenceConfig{Ledger: l}); err != nil {
		b.Fatal(err)
	}
	const many = 100
	rate := Rate{Count: 1_000_000, Per: time.Second, Burst: 1_000_000}
	list, events := make([]shares.Presence, many), make([]shares.Event, many)
	for i := range many {
		list[i] = shares.Presence{Account: addressOf(i), Worker: "rig", Agent: "miner/1.0", Time: time.Now()}
		events[i] = shares.Event{Kind: "share", Account: addressOf(i), Data: []byte(`{"worker":"rig","difficulty":65536}`), Time: time.Now()}
	}
	for _, bench := range []struct {
		name   string
		pieces int
		ours   func(ctx context.Context) error
		bare   func(ctx context.Context, p redis.Pipeliner)
	}{
		{
			"limiter", 1, func(ctx context.Context) error {
				got, err := d.Allow(ctx, "192.0.2.1", rate)
				if err == nil && !got.Allowed {
					err = errors.New("it was not allowed")
				}
				return err
			},
			func(ctx context.Context, p redis.Pipeliner) { p.Incr(ctx, "bare limit") },
		},
		{
			"events", many, func(ctx context.Context) error { return d.Publish(ctx, events...) },
			func(ctx context.Context, p redis.Pipeliner) {
				for i := range events {
					e := &events[i]
					p.XAdd(ctx, &redis.XAddArgs{
						Stream: "bare events", MaxLen: eventsKept, Approx: true,
						Values: []any{"k", e.Kind, "a", e.Account, "d", e.Data, "t", e.Time.UnixMilli()},
					})
				}
			},
		},
		{
			"presence", many, func(ctx context.Context) error { return d.Seen(ctx, list) },
			func(ctx context.Context, p redis.Pipeliner) {
				for i := range list {
					one := &list[i]
					at := redis.Z{Score: float64(one.Time.UnixMilli()), Member: one.Account}
					p.ZAddGT(ctx, "bare accounts", at)
					at.Member = one.Account + "." + one.Worker
					p.ZAddGT(ctx, "bare workers", at)
					p.HSet(ctx, "bare agents", at.Member, one.Agent)
				}
			},
		},
	} {
		b.Run(fmt.Sprintf("%s/%s", bench.name, strconv.Itoa(bench.pieces)), func(b *testing.B) {
			ctx := b.Context()
			var ours, bare time.Duration
			rounds := 0
			for b.Loop() {
				for range 20 {
					start := time.Now()
					if err := bench.ours(ctx); err != nil {
						b.Fatal(err)
					}
					ours += time.Since(start)
					start = time.Now()
					if _, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error { bench.bare(ctx, p); return nil }); err != nil {
						b.Fatal(err)
					}
					bare += time.Since(start)
					rounds++
				}
			}
			pieces := float64(rounds * bench.pieces)
			b.ReportMetric(0, "ns/op") // an op is twenty of both
			b.ReportMetric(float64(ours.Nanoseconds())/pieces, "ns/piece")
			b.ReportMetric(float64(bare.Nanoseconds())/pieces, "bare-ns/piece")
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
		})
	}
}
