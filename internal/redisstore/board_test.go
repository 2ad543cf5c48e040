package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// onRedis returns a ledger of the contract as what it is.
func onRedis(tb testing.TB, l storetest.Ledger) *redisstore.Ledger {
	tb.Helper()
	out, ok := l.(*redisstore.Ledger)
	if !ok {
		tb.Fatalf("the ledger is a %T", l)
	}
	return out
}

// boards opens one board as two gateways.
func (o *opener) boards(keep time.Duration) func(testing.TB) (one, other gbt.Board) {
	return func(tb testing.TB) (one, other gbt.Board) {
		tb.Helper()
		var out [2]*redisstore.Board
		a, b := o.open(tb)
		for i, l := range []storetest.Ledger{a, b} {
			var err error
			out[i], err = redisstore.NewBoard(redisstore.BoardConfig{Ledger: onRedis(tb, l), Keep: keep, Silence: time.Second})
			if err != nil {
				tb.Fatal(err)
			}
		}
		return out[0], out[1]
	}
}

func TestBoardOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	storetest.BoardContract(t, (&opener{url: e.URL()}).boards(time.Hour))
}

func TestBoardOnRedis(t *testing.T) {
	storetest.BoardContract(t, (&opener{url: redisserver.New(t, redisserver.Config{}).URL()}).boards(time.Hour))
}

func TestBoardOnCluster(t *testing.T) {
	storetest.BoardContract(t, (&opener{url: redisserver.NewCluster(t, 3).URL()}).boards(time.Hour))
}

// TestBoardForgets has templates go once work on them is too old to be submitted, but for the one in
// force while its gateway is there.
func TestBoardForgets(t *testing.T) {
	o := &opener{url: redisserver.New(t, redisserver.Config{}).URL()}
	one, other := o.boards(2 * time.Second)(t)
	block := chainhash.Hash{1}
	for mark := range uint32(2) {
		_, err := one.Post(t.Context(), &gbt.Posted{PreviousBlock: block, Mark: mark, Node: "n", Answer: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := one.Posted(t.Context(), block, 0); err != nil {
			t.Fatal(err)
		}
		_, err := other.Find(t.Context(), block, 0)
		if errors.Is(err, gbt.ErrNotPosted) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the first template is there still: %v", err)
		}
	}
	if p, err := other.Find(t.Context(), block, 1); err != nil || p.Node != "n" {
		t.Fatalf("the one in force: %+v, %v", p, err)
	}
}
