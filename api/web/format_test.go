package web

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/api/oas"
)

func TestRate(t *testing.T) {
	for hs, want := range map[float64]string{
		0: "0 H/s", 0.5: "0.50 H/s", 44_000: "44.0 kH/s", 999: "999 H/s", 999.6: "1.00 kH/s", 999_499: "999 kH/s", 1.234e15: "1.23 PH/s",
		12.4e18: "12.4 EH/s", 1.1e21: "1.10 ZH/s", 4.27e24: "4.27 YH/s", 1.5e27: "1,500 YH/s", math.Inf(1): "– H/s", math.NaN(): "– H/s",
	} {
		if got := rate(hs).String(); got != want {
			t.Errorf("%g: got %q, want %q", hs, got, want)
		}
	}
}

func TestMoney(t *testing.T) {
	for sat, want := range map[int64]string{
		0: "0 sat", 1: "1 sat", 999_999: "999,999 sat", 1_000_000: "0.01000000 BTC", -5: "-5 sat", -1_000_000: "-0.01000000 BTC",
		316_774_212: "3.16774212 BTC", 2_100_000_000_000_000: "21,000,000.00000000 BTC",
	} {
		if got := money(sat).String(); got != want {
			t.Errorf("%d: got %q, want %q", sat, got, want)
		}
	}
}

// TestCoins: no satoshi is lost on the way to the eye.
func TestCoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sat := rapid.Int64Range(-21e14, 21e14).Draw(t, "sat")
		digits := strings.NewReplacer(",", "", ".", "").Replace(coins(sat).N)
		negative := strings.HasPrefix(digits, "-")
		var back int64
		for _, c := range strings.TrimPrefix(digits, "-") {
			back = back*10 + int64(c-'0')
		}
		if negative {
			back = -back
		}
		if back != sat {
			t.Fatalf("%d is written %s", sat, coins(sat).N)
		}
	})
}

func TestLasting(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.041: "41 ms", 3.25: "3.2 s", 59: "59 s", 119: "119 s", 120: "2 min", 3599: "59 min", 3600: "1 h", 97_200: "1 d 3 h",
		86_400: "1 d", 8_000: "2 h 13 min", 200 * 86_400: "200 d", 1e9: "31 years", 1e13: "316,880 years", 1e20: "more than a million years",
		-1: "–", math.NaN(): "–", math.Inf(1): "–",
	} {
		if got := lasting(seconds); got != want {
			t.Errorf("%g: got %q, want %q", seconds, got, want)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "now", 4 * time.Second: "4 s ago", 14 * time.Second: "14 s ago", 192 * time.Minute: "3 h 12 min ago", -time.Hour: "in 1 h", -500 * time.Millisecond: "now",
	} {
		if got := since(now, now.Add(-ago)); got != want {
			t.Errorf("%v: got %q, want %q", ago, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for ratio, want := range map[float64]string{
		0: "0 %", 1e-9: "< 0.001 %", 0.00042: "0.042 %", 0.0172: "1.72 %", 0.634: "63.4 %", 1.083: "108.3 %", 12.3: "1,230 %", math.Inf(1): "–",
	} {
		if got := percent(ratio); got != want {
			t.Errorf("%g: got %q, want %q", ratio, got, want)
		}
	}
	for bp, want := range map[int64]string{0: "0 %", 100: "1 %", 150: "1.5 %", 5: "0.05 %", 10_000: "100 %"} {
		if got := basisPoints(bp); got != want {
			t.Errorf("%d bp: got %q, want %q", bp, got, want)
		}
	}
}

func TestWork(t *testing.T) {
	for hashes, want := range map[string]string{
		"0": "0 H", "4294967296": "4.29 GH", "4598731200000000000000000": "4.60 YH", strings.Repeat("9", 40): "10,000,000,000,000,000 YH", "x": "–",
	} {
		if got := work(hashes).String(); got != want {
			t.Errorf("%s: got %q, want %q", hashes, got, want)
		}
	}
}

func TestShortening(t *testing.T) {
	const address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	for got, want := range map[string]string{
		mask(address): "bc1q…f3t4", mask("short"): "short", brief(address): "bc1qw508…7kv8f3t4", tailed(address): "…c5xw7kv8f3t4", brief(mask(address)): "bc1q…f3t4",
		difficulty(1): "1", difficulty(65_536): "65.5 k", difficulty(133.8e12): "134 T", difficulty(0.001): "0.001",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestSteps: every state that the contract has leads somewhere on the way.
func TestSteps(t *testing.T) {
	for _, state := range []oas.BlockState{oas.Candidate, oas.Immature, oas.Orphaned, oas.Crediting, oas.Credited, oas.Void, oas.Lost} {
		way := blockSteps(oas.Block{State: state})
		last := way[len(way)-1]
		bad := state == oas.Orphaned || state == oas.Void || state == oas.Lost
		if (last.State == "bad") != bad || (last.State == "done") != (state == oas.Credited) || way[0].At == nil {
			t.Errorf("%s: %+v", state, way)
		}
	}
	for i, state := range []oas.SettlementState{oas.Planned, oas.Sealed, oas.Published, oas.Confirmed, oas.Final, oas.Returned} {
		way := payoutSteps(state)
		switch {
		case state == oas.Returned:
			if way[len(way)-1].State != "bad" {
				t.Errorf("%s: %+v", state, way)
			}
		case len(way) != 5 || (way[i].State != "now" && state != oas.Final) || way[i].Note == "":
			t.Errorf("%s: %+v", state, way)
		}
	}
}

func TestCommands(t *testing.T) {
	for chain, want := range map[string]string{"main": "bc1q", "regtest": "bcrt1q", "signet": "tb1q", "testnet4": "tb1q"} {
		if got := (connection{Chain: chain}).AddressForm(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", chain, got)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "//x", `/\x`, "/a?b=c", "http://x", "/\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := localPath(path)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n") {
			t.Errorf("%q leads to %q", path, got)
		}
	})
}

func FuzzReadTxids(f *testing.F) {
	id := strings.Repeat("0a", 32)
	for _, seed := range []string{"", id, id + "\n" + id, `["` + id + `"]`, "x", id + ";" + strings.ToUpper(id)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		txids, wrong := readTxids(text)
		if (txids == nil) == (wrong == "") {
			t.Errorf("%q: %d txids, and %q", text, len(txids), wrong)
		}
		for _, id := range txids {
			if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
				t.Errorf("%q is no txid", id)
			}
		}
		if len([]rune(wrong)) > 500 {
			t.Errorf("what is wrong takes %d characters", len(wrong))
		}
	})
}
