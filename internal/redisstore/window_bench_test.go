package redisstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// benchPartitions is how many partitions the ledgers of benchmarks have: as many as a new pool's.
const benchPartitions = 16

// benchLedger makes an empty ledger on a server of its own and opens it. Nobody commits yet. The server has
// further lines in its redis.conf, and does not rewrite its append-only file while something is measured.
func benchLedger(tb testing.TB, lines ...string) *Ledger {
	tb.Helper()
	server := redisserver.New(tb, redisserver.Config{Args: append(lines, "auto-aof-rewrite-percentage 0")})
	c, err := Dial(Config{URL: server.URL(), Prefix: "bench", Slow: time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	id, err := NewLedgerID()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Init(tb.Context(), Genesis{Ledger: id, Chain: "regtest", Partitions: benchPartitions, Created: time.Now()}); err != nil {
		tb.Fatal(err)
	}
	l, err := NewLedger(LedgerConfig{Client: c, Chain: "regtest", Gateway: "bench", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return l
}

// past is what a ledger holds before a window over it is counted: shares of all accounts in turn, four
// in a millisecond, without the sums that windows do not need.
type past struct {
	accounts []string
	// weights are those of the shares, oldest first. The first is that of the first account.
	weights []shares.Weight
	target  gbt.Target
	// log is how many shares of a partition are in its log, and slice how many each of its slices has.
	log, slice int
}

// newPast makes shares that weigh something between most and a half of it.
func newPast(accounts, many int, most shares.Weight, name func(int) string) *past {
	p := &past{accounts: make([]string, accounts), weights: make([]shares.Weight, many), target: gbt.TargetFromHash(chainhash.Hash{31: 1})}
	for i := range p.accounts {
		p.accounts[i] = name(i)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range p.weights {
		p.weights[i] = most - shares.Weight(dice.Int64N(int64(most/2)))
	}
	return p
}

// addressOf names an account like an address: 42 characters that nothing compresses well.
func addressOf(i int) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	name := make([]byte, 0, 42)
	name = append(name, "bc1q"...)
	for n, sum := 0, sha256.Sum256(strconv.AppendInt(nil, int64(i), 10)); len(name) < cap(name); n++ {
		name = append(name, alphabet[sum[n%len(sum)]>>(n/len(sum))&31])
	}
	return string(name)
}

func (p *past) account(share int) string { return p.accounts[share%len(p.accounts)] }

func (p *past) place(share int) shares.Position {
	return shares.Position{Millis: 1_800_000_000_000 + int64(share/4), Seq: int64(share % 4)}
}

// write puts it into a ledger as upkeep leaves it behind.
func (p *past) write(tb testing.TB, l *Ledger) {
	tb.Helper()
	parts := make([][]int, benchPartitions)
	for i := range p.weights {
		of := partitionOf(p.account(i), benchPartitions)
		parts[of] = append(parts[of], i)
	}
	for of, numbers := range parts {
		k, pipe := l.keys.part(of), l.redis.Pipeline()
		old := max(0, len(numbers)-p.log)
		pipe.HSet(tb.Context(), k.state(), "last", p.place(numbers[len(numbers)-1]).String())
		for some := range slices.Chunk(numbers[:old], p.slice) {
			p.writeSlice(tb, pipe, k, some)
		}
		for _, i := range numbers[old:] {
			p.writeShare(tb, pipe, k, i)
		}
		if _, err := pipe.Exec(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

func (p *past) writeSlice(tb testing.TB, pipe redis.Pipeliner, k part, numbers []int) {
	tb.Helper()
	var accounts names
	s := &slice{workers: []string{"rig1", "rig2", "rig3"}}
	for _, i := range numbers {
		s.places = append(s.places, p.place(i))
		s.account = append(s.account, accounts.of(p.account(i)))
		s.worker = append(s.worker, uint32(i%len(s.workers)))
		s.weights = append(s.weights, p.weights[i])
	}
	s.accounts = accounts.list
	packed, err := s.encode()
	if err != nil {
		tb.Fatal(err)
	}
	first, last := s.places[0].String(), s.places[len(s.places)-1].String()
	name := first + " " + last
	pipe.Set(tb.Context(), k.slice(name), packed, 0)
	pipe.RPush(tb.Context(), k.slices(), name)
	pipe.HSet(tb.Context(), k.state(), "compacted", last)
}

// writeShare appends a share to the log with all that recording appends.
func (p *past) writeShare(tb testing.TB, pipe redis.Pipeliner, k part, i int) {
	tb.Helper()
	place := p.place(i)
	hash := sha256.Sum256([]byte(place.String()))
	pipe.XAdd(tb.Context(), &redis.XAddArgs{Stream: k.log(), ID: place.String(), Values: []any{"e", appendEntry(nil, &shares.Share{
		Hash: hash, Account: p.account(i), Worker: "rig1", Weight: p.weights[i], Target: p.target,
		PreviousBlock: hash, Height: 900_000, Time: time.UnixMilli(place.Millis),
	})}})
}

// naive adds up what each account has in a window, and how many shares are in it.
func (p *past) naive(size shares.Weight) (sums []shares.Weight, count int64) {
	sums = make([]shares.Weight, len(p.accounts))
	for i := len(p.weights) - 1; i >= 0 && size > 0; i-- {
		part := min(p.weights[i], size)
		sums[i%len(sums)] += part
		size -= part
		count++
	}
	return sums, count
}

// TestWindowOfAMillionAccounts compares a window over a million accounts, which ends within a share, with
// what adding the shares up one by one gives.
func TestWindowOfAMillionAccounts(t *testing.T) {
	const accounts, size = 1_000_000, shares.MaxWeight
	l := benchLedger(t)
	p := newPast(accounts, accounts+accounts/50, 11<<39, func(i int) string { return strconv.Itoa(accounts + i) }) // in order
	p.log, p.slice = page+500, 30_000
	p.write(t, l)
	sums, count := p.naive(size)
	w, err := l.Window(t.Context(), chainhash.Hash{}, size)
	if err != nil {
		t.Fatal(err)
	}
	if w.Total != size || w.Shares != count || len(w.Credits) != accounts || count == int64(len(p.weights)) {
		t.Fatalf("the window has %d in %d shares of %d accounts, want %d in %d of %d", w.Total, w.Shares, len(w.Credits), size, count, accounts)
	}
	for i, c := range w.Credits {
		if c.Account != p.accounts[i] || c.Weight != sums[i] {
			t.Fatalf("it has %+v where %s should have %d", c, p.accounts[i], sums[i])
		}
	}
}

// BenchmarkWindow counts windows over 1,200,000 shares, the newest ten thousand of each partition in
// its log. live-MiB is what was in use at most beyond what was before, and heap-MiB what was in use and
// not collected yet.
func BenchmarkWindow(b *testing.B) {
	for _, of := range []struct{ accounts, slice int }{
		{1_000_000, maxSlice},
		{1_000_000, 4000}, // what a minute leaves at a thousand shares a second
		{1_000_000, 400},
		{10_000, 4000},
	} {
		b.Run(fmt.Sprintf("accounts=%d/slice=%d", of.accounts, of.slice), func(b *testing.B) {
			l := benchLedger(b)
			p := newPast(of.accounts, 1_200_000, 1<<22, addressOf)
			p.log, p.slice = 10_000, of.slice
			p.write(b, l)
			runtime.GC()
			b.ReportAllocs()
			heap := watchHeap()
			for b.Loop() {
				w, err := l.Window(context.Background(), chainhash.Hash{}, shares.MaxWeight)
				if err != nil || len(w.Credits) != of.accounts || w.Shares != int64(len(p.weights)) {
					b.Fatalf("%d accounts have %d shares: %v", len(w.Credits), w.Shares, err)
				}
			}
			heap.report(b)
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/window")
		})
	}
}

// heapWatch notes how much memory is in use at most.
type heapWatch struct {
	stop     chan struct{}
	done     sync.WaitGroup
	baseline uint64
	// live is what the collector found to be in use, and all has also what it had not collected yet.
	live, all uint64
}

func watchHeap() *heapWatch {
	h := &heapWatch{stop: make(chan struct{})}
	h.look()
	h.baseline, h.live, h.all = h.live, 0, 0
	h.done.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
				h.look()
			case <-h.stop:
				tick.Stop()
				return
			}
		}
	})
	return h
}

func (h *heapWatch) look() {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	h.live, h.all = max(h.live, samples[0].Value.Uint64()), max(h.all, samples[1].Value.Uint64())
}

func (h *heapWatch) report(b *testing.B) {
	b.Helper()
	close(h.stop)
	h.done.Wait()
	const mib = 1 << 20
	b.ReportMetric(float64(h.live-min(h.live, h.baseline))/mib, "live-MiB")
	b.ReportMetric(float64(h.all-min(h.all, h.baseline))/mib, "heap-MiB")
}
