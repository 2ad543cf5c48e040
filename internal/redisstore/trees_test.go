package redisstore_test

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func trees(tb testing.TB, l storetest.Ledger) *redisstore.Trees {
	tb.Helper()
	out, err := redisstore.NewTrees(redisstore.TreesConfig{Ledger: onRedis(tb, l)})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// leavesFor makes leaves of so many accounts.
func leavesFor(n int) []payouts.Leaf {
	var out []payouts.Leaf
	for i := range n {
		out = append(out, payouts.Leaf{Account: fmt.Sprintf("bc1q%038d", i*7919), Weight: shares.Weight(i) << 20, Credit: int64(i * i)})
	}
	return out
}

// treesContract has two gateways put trees, also the same at one time: what was put is there for both.
func treesContract(t *testing.T, o *opener) {
	t.Helper()
	a, b := o.open(t)
	one, other := trees(t, a), trees(t, b)
	all := [][]payouts.Leaf{
		nil, {{Account: "", Weight: 0, Credit: 0}}, {{Account: "a\x00\xff", Weight: math.MaxInt64, Credit: payouts.MaxMoney}},
		leavesFor(8191), leavesFor(8192), leavesFor(8193), leavesFor(20_000),
	}
	for i, leaves := range all {
		root := payouts.Digest{byte(i)}
		if has, err := one.Has(t.Context(), root); has || err != nil {
			t.Errorf("tree %d is there: %t, %v", i, has, err)
		}
		if got, err := one.Leaves(t.Context(), root); got != nil || !errors.Is(err, payouts.ErrNotFound) {
			t.Errorf("tree %d has %d leaves: %v", i, len(got), err)
		}
		var group sync.WaitGroup
		for n := range 4 {
			group.Go(func() {
				if err := []*redisstore.Trees{one, other}[n%2].Put(t.Context(), root, leaves); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	for i, leaves := range all {
		root := payouts.Digest{byte(i)}
		if has, err := other.Has(t.Context(), root); !has || err != nil {
			t.Errorf("tree %d is there: %t, %v", i, has, err)
		}
		if got, err := other.Leaves(t.Context(), root); err != nil || !cmp.Equal(got, leaves) {
			t.Errorf("tree %d of %d leaves has %d: %v", i, len(leaves), len(got), err)
		}
	}
}

func TestTreesOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	treesContract(t, &opener{url: e.URL()})
}

func TestTreesOnRedis(t *testing.T) {
	treesContract(t, &opener{url: redisserver.New(t, redisserver.Config{}).URL()})
}

func TestTreesOnCluster(t *testing.T) {
	treesContract(t, &opener{url: redisserver.NewCluster(t, 3).URL()})
}

// TestTreesOverABadLine loses requests and replies on their way, at each piece. A tree that was put in part is
// not there, and putting it again makes all well.
func TestTreesOverABadLine(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{})
	proxy := redisserver.NewProxy(t, server.Addr)
	one, _ := (&opener{url: proxy.URL()}).open(t)
	l := trees(t, one)
	leaves := leavesFor(20_000)
	if err := l.Put(t.Context(), payouts.Digest{255}, leaves); err != nil {
		t.Fatal(err)
	}
	for n, fault := range []func(){
		func() { proxy.CutReplies(0) }, func() { proxy.CutReplies(1) }, func() { proxy.CutRequests(0) }, func() { proxy.CutRequests(1000) },
		func() { proxy.CutRequests(50_000) }, func() { proxy.CutRequests(150_000) },
	} {
		root := payouts.Digest{byte(n)}
		fault()
		if err := l.Put(t.Context(), root, leaves); !errors.Is(err, shares.ErrAway) {
			t.Errorf("fault %d: error %v, want ErrAway", n, err)
		}
		proxy.None()
		if has, err := l.Has(t.Context(), root); has || err != nil {
			t.Errorf("fault %d: a tree in part is there: %t, %v", n, has, err)
		}
		if _, err := l.Leaves(t.Context(), root); !errors.Is(err, payouts.ErrNotFound) {
			t.Errorf("fault %d: the leaves of a tree in part: %v", n, err)
		}
		if err := l.Put(t.Context(), root, leaves); err != nil {
			t.Errorf("fault %d: again: %v", n, err)
		}
		if got, err := l.Leaves(t.Context(), root); err != nil || !cmp.Equal(got, leaves) {
			t.Errorf("fault %d: %d leaves, %v", n, len(got), err)
		}
	}
}

// TestTreesOutliveRedis kills Redis, and asks an emptied one: nothing is written into what is no ledger.
func TestTreesOutliveRedis(t *testing.T) {
	s := redisserver.New(t, redisserver.Config{})
	a, _ := (&opener{url: s.URL()}).open(t)
	l, leaves := trees(t, a), leavesFor(9000)
	if err := l.Put(t.Context(), payouts.Digest{1}, leaves); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := l.Put(t.Context(), payouts.Digest{2}, leaves); !errors.Is(err, shares.ErrAway) {
		t.Errorf("while redis is away: %v", err)
	}
	if _, err := l.Has(t.Context(), payouts.Digest{1}); !errors.Is(err, shares.ErrAway) {
		t.Errorf("while redis is away: %v", err)
	}
	if _, err := l.Leaves(t.Context(), payouts.Digest{1}); !errors.Is(err, shares.ErrAway) {
		t.Errorf("while redis is away: %v", err)
	}
	s.Start()
	if got, err := l.Leaves(t.Context(), payouts.Digest{1}); err != nil || !cmp.Equal(got, leaves) {
		t.Errorf("after redis was killed: %d leaves, %v", len(got), err)
	}
	s.Kill()
	s.Wipe()
	s.Start()
	if err := l.Put(t.Context(), payouts.Digest{1}, leaves); !errors.Is(err, shares.ErrForeign) {
		t.Errorf("into an emptied redis: %v", err)
	}
}

// TestTreesConfig wants a ledger.
func TestTreesConfig(t *testing.T) {
	if _, err := redisstore.NewTrees(redisstore.TreesConfig{}); err == nil {
		t.Error("no error")
	}
}

// BenchmarkTrees keeps a tree of a million accounts, and reads it.
func BenchmarkTrees(b *testing.B) {
	s := redisserver.New(b, redisserver.Config{Args: []string{"appendfsync everysec"}})
	one, _ := (&opener{url: s.URL()}).open(b)
	l, leaves := trees(b, one), leavesFor(1_000_000)
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			if err := l.Put(b.Context(), payouts.Digest{1}, leaves); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("leaves", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, err := l.Leaves(b.Context(), payouts.Digest{1}); err != nil || len(got) != len(leaves) {
				b.Fatal(len(got), err)
			}
		}
	})
}
