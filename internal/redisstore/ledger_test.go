package redisstore_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// opener makes new ledgers in one Redis, each under a prefix of its own.
type opener struct {
	url   string
	count atomic.Int64
}

// open makes a ledger and opens it as two gateways.
func (o *opener) open(tb testing.TB) (one, other storetest.Ledger) {
	tb.Helper()
	prefix := fmt.Sprintf("%s-%d", tb.Name(), o.count.Add(1))
	id, err := redisstore.NewLedgerID()
	if err != nil {
		tb.Fatal(err)
	}
	c := dial(tb, o.url, prefix)
	g := redisstore.Genesis{Ledger: id, Chain: "regtest", Partitions: 4, Created: time.Now()}
	if err := c.Init(tb.Context(), g); err != nil {
		tb.Fatal(err)
	}
	return ledger(tb, c, "one"), ledger(tb, dial(tb, o.url, prefix), "other")
}

func dial(tb testing.TB, url, prefix string) *redisstore.Client {
	tb.Helper()
	c, err := redisstore.Dial(redisstore.Config{URL: url, Prefix: prefix, Slow: 10 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// reopen opens a ledger anew, as after a restart of its gateway.
func reopen(tb testing.TB, l storetest.Ledger) storetest.Ledger {
	tb.Helper()
	return ledger(tb, onRedis(tb, l).Client, "again")
}

// ledger opens one and runs it until the test ends.
func ledger(tb testing.TB, c *redisstore.Client, gateway string) *redisstore.Ledger {
	tb.Helper()
	return clocked(tb, c, gateway, time.Now)
}

// clocked is ledger with another clock.
func clocked(tb testing.TB, c *redisstore.Client, gateway string, now func() time.Time) *redisstore.Ledger {
	tb.Helper()
	l, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: c, Chain: "regtest", Gateway: gateway, Now: now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return l
}

func TestMain(m *testing.M) {
	// Each round of the model is some thirty steps on a real server.
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestLedgerOnEmbeddedRedis(t *testing.T) {
	t.Parallel()
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	o := &opener{url: e.URL()}
	storetest.LedgerContract(t, o.open, reopen)
}

func TestLedgerOnRedis(t *testing.T) {
	t.Parallel()
	o := &opener{url: redisserver.New(t, redisserver.Config{}).URL()}
	storetest.LedgerContract(t, o.open, reopen)
}

func TestLedgerOnSentinel(t *testing.T) {
	t.Parallel()
	o := &opener{url: redisserver.NewSentinel(t).URL()}
	storetest.LedgerContract(t, o.open, reopen)
}

func TestLedgerOnCluster(t *testing.T) {
	t.Parallel()
	o := &opener{url: redisserver.NewCluster(t, 3).URL()}
	storetest.LedgerContract(t, o.open, reopen)
}

// TestReaderWithWrongClock asks for figures through gateways whose clocks are wrong. One that is slow tells
// the rates of the newest share, one that is fast says that it was long ago, and neither changes anything.
func TestReaderWithWrongClock(t *testing.T) {
	t.Parallel()
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	o := &opener{url: e.URL()}
	one, _ := o.open(t)
	s := &shares.Share{Hash: chainhash.Hash{1}, Account: "alice", Weight: 600, Target: gbt.TargetFromHash(chainhash.Hash{30: 1}), Height: 1, Time: time.Now()}
	if _, err := one.Record(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	right, err := one.Pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for wrong, rates := range map[time.Duration][2]float64{ // of the last minute and of the last week, at least
		-time.Hour: {right.Rates[0], right.Rates[6]}, -50 * 365 * 24 * time.Hour: {right.Rates[0], right.Rates[6]},
		time.Hour: {0, 600. / 3700}, 50 * 365 * 24 * time.Hour: {0, 0},
	} {
		l := clocked(t, dial(t, o.url, fmt.Sprintf("%s-%d", t.Name(), o.count.Load())), fmt.Sprint("wrong by ", wrong), func() time.Time { return time.Now().Add(wrong) })
		got, err := l.Pool(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Accepted != 1 || got.Weight != 600 || !got.Last.Equal(right.Last) || !got.First.Equal(right.First) {
			t.Errorf("a clock that is wrong by %s: %+v", wrong, got)
		}
		for i, at := range []int{0, 6} {
			if rate := got.Rates[at]; rate < rates[i]*0.99 || rate > rates[i]*1.1 {
				t.Errorf("a clock that is wrong by %s: a rate of %g, want %g", wrong, rate, rates[i])
			}
		}
	}
}
