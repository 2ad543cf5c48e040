package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/shares"
)

// waitFor is how long a test waits for what has to come.
const waitFor = 30 * time.Second

// settings are for a ledger on a server.
func settings(t *testing.T, url string) Ledger {
	t.Helper()
	return Ledger{
		Redis:   redisstore.Config{URL: url, Prefix: "pool", Slow: 500 * time.Millisecond},
		Gateway: "one", Multiple: 8, Spool: filepath.Join(t.TempDir(), "spool"), SpoolBytes: 16 << 20,
	}
}

// makeLedger makes a ledger, under an id or a new one.
func makeLedger(t *testing.T, cfg Ledger, id string) {
	t.Helper()
	c, err := redisstore.Dial(cfg.Redis)
	if err == nil {
		err = errors.Join(InitLedger(t.Context(), c, &chaincfg.RegressionNetParams, 4, id), c.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// journal is a log to look into. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// has reports whether a line of some level has a text in it.
func (j *journal) has(level slog.Level, text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, "level="+level.String()) && strings.Contains(line, text) {
			return true
		}
	}
	return false
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// work is the shares that were handed out to gateways, each of another hash, and which of them were
// acknowledged. It is safe for concurrent use.
type work struct {
	mu     sync.Mutex
	number uint32
	acked  []gbt.Share
}

// next makes a share of an account.
func (w *work) next(t *testing.T, account string) gbt.Share {
	t.Helper()
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	s := gbt.Share{Height: 5, Account: gbt.Account{Address: account}, Worker: "rig", Target: target, Time: time.Now()}
	binary.BigEndian.PutUint32(s.Hash[:], w.number)
	return s
}

func (w *work) ack(s *gbt.Share) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, *s)
}

// count is how many were acknowledged.
func (w *work) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// more waits until so many more were acknowledged.
func (w *work) more(t *testing.T, many int) {
	t.Helper()
	begin := w.count()
	for deadline := time.Now().Add(waitFor); w.count() < begin+many; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %d shares more", many)
		}
	}
}

// recorder is books that run until stop is called or the test ends.
type recorder struct {
	*books
	*work
	t *testing.T
	// journal is what the gateway logs.
	journal *journal
	stop    func()
}

// openRecorder runs books on a ledger. Who opens another one hands the work of the one before on to it.
func openRecorder(t *testing.T, cfg Ledger, w *work) *recorder {
	t.Helper()
	r := newRecorder(t, cfg, w)
	r.hurry(time.Now)
	r.run()
	return r
}

// hurry has the gateway look for its ledger more often than it does for miners, and go by a clock.
func (r *recorder) hurry(now func() time.Time) {
	r.t.Helper()
	var err error
	r.keeper, err = shares.NewKeeper(shares.KeeperConfig{
		Ledger: inspected{r.ledger, r.books}, Spool: spooled{r.spool, r.cfg.SpoolBytes / 2}, Unit: r.unit, Multiple: r.cfg.Multiple,
		Retry: ledgerRetry / 10, Flush: ledgerFlush / 10, Log: r.log, Now: now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// newRecorder opens books, which run is to be called on.
func newRecorder(t *testing.T, cfg Ledger, w *work) *recorder {
	t.Helper()
	r := &recorder{t: t, work: w, journal: new(journal)}
	var err error
	r.books, err = openBooks(t.Context(), cfg, &chaincfg.RegressionNetParams, slog.New(slog.NewTextHandler(r.journal, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the books.
func (r *recorder) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.books.run(ctx, func() (int32, gbt.Target, error) { return 0, gbt.Target{}, gbt.ErrUnavailable })
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, r.close()); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() {
		r.stop()
		if r.t.Failed() {
			r.t.Logf("the gateway's log:\n%s", r.journal)
		}
	})
}

// put records some shares one after the other, which has to work whatever Redis does.
func (r *recorder) put(many int) {
	r.t.Helper()
	for i := range many {
		if err := r.record(fmt.Sprint("account", i%3)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// record records one share.
func (r *recorder) record(account string) error { return r.recordAt(account, time.Now()) }

// recordAt records one share that came at a time.
func (r *recorder) recordAt(account string, at time.Time) error {
	s := r.next(r.t, account)
	s.Time = at
	err := r.keeper.Record(r.t.Context(), s)
	if err == nil {
		r.ack(&s)
	}
	return err
}

// pace is how long a miner of a crowd rests between two shares: the spool's room is for so many.
const pace = 3 * time.Millisecond

// crowd has some miners record at once until the returned function is called, which waits for them. The
// test fails if a share was not taken.
func (r *recorder) crowd(miners int) (end func()) {
	var group sync.WaitGroup
	over := make(chan struct{})
	for m := range miners {
		group.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(pace):
				}
				if err := r.record(fmt.Sprint("account", m)); err != nil {
					r.t.Errorf("a share was not taken: %v", err)
					return
				}
			}
		})
	}
	return func() {
		close(over)
		group.Wait()
	}
}

// await waits until what /readyz says of the ledger has a text in it; empty waits until all is well.
func (r *recorder) await(text string) {
	r.t.Helper()
	r.until(fmt.Sprintf("%q in /readyz", text), func() bool {
		check := r.checks()[0]
		return check.Err == nil && (text == "" && check.Note == "" || text != "" && strings.Contains(check.Note, text))
	})
}

// away waits until shares go to the spool for a reason that both /readyz and the log name, in one of some
// wordings.
func (r *recorder) away(why ...string) {
	r.t.Helper()
	r.until(fmt.Sprintf("%q in /readyz", why), func() bool {
		check := r.checks()[0]
		return check.Err == nil && slices.ContainsFunc(why, func(text string) bool { return strings.Contains(check.Note, text) })
	})
	logged := func(text string) bool {
		return r.journal.has(slog.LevelError, text) || r.journal.has(slog.LevelWarn, text)
	}
	r.until(fmt.Sprintf("%q in the log", why), func() bool { return slices.ContainsFunc(why, logged) }) // a moment later
}

// until waits for something to be so.
func (r *recorder) until(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(waitFor); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s; /readyz says %+v", what, r.checks())
		}
	}
}

// whole fails unless the ledger has each share that was acknowledged once, and nothing else, as all its
// sums and figures say and as it answers who submits them again.
func (r *recorder) whole() {
	r.t.Helper()
	r.wholeOf(len(r.acked))
}

// wholeOf is whole for a ledger with more shares than those of this work.
func (r *recorder) wholeOf(all int) {
	r.t.Helper()
	r.until("the spool to be empty", func() bool {
		status := r.keeper.Status()
		return status.Away == nil && status.Waiting == 0
	})
	ctx := r.t.Context()
	for i := range r.acked {
		if err := r.keeper.Record(ctx, r.acked[i]); !errors.Is(err, shares.ErrDuplicate) {
			r.t.Fatalf("share %s again: %v", r.acked[i].Hash, err)
		}
	}
	pool, err := r.ledger.Pool(ctx)
	if err != nil || pool.Accepted != int64(all) {
		r.t.Fatalf("the ledger counts %d shares (%v), want %d", pool.Accepted, err, all)
	}
	round, err := r.ledger.Round(ctx, chainhash.Hash{})
	if err != nil || round.Shares != int64(all) {
		r.t.Fatalf("the round has %d shares (%v), want %d", round.Shares, err, all)
	}
	r.audit()
	if all != len(r.acked) {
		return
	}
	want, got := make(map[string]shares.Weight), make(map[string]shares.Weight)
	for i := range r.acked {
		w, err := r.unit.Weight(r.acked[i].Work())
		if err != nil {
			r.t.Fatal(err)
		}
		want[r.acked[i].Account.Address] += w
	}
	for _, c := range round.Credits {
		got[c.Account] = c.Weight
	}
	if !maps.Equal(want, got) {
		r.t.Errorf("credits (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// audit fails if a sum does not agree with the shares.
func (r *recorder) audit() {
	r.t.Helper()
	for p := range r.ledger.Partitions() {
		if a, err := r.ledger.Audit(r.t.Context(), p); err != nil || len(a.Faults) > 0 {
			r.t.Fatalf("the audit of partition %d finds %v, %v", p, a.Faults, err)
		}
	}
}
