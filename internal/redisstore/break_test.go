package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// breaking returns the scripts, each of which fails at its nth write: instead of it, or after it.
func breaking(t *testing.T, n int, stored bool) *scripts {
	t.Helper()
	s, err := readScripts(func(name string) ([]byte, error) {
		text, err := sources.ReadFile(name)
		if name != "lua/lib.lua" {
			return text, err
		}
		const whole = "local write = redis.call\n"
		if strings.Count(string(text), whole) != 1 {
			return nil, errors.New("writes do not go through one name")
		}
		return []byte(strings.Replace(string(text), whole, fmt.Sprintf(`
local writes = 0
local function write(...)
  writes = writes + 1
  if writes ~= %d then return redis.call(...) end
  if %t then redis.call(...) end
  error({err = 'broken'})
end
`, n, stored), 1)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bench is a ledger with something in it.
type bench struct {
	*Ledger
	whole  *scripts
	lease  shares.Lease
	number byte
}

// newBench makes a ledger of some partitions with three shares and a block.
func newBench(t *testing.T, url, prefix string, partitions int) *bench {
	t.Helper()
	c, err := Dial(Config{URL: url, Prefix: prefix, Slow: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Init(t.Context(), Genesis{Ledger: strings.Repeat("ab", idSize), Chain: "regtest", Partitions: partitions, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	l, err := NewLedger(LedgerConfig{Client: c, Chain: "regtest", Gateway: "bench", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = l.Open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b := &bench{Ledger: l, whole: c.scripts}
	for range 3 {
		b.put(t, b.share())
	}
	b.put(t, b.block())
	b.put(t, b.share())
	if b.lease, err = l.Acquire(t.Context(), "upkeep", time.Hour); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) share() *shares.Share {
	b.number++
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		panic(err)
	}
	return &shares.Share{
		Hash: chainhash.Hash{b.number, 31: 1}, Account: []string{"alice", "bob"}[b.number%2], Worker: "w",
		Weight: 5, Target: target, Height: int32(b.number), Time: time.Now(),
	}
}

func (b *bench) block() *shares.Share {
	s := b.share()
	s.Found = &shares.Found{Bits: 0x207fffff, Value: 1, Paid: 1, Window: 7}
	return s
}

func (b *bench) put(t *testing.T, s *shares.Share) {
	t.Helper()
	if _, err := b.Record(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// dump reads all keys of the ledger. Streams that are empty are as good as none.
func (b *bench) dump(t *testing.T) map[string]any {
	t.Helper()
	ctx := t.Context()
	names, err := b.redis.Keys(ctx, "{"+b.Client.cfg.Prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]any)
	for _, name := range names {
		var v any
		switch kind := b.redis.Type(ctx, name).Val(); kind {
		case "hash":
			v, err = b.redis.HGetAll(ctx, name).Result()
		case "list":
			v, err = b.redis.LRange(ctx, name, 0, -1).Result()
		case "set":
			members, setErr := b.redis.SMembers(ctx, name).Result()
			slices.Sort(members)
			v, err = members, setErr
		case "zset":
			v, err = b.redis.ZRangeWithScores(ctx, name, 0, -1).Result()
		case "string":
			v, err = b.redis.Get(ctx, name).Result()
		case "stream":
			var list []redis.XMessage
			if list, err = b.redis.XRange(ctx, name, "-", "+").Result(); len(list) > 0 {
				v = list
			}
		default:
			t.Fatalf("%s is a %s", name, kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		if v != nil {
			out[name] = v
		}
	}
	return out
}

// TestEveryScriptIsBroken fails if a script is not among the verbs that TestEveryWriteFails breaks.
func TestEveryScriptIsBroken(t *testing.T) {
	s := new(scripts)
	broken := make(map[uintptr]bool)
	for _, v := range verbs() {
		broken[reflect.ValueOf(v.script(s)).Pointer()] = true
	}
	all := reflect.ValueOf(s).Elem()
	for i := range all.NumField() {
		if !broken[all.Field(i).UnsafeAddr()] {
			t.Errorf("script %s has no row in verbs", all.Type().Field(i).Name)
		}
	}
}

// TestEveryWriteFails breaks each script at each of its writes: as if the write had not happened, and as
// if only its reply had been lost. A script that fails leaves nothing behind, and works the next time.
func TestEveryWriteFails(t *testing.T) {
	t.Parallel()
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	for _, v := range verbs() {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stored %t", v.name, stored), func(t *testing.T) {
				n := 1
				for ; breakAt(t, v, url, n, stored); n++ {
				}
				if wrote := n > 1; wrote == v.reads {
					t.Fatalf("that it writes is %t", wrote)
				}
			})
		}
	}
}

// breakAt has a verb fail at its nth write; false if it has fewer.
func breakAt(t *testing.T, v verb, url string, n int, stored bool) bool {
	t.Helper()
	b := newBench(t, url, fmt.Sprintf("%s-%t-%d", v.name, stored, n), v.partitions)
	do := v.prepare(t, b)
	before := b.dump(t)
	broken := *b.whole
	*v.script(&broken) = *v.script(breaking(t, n, stored))
	b.scripts = &broken
	err := do(t.Context())
	b.scripts = b.whole
	if err == nil {
		return false
	}
	after := b.dump(t)
	if diff := cmp.Diff(before, after); diff != "" && (v.leaves == nil || !v.leaves(before, after)) {
		t.Errorf("write %d: what failed left something behind (-before +after):\n%s", n, diff)
	}
	b.sound(t, v.partitions)
	if err := do(t.Context()); err != nil && !errors.Is(err, shares.ErrDuplicate) {
		t.Fatalf("write %d: the second time: %v", n, err)
	}
	b.sound(t, v.partitions)
	return true
}

// sound fails if the audit finds a fault.
func (b *bench) sound(t *testing.T, partitions int) {
	t.Helper()
	for p := range partitions {
		a, err := b.Audit(t.Context(), p)
		if err != nil || len(a.Faults) > 0 {
			t.Errorf("the audit finds %v, %v", a.Faults, err)
		}
	}
}

func TestAuditFindsWhatIsWrong(t *testing.T) {
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	for name, harm := range map[string]func(context.Context, *bench, part) error{
		"sum": func(ctx context.Context, b *bench, k part) error {
			return b.redis.HIncrBy(ctx, k.sums(), "alice", 1).Err()
		},
		"round": func(ctx context.Context, b *bench, k part) error {
			return b.redis.HIncrBy(ctx, k.round(), "bob", 1).Err()
		},
		"total": func(ctx context.Context, b *bench, k part) error {
			return b.redis.HIncrBy(ctx, k.state(), "total", 1).Err()
		},
		"count": func(ctx context.Context, b *bench, k part) error {
			return b.redis.HIncrBy(ctx, k.state(), "shares", 1).Err()
		},
		"figure": func(ctx context.Context, b *bench, k part) error {
			return b.redis.HIncrBy(ctx, k.figures(), "w", 1).Err()
		},
		"share": func(ctx context.Context, b *bench, k part) error { return b.redis.XTrimMaxLen(ctx, k.log(), 2).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, url, "audit-"+name, 1)
			a, err := b.Audit(t.Context(), 0)
			if err != nil || len(a.Faults) != 0 || a.Shares != 5 {
				t.Fatalf("before: %+v, %v", a, err)
			}
			if err := harm(t.Context(), b, b.keys.part(0)); err != nil {
				t.Fatal(err)
			}
			if a, err = b.Audit(t.Context(), 0); err != nil || len(a.Faults) == 0 {
				t.Fatalf("the audit finds nothing: %+v, %v", a, err)
			}
		})
	}
}

// TestWeightEdge fills a round up to the last weight that 63 bits hold. What is more is refused and leaves
// nothing behind, and sums that never end go beyond.
func TestWeightEdge(t *testing.T) {
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
			b, ctx := newBench(t, url, "edge", 1), t.Context()
			heavy := func(s *shares.Share, weight shares.Weight) *shares.Share {
				s.Weight = weight
				return s
			}
			b.put(t, heavy(b.share(), shares.MaxWeight))
			b.put(t, heavy(b.share(), shares.MaxWeight-1-5)) // 5 were there
			before := b.dump(t)
			for what, s := range map[string]*shares.Share{
				"one more": heavy(b.share(), 1), "as much again": heavy(b.share(), shares.MaxWeight), "a block": heavy(b.block(), 1),
				"negative": heavy(b.share(), -1), "least": heavy(b.share(), math.MinInt64), "above the most": heavy(b.share(), shares.MaxWeight+1),
				"2^63-1": heavy(b.share(), math.MaxInt64),
			} {
				for range 2 {
					if _, err := b.Record(ctx, s); !errors.Is(err, shares.ErrWeight) {
						t.Errorf("%s: error %v, want ErrWeight", what, err)
					}
				}
				if diff := cmp.Diff(before, b.dump(t)); diff != "" {
					t.Fatalf("%s was refused and left something behind (-before +after):\n%s", what, diff)
				}
			}
			b.put(t, heavy(b.block(), 0))
			for range 3 {
				b.put(t, heavy(b.share(), shares.MaxWeight-1))
				b.put(t, heavy(b.block(), 1))
			}
			b.sound(t, 1)
			a, err := b.Audit(ctx, 0)
			// Four shares and a block of 5 from the start, a round of 2^63-1 and three of 2^62.
			want := new(big.Int).Lsh(big.NewInt(5), 62)
			want.Add(want, big.NewInt(5*4-1))
			if err != nil || a.Weight.Cmp(want) != 0 {
				t.Errorf("the weight of all is %s (%v), want %s", a.Weight, err, want)
			}
			pool, err := b.Pool(ctx)
			if err != nil || pool.Weight != math.MaxInt64 || pool.Rates[0] < 0 || pool.Rates[0] > math.MaxInt64 {
				t.Errorf("figures beyond 63 bits: %+v, %v", pool, err)
			}
		})
	}
}
