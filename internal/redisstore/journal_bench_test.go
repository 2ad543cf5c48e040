package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/payouts"
)

// benchAccount is an account as long as an address of taproot.
func benchAccount(i int) payouts.Account {
	return payouts.Miner(fmt.Sprintf("bc1p%058x", i*2654435761))
}

// benchRecord is one with as many legs as there may be.
func benchRecord(head payouts.Head, key string) *payouts.Record {
	r := &payouts.Record{
		Seq: head.Seq + 1, Previous: head.Hash, Key: key, Kind: payouts.KindCredit, By: "bench", Time: time.UnixMilli(1_780_000_000_000),
		Sets: []payouts.Set{{Table: payouts.TableBlocks, Field: key, Value: `{"state":"credited"}`}},
	}
	sum := int64(0)
	for i := range payouts.MaxLegs - 1 {
		amount := int64(i*7919 + 1)
		sum += amount
		r.Legs = append(r.Legs, payouts.Leg{Account: benchAccount(i), Amount: amount})
	}
	r.Legs = append(r.Legs, payouts.Leg{Account: payouts.Rewards, Amount: -sum})
	return r
}

// BenchmarkPost5000Legs posts records with 5000 legs: how long one takes from the call to the return, and for how long of it
// Redis does nothing else.
func BenchmarkPost5000Legs(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		b.Run("appendfsync="+fsync, func(b *testing.B) {
			l := benchLedger(b, "appendfsync "+fsync)
			j, err := NewJournal(JournalConfig{Ledger: l})
			if err != nil {
				b.Fatal(err)
			}
			var head payouts.Head
			if err := l.redis.ConfigResetStat(b.Context()).Err(); err != nil {
				b.Fatal(err)
			}
			n, posting := 0, time.Duration(0)
			for b.Loop() {
				r := benchRecord(head, fmt.Sprint("credit:", n))
				start := time.Now()
				if err := j.Post(b.Context(), 1, r); err != nil {
					b.Fatal(err)
				}
				posting += time.Since(start)
				if head, err = r.Head(); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(0, "ns/op") // an op makes the record, too
			b.ReportMetric(float64(posting.Microseconds())/1000/float64(n), "ms/post")
			info, err := l.redis.Info(b.Context(), "commandstats").Result()
			if err != nil {
				b.Fatal(err)
			}
			_, each, _ := strings.Cut(infoField(info, "cmdstat_evalsha"), "usec_per_call=")
			each, _, _ = strings.Cut(each, ",")
			micros, err := strconv.ParseFloat(each, 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(micros/1000, "ms/script")
		})
	}
}

// BenchmarkBalancesMillion reads the balances of a million accounts.
func BenchmarkBalancesMillion(b *testing.B) {
	const many, step = 1_000_000, 10_000
	l := benchLedger(b, "appendfsync everysec")
	j, err := NewJournal(JournalConfig{Ledger: l})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < many; i += step {
		if err := fill(b.Context(), j, i, step); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		count, sum := 0, int64(0)
		for leg, err := range j.Balances(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			count++
			sum += leg.Amount
		}
		if count < many || sum == 0 {
			b.Fatalf("%d accounts", count)
		}
	}
}

// fill makes balances as if records had.
func fill(ctx context.Context, j *Journal, from, many int) error {
	_, err := j.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := from; i < from+many; i++ {
			p.HSet(ctx, j.moneyKey("balances"), string(benchAccount(i)), int64(i)*7919+1)
		}
		return nil
	})
	return err
}
