package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// latencyAccounts is how many accounts have shares before anything is measured.
	latencyAccounts = 100_000
	// latencyMiners is how many record shares meanwhile, each its next once the last is in.
	latencyMiners = 256
	// latencyPace is what as many workers as there are accounts send at three shares a minute each, per second.
	latencyPace = latencyAccounts * 3 / 60
	// latencyReaders is how many ask the API at a time.
	latencyReaders = 8
	// latencyRounds is how often each of them is asked for in an op, and latencyRate how often in a second.
	latencyRounds, latencyRate = 1000, 100
	// latencyPages is how many pages of accounts are open: each asks again every three seconds, which is as long as it
	// takes to ask for all of them. What was read is told again without a look for two.
	latencyPages = 3 * latencyRate
)

// BenchmarkAPILatency asks for the pool and for accounts while shares are recorded in the Redis that the answers come
// from: as many as a hundred thousand workers send, and as many as it takes. Accounts are asked for as people do: one is
// somebody's who comes new, any of all, and the next is of a page that is open already, in turn. A hundredth of both
// together has to be below 20 ms, and of the pool; each is reported by itself too. Meanwhile a bare server is asked under
// the same load, which sends an answer of the same bytes. An op is a thousand requests of each kind.
func BenchmarkAPILatency(b *testing.B) {
	for _, load := range []struct {
		name string
		pace rate.Limit
	}{{"paced", latencyPace}, {"full", rate.Inf}} {
		b.Run(load.name, func(b *testing.B) {
			p := newLatencyPool(b)
			p.fill(b)
			p.mine(b, load.pace)
			r := &latencyRun{pool: p, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4 * latencyReaders}}}
			defer r.client.CloseIdleConnections()
			r.bareURL = serveAnswer(b, answerOf(b, r.client, p.account(0)))
			r.open(b)
			start, before := time.Now(), p.recorded.Load()
			for b.Loop() {
				r.rounds(b)
			}
			recorded := float64(p.recorded.Load()-before) / time.Since(start).Seconds()
			b.ReportMetric(0, "ns/op")
			account := times{all: slices.Concat(r.fresh.all, r.again.all)}
			b.ReportMetric(max(r.stats.ms(0.99), account.ms(0.99)), "p99-ms")
			for name, t := range map[string]*times{"pool": &r.stats, "account": &account, "new-account": &r.fresh, "open-account": &r.again, "bare": &r.bare} {
				b.ReportMetric(t.ms(0.5), name+"-p50-ms")
				b.ReportMetric(t.ms(0.99), name+"-p99-ms")
			}
			b.ReportMetric(recorded, "shares/s")
		})
	}
}

// latencyRun asks a pool and measures how long it takes: the pool's figures, accounts of those who come new and of pages
// that are open, and the bare server.
type latencyRun struct {
	pool                      *latencyPool
	client                    *http.Client
	bareURL                   string
	asked                     atomic.Int64
	stats, fresh, again, bare times
}

// open opens all pages, and asks for the pool, because nobody else waits for the first answer.
func (r *latencyRun) open(b *testing.B) {
	b.Helper()
	var all sync.WaitGroup
	for reader := range latencyReaders {
		all.Go(func() {
			for page := reader; page < latencyPages; page += latencyReaders {
				answerOf(b, r.client, r.pool.account(page))
			}
		})
	}
	all.Wait()
	answerOf(b, r.client, r.pool.url+"/api/v1/pool")
}

// rounds asks for each of them, many times.
func (r *latencyRun) rounds(b *testing.B) {
	b.Helper()
	var all sync.WaitGroup
	pace := rate.NewLimiter(latencyRate, 1)
	for range latencyReaders {
		all.Go(func() {
			for range latencyRounds / latencyReaders {
				if err := pace.Wait(b.Context()); err != nil {
					b.Error(err)
					return
				}
				r.stats.of(func() { answerOf(b, r.client, r.pool.url+"/api/v1/pool") })
				r.bare.of(func() { answerOf(b, r.client, r.bareURL) })
				newcomer := latencyPages + rand.IntN(latencyAccounts-latencyPages)
				r.fresh.of(func() { answerOf(b, r.client, r.pool.account(newcomer)) })
				page := int(r.asked.Add(1)) % latencyPages
				r.again.of(func() { answerOf(b, r.client, r.pool.account(page)) })
			}
		})
	}
	all.Wait()
}

// times are how long something took, each time. It is safe for concurrent use.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

// of measures one.
func (t *times) of(do func()) {
	start := time.Now()
	do()
	took := time.Since(start)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, took)
}

// ms returns the milliseconds that a part of all took no longer than.
func (t *times) ms(part float64) float64 {
	slices.Sort(t.all)
	at := min(int(part*float64(len(t.all))), len(t.all)-1)
	return float64(t.all[at].Microseconds()) / 1000
}

// answerOf asks for a URL and returns the body of the answer.
func answerOf(b *testing.B, client *http.Client, url string) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return nil
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
		b.Errorf("%s: %s %s %v", url, res.Status, body, err)
	}
	return body
}

// serveAnswer runs a server that only sends one answer, and returns its URL.
func serveAnswer(b *testing.B, answer []byte) string {
	b.Helper()
	return serveHandler(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.Copy(w, bytes.NewReader(answer)); err != nil {
			b.Error(err)
		}
	}))
}

// serveHandler runs a server until the benchmark ends, and returns its URL.
func serveHandler(b *testing.B, h http.Handler) string {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	b.Cleanup(func() {
		if err := srv.Close(); err != nil {
			b.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// latencyTarget is the target of all shares.
func latencyTarget(b *testing.B) gbt.Target {
	b.Helper()
	target, err := gbt.TargetFromDifficulty(1)
	if err != nil {
		b.Fatal(err)
	}
	return target
}

// addressOf returns the address of an account by number.
func addressOf(b *testing.B, number int, chain *chaincfg.Params) string {
	b.Helper()
	hash := sha256.Sum256(strconv.AppendInt(nil, int64(number), 10))
	a, err := address.NewAddressWitnessPubKeyHash(hash[:20], chain)
	if err != nil {
		b.Fatal(err)
	}
	return a.EncodeAddress()
}

// share makes the next share, of an account and its only worker.
func (p *latencyPool) share(account string) *shares.Share {
	n := p.made.Add(1)
	return &shares.Share{
		Hash:    chainhash.Hash(sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))),
		Account: account, Worker: "rig", Weight: 1 << 10, Unit: p.unit, Target: p.target, Height: 900_000,
		Time: time.Now().Truncate(time.Millisecond),
	}
}

// account is the URL of an account by number.
func (p *latencyPool) account(number int) string {
	return p.url + "/api/v1/accounts/" + p.accounts[number]
}

// fill gives each account a share, one of which is a block, and lets it be there.
func (p *latencyPool) fill(b *testing.B) {
	b.Helper()
	for group := range slices.Chunk(p.accounts, 1000) {
		list, present := make([]*shares.Share, 0, len(group)), make([]shares.Presence, 0, len(group))
		for n, account := range group {
			s := p.share(account)
			if s.Account == p.accounts[0] {
				s.Found = &shares.Found{Bits: 0x1b00ffff, Value: 312_500_000, Paid: 312_500_000, Window: 1 << 20}
			}
			list = append(list, s)
			present = append(present, shares.Presence{Account: account, Worker: s.Worker, Agent: "miner" + strconv.Itoa(n%10) + "/1", Time: s.Time})
		}
		for _, r := range p.ledger.RecordAll(b.Context(), list) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		if err := p.presence.Seen(b.Context(), present); err != nil {
			b.Fatal(err)
		}
	}
}

// mine records shares of accounts at random, as many a second as pace allows, until the benchmark ends.
func (p *latencyPool) mine(b *testing.B, pace rate.Limit) {
	b.Helper()
	limiter := rate.NewLimiter(pace, latencyMiners)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range latencyMiners {
		all.Go(func() {
			for limiter.Wait(ctx) == nil {
				if _, err := p.ledger.Record(ctx, p.share(p.accounts[rand.IntN(len(p.accounts))])); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				p.recorded.Add(1)
			}
		})
	}
	b.Cleanup(func() {
		stop()
		all.Wait()
	})
}

// latencyCounts are how many shares were made and recorded.
type latencyCounts struct{ made, recorded atomic.Uint64 }
