package payouts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// books is a ledger whose windows know what they hold.
type books struct {
	*fakeLedger
	mu  sync.Mutex // held while it is read or changed
	err error
}

// change changes it while a Forecaster runs.
func (b *books) change(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

func (b *books) Window(ctx context.Context, block chainhash.Hash, size shares.Weight) (shares.Window, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released[block] {
		return shares.Window{}, shares.ErrFolded
	}
	w, err := b.fakeLedger.Window(ctx, block, size)
	for _, c := range w.Credits {
		w.Total += c.Weight
	}
	return w, errors.Join(err, b.err)
}

func (b *books) Round(ctx context.Context, block chainhash.Hash) (shares.Round, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := b.fakeLedger.Round(ctx, block)
	for _, c := range r.Credits {
		r.Total += c.Weight
	}
	return r, errors.Join(err, b.err)
}

// foresee makes a Forecaster of a pool.
func foresee(tb testing.TB, p *pool, change func(*ForecasterConfig)) *Forecaster {
	tb.Helper()
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := ForecasterConfig{
		Ledger: &books{fakeLedger: p.ledger}, Journal: p.store, Terms: p.cfg.Terms, Params: &chaincfg.RegressionNetParams,
		Template: func() (*gbt.Template, error) {
			return &gbt.Template{Height: 101, NetworkTarget: target, Value: 5_000_000_000}, nil
		},
		Every: 10 * time.Second, Now: func() time.Time { return p.now }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	f, err := NewForecaster(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// mustLook makes one forecast.
func mustLook(tb testing.TB, f *Forecaster) *Forecast {
	tb.Helper()
	out, err := f.look(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	f.current.Store(out)
	return out
}

// TestForecastDivides holds what a forecast says of each account to what Terms.Divide does.
func TestForecastDivides(t *testing.T) {
	p := newPool(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.MapOf(rapid.StringMatching("[a-z]{1,6}"), rapid.Int64Range(0, 1<<50)).Draw(t, "weights")
		var window []shares.Credit
		for account, w := range weights {
			window = append(window, shares.Credit{Account: account, Weight: shares.Weight(w)})
		}
		slices.SortFunc(window, func(a, b shares.Credit) int { return strings.Compare(a.Account, b.Account) })
		terms := Terms{
			Scheme: rapid.SampledFrom([]Scheme{PPLNS, PROP}).Draw(t, "scheme"), Multiple: 8,
			Fee: rapid.Int64Range(0, Whole).Draw(t, "fee"), Bonus: rapid.SampledFrom([]int64{0, 50, Whole}).Draw(t, "bonus"),
		}
		value := rapid.Int64Range(0, MaxMoney/2).Draw(t, "value")
		carry := rapid.SampledFrom([]int64{0, 1, 12345}).Draw(t, "carry")
		p.ledger.windows[chainhash.Hash{}] = window
		p.store.sheet.Balances[Carry] = carry
		f := foresee(p.t, p, func(cfg *ForecasterConfig) {
			cfg.Terms = terms
			template := cfg.Template
			cfg.Template = func() (*gbt.Template, error) {
				tmpl, err := template()
				tmpl.Value = value
				return tmpl, err
			}
		})
		got := mustLook(p.t, f)
		finder := ""
		if terms.Bonus > 0 {
			finder = "~"
		}
		want, err := terms.Divide(value, window, finder)
		if err != nil {
			t.Fatal(err)
		}
		bonus := amountOf(want.Credits, "~")
		more, _ := Split(carry, window)
		sum := got.Division.Fee + got.Division.Carry + bonus
		for _, c := range window {
			e := got.Of(c.Account)
			if e.Credit != amountOf(want.Credits, c.Account)+amountOf(more, c.Account) || e.Weight != c.Weight {
				t.Fatalf("%s: %+v", c.Account, e)
			}
			sum += e.Credit
		}
		if sum != value+carry {
			t.Fatalf("fee, carry, bonus and credits sum to %d, want %d", sum, value+carry)
		}
		if e := got.Of("nobody at all"); e != (Expected{}) {
			t.Fatalf("somebody without work: %+v", e)
		}
	})
}

func TestForecastSchemes(t *testing.T) {
	p := newPool(t, nil)
	now := chainhash.Hash{}
	p.ledger.windows[now] = []shares.Credit{{Account: "ann", Weight: 1}, {Account: "bea", Weight: 3}}
	for name, test := range map[string]struct {
		terms Terms
		want  map[string]Expected
		size  shares.Weight
	}{
		"pplns": {Terms{Scheme: PPLNS, Multiple: 8}, map[string]Expected{"ann": {Weight: 1, Credit: 1_250_000_000}, "bea": {Weight: 3, Credit: 3_750_000_000}, "cat": {}}, 16},
		"prop":  {Terms{Scheme: PROP, Fee: 1000}, map[string]Expected{"ann": {Weight: 1, Credit: 1_125_000_000}, "cat": {}}, 2},
		// Half a block's work is worth half the subsidy, whatever the block pays.
		"pps":  {Terms{Scheme: PPS, Fee: 100}, map[string]Expected{"ann": {Weight: 1, Credit: 2_475_000_000}, "bea": {Weight: 3, Credit: 7_425_000_000}, "cat": {}}, 2},
		"fpps": {Terms{Scheme: FPPS}, map[string]Expected{"ann": {Weight: 1, Credit: 2_500_000_500}, "cat": {}}, 2},
		"solo": {Terms{Scheme: SOLO, Fee: 100}, map[string]Expected{"ann": {Weight: 1, Credit: 4_950_000_990}, "cat": {Credit: 4_950_000_990}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustLook(t, foresee(t, p, func(cfg *ForecasterConfig) {
				cfg.Terms = test.terms
				template := cfg.Template
				cfg.Template = func() (*gbt.Template, error) {
					tmpl, err := template()
					if tmpl.Value += 1000; test.terms.Scheme == PPLNS || test.terms.Scheme == PROP {
						tmpl.Value -= 1000
					}
					return tmpl, err
				}
			}))
			for account, want := range test.want {
				if diff := cmp.Diff(want, f.Of(account)); diff != "" {
					t.Errorf("%s: %s", account, diff)
				}
			}
			if f.Size != test.size || f.Total != 4 {
				t.Errorf("size %d, total %d", f.Size, f.Total)
			}
		})
	}
}

// TestForecastImmature foretells what the worker then credits, and forgets it once it has.
func TestForecastImmature(t *testing.T) {
	p := newPool(t, func(cfg *SettlerConfig) { cfg.Policy.Threshold = MaxMoney })
	first := p.find(5_000_000_000, shares.Credit{Account: "ann", Weight: 1}, shares.Credit{Account: "bea", Weight: 2})
	p.work()
	second := p.find(1_000_000_000, shares.Credit{Account: "bea", Weight: 2})
	f := foresee(t, p, nil)
	got := mustLook(t, f)
	if diff := cmp.Diff([]chainhash.Hash{second, first}, got.Pending); diff != "" {
		t.Error(diff)
	}
	if ann, bea := got.Of("ann").Immature, got.Of("bea").Immature; ann != 1_650_000_000 || bea != 3_300_000_000+990_000_000 {
		t.Errorf("ann %d, bea %d", ann, bea)
	}
	p.chain.mine(98) // one of them matures
	p.work()
	got = mustLook(t, f)
	if ann, bea := got.Of("ann").Immature, got.Of("bea").Immature; ann != 0 || bea != 990_000_000 {
		t.Errorf("after a credit: ann %d, bea %d", ann, bea)
	}
	if balance := p.balance(Miner("ann")); balance != 1_650_000_000 {
		t.Errorf("ann was credited %d", balance)
	}
}

// TestForecastOrphaned leaves out what is off the best chain.
func TestForecastOrphaned(t *testing.T) {
	p := newPool(t, nil)
	hash := p.find(5_000_000_000, shares.Credit{Account: "ann", Weight: 1})
	p.work()
	f := foresee(t, p, nil)
	if got := mustLook(t, f).Of("ann").Immature; got == 0 {
		t.Fatal("nothing is immature")
	}
	p.store.notes[NotesBlocks] = map[string]string{hash.String(): "orphaned 1/100"}
	if got := mustLook(t, f); got.Of("ann").Immature != 0 || len(got.Pending) != 0 {
		t.Errorf("an orphan is expected to credit %d", got.Of("ann").Immature)
	}
}

// TestForecastBlock tells whom a block credits: exactly, estimated before, and from the journal once the work is folded.
func TestForecastBlock(t *testing.T) {
	p := newPool(t, nil)
	hash := p.find(5_000_000_000, shares.Credit{Account: "ann", Weight: 1}, shares.Credit{Account: "bea", Weight: 2}, shares.Credit{Account: "cat", Weight: 0})
	f := foresee(t, p, nil)
	want := &BlockShares{
		Shares: []BlockShare{{"ann", 1, 1_650_000_000}, {"bea", 2, 3_300_000_000}, {"cat", 0, 0}}, Total: 3, Credits: 4_950_000_000,
		Weighed: true, Estimated: true,
	}
	check := func(want *BlockShares) {
		t.Helper()
		got, err := f.Block(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check(want)
	p.chain.mine(100)
	p.work()
	want.Estimated = false
	p.ledger.released = make(map[chainhash.Hash]bool)
	check(want)
	p.ledger.released[hash] = true
	check(&BlockShares{Shares: []BlockShare{{"ann", 0, 1_650_000_000}, {"bea", 0, 3_300_000_000}}, Credits: 4_950_000_000})
	if _, err := f.Block(t.Context(), chainhash.Hash{1}); !errors.Is(err, shares.ErrUnknown) {
		t.Errorf("a block that is not there: %v", err)
	}
	other := p.find(1, shares.Credit{Account: "ann", Weight: 1})
	p.ledger.released[other] = true
	if _, err := f.Block(t.Context(), other); !errors.Is(err, shares.ErrFolded) {
		t.Errorf("a folded block that credited nobody: %v", err)
	}
}

// TestForecasterKeepsTheLast has Run go on through trouble.
func TestForecasterKeepsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, nil)
		ledger := &books{fakeLedger: p.ledger}
		f := foresee(t, p, func(cfg *ForecasterConfig) { cfg.Ledger, cfg.Now = ledger, time.Now })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		first := f.Current()
		if first == nil {
			t.Fatal("no forecast")
		}
		ledger.change(func() { p.ledger.windows[chainhash.Hash{}] = []shares.Credit{{Account: "ann", Weight: 1}} })
		time.Sleep(9 * time.Second)
		if f.Current() != first {
			t.Error("a forecast came too early")
		}
		time.Sleep(2 * time.Second)
		second := f.Current()
		if second.Of("ann").Weight != 1 {
			t.Error("no new forecast")
		}
		ledger.change(func() { ledger.err = shares.ErrAway })
		time.Sleep(time.Minute)
		if f.Current() != second {
			t.Error("the last forecast is gone")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNewForecaster(t *testing.T) {
	if _, err := NewForecaster(ForecasterConfig{}); err == nil {
		t.Error("an empty configuration is taken")
	}
	p := newPool(t, nil)
	cfg := foresee(t, p, nil).cfg
	cfg.Terms = Terms{}
	if _, err := NewForecaster(cfg); !errors.Is(err, ErrTerms) {
		t.Error(err)
	}
}

// TestForecastHugeWindow does not overflow where a network's difficulty times the window does.
func TestForecastHugeWindow(t *testing.T) {
	p := newPool(t, nil)
	f := mustLook(t, foresee(t, p, func(cfg *ForecasterConfig) {
		cfg.Template = func() (*gbt.Template, error) {
			target, err := gbt.TargetFromDifficulty(1 << 29)
			return &gbt.Template{Value: 1, NetworkTarget: target}, err
		}
	}))
	if f.Size != math.MaxInt64 {
		t.Errorf("size %d", f.Size)
	}
}

// BenchmarkForecastOf looks accounts up among 100,000.
func BenchmarkForecastOf(b *testing.B) {
	f := &Forecast{Terms: Terms{Scheme: PPLNS, Multiple: 8}}
	for i := range 100_000 {
		name := fmt.Sprintf("bcrt1q%034d", i)
		f.Weights = append(f.Weights, shares.Credit{Account: name, Weight: 1})
		f.Division.Credits = append(f.Division.Credits, Credit{name, 1})
		f.immature = append(f.immature, Credit{name, 1})
	}
	name := f.Weights[77_777].Account
	b.ReportAllocs()
	for b.Loop() {
		if f.Of(name).Credit != 1 {
			b.Fatal("not found")
		}
	}
}

// TestForecastDirect takes off what a coinbase has paid accounts itself.
func TestForecastDirect(t *testing.T) {
	p := newPool(t, nil)
	hash := p.find(1_000_000, shares.Credit{Account: "window", Weight: 9})
	script, err := scriptOf("ann")
	if err != nil {
		t.Fatal(err)
	}
	list := &List{
		Previous: p.ledger.blocks[0].PreviousBlock, Height: p.ledger.blocks[0].Height, End: shares.Position{Millis: 1}, Size: 4, Total: 4,
		Fee: 100, Minimum: 1000, MaxOutputs: 10, MaxWeight: 4000, Pool: p.wallet.script,
		Payees: []ListPayee{{Account: "ann", Script: script, Weight: 1}},
	}
	text, err := list.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.ledger.at = []shares.Credit{{Account: "ann", Weight: 1}, {Account: "bea", Weight: 3}}
	for _, set := range []struct {
		table, field string
		value        any
	}{
		{TableLists, hash.String() + "/1", string(text)},
		{TableBlocks, hash.String(), BlockState{Stage: BlockFound, Lists: 1}},
	} {
		s := Set{Table: set.table, Field: set.field}
		if text, ok := set.value.(string); ok {
			s.Value = text
		} else if s, err = setOf(set.table, set.field, set.value); err != nil {
			t.Fatal(err)
		}
		if p.store.sheet.Tables[set.table] == nil {
			p.store.sheet.Tables[set.table] = make(map[string]string)
		}
		p.store.sheet.Tables[set.table][s.Field] = s.Value
	}
	f := foresee(t, p, nil)
	got := mustLook(t, f)
	if ann, bea := got.Of("ann").Immature, got.Of("bea").Immature; ann != 0 || bea != 742_500 {
		t.Errorf("ann, who is paid already, %d, bea %d", ann, bea)
	}
	block, err := f.Block(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]BlockShare{{"ann", 1, 247_500}, {"bea", 3, 742_500}}, block.Shares); diff != "" {
		t.Error(diff)
	}
}

// setOf is set, which a variable hides.
func setOf(table, field string, v any) (Set, error) { return set(table, field, v) }
