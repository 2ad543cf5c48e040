package rest

import (
	"encoding/json"
	"math"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCompatAnswers(t *testing.T) {
	find := contract(t)
	for _, test := range []struct {
		name, line string
		change     func(*world)
	}{
		{"compat-client", "GET /api/client/" + miner("alice"), nil},
		{"compat-client-new", "GET /api/client/" + miner("dave"), nil},
		{"compat-client-hidden", "GET /api/client/" + miner("carol"), nil},
		{"compat-client-own", "GET /api/client/" + miner("carol"), as(carol())},
		{"compat-client-wrong", "GET /api/client/1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", nil},
		{"compat-client-away", "GET /api/client/" + miner("alice"), func(w *world) { w.away.Store(true) }},
		{"compat-chart", "GET /api/client/" + miner("alice") + "/chart", nil},
		{"compat-chart-new", "GET /api/client/" + miner("dave") + "/chart", nil},
		{"compat-worker", "GET /api/client/" + miner("alice") + "/rig1", nil},
		{"compat-worker-nameless", "GET /api/client/" + miner("alice") + "/worker", nil},
		{"compat-worker-unknown", "GET /api/client/" + miner("alice") + "/rig9", nil},
		{"compat-pool", "GET /api/pool", nil},
		{"compat-info", "GET /api/info", nil},
		{"compat-info-chart", "GET /api/info/chart", nil},
		{"compat-network", "GET /api/network", nil},
		{"compat-user", "GET /users/" + miner("alice"), nil},
		{"compat-user-new", "GET /users/" + miner("dave"), nil},
		{"compat-user-hidden", "GET /users/" + miner("carol"), nil},
		{"compat-status", "GET /pool/pool.status", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			v := w.views()
			if test.change != nil {
				test.change(w)
			}
			golden(t, test.name, w, ask(t, server(t, v), find, request(test.line, "")))
		})
	}
}

// body asks for something that has to be there.
func body(t *testing.T, path string) []byte {
	t.Helper()
	rec := ask(t, server(t, newWorld(t).views()), contract(t), request("GET "+path, ""))
	if rec.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.Bytes()
}

// TestNerdMiner reads an account as NerdMiner v2 does (monitor.cpp, getPoolData): the members as numbers, and text as
// nothing.
func TestNerdMiner(t *testing.T) {
	var doc struct {
		BestDifficulty float64 `json:"bestDifficulty"`
		WorkersCount   int     `json:"workersCount"`
		Workers        []struct {
			SessionID string  `json:"sessionId"`
			HashRate  float64 `json:"hashRate"`
		} `json:"workers"`
	}
	if err := json.Unmarshal(body(t, "/api/client/"+miner("alice")), &doc); err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, w := range doc.Workers {
		total += w.HashRate
		if len(w.SessionID) != 8 {
			t.Errorf("session %q", w.SessionID)
		}
	}
	if doc.WorkersCount != 1 || len(doc.Workers) != 1 || math.Round(total) != 333333 || doc.BestDifficulty != 1.5 {
		t.Errorf("%+v", doc)
	}
}

// convertHashrate reads a hash rate as ckstats does (utils/helpers.ts): it fails on whatever that would throw at.
func convertHashrate(tb testing.TB, value string) *big.Int {
	tb.Helper()
	units := map[string]float64{"P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "K": 1e3}
	if m := regexp.MustCompile(`^(\d+(?:\.\d+)?)([PTGMK])$`).FindStringSubmatch(value); m != nil {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			tb.Fatal(err)
		}
		out, _ := big.NewFloat(math.Round(n * units[m[2]])).Int(nil)
		return out
	}
	return bigInt(tb, value)
}

// bigInt reads a number as BigInt of JavaScript does.
func bigInt(tb testing.TB, value string) *big.Int {
	tb.Helper()
	out, ok := new(big.Int).SetString(value, 10)
	if !ok {
		tb.Fatalf("BigInt(%q) throws", value)
	}
	return out
}

// TestCkstats reads accounts and the pool as ckstats does (updateUsers.ts and seed.ts).
func TestCkstats(t *testing.T) {
	type figures struct {
		OneMinute   string      `json:"hashrate1m"`
		FiveMinutes string      `json:"hashrate5m"`
		OneHour     string      `json:"hashrate1hr"`
		OneDay      string      `json:"hashrate1d"`
		SevenDays   string      `json:"hashrate7d"`
		LastShare   json.Number `json:"lastshare"`
		Shares      json.Number `json:"shares"`
		BestShare   float64     `json:"bestshare"`
		BestEver    json.Number `json:"bestever"`
	}
	check := func(f figures) {
		for _, rate := range []string{f.OneMinute, f.FiveMinutes, f.OneHour, f.OneDay, f.SevenDays} {
			convertHashrate(t, rate)
		}
		bigInt(t, f.LastShare.String())
		bigInt(t, f.Shares.String())
		bigInt(t, f.BestEver.String())
	}
	var user struct {
		figures
		Authorised json.Number `json:"authorised"`
		Workers    int         `json:"workers"`
		Worker     []struct {
			figures
			WorkerName string `json:"workername"`
		} `json:"worker"`
	}
	if err := json.Unmarshal(body(t, "/users/"+miner("alice")), &user); err != nil {
		t.Fatal(err)
	}
	check(user.figures)
	if got := convertHashrate(t, user.OneMinute).Int64(); got != 1_000_000 {
		t.Errorf("hashrate1m is %d", got)
	}
	if at := time.Unix(bigInt(t, user.LastShare.String()).Int64(), 0); !at.Equal(noon.Add(-time.Minute)) {
		t.Errorf("lastshare is %s", at)
	}
	names := make([]string, 0, 3)
	for _, w := range user.Worker {
		check(w.figures)
		if _, name, ok := strings.Cut(w.WorkerName, "."); ok {
			names = append(names, name)
		}
	}
	if strings.Join(names, " ") != "rig1 rig2" || user.Workers != 1 {
		t.Errorf("workers %v, %d active", names, user.Workers)
	}

	stats := make(map[string]any)
	for line := range strings.Lines(string(body(t, "/pool/pool.status"))) {
		if err := json.Unmarshal([]byte(line), &stats); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"hashrate1m", "hashrate5m", "hashrate15m", "hashrate1hr", "hashrate6hr", "hashrate1d", "hashrate7d"} {
		text, ok := stats[name].(string)
		if !ok {
			t.Errorf("%s is %v", name, stats[name])
			continue
		}
		convertHashrate(t, text)
	}
	for _, name := range []string{"runtime", "lastupdate", "Users", "Workers", "Idle", "Disconnected", "diff", "accepted", "rejected", "bestshare", "SPS1m", "SPS5m", "SPS15m", "SPS1h"} {
		if _, ok := stats[name].(float64); !ok {
			t.Errorf("%s is %v", name, stats[name])
		}
	}
	// ckstats finds the network's difficulty from these.
	diff, _ := stats["diff"].(float64)
	accepted, _ := stats["accepted"].(float64)
	if network := accepted / diff * 100; !(network > 0.98 && network < 1.02) {
		t.Errorf("accepted %g, diff %g %%", accepted, diff)
	}
}

func TestSuffixed(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 0.9: "0", -5: "0", 1: "1", 999.4: "999", 999.6: "1K", 1000: "1K", 44_400: "44.4K", 1234: "1.23K", 9_994: "9.99K", 9_996: "10K",
		99_960: "100K", 999_499: "999K", 999_600: "1M", 1.5e9: "1.5G", 2e12: "2T", 3.25e15: "3.25P", 842e18: "842000P", 1.2345e18: "1234P",
	} {
		if got := suffixed(n); got != want {
			t.Errorf("%g: %s, want %s", n, got, want)
		}
	}
	if got := suffixed(math.NaN()); got != "0" {
		t.Errorf("NaN: %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Float64Range(1, 1e24).Draw(t, "n")
		got, _ := new(big.Float).SetInt(parseRate(t, suffixed(n))).Float64()
		if math.Abs(got-n) > max(0.51, n*0.00501) {
			t.Fatalf("%g is written %s", n, suffixed(n))
		}
	})
}

// parseRate is convertHashrate for rapid.
func parseRate(t *rapid.T, text string) *big.Int {
	units := map[byte]float64{'K': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12, 'P': 1e15}
	unit, ok := units[text[len(text)-1]]
	if !ok {
		unit = 1
	} else {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := big.NewFloat(n * unit).Int(nil)
	return out
}
