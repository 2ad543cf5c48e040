package wallet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/payouts"
)

// offline returns an Offline of regtest.
func offline(tb testing.TB, script []byte, unspent Lookup) *Offline {
	tb.Helper()
	o, err := NewOffline(OfflineConfig{Script: script, Chain: &chaincfg.RegressionNetParams, Unspent: unspent})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// TestCoins wants those coins that the next block may spend, in the order given, each once.
func TestCoins(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	foreign := hotKey(t, P2TR, testKey).script
	chain := map[wire.OutPoint]payouts.Unspent{
		outPoint(1): {Value: 1, Script: k.script, Confirmations: 1},
		outPoint(2): {Value: 2, Script: k.script, Confirmations: 99, Coinbase: true},
		outPoint(3): {Value: payouts.MaxMoney, Script: k.script, Confirmations: 100, Coinbase: true},
		outPoint(4): {Value: 4, Script: k.script, Confirmations: 0},
		outPoint(5): {Value: 5, Script: foreign, Confirmations: 7},
	}
	o := offline(t, k.script, func(_ context.Context, at wire.OutPoint) (payouts.Unspent, error) {
		if u, ok := chain[at]; ok {
			return u, nil
		}
		return payouts.Unspent{}, fmt.Errorf("node: %w", payouts.ErrSpent)
	})
	known := []payouts.Coin{
		{OutPoint: outPoint(6), Value: 6, Script: k.script}, // spent by hand
		{OutPoint: outPoint(3), Value: payouts.MaxMoney, Script: k.script},
		{OutPoint: outPoint(5), Value: 5, Script: foreign},
		{OutPoint: outPoint(4), Value: 4, Script: k.script},
		{OutPoint: outPoint(2), Value: 2, Script: k.script},
		{OutPoint: outPoint(1), Value: 1, Script: k.script},
		{OutPoint: outPoint(3), Value: payouts.MaxMoney, Script: k.script},
	}
	got, err := o.Coins(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]payouts.Coin{known[1], known[5]}, got); diff != "" {
		t.Error(diff)
	}
	known[5].Value++
	if got, err := o.Coins(t.Context(), known); err == nil {
		t.Errorf("a coin whose value is another: %v", got)
	}
	known[5].Value--
	chain[outPoint(1)] = payouts.Unspent{Value: 1, Script: foreign, Confirmations: 1}
	if got, err := o.Coins(t.Context(), known); err == nil {
		t.Errorf("a coin whose script is another: %v", got)
	}
}

// TestCoinsFail wants an error that is not ErrSpent to be returned, since coins must not look spent.
func TestCoinsFail(t *testing.T) {
	k := hotKey(t, P2WPKH, testKey)
	down := errors.New("no node answers")
	var asked atomic.Int32
	o := offline(t, k.script, func(context.Context, wire.OutPoint) (payouts.Unspent, error) {
		asked.Add(1)
		return payouts.Unspent{}, down
	})
	var known []payouts.Coin
	for i := range 1000 {
		known = append(known, payouts.Coin{OutPoint: outPoint(i), Value: 1, Script: k.script})
	}
	if got, err := o.Coins(t.Context(), known); !errors.Is(err, down) {
		t.Errorf("%v, %v; want the node's error", got, err)
	}
	if n := asked.Load(); n > 4*atOnce {
		t.Errorf("%d coins were asked for after the node failed", n)
	}
}

// TestCoinsAtOnce wants many coins to be asked for at the same time, but not too many.
func TestCoinsAtOnce(t *testing.T) {
	const limit, quiet = 10 * time.Second, 30 * time.Millisecond
	k := hotKey(t, P2WPKH, testKey)
	var asked atomic.Int32
	full, release := make(chan struct{}), make(chan struct{})
	o := offline(t, k.script, func(context.Context, wire.OutPoint) (payouts.Unspent, error) {
		if asked.Add(1) == atOnce {
			close(full)
		}
		<-release
		return payouts.Unspent{Value: 1, Script: k.script, Confirmations: 1}, nil
	})
	var known []payouts.Coin
	for i := range 5 * atOnce {
		known = append(known, payouts.Coin{OutPoint: outPoint(i), Value: 1, Script: k.script})
	}
	var work sync.WaitGroup
	work.Go(func() {
		if got, err := o.Coins(t.Context(), known); err != nil || len(got) != len(known) {
			t.Errorf("%d coins, %v; want %d", len(got), err, len(known))
		}
	})
	select {
	case <-full:
	case <-time.After(limit):
		t.Errorf("%d coins are asked for at once, want %d", asked.Load(), atOnce)
	}
	time.Sleep(quiet) // what would be asked for beyond that
	if n := asked.Load(); n != atOnce {
		t.Errorf("%d coins are asked for at once, want %d", n, atOnce)
	}
	close(release)
	work.Wait()
}

func TestOffline(t *testing.T) {
	k := hotKey(t, P2TR, testKey)
	o := offline(t, k.script, nothing)
	tx, coins := settlement(k.script, 1)
	if got, err := o.Sign(t.Context(), tx, coins); !errors.Is(err, payouts.ErrOffline) || got != nil {
		t.Errorf("Sign: %v, %v; want ErrOffline", got, err)
	}
	if err := o.Lock(t.Context(), nil); err != nil {
		t.Errorf("Lock: %v", err)
	}
	script, err := o.Change(t.Context())
	if err != nil || string(script) != string(k.script) {
		t.Errorf("Change: %x, %v", script, err)
	}
	for name, cfg := range map[string]OfflineConfig{
		"legacy script": {Script: append([]byte{0x76, 0xa9}, k.script...), Chain: &chaincfg.RegressionNetParams, Unspent: nothing},
		"no script":     {Chain: &chaincfg.RegressionNetParams, Unspent: nothing},
		"no chain":      {Script: k.script, Unspent: nothing},
		"no lookup":     {Script: k.script, Chain: &chaincfg.RegressionNetParams},
	} {
		if _, err := NewOffline(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
