package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// accountOf returns an account of one of two partitions.
func accountOf(partition int) string {
	for i := 0; ; i++ {
		if account := fmt.Sprint("account", i); partitionOf(account, 2) == partition {
			return account
		}
	}
}

// by makes a share or block of an account's.
func by(s *shares.Share, account string) *shares.Share {
	s.Account = account
	return s
}

// later waits until what is recorded has a later millisecond than what was before.
func (b *bench) later(t *testing.T) {
	t.Helper()
	begin := b.redis.Time(t.Context()).Val().UnixMilli()
	for b.redis.Time(t.Context()).Val().UnixMilli() <= begin {
		if t.Context().Err() != nil {
			t.Fatal("redis's clock stands still")
		}
	}
}

// putUncut records a block as a gateway does that dies before it ends the other partitions' rounds.
func (b *bench) putUncut(t *testing.T, block *shares.Share) {
	t.Helper()
	scripts := *b.whole
	scripts.cut = breaking(t, 1, false).cut
	b.scripts = &scripts
	b.put(t, block)
	b.scripts = b.whole
	if n := b.redis.Exists(t.Context(), b.keys.part(1-partitionOf(block.Account, 2)).block(block.Hash.String())).Val(); n != 0 {
		t.Fatal("the other partition's round has ended")
	}
}

// credits returns a window's.
func (b *bench) credits(t *testing.T, block chainhash.Hash, size shares.Weight) []shares.Credit {
	t.Helper()
	w, err := b.Window(t.Context(), block, size)
	if err != nil {
		t.Fatal(err)
	}
	return w.Credits
}

// roundOf returns a round's credits.
func (b *bench) roundOf(t *testing.T, block chainhash.Hash) []shares.Credit {
	t.Helper()
	r, err := b.Round(t.Context(), block)
	if err != nil {
		t.Fatal(err)
	}
	return r.Credits
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestShareTurnsOutBlock records a share that is known to be a block only when it comes again.
func TestShareTurnsOutBlock(t *testing.T) {
	t.Parallel()
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for name, url := range map[string]string{
		"embedded": e.URL(), "real": redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, url, "turns-out", 2)
			who := accountOf(0)
			s := by(b.share(), who)
			first, err := b.Record(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			b.later(t)
			b.put(t, by(b.share(), who))
			s.Found = b.block().Found
			for range 2 {
				again, err := b.Record(t.Context(), s)
				if !errors.Is(err, shares.ErrDuplicate) || again != first {
					t.Fatalf("the block is at %+v (%v), want ErrDuplicate and %+v", again, err, first)
				}
				blocks, err := b.Blocks(t.Context(), 10)
				if err != nil || len(blocks) != 2 {
					t.Fatalf("blocks: %+v, %v", blocks, err)
				}
				s.Time = blocks[0].Time // in milliseconds
				same(t, "the block", blocks[0].Entry, shares.Entry{Position: first.Position, Share: *s})
			}
			w := b.credits(t, s.Hash, 5)
			same(t, "its window, without the share that came between", w, []shares.Credit{{Account: who, Weight: 5}})
			if newest, err := b.Window(t.Context(), s.Hash, 5); err != nil || newest.Newest != first.Position {
				t.Errorf("its window ends at %s, want %s (%v)", newest.Newest, first.Position, err)
			}
			pool, poolErr := b.Pool(t.Context())
			account, workers, accountErr := b.Account(t.Context(), who)
			if err := errors.Join(poolErr, accountErr); err != nil {
				t.Fatal(err)
			}
			same(t, "blocks of the pool, the account and the worker",
				[]int64{pool.Blocks, account.Blocks, workers[0].Blocks}, []int64{2, 1, 1})
			same(t, "the round that goes on", b.roundOf(t, chainhash.Hash{}), []shares.Credit{})
			b.sound(t, 2)
		})
	}
}

// TestShareTurnsOutBlockWhole breaks each write of that.
func TestShareTurnsOutBlockWhole(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	turnsOut := func(prepare func(*testing.T, *bench, *shares.Share)) verb {
		v := recording("turns out a block", nil)
		v.prepare = func(t *testing.T, b *bench) func(context.Context) error {
			t.Helper()
			s := b.share()
			prepare(t, b, s)
			s.Found = b.block().Found
			return func(ctx context.Context) error {
				if _, err := b.Record(ctx, s); !errors.Is(err, shares.ErrDuplicate) {
					return err
				}
				return nil
			}
		}
		return v
	}
	for name, v := range map[string]verb{
		"share": turnsOut(func(t *testing.T, b *bench, s *shares.Share) {
			t.Helper()
			b.put(t, s)
		}),
		"share, and its round has ended": turnsOut(func(t *testing.T, b *bench, s *shares.Share) {
			t.Helper()
			b.put(t, s)
			b.stub(t, s.Hash)
		}),
		"new, and its round has ended": turnsOut(func(t *testing.T, b *bench, s *shares.Share) {
			t.Helper()
			b.stub(t, s.Hash)
		}),
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stored %t", name, stored), func(t *testing.T) {
				v.name = name
				n := 1
				for ; breakAt(t, v, url, n, stored); n++ {
				}
				if n < 5 {
					t.Errorf("there were only %d writes", n-1)
				}
			})
		}
	}
}

// stub ends the rounds of all partitions for a block, as for one that another partition has.
func (b *bench) stub(t *testing.T, block chainhash.Hash) {
	t.Helper()
	if err := b.cutElsewhere(t.Context(), b.open.Load(), block, -1); err != nil {
		t.Fatal(err)
	}
}

// TestBlockAfterItsCut records a block where its round has ended already, because its partition had lost it.
func TestBlockAfterItsCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "stub", 1)
	for range 4 {
		b.put(t, by(b.share(), "alice")) // beside one of bob's
	}
	block := by(b.block(), "carol")
	b.stub(t, block.Hash)
	before := b.roundOf(t, chainhash.Hash{})
	b.put(t, by(b.share(), "dave"))
	receipt, err := b.Record(t.Context(), block)
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, by(b.share(), "erin"))
	same(t, "the round after the cut", before, []shares.Credit{})
	same(t, "the block's round", b.roundOf(t, block.Hash), []shares.Credit{{Account: "alice", Weight: 20}, {Account: "bob", Weight: 5}})
	same(t, "the round that goes on", b.roundOf(t, chainhash.Hash{}), []shares.Credit{
		{Account: "carol", Weight: 5}, {Account: "dave", Weight: 5}, {Account: "erin", Weight: 5},
	})
	same(t, "the block's window, up to and with it", b.credits(t, block.Hash, 12), []shares.Credit{
		{Account: "alice", Weight: 2}, {Account: "carol", Weight: 5}, {Account: "dave", Weight: 5},
	})
	blocks, err := b.Blocks(t.Context(), 10)
	if err != nil || len(blocks) != 2 || blocks[0].Position != receipt.Position || !blocks[0].Frozen || blocks[0].Round != 25 {
		t.Errorf("blocks: %+v, %v", blocks, err)
	}
	listed := b.redis.LRange(t.Context(), b.keys.part(0).blocks(), 0, -1).Val()
	same(t, "the list of blocks", listed, []string{chainhash.Hash{4, 31: 1}.String(), block.Hash.String()})
	b.sound(t, 1)
}

// TestCutKeepsFrozenRound has a frozen round without its block, which nothing may take the place of.
func TestCutKeepsFrozenRound(t *testing.T) {
	t.Parallel()
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "frozen", 1)
	block, k := b.block(), b.keys.part(0)
	frozen := k.frozen(block.Hash.String())
	if err := b.redis.HSet(t.Context(), frozen, "carol", 7).Err(); err != nil {
		t.Fatal(err)
	}
	b.put(t, block)
	same(t, "the frozen round", b.redis.HGetAll(t.Context(), frozen).Val(), map[string]string{"carol": "7"})
	b.sound(t, 1)
}

func TestCutSkipsOwnPartition(t *testing.T) {
	t.Parallel()
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "own", 3)
	block := chainhash.Hash{99}
	if err := b.cutElsewhere(t.Context(), b.open.Load(), block, 1); err != nil {
		t.Fatal(err)
	}
	var got []int64
	for p := range 3 {
		got = append(got, b.redis.Exists(t.Context(), b.keys.part(p).block(block.String())).Val())
	}
	same(t, "partitions whose round has ended", got, []int64{1, 0, 1})
}

// TestWindowEndsAtBlock ends the other partition's round long after the block.
func TestWindowEndsAtBlock(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	for own := range 2 {
		t.Run(fmt.Sprint("block in partition ", own), func(t *testing.T) {
			b := newBench(t, url, fmt.Sprint("late-", own), 2)
			finder, other := accountOf(own), accountOf(1-own)
			for range 5 {
				b.put(t, by(b.share(), finder))
				b.put(t, by(b.share(), other))
				b.later(t)
			}
			block := by(b.block(), finder)
			b.putUncut(t, block)
			b.later(t)
			for range 9 {
				b.put(t, by(b.share(), other))
			}
			b.later(t)
			want := []shares.Credit{{Account: finder, Weight: 15}, {Account: other, Weight: 10}}
			if finder > other {
				want[0], want[1] = want[1], want[0]
			}
			same(t, "its window", b.credits(t, block.Hash, 25), want)
			b.put(t, by(b.share(), other))
			same(t, "its window, later", b.credits(t, block.Hash, 25), want)
			b.sound(t, 2)
		})
	}
}

// TestWindowBySequence has shares of the block's own millisecond.
func TestWindowBySequence(t *testing.T) {
	at := shares.Position{Millis: 7, Seq: 3, Partition: 1}
	f := found{Block: shares.Block{Entry: shares.Entry{Position: at}}}
	for p, want := range []int64{3, 3, 2} {
		last := lastIn(f.Position, p)
		next := last
		next.Seq++
		if last.Seq != want || last.Partition != p || last.Compare(at) > 0 || next.Compare(at) <= 0 {
			t.Errorf("the last place of partition %d is %s", p, last)
		}
	}
}

// trips counts round trips of a client.
type trips struct{ n atomic.Int64 }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}

func TestBlocksTakeFewRoundTrips(t *testing.T) {
	t.Parallel()
	b := newBench(t, redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL(), "trips", 2)
	for range 30 {
		b.put(t, b.block())
	}
	uncut := by(b.block(), accountOf(0))
	b.putUncut(t, uncut)
	counter := new(trips)
	b.redis.AddHook(counter)
	blocks, err := b.Blocks(t.Context(), 20)
	if err != nil || len(blocks) != 20 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	for i, block := range blocks {
		if block.Frozen != (i > 0) || i > 0 && (block.Round != 5 || block.Shares != 1) {
			t.Errorf("block %d: %+v", i, block)
		}
	}
	if n := counter.n.Swap(0); n > 3*2 {
		t.Errorf("20 blocks of 32 take %d round trips, of 2 partitions", n)
	}
	if _, err := b.read(t, uncut.Hash); err != nil || counter.n.Load() > 1 {
		t.Errorf("one block takes %d round trips (%v)", counter.n.Load(), err)
	}
}

func (b *bench) read(t *testing.T, hash chainhash.Hash) (found, error) {
	t.Helper()
	return b.Ledger.block(t.Context(), b.open.Load(), hash)
}
