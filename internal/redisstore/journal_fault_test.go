package redisstore_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// followOn makes the record behind a head.
func followOn(head payouts.Head) *payouts.Record {
	r := &payouts.Record{Seq: head.Seq + 1, Previous: head.Hash, Key: fmt.Sprint("k", head.Seq), Kind: payouts.KindBook, By: "a test"}
	for i := range 1500 {
		r.Legs = append(r.Legs, payouts.Leg{Account: payouts.Miner(strconv.Itoa(i)), Amount: 2})
	}
	r.Legs = append(r.Legs, payouts.Leg{Account: payouts.Outside, Amount: -3000})
	return r
}

// posted posts a record until it is known to be in the journal, and returns the head then. The first error
// is first's to look at.
func posted(t *testing.T, j *redisstore.Journal, r *payouts.Record, first func(error)) payouts.Head {
	t.Helper()
	err := j.Post(t.Context(), 1, r)
	first(err)
	for deadline := time.Now().Add(30 * time.Second); err != nil && !errors.Is(err, payouts.ErrPosted); err = j.Post(t.Context(), 1, r) {
		if !errors.Is(err, shares.ErrAway) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	head, err := r.Head()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Head(t.Context()); err != nil || got != head {
		t.Fatalf("the head is %v, %v, want %v", got, err, head)
	}
	return head
}

// countOnce fails unless each record counts once.
func countOnce(t *testing.T, j *redisstore.Journal, many uint64) {
	t.Helper()
	read := uint64(0)
	for _, err := range j.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		read++
	}
	accounts := make(map[payouts.Account]int64)
	for leg, err := range j.Balances(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		accounts[leg.Account] = leg.Amount
	}
	if read != many || len(accounts) != 1501 || accounts[payouts.Outside] != -3000*int64(many) {
		t.Fatalf("%d records, %d accounts, %d from outside, want %d records", read, len(accounts), accounts[payouts.Outside], many)
	}
	for i := range 1500 {
		if amount := accounts[payouts.Miner(strconv.Itoa(i))]; amount != 2*int64(many) {
			t.Fatalf("account %d has %d", i, amount)
		}
	}
}

// TestJournalOverABadLine loses requests and replies on their way. Posting again makes all well.
func TestJournalOverABadLine(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{})
	proxy := redisserver.NewProxy(t, server.Addr)
	one, _ := (&opener{url: proxy.URL()}).open(t)
	j := journalOf(t, onRedis(t, one))
	head := posted(t, j, followOn(payouts.Head{}), func(error) {})
	for n, fault := range []func(){
		func() { proxy.CutReplies(0) }, func() { proxy.CutReplies(1) }, func() { proxy.CutRequests(0) },
		func() { proxy.CutRequests(1000) }, func() { proxy.CutRequests(20_000) },
	} {
		fault()
		head = posted(t, j, followOn(head), func(err error) {
			proxy.None()
			if !errors.Is(err, shares.ErrAway) {
				t.Errorf("fault %d: error %v, want ErrAway", n, err)
			}
		})
	}
	countOnce(t, j, head.Seq)
}

// TestJournalOutlivesRedis kills Redis between records, and while one is posted.
func TestJournalOutlivesRedis(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{Args: []string{"appendfsync always"}})
	one, _ := (&opener{url: server.URL()}).open(t)
	j := journalOf(t, onRedis(t, one))
	var head payouts.Head
	for i := range 12 {
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			if i%3 == 1 {
				time.Sleep(time.Duration(i) * time.Millisecond)
				server.Kill()
			}
		}()
		head = posted(t, j, followOn(head), func(error) {
			<-killed
			if i%3 == 2 {
				server.Kill()
			}
			if i%3 != 0 {
				server.Start()
			}
		})
	}
	countOnce(t, j, head.Seq)
}
