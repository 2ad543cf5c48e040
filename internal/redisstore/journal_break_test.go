package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// journal is beside the bench's ledger.
func (b *bench) journal(tb testing.TB) *Journal {
	tb.Helper()
	j, err := NewJournal(JournalConfig{Ledger: b.Ledger})
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// moneyVerbs are those of the journal.
func moneyVerbs() []verb {
	set := func(table, field, value string) payouts.Set {
		return payouts.Set{Table: table, Field: field, Value: value}
	}
	first := &payouts.Record{
		Seq: 1, Key: "first", Kind: payouts.KindBook, Time: time.UnixMilli(1), By: "a test",
		Legs: []payouts.Leg{{Account: payouts.Outside, Amount: -5000}, {Account: payouts.Pool, Amount: 5000}},
		Sets: []payouts.Set{set("blocks", "goes", "1"), set("blocks", "changes", "1")},
	}
	head, err := first.Head()
	// More legs than one command takes.
	second := &payouts.Record{
		Seq: 2, Previous: head.Hash, Key: "second", Kind: payouts.KindBook, Time: time.UnixMilli(2), By: "a test",
		Legs: []payouts.Leg{{Account: payouts.Pool, Amount: -2500}},
		Sets: []payouts.Set{set("blocks", "goes", ""), set("blocks", "changes", "2"), set("blocks", "comes", "1"), set("pool", "paused", "why")},
	}
	for i := range 2500 {
		second.Legs = append(second.Legs, payouts.Leg{Account: payouts.Miner(strconv.Itoa(i)), Amount: 1})
	}
	money := verb{
		name: "money", partitions: 1, script: func(s *scripts) **redis.Script { return &s.money },
		prepare: func(t *testing.T, b *bench) func(context.Context) error {
			t.Helper()
			j := b.journal(t)
			if err := errors.Join(err, j.Post(t.Context(), 6, first)); err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error { return j.Post(ctx, 7, second) }
		},
	}
	note := verb{
		name: "note", partitions: 1, script: func(s *scripts) **redis.Script { return &s.note },
		prepare: func(t *testing.T, b *bench) func(context.Context) error {
			t.Helper()
			j := b.journal(t)
			if err := j.Note(t.Context(), set("a", "goes", "1"), set("b", "changes", "1")); err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				return j.Note(ctx, set("a", "goes", ""), set("b", "changes", "2"), set("a", "comes", "1"))
			}
		},
	}
	discard := verb{
		name: "discard", partitions: 1, script: func(s *scripts) **redis.Script { return &s.discard },
		prepare: func(t *testing.T, b *bench) func(context.Context) error {
			t.Helper()
			j := b.journal(t)
			if err := errors.Join(err, j.Post(t.Context(), 0, first)); err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error { return j.Discard(ctx, head) }
		},
	}
	return []verb{money, note, discard}
}

// TestListsExpire keeps lists for a time after they were last committed, and not for ever.
func TestListsExpire(t *testing.T) {
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "lists", 1)
	lists, err := NewLists(ListsConfig{Ledger: b.Ledger, Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, block := t.Context(), chainhash.Hash{1}
	key := b.keys.pool("list:" + block.String())
	for range 2 {
		if _, err := lists.Commit(ctx, block, []byte("a list")); err != nil {
			t.Fatal(err)
		}
		if left := b.redis.PTTL(ctx, key).Val(); left <= 59*time.Minute || left > time.Hour {
			t.Errorf("the list is kept for %s", left)
		}
		if err := b.redis.PExpire(ctx, key, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiscard puts a journal aside, and posts another in its place.
func TestDiscard(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "discard", 1)
	j, ctx := b.journal(t), t.Context()
	r := &payouts.Record{Seq: 1, Key: "k", Kind: payouts.KindPause, Sets: []payouts.Set{{Table: payouts.TablePool, Field: payouts.PoolPaused, Value: "why"}}}
	if err := j.Post(ctx, 0, r); err != nil {
		t.Fatal(err)
	}
	if err := j.Discard(ctx, payouts.Head{Seq: 2}); !errors.Is(err, payouts.ErrMoved) {
		t.Errorf("one that ends elsewhere: %v, want ErrMoved", err)
	}
	head, err := j.Head(ctx)
	if err == nil {
		err = j.Discard(ctx, head)
	}
	if err != nil {
		t.Fatal(err)
	}
	if head, err := j.Head(ctx); err != nil || head != (payouts.Head{}) {
		t.Errorf("it ends at %v, %v", head, err)
	}
	if _, err := j.Field(ctx, payouts.TablePool, payouts.PoolPaused); !errors.Is(err, payouts.ErrNotFound) {
		t.Errorf("a field is still there: %v", err)
	}
	if err := j.Post(ctx, 0, r); err != nil {
		t.Errorf("posting again: %v", err)
	}
}

// TestJournalIsOfOneLedger has nothing posted, and nothing said of the head, where another ledger is by now.
func TestJournalIsOfOneLedger(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b := newBench(t, e.URL(), "foreign", 1)
	j, ctx := b.journal(t), t.Context()
	r := &payouts.Record{Seq: 1, Key: "k", Kind: payouts.KindBook}
	for _, id := range []string{strings.Repeat("cd", idSize), ""} {
		if id == "" {
			err = b.redis.Del(ctx, b.keys.pool("genesis")).Err()
		} else {
			err = b.redis.HSet(ctx, b.keys.pool("genesis"), "ledger", id).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Post(ctx, 0, r); !errors.Is(err, shares.ErrForeign) {
			t.Errorf("posting in ledger %q: error %v, want ErrForeign", id, err)
		}
		if _, err := j.Head(ctx); !errors.Is(err, shares.ErrForeign) {
			t.Errorf("head in ledger %q: error %v, want ErrForeign", id, err)
		}
		if err := j.Note(ctx, payouts.Set{Table: "t", Field: "f", Value: "v"}); !errors.Is(err, shares.ErrForeign) {
			t.Errorf("a note in ledger %q: error %v, want ErrForeign", id, err)
		}
	}
	names, err := b.redis.Keys(ctx, "*:money:*").Result()
	if err != nil || len(names) != 0 {
		t.Errorf("keys %q, %v", names, err)
	}
}

// TestJournalFindsDamage changes what Redis holds of records in every way; reading tells.
func TestJournalFindsDamage(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for name, harm := range map[string]func(ctx context.Context, j *Journal, key string) error{
		"missing":  func(ctx context.Context, j *Journal, key string) error { return j.redis.HDel(ctx, key, "3").Err() },
		"garbage":  func(ctx context.Context, j *Journal, key string) error { return j.redis.HSet(ctx, key, "3", "x").Err() },
		"swapped":  func(ctx context.Context, j *Journal, key string) error { return swap(ctx, j, key, "3", "4") },
		"last cut": func(ctx context.Context, j *Journal, key string) error { return j.redis.HDel(ctx, key, "5").Err() },
		"changed": func(ctx context.Context, j *Journal, key string) error {
			return replace(ctx, j, key, "3", `"by":"a test"`, `"by":"a thief"`)
		},
		"last changed": func(ctx context.Context, j *Journal, key string) error {
			return replace(ctx, j, key, "5", `"by":"a test"`, `"by":"a thief"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, e.URL(), "damage "+name, 1)
			j, ctx := b.journal(t), t.Context()
			var head payouts.Head
			for i := range 5 {
				r := &payouts.Record{Seq: head.Seq + 1, Previous: head.Hash, Key: strconv.Itoa(i), Kind: payouts.KindBook, By: "a test"}
				if err := j.Post(ctx, 0, r); err != nil {
					t.Fatal(err)
				}
				var err error
				if head, err = r.Head(); err != nil {
					t.Fatal(err)
				}
			}
			if err := harm(ctx, j, j.moneyKey("records")); err != nil {
				t.Fatal(err)
			}
			var last error
			seqs := []uint64{}
			for r, err := range j.Records(ctx, 0) {
				if last = err; err == nil {
					seqs = append(seqs, r.Seq)
				}
			}
			if !errors.Is(last, payouts.ErrRecord) {
				t.Errorf("error %v, want ErrRecord", last)
			}
			if !slices.IsSorted(seqs) || len(seqs) > 4 {
				t.Errorf("records %v were read", seqs)
			}
		})
	}
}

func swap(ctx context.Context, j *Journal, key, a, b string) error {
	values, err := j.redis.HMGet(ctx, key, a, b).Result()
	if err != nil {
		return err
	}
	return j.redis.HSet(ctx, key, a, values[1], b, values[0]).Err()
}

func replace(ctx context.Context, j *Journal, key, field, what, with string) error {
	text, err := j.redis.HGet(ctx, key, field).Result()
	if err != nil {
		return err
	}
	changed := strings.Replace(text, what, with, 1)
	if changed == text {
		return fmt.Errorf("%s has no %s", text, what)
	}
	return j.redis.HSet(ctx, key, field, changed).Err()
}
