package ledgerfile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/ledgerfile"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// onRedis is a ledger on a real Redis.
type onRedis struct {
	*redisstore.Ledger
	t      *testing.T
	lease  shares.Lease
	number uint64
}

func newOnRedis(t *testing.T) *onRedis {
	t.Helper()
	c, err := redisstore.Dial(redisstore.Config{URL: redisserver.New(t, redisserver.Config{}).URL(), Prefix: "pool", Slow: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	id, err := redisstore.NewLedgerID()
	if err != nil {
		t.Fatal(err)
	}
	l, err := redisstore.NewLedger(redisstore.LedgerConfig{
		Client: c, Chain: "regtest", Gateway: "one", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Init(t.Context(), redisstore.Genesis{Ledger: id, Chain: "regtest", Partitions: 4, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, c.Close()); err != nil {
			t.Error(err)
		}
	})
	r := &onRedis{Ledger: l, t: t}
	if r.lease, err = l.Acquire(t.Context(), "upkeep", time.Hour); err != nil {
		t.Fatal(err)
	}
	return r
}

// put records a share.
func (r *onRedis) put(account string, found *shares.Found) *shares.Share {
	r.t.Helper()
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		r.t.Fatal(err)
	}
	r.number++
	s := &shares.Share{
		Account: account, Worker: "rig", Weight: shares.Weight(r.number), Target: target,
		PreviousBlock: chainhash.Hash{1, 31: 2}, Height: 100, Time: time.Now(), Found: found,
	}
	binary.LittleEndian.PutUint64(s.Hash[:], r.number)
	if _, err := r.Record(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// puts records shares of all accounts.
func (r *onRedis) puts() {
	r.t.Helper()
	for i := range 20 {
		r.put(fmt.Sprint("account", i%9), nil)
	}
}

func block() *shares.Found {
	return &shares.Found{Bits: 0x207fffff, Value: 5000000000, Paid: 4900000000, Window: 1}
}

// promote brings a share again, as a block.
func (r *onRedis) promote(s *shares.Share) {
	r.t.Helper()
	again := *s
	again.Worker, again.Time, again.Found = "another rig", s.Time.Add(time.Second), block()
	if _, err := r.Record(r.t.Context(), &again); !errors.Is(err, shares.ErrDuplicate) {
		r.t.Fatalf("a share that comes again as a block: %v", err)
	}
}

// export exports the ledger, and has each record changed on its way into the file; nil for not at all. It
// returns the promoted blocks and what is wrong with the file.
func (r *onRedis) export(change func(ledgerfile.Record)) ([]*ledgerfile.Block, string) {
	r.t.Helper()
	var out, changed bytes.Buffer
	if _, err := r.Export(r.t.Context(), &out, nil); err != nil {
		r.t.Fatal(err)
	}
	in, err := ledgerfile.NewReader(&out)
	if err != nil {
		r.t.Fatal(err)
	}
	defer in.Close()
	var w *ledgerfile.Writer
	var promoted []*ledgerfile.Block
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if b, ok := rec.(*ledgerfile.Block); ok && b.Promoted {
			promoted = append(promoted, b)
		}
		if change != nil {
			change(rec)
		}
		switch rec := rec.(type) {
		case *ledgerfile.Header:
			w, err = ledgerfile.NewWriter(&changed, rec)
		case *ledgerfile.End:
			_, err = w.Close()
		default:
			if err == nil {
				err = w.Write(rec)
			}
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	report, err := ledgerfile.Verify(r.t.Context(), &changed, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	faults := report.Faults
	for _, p := range report.Parts {
		faults = append(faults, p.Faults...)
	}
	return promoted, strings.Join(faults, "\n")
}

// TestRedisPromoted exports blocks that were recorded as plain shares first and came again as blocks when
// other shares had come between, in the same round and in a later one; and tampers with them.
func TestRedisPromoted(t *testing.T) {
	r := newOnRedis(t)
	r.puts()
	one, two, three := r.put("account1", nil), r.put("account1", nil), r.put("account2", nil)
	r.puts()
	r.promote(one)
	r.put("account1", nil)
	r.promote(two)
	found := r.put("account3", block())
	r.promote(three)
	r.puts()
	check := func(when string) {
		t.Helper()
		promoted, faults := r.export(nil)
		if len(promoted) != 3 || faults != "" {
			t.Errorf("%s: %d promoted blocks, and faults %q", when, len(promoted), faults)
		}
		for _, b := range promoted {
			if b.Hash == found.Hash || b.Compare(b.Cut) >= 0 {
				t.Errorf("%s: block %s at %s ends the round at %s", when, b.Hash, b.Position, b.Cut)
			}
		}
	}
	tamper := func(when, want string, change func(*ledgerfile.Block)) {
		t.Helper()
		_, faults := r.export(func(rec ledgerfile.Record) {
			if b, ok := rec.(*ledgerfile.Block); ok && b.Promoted && b.Hash == one.Hash {
				change(b)
			}
		})
		if !strings.Contains(faults, want) {
			t.Errorf("%s, tampered with: %q, want %q", when, faults, want)
		}
	}
	check("in the log")
	tamper("in the log", "do not say the same", func(b *ledgerfile.Block) { b.Weight++ })
	tamper("in the log", "do not say the same", func(b *ledgerfile.Block) { b.Hash = found.Hash })
	tamper("in the log", "there is none", func(b *ledgerfile.Block) { b.Seq += 9999 })
	tamper("in the log", "ends the round at", func(b *ledgerfile.Block) { b.Promoted = false })
	if err := r.Compact(t.Context(), r.lease, 0); err != nil {
		t.Fatal(err)
	}
	check("compacted")
	tamper("compacted", "do not say the same", func(b *ledgerfile.Block) { b.Account = "account9" })
	for _, s := range []*shares.Share{one, two, three, found} {
		if err := r.Release(t.Context(), r.lease, s.Hash); err != nil {
			t.Fatal(err)
		}
	}
	r.puts()
	if err := errors.Join(r.Compact(t.Context(), r.lease, 0), r.Trim(t.Context(), r.lease, 1)); err != nil {
		t.Fatal(err)
	}
	check("folded")
}
