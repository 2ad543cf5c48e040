package rest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when everything in the tests happens.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// tipBits is difficulty 1, and network the work that a block takes then.
const (
	tipBits = 0x1d00ffff
	network = 4295032833
)

// miner returns an address on regtest that is made of a name.
func miner(name string) string {
	h := sha256.Sum256([]byte(name))
	a, err := address.NewAddressWitnessPubKeyHash(h[:20], &chaincfg.RegressionNetParams)
	if err != nil {
		panic(err)
	}
	return a.EncodeAddress()
}

func hashOf(name string) chainhash.Hash { return chainhash.HashH([]byte(name)) }

// world is all that Views reads, in memory. While away is set Redis is away.
type world struct {
	t    testing.TB
	away atomic.Bool
	// clock is how long after noon it is.
	clock    atomic.Int64
	template *gbt.Template
	noWork   error
	caller   Caller

	stats    map[string]shares.AccountStats
	workers  map[string][]shares.WorkerStats
	total    shares.Stats
	blocks   []shares.Block // newest first
	windows  map[chainhash.Hash][]shares.Credit
	folded   map[chainhash.Hash]bool
	profiles map[string]shares.Profile
	bans     map[string]shares.Ban
	nodes    []NodeStatus
	chain    ChainInfo
	bodies   map[chainhash.Hash]*wire.MsgBlock
	journal  *journal
	forecast *payouts.Forecaster
	notices  []Notice
	ends     error // of logins
}

func (w *world) err() error {
	if w.away.Load() {
		return fmt.Errorf("redis: %w", shares.ErrAway)
	}
	return nil
}

// shares.Figures.

func (w *world) Pool(context.Context) (shares.Stats, error) { return w.total, w.err() }

func (w *world) Accounts(_ context.Context, _ int) ([]shares.AccountStats, error) {
	return nil, w.err()
}

func (w *world) Account(_ context.Context, account string) (shares.AccountStats, []shares.WorkerStats, error) {
	s, ok := w.stats[account]
	if !ok && w.err() == nil {
		return s, nil, fmt.Errorf("account %s: %w", account, shares.ErrUnknown)
	}
	return s, slices.Clone(w.workers[account]), w.err()
}

// shares.Books.

func (w *world) Window(_ context.Context, block chainhash.Hash, size shares.Weight) (shares.Window, error) {
	if w.folded[block] {
		return shares.Window{}, shares.ErrFolded
	}
	out := shares.Window{Block: block, Size: size, Credits: w.windows[block]}
	for _, c := range out.Credits {
		out.Total += c.Weight
	}
	return out, w.err()
}

func (w *world) WindowAt(ctx context.Context, _ shares.Position, size shares.Weight) (shares.Window, error) {
	return w.Window(ctx, chainhash.Hash{}, size)
}

func (w *world) Round(_ context.Context, block chainhash.Hash) (shares.Round, error) {
	if w.folded[block] {
		return shares.Round{}, shares.ErrFolded
	}
	out := shares.Round{Block: block, Shares: 42, Credits: w.windows[block]}
	for _, c := range out.Credits {
		out.Total += c.Weight
	}
	return out, w.err()
}

func (w *world) Blocks(_ context.Context, limit int) ([]shares.Block, error) {
	return slices.Clone(w.blocks[:min(limit, len(w.blocks))]), w.err()
}

// Profiles.

func (w *world) Profile(_ context.Context, account string) (shares.Profile, error) {
	return w.profiles[account], w.err()
}

func (w *world) Profiles(_ context.Context, accounts []string) (map[string]shares.Profile, error) {
	out := make(map[string]shares.Profile)
	for _, a := range accounts {
		if p, ok := w.profiles[a]; ok {
			out[a] = p
		}
	}
	return out, w.err()
}

func (w *world) SetProfile(_ context.Context, account string, p shares.Profile) error {
	if err := w.err(); err != nil {
		return err
	}
	w.profiles[account] = p
	return nil
}

// Presence.

func (w *world) Active(context.Context, time.Time) (accounts, workers int, err error) {
	return 3, 4, w.err()
}

func (w *world) ActiveAccounts(_ context.Context, _ time.Time, limit int) ([]string, error) {
	out := make([]string, 0, len(w.stats))
	for account := range w.stats {
		out = append(out, account)
	}
	slices.Sort(out)
	return out[:min(limit, len(out))], w.err()
}

func (w *world) Agents(context.Context) (map[string]int, error) {
	return map[string]int{"bfgminer/5.5.0": 3, "cpuminer/2.5.1": 1}, w.err()
}

func (w *world) AgentsOf(context.Context, string) (map[string]string, error) {
	return map[string]string{"rig1": "bfgminer/5.5.0"}, w.err()
}

// Histories and Series.

func (w *world) History(_ context.Context, who shares.Who, _ shares.HistorySpan) ([]shares.RatePoint, error) {
	if _, ok := w.stats[who.Account]; !ok && who.Account != "" {
		return nil, shares.ErrUnknown
	}
	return []shares.RatePoint{
		{Start: noon.Add(-time.Hour), Seconds: 1800, Rate: 1e6},
		{Start: noon.Add(-30 * time.Minute), Seconds: 1800},
		{Start: noon, Seconds: 1, Rate: 2e6, Partial: true},
	}, w.err()
}

func (w *world) Range(_ context.Context, name string, from, _ time.Time, _ int) ([]shares.Point, error) {
	return []shares.Point{
		{At: from, Values: map[string]float64{name + "_a": 1, name + "_b": 2}},
		{At: from.Add(time.Minute), Values: map[string]float64{name + "_b": 3}},
	}, w.err()
}

// Thresholds.

func (w *world) SetThreshold(_ context.Context, account string, amount int64) error {
	if err := w.err(); err != nil {
		return err
	}
	w.journal.set(payouts.TableThresholds, account, strconv.FormatInt(amount, 10))
	if amount == 0 {
		delete(w.journal.tables[payouts.TableThresholds], account)
	}
	return nil
}

// now is the world's time.
func (w *world) now() time.Time { return noon.Add(time.Duration(w.clock.Load())) }

// Proofs and Login.

func (w *world) Of(_ context.Context, block chainhash.Hash, account string) (*payouts.BlockProof, error) {
	switch block {
	case hashOf("block 1"):
		return &payouts.BlockProof{Version: 1, Block: block, Account: account, Reward: 1<<53 + 1, Proof: &payouts.Proof{Account: account, Weight: 1<<62 + 1}}, w.err()
	case hashOf("block 2"):
		return nil, payouts.ErrTreeLost
	}
	return nil, payouts.ErrNoTree
}

func (w *world) Challenge(_ context.Context, account string) (login.Challenge, error) {
	return login.Challenge{ID: "AAAAAAAAAAAAAAAAAAAAAAAAAA", Message: "log in as " + account, Expires: noon.Add(5 * time.Minute)}, errors.Join(w.ends, w.err())
}

func (w *world) Answer(context.Context, string, string) (string, *token.Claims, error) {
	return "a.b.c", &token.Claims{Account: miner("alice"), Expires: noon.Add(time.Hour)}, errors.Join(w.ends, w.err())
}

// Chain.

func (w *world) Info(context.Context) (ChainInfo, error) { return w.chain, w.noWork }

func (w *world) Block(_ context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	b, ok := w.bodies[hash]
	if !ok {
		return nil, payouts.ErrUnknownBlock
	}
	return b, nil
}

// journal is a payouts.Store that is filled by hand.
type journal struct {
	world    *world
	tables   map[string]map[string]string
	notes    map[string]map[string]string
	balances map[payouts.Account]int64
	records  map[string]*payouts.Record
}

func (j *journal) set(table, field string, v any) {
	text, ok := v.(string)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			j.world.t.Fatal(err)
		}
		text = string(raw)
	}
	if j.tables[table] == nil {
		j.tables[table] = make(map[string]string)
	}
	j.tables[table][field] = text
}

func (j *journal) Head(context.Context) (payouts.Head, error) { return payouts.Head{}, j.world.err() }

func (j *journal) Post(context.Context, int64, *payouts.Record) error { return payouts.ErrRecord }

func (j *journal) Posted(_ context.Context, key string) (*payouts.Record, error) {
	if r := j.records[key]; r != nil {
		return r, j.world.err()
	}
	return nil, payouts.ErrNotFound
}

func (j *journal) Records(context.Context, uint64) iter.Seq2[*payouts.Record, error] {
	return func(func(*payouts.Record, error) bool) {}
}

func (j *journal) Balance(_ context.Context, a payouts.Account) (int64, error) {
	return j.balances[a], j.world.err()
}

func (j *journal) Balances(context.Context) iter.Seq2[payouts.Leg, error] {
	return func(func(payouts.Leg, error) bool) {}
}

func (j *journal) Field(_ context.Context, table, field string) (string, error) {
	if text, ok := j.tables[table][field]; ok || j.world.err() != nil {
		return text, j.world.err()
	}
	return "", payouts.ErrNotFound
}

func (j *journal) Fields(_ context.Context, table string) iter.Seq2[payouts.Set, error] {
	return func(yield func(payouts.Set, error) bool) {
		if err := j.world.err(); err != nil {
			yield(payouts.Set{}, err)
			return
		}
		for field, value := range j.tables[table] {
			if !yield(payouts.Set{Table: table, Field: field, Value: value}, nil) {
				return
			}
		}
	}
}

func (j *journal) Note(context.Context, ...payouts.Set) error { return nil }

func (j *journal) Notes(_ context.Context, table string) (map[string]string, error) {
	return j.notes[table], j.world.err()
}

// views makes Views of the world, with a forecast of it.
func (w *world) views(change ...func(*Config)) *Views {
	w.t.Helper()
	f, err := payouts.NewForecaster(payouts.ForecasterConfig{
		Ledger: w, Journal: w.journal, Terms: payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100}, Params: &chaincfg.RegressionNetParams,
		Template: func() (*gbt.Template, error) { return w.template, w.noWork }, Every: time.Hour,
		Now: w.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.forecast = f
	w.look()
	cfg := Config{
		About: About{
			Name: "test pool", Version: "v1.2.3", MineURL: "http://pool.example:8332/", Chain: "regtest", Params: &chaincfg.RegressionNetParams,
			Started: noon.Add(-48 * time.Hour), Terms: payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100},
			Policy:   payouts.Policy{Threshold: 100_000, Bearer: payouts.BearerPayees},
			Schedule: payouts.Schedule{Times: []time.Duration{6 * time.Hour, 18*time.Hour + 30*time.Minute}}, Maturity: 100, CoinbaseMinimum: 50_000,
		},
		Template: func() (*gbt.Template, error) { return w.template, w.noWork },
		Figures:  w, Books: w, Journal: w.journal, Forecasts: w.forecast, Nodes: func() []NodeStatus { return w.nodes }, Chain: w,
		Profiles: w, Histories: w, Presence: w, Series: w, Thresholds: w, Proofs: w, Login: w,
		Banned: func(account string) (shares.Ban, bool) { b, ok := w.bans[account]; return b, ok },
		Caller: func(context.Context) Caller { return w.caller },
		ShareTarget: func(string) gbt.Target {
			target, err := gbt.TargetFromDifficulty(0.001)
			if err != nil {
				w.t.Error(err)
			}
			return target
		},
		Notices: func(context.Context) []Notice { return slices.Clone(w.notices) },
		Now:     w.now, Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	v, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// look has the forecaster make one forecast.
func (w *world) look() {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.forecast.Run(ctx) }()
	for range 500 {
		if w.forecast.Current() != nil || w.away.Load() || w.noWork != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// short names things as people would, for goldens that can be read.
func (w *world) short(text string) string {
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		text = strings.ReplaceAll(text, miner(name), name+"'s address")
	}
	return text
}
