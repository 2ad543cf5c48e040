package redisstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// verb is one script and a way to have it run.
type verb struct {
	name       string
	partitions int
	script     func(*scripts) **redis.Script
	// prepare makes a ledger ready and returns what runs the script, which may be called again.
	prepare func(*testing.T, *bench) func(context.Context) error
	// reads is set if it does not write.
	reads bool
	// leaves says of what a failure has left behind whether it may; nil if nothing may be left.
	leaves func(before, after map[string]any) bool
}

func recordScript(s *scripts) **redis.Script { return &s.record }

// recording makes a verb of a share.
func recording(name string, s func(*bench) *shares.Share) verb {
	return verb{
		name: name, partitions: 1, script: recordScript,
		prepare: func(_ *testing.T, b *bench) func(context.Context) error {
			share := s(b)
			return func(ctx context.Context) error {
				_, err := b.Record(ctx, share)
				return err
			}
		},
	}
}

// calling makes a verb of a method that needs nothing prepared.
func calling(name string, script func(*scripts) **redis.Script, call func(context.Context, *bench) error) verb {
	return verb{
		name: name, partitions: 1, script: script,
		prepare: func(_ *testing.T, b *bench) func(context.Context) error {
			return func(ctx context.Context) error { return call(ctx, b) }
		},
	}
}

func verbs() []verb {
	return slices.Concat(sharesVerbs(), upkeepVerbs(), poolVerbs(), boardVerbs(), setsVerbs(), moneyVerbs(), listVerbs(), doorVerbs())
}

// sharesVerbs are those of shares.
func sharesVerbs() []verb {
	return []verb{
		recording("record", (*bench).share),
		recording("record a block", (*bench).block),
		recordingTogether(),
		recording("record, late", func(b *bench) *shares.Share {
			s := b.share()
			s.Time = time.Now().Add(-time.Minute)
			return s
		}),
		recording("record, heavy", func(b *bench) *shares.Share {
			s := b.share()
			s.Weight = shares.MaxWeight / 2
			return s
		}),
		recordingOnOldFigures(),
		promoting("record, promote", false),
		promoting("record, promote a lost block", true),
		{
			name: "cut", partitions: 2, script: func(s *scripts) **redis.Script { return &s.cut },
			prepare: func(t *testing.T, b *bench) func(context.Context) error {
				t.Helper()
				b.scripts = breaking(t, 1, false)
				block := b.block()
				b.scripts.record = b.whole.record
				b.put(t, block)
				own := partitionOf(block.Account, 2)
				return func(ctx context.Context) error { return b.cutElsewhere(ctx, b.open.Load(), block.Hash, own) }
			},
		},
		{
			name: "account", partitions: 1, reads: true, script: func(s *scripts) **redis.Script { return &s.account },
			prepare: func(_ *testing.T, b *bench) func(context.Context) error {
				return func(ctx context.Context) error { _, _, err := b.Account(ctx, "alice"); return err }
			},
		},
		calling("refuse", func(s *scripts) **redis.Script { return &s.refuse }, func(ctx context.Context, b *bench) error {
			return b.Refuse(ctx, 5, []shares.Refusal{{Account: "alice", Worker: "w", Reason: gbt.HighHash, Count: 2}})
		}),
	}
}

// recordingOnOldFigures records a share whose account has figures as they were written before.
func recordingOnOldFigures() verb {
	v := recording("record, old figures", func(b *bench) *shares.Share {
		s := b.share()
		s.Account = "alice"
		return s
	})
	prepare := v.prepare
	v.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		// What they count is what is in the fields of today, so that the sums are right.
		key := b.keys.part(0).account("alice")
		sum, err := b.redis.HGet(t.Context(), key, "sum").Result()
		if err == nil {
			err = b.redis.HSet(t.Context(), key, "now", sum, "slots", "5 10 10 10").Err()
		}
		if err == nil {
			err = b.redis.HDel(t.Context(), key, "sum", "from").Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		return prepare(t, b)
	}
	return v
}

// upkeepVerbs are those of jobs under a lease.
func upkeepVerbs() []verb {
	compact := calling("compact", func(s *scripts) **redis.Script { return &s.compact }, func(ctx context.Context, b *bench) error {
		return b.Compact(ctx, b.lease, 0)
	})
	// Readers go by place, so what is in the slice and in the log as well counts once, and the audit sees it.
	compact.leaves = func(map[string]any, map[string]any) bool { return true }
	retire := calling("retire", func(s *scripts) **redis.Script { return &s.retire }, func(ctx context.Context, b *bench) error {
		return b.Retire(ctx, b.lease, 3)
	})
	// What is forgotten lies below the floor, or it could be recorded again.
	retire.leaves = func(before, after map[string]any) bool {
		return sameKey(before, after, "seen:1") || fieldOf(after, "state", "floor") == "3"
	}
	release := calling("release", func(s *scripts) **redis.Script { return &s.release }, func(ctx context.Context, b *bench) error {
		return b.Release(ctx, b.lease, chainhash.Hash{4, 31: 1})
	})
	// A round that is gone is not asked for any more.
	release.leaves = func(before, after map[string]any) bool {
		block := chainhash.Hash{4, 31: 1}.String()
		return sameKey(before, after, "round:"+block) || fieldOf(after, "block:"+block, "released") == "1"
	}
	return []verb{compact, retire, release, {
		name: "trim", partitions: 1, script: func(s *scripts) **redis.Script { return &s.trim }, prepare: prepareTrim,
	}}
}

// prepareTrim makes a slice that nobody needs.
func prepareTrim(t *testing.T, b *bench) func(context.Context) error {
	t.Helper()
	if err := b.Compact(t.Context(), b.lease, 0); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*shares.Share{b.block(), b.share()} {
		b.put(t, s)
	}
	blocks, err := b.Blocks(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		if err := b.Release(t.Context(), b.lease, block.Hash); err != nil {
			t.Fatal(err)
		}
	}
	return func(ctx context.Context) error { return b.Trim(ctx, b.lease, 1) }
}

// poolVerbs are those of the pool as a whole.
func poolVerbs() []verb {
	halts := []shares.Halt{{Gateway: "bench", Since: time.UnixMilli(5), Why: "a test"}}
	resume := calling("resume", func(s *scripts) **redis.Script { return &s.resume }, func(ctx context.Context, b *bench) error {
		return b.Resume(ctx, halts)
	})
	ready := resume.prepare
	resume.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		if err := b.redis.HSet(t.Context(), b.keys.pool("halts"), halts[0].Gateway, haltText(halts[0])).Err(); err != nil {
			t.Fatal(err)
		}
		return ready(t, b)
	}
	return []verb{
		calling("begin", func(s *scripts) **redis.Script { return &s.begin }, func(ctx context.Context, b *bench) error {
			return b.do(ctx, b.scripts.begin, []string{b.keys.part(1).state()}, strings.Repeat("ab", idSize))
		}),
		calling("genesis", func(s *scripts) **redis.Script { return &s.genesis }, func(ctx context.Context, b *bench) error {
			return b.do(ctx, b.scripts.genesis, []string{b.keys.pool("another genesis")}, strings.Repeat("ab", idSize), "schema", schema)
		}),
		calling("lease", func(s *scripts) **redis.Script { return &s.lease }, func(ctx context.Context, b *bench) error {
			_, err := b.Acquire(ctx, "another", time.Hour)
			return err
		}),
		calling("give a lease up", func(s *scripts) **redis.Script { return &s.lease }, func(ctx context.Context, b *bench) error {
			return b.GiveUp(ctx, "upkeep")
		}),
		calling("halt", func(s *scripts) **redis.Script { return &s.halt }, func(ctx context.Context, b *bench) error {
			return b.Halt(ctx, "a test")
		}),
		resume,
		calling("contact", func(s *scripts) **redis.Script { return &s.contact }, func(ctx context.Context, b *bench) error {
			_, err := b.Contact(ctx, 5)
			return err
		}),
	}
}

// boardVerbs are those of the templates that gateways share.
func boardVerbs() []verb {
	posted := calling("posted", func(s *scripts) **redis.Script { return &s.posted }, func(ctx context.Context, b *bench) error {
		return b.onBoard(func(board *Board) error {
			_, err := board.Posted(ctx, chainhash.Hash{7}, 0)
			return err
		})
	})
	posted.reads = true
	post := func(ctx context.Context, b *bench) error {
		return b.onBoard(func(board *Board) error {
			_, err := board.Post(ctx, &gbt.Posted{PreviousBlock: chainhash.Hash{7}, Mark: 1, Received: time.Now()})
			return err
		})
	}
	again := calling("post again", func(s *scripts) **redis.Script { return &s.post }, post)
	again.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		if err := post(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) error { return post(ctx, b) }
	}
	return []verb{posted, calling("post", func(s *scripts) **redis.Script { return &s.post }, post), again}
}

// setsVerbs are those of declared work.
func setsVerbs() []verb {
	declare := func(ctx context.Context, b *bench, block byte) error {
		sets, err := NewSets(SetsConfig{Ledger: b.Ledger, Keep: time.Hour})
		if err != nil {
			return err
		}
		return sets.Append(ctx, chainhash.Hash{block}, []byte("a record"))
	}
	forget := calling("forget", func(s *scripts) **redis.Script { return &s.forget }, func(ctx context.Context, b *bench) error {
		sets, err := NewSets(SetsConfig{Ledger: b.Ledger, Keep: time.Hour})
		if err != nil {
			return err
		}
		return sets.Keep(ctx)
	})
	ready := forget.prepare
	forget.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		if err := errors.Join(declare(t.Context(), b, 1), declare(t.Context(), b, 2)); err != nil {
			t.Fatal(err)
		}
		return ready(t, b)
	}
	// What is dropped is dropped again.
	forget.leaves = func(map[string]any, map[string]any) bool { return true }
	again := calling("declare again", func(s *scripts) **redis.Script { return &s.declare }, func(ctx context.Context, b *bench) error {
		return declare(ctx, b, 1)
	})
	readyAgain := again.prepare
	again.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		if err := declare(t.Context(), b, 1); err != nil {
			t.Fatal(err)
		}
		return readyAgain(t, b)
	}
	return []verb{forget, again, calling("declare", func(s *scripts) **redis.Script { return &s.declare }, func(ctx context.Context, b *bench) error {
		return declare(ctx, b, 1)
	})}
}

// onBoard does something with the ledger's board.
func (b *bench) onBoard(do func(*Board) error) error {
	board, err := NewBoard(BoardConfig{Ledger: b.Ledger, Keep: time.Hour, Silence: time.Hour})
	if err != nil {
		return err
	}
	return do(board)
}

// sameKey reports whether a key of partition 0 holds the same in two dumps.
func sameKey(before, after map[string]any, name string) bool {
	for key, v := range before {
		if strings.HasSuffix(key, ":0}:"+name) {
			return cmp.Equal(v, after[key])
		}
	}
	return true
}

// fieldOf returns a field of a hash of partition 0.
func fieldOf(dump map[string]any, name, field string) string {
	for key, v := range dump {
		if values, ok := v.(map[string]string); ok && strings.HasSuffix(key, ":0}:"+name) {
			return values[field]
		}
	}
	return ""
}

// promoting makes the verb of a share that comes again as a block; cut says that its round has ended for it before.
func promoting(name string, cut bool) verb {
	return verb{
		name: name, partitions: 1, script: recordScript,
		prepare: func(t *testing.T, b *bench) func(context.Context) error {
			t.Helper()
			s := b.share()
			b.put(t, s)
			b.put(t, b.share())
			if cut {
				if err := b.cutElsewhere(t.Context(), b.open.Load(), s.Hash, -1); err != nil {
					t.Fatal(err)
				}
			}
			found := *s
			found.Found = b.block().Found
			return func(ctx context.Context) error {
				if _, err := b.Record(ctx, &found); !errors.Is(err, shares.ErrDuplicate) {
					return err
				}
				return nil
			}
		},
	}
}

// listVerbs are those of the lists of payees.
func listVerbs() []verb {
	commit := func(ctx context.Context, b *bench) error {
		lists, err := NewLists(ListsConfig{Ledger: b.Ledger, Keep: time.Hour})
		if err != nil {
			return err
		}
		_, err = lists.Commit(ctx, chainhash.Hash{7}, []byte("a list"))
		return err
	}
	again := calling("list again", func(s *scripts) **redis.Script { return &s.list }, commit)
	ready := again.prepare
	again.prepare = func(t *testing.T, b *bench) func(context.Context) error {
		t.Helper()
		if err := commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return ready(t, b)
	}
	return []verb{calling("list", func(s *scripts) **redis.Script { return &s.list }, commit), again}
}
