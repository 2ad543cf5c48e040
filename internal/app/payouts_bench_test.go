package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/internal/mirror"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// stage is a chain with one block of the pool's, a network and a wallet: all that a worker needs beside the
// journal, which is the real one.
type stage struct {
	*redisstore.Ledger
	block  *wire.MsgBlock
	found  shares.Block
	window []shares.Credit
	coins  []payouts.Coin
	script []byte
	addr   string // Redis's
}

func (s *stage) Blocks(context.Context, int) ([]shares.Block, error) {
	return []shares.Block{s.found}, nil
}

func (s *stage) Window(context.Context, chainhash.Hash, shares.Weight) (shares.Window, error) {
	return shares.Window{Credits: s.window}, nil
}

func (s *stage) Release(context.Context, shares.Lease, chainhash.Hash) error { return nil }

func (s *stage) Tip(context.Context) (payouts.Place, error) {
	return payouts.Place{Hash: chainhash.Hash{1}, Height: 200}, nil
}

func (s *stage) Standing(context.Context, chainhash.Hash) (payouts.Standing, error) {
	return payouts.Standing{Known: true, Best: true, Height: 100, Depth: 101}, nil
}

func (s *stage) Block(context.Context, chainhash.Hash) (*wire.MsgBlock, error) { return s.block, nil }

func (s *stage) Broadcast(context.Context, []byte) error { return nil }

func (s *stage) Unspent(context.Context, wire.OutPoint) (payouts.Unspent, error) {
	return payouts.Unspent{Confirmations: 1}, nil
}

func (s *stage) FeeRate(context.Context, int) (int64, error) { return 2000, nil }

func (s *stage) Coins(context.Context, []payouts.Coin) ([]payouts.Coin, error) { return s.coins, nil }

func (s *stage) Change(context.Context) ([]byte, error) { return s.script, nil }

func (s *stage) Lock(context.Context, []wire.OutPoint) error { return nil }

func (s *stage) Sign(context.Context, *wire.MsgTx, []payouts.Coin) (*wire.MsgTx, error) {
	return nil, payouts.ErrOffline
}

// witnessScript makes P2WPKH scripts of numbers.
func witnessScript(n int) []byte {
	return append([]byte{txscript.OP_0, 20}, fmt.Appendf(nil, "%020d", n)...)
}

// newStage makes a worker on a real Redis, whose next work credits a block with a window of so many accounts.
func newStage(b *testing.B, accounts int) (*stage, *payouts.Settler, *redisstore.Journal) {
	b.Helper()
	server := redisserver.New(b, redisserver.Config{Args: []string{"appendonly yes", "appendfsync always"}})
	client, err := redisstore.Dial(redisstore.Config{URL: server.URL(), Prefix: "bench", Slow: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	if err := InitLedger(b.Context(), client, &chaincfg.RegressionNetParams, 4, ""); err != nil {
		b.Fatal(err)
	}
	ledger, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: client, Chain: "regtest", Gateway: "bench", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = ledger.Open(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	s := &stage{Ledger: ledger, addr: strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0"), script: witnessScript(-1), block: wire.NewMsgBlock(&wire.BlockHeader{})}
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), []byte{1, 2}, nil))
	coinbase.AddTxOut(wire.NewTxOut(20_000_000*1e8, s.script))
	s.block.Transactions = []*wire.MsgTx{coinbase}
	s.found.Hash, s.found.Height, s.found.Account = s.block.BlockHash(), 100, "account"
	s.found.Found = &shares.Found{Bits: 0x207fffff, Value: coinbase.TxOut[0].Value, Paid: coinbase.TxOut[0].Value, Window: 1000}
	for i := range accounts {
		s.window = append(s.window, shares.Credit{Account: fmt.Sprintf("bcrt1q%038d", i), Weight: shares.Weight(i%1000 + 1)})
	}
	journal, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: ledger})
	if err != nil {
		b.Fatal(err)
	}
	m, err := mirror.Open(b.Context(), mirror.Config{Dir: filepath.Join(b.TempDir(), "journal"), Ledger: ledger.ID(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	trees, err := redisstore.NewTrees(redisstore.TreesConfig{Ledger: ledger})
	if err != nil {
		b.Fatal(err)
	}
	settler, err := payouts.NewSettler(payouts.SettlerConfig{
		Trees: trees,
		Store: journal, Ledger: s, Chain: s, Network: s, Mirror: m, Wallet: s,
		Terms:  payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100},
		Policy: payouts.Policy{Threshold: 1, FeeFloor: 1000, FeeCeiling: 100_000, Bearer: payouts.BearerPool},
		Script: func(account string) ([]byte, error) {
			return append([]byte{txscript.OP_0, 20}, account[len(account)-20:]...), nil
		},
		Pool: [][]byte{s.script}, Params: &chaincfg.RegressionNetParams, Maturity: 100, Final: 6, FeeBlocks: 6,
		By: "bench", Every: time.Second, Lease: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, settler, journal
}

// peak returns what ends the sampling of the heap and says how much of it was in use at most, in MiB.
func peak() func() float64 {
	stop, most := make(chan struct{}), make(chan uint64, 1)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		top := uint64(0)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			metrics.Read(sample)
			top = max(top, sample[0].Value.Uint64())
			select {
			case <-ticker.C:
			case <-stop:
				most <- top
				return
			}
		}
	}()
	return func() float64 {
		close(stop)
		return float64(<-most) / (1 << 20)
	}
}

// bareCredit is the limit of crediting: the same balances set in Redis by bare commands of a thousand fields, and
// a file that as much is written and synced to, part by part.
func bareCredit(b *testing.B, s *stage) time.Duration {
	b.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.addr, ReadTimeout: time.Minute})
	defer func() {
		if err := client.Close(); err != nil {
			b.Error(err)
		}
	}()
	file, err := os.Create(filepath.Join(b.TempDir(), "mirror"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := file.Close(); err != nil {
			b.Error(err)
		}
	}()
	begin := time.Now()
	for part := range slices.Chunk(s.window, 4990) {
		_, err := client.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for chunk := range slices.Chunk(part, 1000) {
				fields := make([]any, 0, 2000)
				for _, c := range chunk {
					fields = append(fields, c.Account, int64(c.Weight))
				}
				p.HSet(b.Context(), "bare", fields...)
			}
			return nil
		})
		if err == nil {
			_, err = file.Write(make([]byte, 40*len(part)))
		}
		if err == nil {
			err = file.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin)
}

// BenchmarkCreditMillion credits a block over a million accounts: divided, posted in parts to a real Redis,
// and mirrored.
func BenchmarkCreditMillion(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, settler, journal := newStage(b, 1_000_000)
		most := peak()
		begin := time.Now()
		b.StartTimer()
		if err := settler.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		took, limit := time.Since(begin), bareCredit(b, s)
		b.ReportMetric(most(), "MiB-live")
		b.ReportMetric(limit.Seconds(), "s-limit")
		b.ReportMetric(limit.Seconds()/took.Seconds(), "ratio")
		if got, err := journal.Balance(b.Context(), payouts.Rewards); err != nil || got != -20_000_000*1e8 {
			b.Fatalf("rewards are %d sat, %v", got, err)
		}
		b.StartTimer()
	}
}

// BenchmarkPlanHundredThousand reads 100,000 accounts that are due from a real Redis, plans settlements for all
// of them and posts the plans.
func BenchmarkPlanHundredThousand(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, settler, _ := newStage(b, 100_000)
		for i := range 2000 {
			s.coins = append(s.coins, payouts.Coin{OutPoint: wire.OutPoint{Hash: chainhash.Hash{byte(i), byte(i >> 8)}}, Value: 15_000 * 1e8, Script: s.script})
		}
		if err := settler.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
		most := peak()
		b.StartTimer()
		out, err := settler.Pay(b.Context())
		if err != nil || out.Wait != nil {
			b.Fatalf("%v, %v", err, out.Wait)
		}
		b.StopTimer()
		b.ReportMetric(most(), "MiB-live")
		b.StartTimer()
		b.ReportMetric(float64(len(out.Plans)), "settlements")
	}
}
