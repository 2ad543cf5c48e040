package main

import (
	"context"
	"log/slog"
	"math"
	"net"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/payouts"
)

// tenth is how much of the rate that a miner has the ledger's may be off.
const tenth = 0.1

// TestDemoTellsHashRates runs a demo for a minute and compares the hash rates that its ledger tells with
// the hashes that its miners have really made.
func TestDemoTellsHashRates(t *testing.T) {
	miners, names, err := demoMiners()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := paper(false)
	d := &demo{miners: miners, board: newBoard(s, names, time.Now()), dir: t.TempDir()}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.build(t.Context(), listener, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := d.chain.Close(); err != nil {
			t.Error(err)
		}
	}()
	paid := d.paidWithin(t, 2*time.Minute)
	defer func() {
		if !<-paid {
			t.Error("nobody was paid within two minutes")
		}
	}()
	// made are the hashes of the miners by second, the latest last.
	var made [][]uint64
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for seconds := 1; ; seconds++ {
		<-ticker.C
		now := make([]uint64, len(d.rigs))
		for i, rig := range d.rigs {
			now[i] = rig.Stats().Hashes
		}
		made = append(made, now)
		if len(made) <= 60 {
			continue
		}
		// A minute's shares come with some luck, so a single look may be off.
		off := d.off(t, made[len(made)-61], now)
		if off < tenth {
			return
		}
		if seconds > 180 {
			t.Fatalf("the ledger's hash rates are off by %.0f %%", 100*off)
		}
	}
}

// paidWithin reports whether a settlement to all miners is on the chain within a time.
func (d *demo) paidWithin(t *testing.T, limit time.Duration) <-chan bool {
	t.Helper()
	out := make(chan bool, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			list, err := payouts.Settlements(ctx, d.gateway.Cashier().Store)
			if err != nil || len(list) == 0 {
				continue
			}
			first, err := payouts.Settlement(ctx, d.gateway.Cashier().Store, list[len(list)-1].ID)
			confirmed := first.Status.State == payouts.Confirmed || first.Status.State == payouts.Final
			if err == nil && confirmed && len(first.Plan.Payees) == len(d.miners) {
				out <- true
				return
			}
		}
		out <- false
	}()
	return out
}

// off returns by how much the ledger's rates over a minute are off, at the worst miner.
func (d *demo) off(t *testing.T, before, after []uint64) float64 {
	t.Helper()
	worst := 0.0
	for i, m := range d.miners {
		account, workers, err := d.gateway.Figures().Account(t.Context(), m.address)
		if err != nil {
			t.Fatal(err)
		}
		if len(workers) != 1 || workers[0].Worker != m.name || workers[0].Accepted < account.Accepted {
			t.Fatalf("%s has the workers %+v", m.name, workers)
		}
		really := float64(after[i]-before[i]) / 60
		t.Logf("%s: %.0f H/s, the ledger says %.0f; %d stale, %d accepted", m.name, really, account.Rates[0], account.Stale(), account.Accepted)
		worst = max(worst, math.Abs(account.Rates[0]/really-1))
	}
	return worst
}
