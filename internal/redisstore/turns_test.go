package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// line counts what is on its way to a server, and holds pipelines up until it is let go.
type line struct {
	now, most, trips atomic.Int64
	let              chan struct{}
}

// DialHook implements redis.Hook.
func (l *line) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (l *line) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.trips.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (l *line) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		l.trips.Add(1)
		now := l.now.Add(1)
		defer l.now.Add(-1)
		for most := l.most.Load(); now > most && !l.most.CompareAndSwap(most, now); most = l.most.Load() {
		}
		<-l.let
		return next(ctx, cmds)
	}
}

// TestTurns has shares of many partitions come at once: only a few groups are on their way at a time, and all arrive.
func TestTurns(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "turns", 16)
	l := &line{let: make(chan struct{})}
	b.redis.AddHook(l)
	const many = 300
	var all sync.WaitGroup
	for i := range many {
		s := b.share()
		s.Hash, s.Account = chainhash.Hash{1: byte(i), 2: byte(i >> 8), 31: 2}, fmt.Sprint("account", i)
		all.Go(func() {
			if _, err := b.Record(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	for l.now.Load() < maxTurns {
		time.Sleep(time.Millisecond)
	}
	close(l.let)
	all.Wait()
	if most := l.most.Load(); most != maxTurns {
		t.Errorf("%d groups at a time, want %d", most, maxTurns)
	}
	if stats, err := b.Pool(t.Context()); err != nil || stats.Accepted != many+5 {
		t.Errorf("%d shares, %v", stats.Accepted, err)
	}
}

// TestNoTurn has others be on their way for too long: who waits behind them is turned away, and so is who waits when
// the gateway stops.
func TestNoTurn(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "no turn", 1)
	for range maxTurns {
		b.turns <- struct{}{}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := b.turn(ctx); !errors.Is(err, errStopping) {
		t.Errorf("a gateway that stops: %v", err)
	}
	b.Client.cfg.Slow = 10 * time.Millisecond
	if _, err := b.Record(t.Context(), b.share()); !errors.Is(err, shares.ErrAway) || errors.Is(err, errStopping) {
		t.Errorf("behind others: error %v, want ErrAway", err)
	}
	b.SetWaitAOF(true)
	over, err := b.turn(t.Context())
	if err != nil {
		t.Fatalf("where groups wait for the disk: %v", err)
	}
	over()
	b.SetWaitAOF(false)
	<-b.turns
	b.Client.cfg.Slow = 10 * time.Second
	if _, err := b.Record(t.Context(), b.share()); err != nil {
		t.Errorf("when it is its turn: %v", err)
	}
	if len(b.turns) != maxTurns-1 {
		t.Errorf("%d turns are taken", len(b.turns))
	}
}

// TestAccountInOneTrip reads accounts of few and of many workers.
func TestAccountInOneTrip(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "trips", 1)
	let := make(chan struct{})
	close(let)
	for i := range workersAtOnce + 1 {
		s := b.share()
		s.Account, s.Worker = "carol", "w"+strconv.Itoa(i%10)+strconv.Itoa(i)
		b.put(t, s)
		if i != 0 && i < workersAtOnce-1 {
			continue
		}
		l := &line{let: let}
		c, err := Dial(Config{URL: e.URL(), Prefix: "trips", Slow: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		reader, err := NewLedger(LedgerConfig{Client: c, Chain: "regtest", Gateway: "reader", Now: time.Now, Log: b.cfg.Log})
		if err == nil {
			err = reader.Open(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		c.redis.AddHook(l)
		// The first time it connects, and the server may not know the script.
		if _, _, err := reader.Account(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		l.trips.Store(0)
		account, workers, err := reader.Account(t.Context(), "carol")
		if err != nil || account.Accepted != int64(i+1) || len(workers) != i+1 {
			t.Fatalf("%d shares, %d workers, %v; want %d of each", account.Accepted, len(workers), err, i+1)
		}
		for n, w := range workers {
			if w.Accepted != 1 || n > 0 && w.Worker <= workers[n-1].Worker {
				t.Errorf("worker %q has %d shares", w.Worker, w.Accepted)
			}
		}
		want := int64(1)
		if i == workersAtOnce {
			want = 2
		}
		if trips := l.trips.Load(); trips != want {
			t.Errorf("of %d workers it takes %d round trips, want %d", i+1, trips, want)
		}
	}
}
