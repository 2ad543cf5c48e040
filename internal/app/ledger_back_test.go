package app

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// backInTime is what a gateway says when the ledger lacks what it had acknowledged.
const backInTime = "payouts stop"

// noticed waits until payouts stop and the log says why, and then lets them go on as an operator does.
func (r *recorder) noticed() {
	r.t.Helper()
	r.await(backInTime)
	if !r.journal.has(slog.LevelError, "ledger went back in time") {
		r.t.Error("the log does not say that the ledger went back in time")
	}
	if r.item().Mark != Bad {
		r.t.Errorf("the checklist says %+v", r.item())
	}
	halts, err := r.ledger.Halted(r.t.Context())
	if err != nil || len(halts) == 0 {
		r.t.Fatalf("the ledger does not halt payouts: %v, %v", halts, err)
	}
	if err := r.ledger.Resume(r.t.Context(), halts); err != nil {
		r.t.Fatal(err)
	}
	r.await("")
}

func TestLedgerRestartedEmpty(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	r.put(5)
	id := r.ledger.ID()
	s.Wipe()
	r.put(5)
	r.away("not the pool's ledger")
	r.stop()
	if _, err := openBooks(t.Context(), cfg, &chaincfg.RegressionNetParams, slog.New(slog.DiscardHandler)); !errors.Is(err, shares.ErrForeign) {
		t.Fatalf("an empty Redis at the start: %v", err)
	}
	makeLedger(t, cfg, id)
	r = openRecorder(t, cfg, r.work)
	r.noticed()
	r.put(1)
	r.whole()
}

// TestLedgerWentBack restarts Redis from an older file, under a gateway that is recording or is not running.
func TestLedgerWentBack(t *testing.T) {
	t.Parallel()
	for name, restore := range map[string]func(*recorder, *redisserver.Server, func()) *recorder{
		"between two shares": func(r *recorder, _ *redisserver.Server, back func()) *recorder {
			back()
			r.put(2)
			return r
		},
		"under many miners": func(r *recorder, _ *redisserver.Server, back func()) *recorder {
			end := r.crowd(8)
			r.more(r.t, 50)
			back()
			r.more(r.t, 50)
			end()
			return r
		},
		"while the gateway is down": func(r *recorder, _ *redisserver.Server, back func()) *recorder {
			r.stop()
			back()
			return openRecorder(r.t, r.cfg, r.work)
		},
		"when both have ended": func(r *recorder, s *redisserver.Server, back func()) *recorder {
			s.Kill()
			r.stop()
			back()
			return openRecorder(r.t, r.cfg, r.work)
		},
		"while the ledger is away": func(r *recorder, s *redisserver.Server, back func()) *recorder {
			s.Kill()
			r.put(2)
			r.away("connection refused")
			back()
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redisserver.New(t, redisserver.Config{})
			cfg := settings(t, s.URL())
			makeLedger(t, cfg, "")
			r := openRecorder(t, cfg, new(work))
			r.await("")
			r.put(5)
			old := s.Backup()
			r.put(5)
			r = restore(r, s, func() { s.Restore(old) })
			r.noticed()
			r.put(2)
			r.whole()
		})
	}
}

// TestTwoGatewaysWentBack has each of two gateways record again what the ledger has lost of its own.
func TestTwoGatewaysWentBack(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	all := new(work)
	r := openRecorder(t, cfg, all)
	cfg.Gateway, cfg.Spool = "two", filepath.Join(t.TempDir(), "spool")
	other := openRecorder(t, cfg, all)
	r.await("")
	other.await("")
	old := s.Backup()
	end, endOther := r.crowd(8), other.crowd(8)
	all.more(t, 100)
	s.Restore(old)
	all.more(t, 100)
	end()
	endOther()
	r.await(backInTime)
	other.await(backInTime)
	r.until("both to have recorded all again", func() bool {
		halts, err := r.ledger.Halted(t.Context())
		return err == nil && len(halts) == 2
	})
	other.until("the spool to be empty", func() bool { return other.keeper.Status().Away == nil })
	r.whole()
}

// TestQuietPartitionWentBack has the ledger lose shares of accounts that nobody mines for any more.
func TestQuietPartitionWentBack(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	put := func(account string) {
		t.Helper()
		if err := r.record(account); err != nil {
			t.Fatal(err)
		}
	}
	put("account0")
	old := s.Backup()
	put("account1") // in another partition
	s.Restore(old)
	put("account0")
	r.noticed()
	r.whole()
}

// TestIdleGatewayNotices has Redis go away from a gateway that nobody mines for, and that looks for it as often
// as it does for miners.
func TestIdleGatewayNotices(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := newRecorder(t, cfg, new(work))
	r.run()
	r.await("")
	r.put(3)
	s.Kill()
	r.away("connection refused")
	s.Start()
	r.await("")
	r.whole()
}
