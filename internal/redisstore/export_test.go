package redisstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/ledgerfile"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// exported is a ledger that is exported, with what is known to be in it.
type exported struct {
	*redisstore.Ledger
	tb     testing.TB
	lease  shares.Lease
	mu     sync.Mutex
	number uint64
	sums   map[string]*big.Int
	shares int64
}

func newExported(tb testing.TB, url string) *exported {
	tb.Helper()
	id, err := redisstore.NewLedgerID()
	if err != nil {
		tb.Fatal(err)
	}
	c := dial(tb, url, "pool")
	if err := c.Init(tb.Context(), redisstore.Genesis{Ledger: id, Chain: "regtest", Partitions: 4, Created: time.Now()}); err != nil {
		tb.Fatal(err)
	}
	e := &exported{Ledger: ledger(tb, c, "one"), tb: tb, sums: make(map[string]*big.Int)}
	if e.lease, err = e.Acquire(tb.Context(), "upkeep", time.Hour); err != nil {
		tb.Fatal(err)
	}
	return e
}

// put records a share, as a block with a window of 1 if it is found.
func (e *exported) put(account string, weight shares.Weight, found bool) chainhash.Hash {
	e.tb.Helper()
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		e.tb.Fatal(err)
	}
	e.mu.Lock()
	e.number++
	s := &shares.Share{
		Account: account, Worker: fmt.Sprint("rig ", e.number%3), Weight: weight, Target: target,
		PreviousBlock: chainhash.Hash{1, 31: 2}, Height: 100, Time: time.Now(),
	}
	binary.LittleEndian.PutUint64(s.Hash[:], e.number)
	e.mu.Unlock()
	if found {
		s.Found = &shares.Found{Bits: 0x207fffff, Value: 5000000000, Paid: 4900000000, Window: 1}
	}
	if _, err := e.Record(e.tb.Context(), s); err != nil {
		e.tb.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sums[account] == nil {
		e.sums[account] = new(big.Int)
	}
	e.sums[account].Add(e.sums[account], big.NewInt(int64(weight)))
	e.shares++
	return s.Hash
}

// puts records shares of all accounts.
func (e *exported) puts(many int) {
	e.tb.Helper()
	for i := range many {
		e.put(fmt.Sprint("account", i%9), shares.Weight(1+i), false)
	}
}

func (e *exported) compact(keep int) {
	e.tb.Helper()
	if err := e.Compact(e.tb.Context(), e.lease, keep); err != nil {
		e.tb.Fatal(err)
	}
}

func (e *exported) trim() {
	e.tb.Helper()
	if err := e.Trim(e.tb.Context(), e.lease, 1); err != nil {
		e.tb.Fatal(err)
	}
}

func (e *exported) release(block chainhash.Hash) {
	e.tb.Helper()
	if err := e.Release(e.tb.Context(), e.lease, block); err != nil {
		e.tb.Fatal(err)
	}
}

// export exports the ledger, and returns the file and what verifying it says.
func (e *exported) export(progress func(redisstore.Exported)) ([]byte, *ledgerfile.Report) {
	e.tb.Helper()
	var out bytes.Buffer
	done, err := e.Export(e.tb.Context(), &out, progress)
	if err != nil {
		e.tb.Fatal(err)
	}
	report, err := ledgerfile.Verify(e.tb.Context(), bytes.NewReader(out.Bytes()), nil)
	if err != nil {
		e.tb.Fatal(err)
	}
	for _, p := range report.Parts {
		for _, fault := range p.Faults {
			e.tb.Errorf("partition %d: %s", p.Partition, fault)
		}
	}
	for _, fault := range report.Faults {
		e.tb.Error(fault)
	}
	count, weight := report.Totals()
	if count != done.Shares || weight.Cmp(done.Weight) != 0 || report.End != done.End || report.Header.Ledger != e.ID() {
		e.tb.Errorf("export says %+v, the file has %d shares of %s, %+v", done, count, weight, report.End)
	}
	return out.Bytes(), report
}

// read returns what a file says of accounts, and its other lines.
func read(tb testing.TB, file []byte) (map[string]*big.Int, []ledgerfile.Record) {
	tb.Helper()
	r, err := ledgerfile.NewReader(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	sums := make(map[string]*big.Int)
	var rest []ledgerfile.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return sums, rest
		}
		if err != nil {
			tb.Fatal(err)
		}
		if s, ok := rec.(*ledgerfile.Sum); ok && s.Kind == ledgerfile.AccountSum {
			sums[s.Account] = s.Weight
			continue
		}
		rest = append(rest, rec)
	}
}

// same fails unless a file has all shares.
func (e *exported) same(file []byte, report *ledgerfile.Report) {
	e.tb.Helper()
	sums, _ := read(e.tb, file)
	if d := cmp.Diff(e.sums, sums, cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })); d != "" {
		e.tb.Errorf("accounts (-recorded +exported):\n%s", d)
	}
	if count, _ := report.Totals(); count != e.shares {
		e.tb.Errorf("the file has %d shares, recorded are %d", count, e.shares)
	}
}

// TestExport exports a ledger that has folded, compacted and new shares, and blocks in each.
func TestExport(t *testing.T) {
	embedded, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	for name, url := range map[string]string{
		"server": redisserver.New(t, redisserver.Config{}).URL(), "cluster": redisserver.NewCluster(t, 3).URL(), "embedded": embedded.URL(),
	} {
		t.Run(name, func(t *testing.T) {
			e := newExported(t, url)
			file, report := e.export(nil)
			e.same(file, report)

			e.puts(30)
			old := e.put("account1", 7, true)
			e.compact(0)
			e.puts(30)
			e.put("account1", shares.MaxWeight, false)
			held := e.put("account2", 9, true)
			e.put("account1", shares.MaxWeight, false)
			e.put("account1", 0, false)
			e.release(old)
			e.compact(0)
			e.trim()
			e.puts(25)
			e.compact(3)
			e.put("account3", 11, true)
			e.puts(20)
			file, report = e.export(nil)
			e.same(file, report)
			folded, detail := int64(0), 0
			blocks := make(map[chainhash.Hash]bool)
			_, rest := read(t, file)
			for _, rec := range rest {
				switch rec := rec.(type) {
				case *ledgerfile.Folded:
					folded += rec.Shares
				case *ledgerfile.Share:
					if rec.Hash != (chainhash.Hash{}) {
						detail++
					}
				case *ledgerfile.Block:
					if rec.Own() {
						blocks[rec.Hash] = rec.Released
					}
				}
			}
			if folded == 0 || detail < 20 || report.Blocks != 3 || !blocks[old] || blocks[held] {
				t.Errorf("the file has %d folded shares, %d in full, and blocks %v", folded, detail, blocks)
			}
			if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "not recomputed") {
				t.Errorf("notes are %q", report.Notes)
			}
		})
	}
}

// TestExportOvertaken has shares recorded and compacted, and folded or not, that an export has not come to,
// between any two times that it reads.
func TestExportOvertaken(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{Args: []string{"databases 32"}})
	for i := range 12 {
		at, trims := 1+i/2, i%2 == 1
		t.Run(fmt.Sprintf("%d, folded %t", at, trims), func(t *testing.T) {
			e := newExported(t, fmt.Sprintf("redis://%s/%d", server.Addr, i))
			for range 4 {
				e.puts(27)
				e.compact(0)
			}
			block := e.put("account1", 7, true)
			e.puts(27)
			e.release(block)
			recorded, told := e.shares, 0
			file, report := e.export(func(redisstore.Exported) {
				if told++; told != at {
					return
				}
				e.put("account1", 1, false)
				e.release(e.put("account5", 1, true))
				e.puts(9)
				e.compact(0)
				time.Sleep(2 * time.Millisecond) // a later millisecond: windows reach to its begin
				e.puts(9)
				if trims {
					e.trim()
				}
			})
			folded := 0
			_, rest := read(t, file)
			for _, rec := range rest {
				if _, ok := rec.(*ledgerfile.Folded); ok {
					folded++
				}
			}
			if count, _ := report.Totals(); count < recorded || count > e.shares || (folded > 0) != trims || told < at {
				t.Errorf("the file has %d shares and folded %d times, before were %d and after %d", count, folded, recorded, e.shares)
			}
		})
	}
}

// TestExportOvertakenInLog has the log compacted while an export is in the middle of it, into two slices, and
// the first of them folded or not.
func TestExportOvertakenInLog(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{Args: []string{"appendfsync no"}})
	const some = 2500 // more than are read at a time
	for i, trims := range []bool{false, true} {
		e := newExported(t, fmt.Sprintf("redis://%s/%d", server.Addr, i))
		many := func() {
			var g errgroup.Group
			g.SetLimit(32)
			for range some {
				g.Go(func() error { e.put("account1", 3, false); return nil })
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		many()
		block := e.put("account1", 7, true)
		time.Sleep(2 * time.Millisecond) // a later millisecond: windows reach to its begin
		many()
		e.release(block)
		told := 0
		file, report := e.export(func(redisstore.Exported) {
			if told++; told > 1 {
				return
			}
			e.compact(some)
			e.compact(0)
			if trims {
				e.trim()
			}
		})
		e.same(file, report)
		var detail int64
		for _, p := range report.Parts {
			detail += p.Detail
		}
		if folded := detail < e.shares; folded != trims {
			t.Errorf("of %d shares %d are in the file one by one", e.shares, detail)
		}
	}
}

// TestExportBusy exports again and again while shares are recorded, compacted and folded.
func TestExportBusy(t *testing.T) {
	e := newExported(t, redisserver.New(t, redisserver.Config{Args: []string{"appendfsync no"}}).URL())
	var over atomic.Bool
	var g errgroup.Group
	for gateway := range 4 {
		g.Go(func() error {
			for i := 0; !over.Load(); i++ {
				block := e.put(fmt.Sprint("account", (i+gateway)%9), shares.Weight(i), i%50 == 49)
				if i%50 == 49 {
					if err := e.Release(t.Context(), e.lease, block); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for i := 0; !over.Load(); i++ {
			if err := errors.Join(e.Compact(t.Context(), e.lease, i%20), e.Trim(t.Context(), e.lease, 50)); err != nil {
				return err
			}
		}
		return nil
	})
	before, progress := int64(0), 0
	for range 15 {
		_, report := e.export(nil)
		count, _ := report.Totals()
		if count < before {
			t.Errorf("%d shares after %d", count, before)
		}
		if count > before {
			progress++
		}
		before = count
	}
	if progress < 2 {
		t.Error("nothing was recorded meanwhile, so this proves nothing")
	}
	over.Store(true)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	file, report := e.export(nil)
	e.same(file, report)
}

// TestExportDamage exports a ledger that contradicts itself: either it says so, or the file does.
func TestExportDamage(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{})
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	e := newExported(t, server.URL())
	for range 3 {
		e.puts(18)
		e.compact(0)
	}
	e.puts(18)
	p := ledgerfile.PartitionOf("account1", 4)
	key := func(name string) string { return fmt.Sprintf("{pool:%d}:%s", p, name) }
	ctx := t.Context()
	for name, tt := range map[string]struct {
		damage, mend func() error
		want         string
	}{
		"sum": {
			func() error { return client.HIncrBy(ctx, key("sums"), "account1", 1).Err() },
			func() error { return client.HIncrBy(ctx, key("sums"), "account1", -1).Err() },
			"the sum of account1 is said to be",
		},
		"round": {
			func() error { return client.HIncrBy(ctx, key("state"), "rshares", 1).Err() },
			func() error { return client.HIncrBy(ctx, key("state"), "rshares", -1).Err() },
			"the round that goes on is said to have",
		},
		"negative": {
			func() error { return client.HIncrBy(ctx, key("sums"), "account1", -1000000).Err() },
			func() error { return client.HIncrBy(ctx, key("sums"), "account1", 1000000).Err() },
			"weight: it is below 0",
		},
		"slice": {
			func() error {
				name := client.LIndex(ctx, key("slices"), 1).Val()
				return client.Rename(ctx, key("slice:"+name), key("kept:"+name)).Err()
			},
			func() error {
				name := client.LIndex(ctx, key("slices"), 1).Val()
				return client.Rename(ctx, key("kept:"+name), key("slice:"+name)).Err()
			},
			"are neither there nor folded: the ledger contradicts itself: see what gbtpool ledger audit finds",
		},
		"log": {
			func() error { return client.Rename(ctx, key("log"), key("kept")).Err() },
			func() error { return client.Rename(ctx, key("kept"), key("log")).Err() },
			"but its last share is at",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.damage(); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			_, err := e.Export(ctx, &out, nil)
			said := fmt.Sprint(err)
			if err == nil {
				report, err := ledgerfile.Verify(ctx, &out, nil)
				if err != nil {
					t.Fatal(err)
				}
				said = strings.Join(report.Parts[p].Faults, "\n")
			}
			if !strings.Contains(said, tt.want) {
				t.Errorf("it says %q, want %q", said, tt.want)
			}
			if err := tt.mend(); err != nil {
				t.Fatal(err)
			}
		})
	}
	e.export(nil)
}

// TestExportEnds has an export end with what it writes to, with Redis, and before it has begun.
func TestExportEnds(t *testing.T) {
	server := redisserver.New(t, redisserver.Config{})
	e := newExported(t, server.URL())
	for range 5 {
		e.puts(9)
		e.compact(0)
	}
	full := errors.New("the disk is full")
	if _, err := e.Export(t.Context(), brokenWriter{full}, nil); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := e.Export(ctx, io.Discard, func(redisstore.Exported) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := e.Export(t.Context(), io.Discard, func(redisstore.Exported) { server.Kill() }); !errors.Is(err, shares.ErrAway) {
		t.Errorf("redis is away: %v", err)
	}
	unopened, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: e.Client, Chain: "regtest", Gateway: "x", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unopened.Export(t.Context(), io.Discard, nil); !errors.Is(err, shares.ErrAway) {
		t.Errorf("not opened: %v", err)
	}
}

// brokenWriter fails.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
