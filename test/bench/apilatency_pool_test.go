package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// latencyPool is a ledger on a real Redis, with the API's views of it behind a server.
type latencyPool struct {
	latencyCounts
	accounts []string
	unit     shares.Unit
	target   gbt.Target
	ledger   *redisstore.Ledger
	presence *redisstore.Presence
	url      string
}

// newLatencyPool makes a latencyPool on a Redis that syncs every write.
func newLatencyPool(b *testing.B) *latencyPool {
	b.Helper()
	chain := &chaincfg.RegressionNetParams
	// Its append-only file is not rewritten while something is measured.
	server := redisserver.New(b, redisserver.Config{Args: []string{"auto-aof-rewrite-percentage 0"}})
	client, err := redisstore.Dial(redisstore.Config{URL: server.URL(), Prefix: "bench", Slow: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	p := &latencyPool{unit: shares.UnitOf(chain), target: latencyTarget(b)}
	for n := range latencyAccounts {
		p.accounts = append(p.accounts, addressOf(b, n, chain))
	}
	id, err := redisstore.NewLedgerID()
	if err != nil {
		b.Fatal(err)
	}
	genesis := redisstore.Genesis{Ledger: id, Chain: chain.Name, Unit: p.unit, Partitions: 16, Created: time.Now()}
	if err := client.Init(b.Context(), genesis); err != nil {
		b.Fatal(err)
	}
	p.ledger, err = redisstore.NewLedger(redisstore.LedgerConfig{
		Client: client, Chain: chain.Name, Unit: p.unit, Gateway: "bench", Process: "bench", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = p.ledger.Open(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	runBeside(b, p.ledger.Run)
	if p.presence, err = redisstore.NewPresence(redisstore.PresenceConfig{Ledger: p.ledger}); err != nil {
		b.Fatal(err)
	}
	p.serve(b, chain)
	return p
}

// runBeside runs something until the benchmark ends.
func runBeside(b *testing.B, run func(context.Context) error) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	})
}

// serve runs the views.
func (p *latencyPool) serve(b *testing.B, chain *chaincfg.Params) {
	b.Helper()
	// A network that the pool finds no block on, with a window of a part of all shares.
	network, err := gbt.TargetFromDifficulty(10_000)
	if err != nil {
		b.Fatal(err)
	}
	tmpl := &gbt.Template{Height: 900_000, NetworkTarget: network, Value: 312_500_000, Received: time.Now()}
	template := func() (*gbt.Template, error) { return tmpl, nil }
	terms := payouts.Terms{Scheme: payouts.PPLNS, Multiple: 2}
	log := slog.New(slog.DiscardHandler)
	journal, err1 := redisstore.NewJournal(redisstore.JournalConfig{Ledger: p.ledger})
	profiles, err2 := redisstore.NewProfiles(redisstore.ProfilesConfig{Ledger: p.ledger})
	series, err3 := redisstore.NewSeries(redisstore.SeriesConfig{Ledger: p.ledger})
	forecaster, err4 := payouts.NewForecaster(payouts.ForecasterConfig{
		Ledger: p.ledger, Journal: journal, Terms: terms, Unit: p.unit, Params: chain, Template: template,
		Every: 10 * time.Second, Now: time.Now, Log: log,
	})
	views, err5 := rest.New(rest.Config{
		About: rest.About{
			Name: "bench", Version: "bench", Chain: "regtest", Params: chain, Unit: p.unit, Started: time.Now(), Terms: terms, Maturity: 100,
		},
		Template: template, Figures: p.ledger, Books: p.ledger, Journal: journal, Forecasts: forecaster,
		Nodes: func() []rest.NodeStatus { return nil }, Chain: quietChain{}, Profiles: profiles, Histories: p.ledger,
		Presence: p.presence, Series: series, ShareTarget: func(string) gbt.Target { return p.target }, Now: time.Now, Log: log,
	})
	validator, err6 := rest.Validator()
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		b.Fatal(err)
	}
	runBeside(b, forecaster.Run)
	router := chi.NewRouter()
	views.Mount(router, validator)
	p.url = serveHandler(b, router)
}

// quietChain is a chain on which nothing happens.
type quietChain struct{}

// Info implements rest.Chain.
func (quietChain) Info(context.Context) (rest.ChainInfo, error) {
	return rest.ChainInfo{Height: 899_999, HashRate: 1e18}, nil
}

// Block implements rest.Chain.
func (quietChain) Block(context.Context, chainhash.Hash) (*wire.MsgBlock, error) {
	return nil, payouts.ErrUnknownBlock
}
