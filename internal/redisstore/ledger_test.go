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

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
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

// ledger opens one and runs it until the test ends.
func ledger(tb testing.TB, c *redisstore.Client, gateway string) *redisstore.Ledger {
	tb.Helper()
	l, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: c, Chain: "regtest", Gateway: gateway, Now: time.Now, Log: slog.New(slog.DiscardHandler),
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
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestLedgerOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	o := &opener{url: e.URL()}
	storetest.LedgerContract(t, o.open)
}

func TestLedgerOnRedis(t *testing.T) {
	o := &opener{url: redisserver.New(t, redisserver.Config{}).URL()}
	storetest.LedgerContract(t, o.open)
}

func TestLedgerOnCluster(t *testing.T) {
	o := &opener{url: redisserver.NewCluster(t, 3).URL()}
	storetest.LedgerContract(t, o.open)
}
