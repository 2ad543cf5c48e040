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
	latencyReaders = 4
	// latencyRounds is how often each reader asks for each of them in an op: enough for a hundredth to mean something.
	latencyRounds = 250
)

// BenchmarkAPILatency asks for the pool, and for accounts that were not asked for lately, while shares are recorded
// in the Redis that the answers come from: as many as a hundred thousand workers send, and as many as it takes. In
// turn it asks a bare server under the same load, which sends an answer of the same bytes. An op is a thousand requests
// of each kind.
func BenchmarkAPILatency(b *testing.B) {
	for _, load := range []struct {
		name string
		pace rate.Limit
	}{{"paced", latencyPace}, {"full", rate.Inf}} {
		b.Run(load.name, func(b *testing.B) {
			p := newLatencyPool(b)
			p.fill(b)
			p.mine(b, load.pace)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 3 * latencyReaders}}
			defer client.CloseIdleConnections()
			ask := func(url string) []byte { return answerOf(b, client, url) }
			bare := serveAnswer(b, ask(p.url+"/api/v1/accounts/"+p.accounts[0]))
			ask(p.url + "/api/v1/pool") // nobody else waits for the first answer
			var toPool, toAccount, toBare times
			start, before := time.Now(), p.recorded.Load()
			for b.Loop() {
				var all sync.WaitGroup
				for range latencyReaders {
					all.Go(func() {
						for range latencyRounds {
							toPool.of(func() { ask(p.url + "/api/v1/pool") })
							toBare.of(func() { ask(bare) })
							account := p.accounts[rand.IntN(len(p.accounts))]
							toAccount.of(func() { ask(p.url + "/api/v1/accounts/" + account) })
						}
					})
				}
				all.Wait()
			}
			recorded := float64(p.recorded.Load()-before) / time.Since(start).Seconds()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(max(toPool.ms(0.99), toAccount.ms(0.99)), "p99-ms")
			b.ReportMetric(toPool.ms(0.5), "pool-p50-ms")
			b.ReportMetric(toPool.ms(0.99), "pool-p99-ms")
			b.ReportMetric(toAccount.ms(0.5), "account-p50-ms")
			b.ReportMetric(toAccount.ms(0.99), "account-p99-ms")
			b.ReportMetric(toBare.ms(0.5), "bare-p50-ms")
			b.ReportMetric(toBare.ms(0.99), "bare-p99-ms")
			b.ReportMetric(recorded, "shares/s")
		})
	}
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

// fill gives each account a share, and lets it be there.
func (p *latencyPool) fill(b *testing.B) {
	b.Helper()
	for group := range slices.Chunk(p.accounts, 1000) {
		list, present := make([]*shares.Share, 0, len(group)), make([]shares.Presence, 0, len(group))
		for n, account := range group {
			s := p.share(account)
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
