package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestBooksRefuse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args   []string
		ledger bool
		want   string
	}{
		"an empty Redis":         {nil, false, "gbtpool ledger init"},
		"no append-only file":    {[]string{"appendonly no"}, true, "appendonly"},
		"a file never synced":    {[]string{"appendfsync no"}, true, "appendfsync"},
		"a Redis that drops old": {[]string{"maxmemory-policy allkeys-lru"}, true, "noeviction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redisserver.New(t, redisserver.Config{Args: tt.args})
			cfg := settings(t, s.URL())
			if tt.ledger {
				makeLedger(t, cfg, "")
			}
			_, err := openBooks(t.Context(), cfg, &chaincfg.RegressionNetParams, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v does not say %q", err, tt.want)
			}
			cfg.Ephemeral = true
			r := openRecorder(t, cfg, new(work))
			r.await("")
			r.stop()
		})
	}
}

func TestTwoGatewaysWithOneName(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	r := openRecorder(t, cfg, new(work))
	r.await("")
	second := settings(t, s.URL())
	_, err := openBooks(t.Context(), second, &chaincfg.RegressionNetParams, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "gateway_name") {
		t.Fatalf("a second gateway of one name: %v", err)
	}
	r.stop()
	openRecorder(t, second, new(work)).stop() // the name was given up
}

// TestNameIsTaken has a second gateway take the name of one that was silent for too long and then goes on.
// Both record, each share counts once, and the first one says what is wrong.
func TestNameIsTaken(t *testing.T) {
	t.Parallel()
	p := newPatient(t, redisserver.Config{})
	cfg := settings(t, p.server.URL())
	makeLedger(t, cfg, "")
	all := new(work)
	first := openRecorder(t, cfg, all)
	first.await("")
	p.do("HSET {pool}:lease:gateway:one until 0") // as if nameTTL had passed
	cfg.Spool = filepath.Join(t.TempDir(), "spool")
	second := openRecorder(t, cfg, all)
	second.await("")
	end, endSecond := first.crowd(4), second.crowd(4)
	first.until("the first gateway to say so", func() bool { return first.journal.has(slog.LevelError, "gateway_name: another gateway is called one") })
	end()
	endSecond()
	s := all.next(t, "account0")
	if err := first.keeper.Record(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	all.ack(&s)
	if err := second.keeper.Record(t.Context(), s); !errors.Is(err, shares.ErrDuplicate) {
		t.Errorf("what the first gateway recorded, submitted to the second: %v", err)
	}
	second.whole()
	first.stop()
	// The first had no name to give up, so the second still has it.
	cfg.Spool = filepath.Join(t.TempDir(), "spool")
	if _, err := openBooks(t.Context(), cfg, &chaincfg.RegressionNetParams, slog.New(slog.DiscardHandler)); !errors.Is(err, shares.ErrFenced) {
		t.Errorf("a third gateway of the name: %v", err)
	}
}

func TestForeignLedger(t *testing.T) {
	t.Parallel()
	s := redisserver.New(t, redisserver.Config{})
	cfg := settings(t, s.URL())
	makeLedger(t, cfg, "")
	for name, chain := range map[string]*chaincfg.Params{"main": &chaincfg.MainNetParams, "signet": &chaincfg.SigNetParams} {
		if _, err := openBooks(t.Context(), cfg, chain, slog.New(slog.DiscardHandler)); !errors.Is(err, shares.ErrForeign) {
			t.Errorf("regtest's ledger for %s: %v", name, err)
		}
	}
	if _, err := os.Stat(cfg.Spool); err != nil {
		t.Error(err)
	}
}
