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

// TestTrips has shares of many partitions come: only a few trips are on their way at a time, and all arrive.
func TestTrips(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "trips", 16)
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
		for i < maxTrips && l.now.Load() <= int64(i) {
			time.Sleep(time.Millisecond)
		}
	}
	close(l.let)
	all.Wait()
	if most := l.most.Load(); most != maxTrips {
		t.Errorf("%d trips at a time, want %d", most, maxTrips)
	}
	if trips := l.trips.Load(); trips > many/2 {
		t.Errorf("%d shares took %d trips", many, trips)
	}
	if stats, err := b.Pool(t.Context()); err != nil || stats.Accepted != many+5 {
		t.Errorf("%d shares, %v", stats.Accepted, err)
	}
}

// TestTurnedAway has a trip fail while a share waits for the next one: it is turned away without one. So is who
// waits, and who comes, when the gateway stops.
func TestTurnedAway(t *testing.T) {
	q := newQueue()
	l := &Ledger{queue: q}
	first, second, third := newPending(), newPending(), newPending()
	trip := &trip{ledger: l, parts: make([]part, 4), loads: make([][]*pending, 4)}
	q.put(first)
	if !q.take(trip, 1, 4) || q.take(trip, 1, 4) {
		t.Fatal("not one trip was taken")
	}
	q.put(second)
	q.turnAway([]int{0, 1, 2, 3}, shares.ErrAway)
	q.free(trip)
	if r := <-second.done; !errors.Is(r.Err, shares.ErrAway) {
		t.Errorf("behind a trip that failed: error %v, want ErrAway", r.Err)
	}
	if q.take(trip, 1, 4) {
		t.Error("who was turned away is on a trip")
	}
	q.put(third)
	q.close(errStopping)
	late := newPending()
	q.put(nil, late)
	for _, w := range []*pending{third, late} {
		if r := <-w.done; !errors.Is(r.Err, errStopping) {
			t.Errorf("a gateway that stops: error %v", r.Err)
		}
	}
	if len(first.done) != 0 {
		t.Error("what is on its way is answered by the queue")
	}
}

func newPending() *pending {
	return &pending{share: new(shares.Share), done: make(chan shares.Recorded, 1)}
}

// TestPartitionHasOneTrip takes shares of a few partitions: none is on two trips, and each keeps its order.
func TestPartitionHasOneTrip(t *testing.T) {
	q := newQueue()
	trips := []*trip{{parts: make([]part, 3), loads: make([][]*pending, 3)}, {parts: make([]part, 3), loads: make([][]*pending, 3)}}
	var all []*pending
	for i := range maxLoad + 2 {
		w := newPending()
		w.share.Height, w.partition = int32(i), 1
		all = append(all, w)
	}
	q.put(all...)
	other := newPending()
	q.put(other)
	if !q.take(trips[0], 2, 1) || !q.take(trips[1], 2, 1) {
		t.Fatal("two partitions are not on two trips")
	}
	if len(trips[0].on) != 1 || len(trips[1].on) != 1 || trips[0].on[0] == trips[1].on[0] {
		t.Fatalf("trips are of partitions %v and %v", trips[0].on, trips[1].on)
	}
	var got []*pending
	for _, trip := range trips {
		got = append(got, trip.loads[1]...)
		q.free(trip)
	}
	if len(got) != maxLoad || !q.take(trips[0], 2, 3) {
		t.Fatalf("%d shares are on a trip, want %d", len(got), maxLoad)
	}
	got = append(got, trips[0].loads[1]...)
	if len(got) != len(all) {
		t.Fatalf("%d shares, want %d", len(got), len(all))
	}
	for i, w := range got {
		if w != all[i] {
			t.Fatalf("share %d comes in the place of %d", w.share.Height, i)
		}
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

// TestBreadth says how many partitions go on how many trips: all at once where a trip waits for the disk, one each where
// a cluster's servers share them, and else so few that the others gather meanwhile.
func TestBreadth(t *testing.T) {
	single, cluster := redis.NewClient(&redis.Options{}), redis.NewClusterClient(&redis.ClusterOptions{})
	t.Cleanup(func() { _, _ = single.Close(), cluster.Close() })
	for name, c := range map[string]struct {
		client            redis.UniversalClient
		waits             bool
		trips, partitions int
	}{
		"one server":                       {single, false, maxTrips, maxBreadth},
		"one server, waiting for its disk": {single, true, MaxPartitions, MaxPartitions},
		"a cluster":                        {cluster, false, MaxPartitions, 1},
		"a cluster, waiting for its disks": {cluster, true, MaxPartitions, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := &Ledger{Client: &Client{redis: c.client}}
			l.waitAOF.Store(c.waits)
			if trips, partitions := l.breadth(); trips != c.trips || partitions != c.partitions {
				t.Errorf("%d trips of %d partitions, want %d of %d", trips, partitions, c.trips, c.partitions)
			}
		})
	}
}
