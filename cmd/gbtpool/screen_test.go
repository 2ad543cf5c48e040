package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/shares"
)

// paper returns a screen that writes to memory, a terminal with colours or not.
func paper(terminal bool) (*screen, *bytes.Buffer) {
	var buf bytes.Buffer
	return &screen{Writer: &buf, terminal: terminal, colour: terminal}, &buf
}

func TestUnits(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0.00 H/s", 1: "1.00 H/s", 12.34: "12.3 H/s", 999.4: "999 H/s", 999.6: "1.00 kH/s", 50_000: "50.0 kH/s",
		1.234e9: "1.23 GH/s", 6.5e20: "650 EH/s", 1e24: "1.00 YH/s", 1e28: "10000 YH/s",
	} {
		if got := hashRate(n); got != want {
			t.Errorf("%g is %q, want %q", n, got, want)
		}
	}
	for sat, want := range map[int64]string{
		0: "0.00000000 BTC", 1: "0.00000001 BTC", 50_0001_0000: "50.00010000 BTC", -1: "-0.00000001 BTC",
		2_100_000_000_000_000: "21000000.00000000 BTC",
	} {
		if got := bitcoin(sat); got != want {
			t.Errorf("%d sat is %q, want %q", sat, got, want)
		}
	}
}

func TestShowChecklist(t *testing.T) {
	list := app.Checklist{
		{Name: "node", Text: "core  ok"},
		{Name: "template", Mark: app.Bad, Text: "none", Change: "start the node"},
		{Name: "shares", Mark: app.Notice, Text: "in memory"},
	}
	s, buf := paper(false)
	showChecklist(s, list)
	want := `✓ node      core  ok
✗ template  none
            start the node
! shares    in memory
`
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Error(diff)
	}
	s, buf = paper(true)
	showChecklist(s, list)
	if !strings.Contains(buf.String(), "\x1b[31m✗") {
		t.Errorf("a terminal gets no colours: %q", buf.String())
	}
}

// accounts are what two accounts have in a ledger.
func accounts() []shares.AccountStats {
	return []shares.AccountStats{
		{Account: "bcrt1qsomebodyelsebob", Stats: shares.Stats{
			Accepted: 3, Weight: 3000, Rates: [shares.SpanCount]float64{1500},
			Refused: map[gbt.Reason]int64{gbt.StalePrevblk: 2, gbt.HighHash: 1},
		}},
		{Account: "a", Stats: shares.Stats{Accepted: 1, Weight: 500, Unit: 1, Blocks: 1, Rates: [shares.SpanCount]float64{500}}},
	}
}

func TestBoard(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	share := gbt.Share{Height: 121, Time: start.Add(12345 * time.Millisecond), Transactions: 7, Value: 50_0000_0001}
	share.Hash[31], share.Hash[27] = 0, 0xab

	s, buf := paper(false)
	b := newBoard(s, map[string]string{"a": "alice"}, start)
	b.summary(accounts())
	b.block(share, "alice")
	b.done()
	want := `ledger 1 block, 4 shares · alice 1.00 kH (14 %) 500 H/s · bcrt1q…lsebob 3.00 kH (86 %) 1.50 kH/s · refused 1 high-hash, 2 stale-prevblk · pool 2.00 kH/s
03:04:17  block 121    alice     after  12.3s     7 transactions  pays 50.00000001 BTC  00000000ab0000000000…
`
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Error(diff)
	}

	// On a terminal the block goes above the summary, which stays at the bottom.
	s, buf = paper(true)
	b = newBoard(s, map[string]string{"a": "alice"}, start)
	b.summary(accounts())
	b.block(share, "alice")
	b.done()
	out := buf.String()
	if strings.Count(out, "ledger") != 2 || !strings.HasSuffix(out, "2.00 kH/s\n") || strings.Count(out, "\n") != 2 {
		t.Errorf("the terminal gets %q", out)
	}
}

func TestLogger(t *testing.T) {
	s, buf := paper(false)
	s.logger(slog.LevelInfo).Info("hello", "part", "door")
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil || line["msg"] != "hello" {
		t.Errorf("a log file gets %q (%v), want JSON", buf, err)
	}
	s, buf = paper(true)
	s.logger(slog.LevelWarn).Info("quiet")
	s.logger(slog.LevelWarn).Warn("loud")
	if text := buf.String(); strings.Contains(text, "quiet") || !strings.Contains(text, "msg=loud") || strings.Contains(text, "T") {
		t.Errorf("a terminal gets %q, want text with the time of day", text)
	}
}
