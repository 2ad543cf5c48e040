package redisstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func lists(tb testing.TB, l storetest.Ledger) *redisstore.Lists {
	tb.Helper()
	out, err := redisstore.NewLists(redisstore.ListsConfig{Ledger: onRedis(tb, l), Keep: time.Hour})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// listsContract has two gateways commit at one time: the first list stays.
func listsContract(t *testing.T, o *opener) {
	t.Helper()
	a, b := o.open(t)
	one, other := lists(t, a), lists(t, b)
	if text, err := one.List(t.Context(), chainhash.Hash{1}); !errors.Is(err, payouts.ErrNotFound) || text != nil {
		t.Errorf("no list: %q, %v", text, err)
	}
	for n := range byte(50) {
		block := chainhash.Hash{n}
		got := make([]string, 4)
		var group sync.WaitGroup
		for i := range got {
			group.Go(func() {
				text, err := []*redisstore.Lists{one, other}[i%2].Commit(t.Context(), block, fmt.Appendf(nil, "%d of block %d", i, n))
				if err != nil {
					t.Error(err)
				}
				got[i] = string(text)
			})
		}
		group.Wait()
		text, err := other.List(t.Context(), block)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != string(text) || got[i] == "" {
				t.Fatalf("block %d: %q, committed as %q", n, text, got)
			}
		}
	}
	before := time.Now().Add(-time.Second)
	now, err := one.Clock(t.Context())
	if err != nil || now.Before(before) || now.After(time.Now().Add(time.Second)) {
		t.Errorf("the ledger's clock is %s, %v", now, err)
	}
}

func TestListsOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	listsContract(t, &opener{url: e.URL()})
}

func TestListsOnRedis(t *testing.T) {
	listsContract(t, &opener{url: redisserver.New(t, redisserver.Config{}).URL()})
}

func TestListsOnCluster(t *testing.T) {
	listsContract(t, &opener{url: redisserver.NewCluster(t, 3).URL()})
}

// TestListsOutliveRedis kills Redis, and asks an emptied one: what was committed is there again, what
// cannot be committed is an error, and nothing is written into what is no ledger.
func TestListsOutliveRedis(t *testing.T) {
	s := redisserver.New(t, redisserver.Config{})
	o := &opener{url: s.URL()}
	a, _ := o.open(t)
	l := lists(t, a)
	block := chainhash.Hash{1}
	if _, err := l.Commit(t.Context(), block, []byte("first")); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if text, err := l.Commit(t.Context(), block, []byte("second")); !errors.Is(err, shares.ErrAway) || text != nil {
		t.Errorf("while redis is away: %q, %v", text, err)
	}
	if _, err := l.List(t.Context(), block); !errors.Is(err, shares.ErrAway) {
		t.Errorf("while redis is away: %v", err)
	}
	if _, err := l.Clock(t.Context()); !errors.Is(err, shares.ErrAway) {
		t.Errorf("the clock while redis is away: %v", err)
	}
	s.Start()
	if text, err := l.Commit(t.Context(), block, []byte("second")); err != nil || string(text) != "first" {
		t.Errorf("after redis was killed: %q, %v", text, err)
	}
	s.Kill()
	s.Wipe()
	s.Start()
	if text, err := l.Commit(t.Context(), block, []byte("second")); !errors.Is(err, shares.ErrForeign) || text != nil {
		t.Errorf("into an emptied redis: %q, %v", text, err)
	}
}

// TestListsOfWindows makes lists on two gateways while shares keep coming. Later the window at each list's
// end still says the same as the list, and all weight that there was is in one in the end.
func TestListsOfWindows(t *testing.T) {
	a, b := (&opener{url: redisserver.New(t, redisserver.Config{}).URL()}).open(t)
	var listers []*payouts.Lister
	for _, l := range []storetest.Ledger{a, b} {
		lister, err := payouts.NewLister(payouts.ListerConfig{
			Windows: l, Clock: onRedis(t, l).Clock, Store: lists(t, l), Terms: payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8},
			Minimum: 1, MaxOutputs: 50, MaxWeight: payouts.ListWeight, Pool: []byte{0x51}, Chain: &chaincfg.RegressionNetParams,
			Script: func(account string) ([]byte, error) { return []byte(account), nil },
			Now:    time.Now, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		listers = append(listers, lister)
	}
	const window = 8 * 65537
	var stop atomic.Bool
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := i; !stop.Load(); n += 4 {
				if _, err := a.Record(t.Context(), shareOf(t, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var all []*payouts.List
	for n := byte(1); n < 200; n++ {
		var names [2][32]byte
		for i, l := range listers {
			p, err := l.Payees(t.Context(), chainhash.Hash{n}, int32(n), 0x1f00ffff)
			if err != nil {
				t.Fatal(err)
			}
			names[i] = p.Name()
			if list, ok := p.(*payouts.List); ok && i == 0 {
				all = append(all, list)
			}
		}
		if names[0] != names[1] {
			t.Fatalf("two lists on block %d", n)
		}
		if last := all[len(all)-1]; last.Total > 0 && n > 60 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	last := all[len(all)-1]
	if last.Total == 0 || len(last.Payees) != 7 || last.Size != window {
		t.Errorf("the last list is %+v", last)
	}
	compareLists(t, b, all)
	stop.Store(true)
	group.Wait()
	compareLists(t, a, all)
}

func compareLists(t *testing.T, l storetest.Ledger, all []*payouts.List) {
	t.Helper()
	for _, list := range all {
		w, err := l.WindowAt(t.Context(), list.End, list.Size)
		if err != nil {
			t.Fatal(err)
		}
		weights := make(map[string]shares.Weight)
		for _, c := range w.Credits {
			weights[c.Account] = c.Weight
		}
		for _, p := range list.Payees {
			if weights[p.Account] != p.Weight {
				t.Errorf("on %s %s weighs %d, and %d in the window by now", list.Previous, p.Account, p.Weight, weights[p.Account])
			}
		}
		if w.Total != list.Total || len(weights) != len(list.Payees) {
			t.Errorf("on %s there are %d in all, and %d by now", list.Previous, list.Total, w.Total)
		}
	}
}

// shareOf makes a share of one of seven accounts.
func shareOf(t *testing.T, n int) *shares.Share {
	t.Helper()
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		t.Fatal(err)
	}
	return &shares.Share{
		Hash: chainhash.HashH(fmt.Appendf(nil, "%d", n)), Account: fmt.Sprint("account", n%7), Weight: shares.Weight(n%13) + 1,
		Target: target, Height: 5, Time: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// TestListsConfig wants a ledger and a time.
func TestListsConfig(t *testing.T) {
	for _, cfg := range []redisstore.ListsConfig{{}, {Ledger: new(redisstore.Ledger)}, {Keep: math.MaxInt64}} {
		if _, err := redisstore.NewLists(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
