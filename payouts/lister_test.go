package payouts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// regtestBits is regtest's network target, which takes two hashes; hardBits takes 65536.
	regtestBits = 0x207fffff
	hardBits    = 0x1f00ffff
)

// listBench is a Lister, and what it reads and writes.
type listBench struct {
	*Lister
	ListerConfig
	mu sync.Mutex
	// All below is held by mu. fail fails whatever it names, slow is how long a window takes, and reads
	// counts them.
	texts   map[chainhash.Hash][]byte
	credits []shares.Credit
	ends    []shares.Position
	fail    map[string]bool
	slow    time.Duration
	log     bytes.Buffer
}

var errTest = errors.New("a test's")

func (b *listBench) begin(what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail[what] {
		return fmt.Errorf("%s: %w", what, errTest)
	}
	return nil
}

func (b *listBench) set(what string, fails bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail[what] = fails
}

func (b *listBench) reads() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ends)
}

func (b *listBench) WindowAt(ctx context.Context, end shares.Position, size shares.Weight) (shares.Window, error) {
	if err := b.begin("window"); err != nil {
		return shares.Window{}, err
	}
	b.mu.Lock()
	slow := b.slow
	b.ends = append(b.ends, end)
	w := shares.Window{Size: size, Credits: slices.Clone(b.credits)}
	b.mu.Unlock()
	for _, c := range w.Credits {
		w.Total += c.Weight
	}
	select {
	case <-time.After(slow):
		return w, nil
	case <-ctx.Done():
		return shares.Window{}, ctx.Err()
	}
}

func (b *listBench) Commit(_ context.Context, previous chainhash.Hash, text []byte) ([]byte, error) {
	if err := b.begin("commit"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.texts[previous] == nil {
		b.texts[previous] = text
	}
	return b.texts[previous], nil
}

func (b *listBench) List(_ context.Context, previous chainhash.Hash) ([]byte, error) {
	if err := b.begin("list"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if text := b.texts[previous]; text != nil {
		return text, nil
	}
	return nil, ErrNotFound
}

// newListBench makes a Lister for regtest, whose windows are of 2 network difficulties.
func newListBench(t *testing.T, change func(*ListerConfig)) *listBench {
	t.Helper()
	b := &listBench{texts: make(map[chainhash.Hash][]byte), fail: make(map[string]bool)}
	b.credits = []shares.Credit{{Account: "alice", Weight: 1}, {Account: "bob", Weight: 2}, {Account: "carol", Weight: 1}}
	b.ListerConfig = ListerConfig{
		Windows: b, Store: b, Terms: Terms{Scheme: PPLNS, Multiple: 2, Fee: 100}, Minimum: 1, MaxOutputs: 50, MaxWeight: ListWeight,
		Clock: func(context.Context) (time.Time, error) { return time.UnixMilli(1_000_000_000), b.begin("clock") },
		Script: func(account string) ([]byte, error) {
			return append([]byte{0, 20}, slices.Repeat([]byte(account[:1]), 20)...), nil
		},
		Pool: p2wpkh(1), Chain: &chaincfg.RegressionNetParams, Now: time.Now, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	if change != nil {
		change(&b.ListerConfig)
	}
	var err error
	if b.Lister, err = NewLister(b.ListerConfig); err != nil {
		t.Fatal(err)
	}
	return b
}

// on returns the list on block n.
func (b *listBench) on(t *testing.T, n byte, bits uint32) *List {
	t.Helper()
	p, err := b.Payees(t.Context(), chainhash.Hash{n}, int32(n), bits)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := p.(*List)
	if !ok {
		t.Fatalf("payees are a %T", p)
	}
	return l
}

func accountsOf(l *List) []string {
	var out []string
	for _, p := range l.Payees {
		out = append(out, p.Account)
	}
	return out
}

// TestListerMakesLists looks at one.
func TestListerMakesLists(t *testing.T) {
	b := newListBench(t, func(cfg *ListerConfig) {
		cfg.Terms.Bonus = 7
		cfg.Owed = func(_ context.Context, previous chainhash.Hash) ([]Credit, error) {
			if previous != (chainhash.Hash{3}) {
				return nil, errTest
			}
			// A quarter of a block is 1237500000 less the bonus.
			return []Credit{{"dave", 1_240_000_000}, {"carol", 1}, {"erin", 0}, {"frank", -5}, {"x", 7}}, nil
		}
		script := cfg.Script
		cfg.Script = func(account string) ([]byte, error) {
			if account == "x" {
				return nil, errTest
			}
			return script(account)
		}
	})
	l := b.on(t, 3, regtestBits)
	want := &List{
		Previous: chainhash.Hash{3}, Height: 3, End: shares.Position{Millis: 1_000_000_000 - 2000}, Size: 4, Total: 4,
		Fee: 100, Bonus: 7, Minimum: 1, MaxOutputs: 50, MaxWeight: ListWeight, Pool: p2wpkh(1),
		Payees: []ListPayee{{Account: "bob", Weight: 2}, {Account: "dave", Carry: 1_240_000_000}, {Account: "carol", Weight: 1, Carry: 1}, {Account: "alice", Weight: 1}},
	}
	for i, p := range want.Payees {
		want.Payees[i].Script, _ = b.Script(p.Account)
	}
	if d := cmp.Diff(want, l); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
	if !strings.Contains(b.log.String(), "accounts=1") || !strings.Contains(b.log.String(), "x: a test") {
		t.Errorf("the log says %s", b.log.String())
	}
	if hard := b.sizeAt(t, hardBits); hard != 2*65537 {
		t.Errorf("a window of %d", hard)
	}
	many := newListBench(t, func(cfg *ListerConfig) { cfg.MaxOutputs = 2 })
	if got := accountsOf(many.on(t, 1, regtestBits)); !slices.Equal(got, []string{"bob", "alice"}) {
		t.Errorf("on the list are %v", got)
	}
}

func (b *listBench) sizeAt(t *testing.T, bits uint32) shares.Weight {
	t.Helper()
	size, err := b.size(bits)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// TestListerHasOneListForAll has gateways that know of different shares ask at one time.
func TestListerHasOneListForAll(t *testing.T) {
	first := newListBench(t, nil)
	listers := []*Lister{first.Lister}
	for n := range 9 {
		other := newListBench(t, func(cfg *ListerConfig) { cfg.Store, cfg.Minimum = first, int64(n+2) })
		listers = append(listers, other.Lister)
	}
	for block := range byte(20) {
		names := make([][32]byte, len(listers))
		var group sync.WaitGroup
		for i, l := range listers {
			group.Go(func() {
				p, err := l.Payees(t.Context(), chainhash.Hash{block}, int32(block)+1, regtestBits)
				if err != nil {
					t.Error(err)
					return
				}
				names[i] = p.Name()
			})
		}
		group.Wait()
		if d := slices.Compact(slices.Clone(names)); len(d) != 1 {
			t.Fatalf("on block %d gateways have %d lists", block, len(d))
		}
	}
	// After a restart, with other shares by now, it is still the same.
	again := newListBench(t, func(cfg *ListerConfig) { cfg.Store = first })
	again.credits = nil
	if a, b := again.on(t, 5, regtestBits), first.on(t, 5, regtestBits); a.Name() != b.Name() || len(a.Payees) != 3 {
		t.Errorf("after a restart the list is %+v", a)
	}
}

// TestListerFails makes no list of what it cannot read, and commits none then.
func TestListerFails(t *testing.T) {
	owed := func(b **listBench) func(*ListerConfig) {
		return func(cfg *ListerConfig) {
			cfg.Owed = func(context.Context, chainhash.Hash) ([]Credit, error) { return nil, (*b).begin("owed") }
		}
	}
	for _, what := range []string{"window", "clock", "owed", "list", "commit"} {
		var b *listBench
		b = newListBench(t, owed(&b))
		b.set(what, true)
		if p, err := b.Payees(t.Context(), chainhash.Hash{1}, 1, regtestBits); !errors.Is(err, errTest) || p != nil || len(b.texts) != 0 {
			t.Errorf("%s: %v, %v, %d lists", what, p, err, len(b.texts))
		}
		b.set(what, false)
		if l := b.on(t, 1, regtestBits); len(l.Payees) != 3 {
			t.Errorf("%s: afterwards %+v", what, l)
		}
	}
	b := newListBench(t, nil)
	if _, err := b.Payees(t.Context(), chainhash.Hash{1}, 1, 0); err == nil {
		t.Error("there is a list without a network target")
	}
	b.texts[chainhash.Hash{1}] = []byte("{}")
	if _, err := b.Payees(t.Context(), chainhash.Hash{1}, 1, regtestBits); !errors.Is(err, ErrList) {
		t.Errorf("what is no list: error %v", err)
	}
	b.on(t, 2, regtestBits)
	b.texts[chainhash.Hash{1}] = b.texts[chainhash.Hash{2}]
	if _, err := b.Payees(t.Context(), chainhash.Hash{1}, 1, regtestBits); !errors.Is(err, ErrList) {
		t.Errorf("the list of another block: error %v", err)
	}
	mainnet := newListBench(t, func(cfg *ListerConfig) { cfg.Chain = &chaincfg.MainNetParams })
	if _, err := mainnet.Payees(t.Context(), chainhash.Hash{1}, 1, 0x1703a30c); err == nil || !strings.Contains(err.Error(), "units") {
		t.Errorf("weights in another unit: error %v", err)
	}
}

// TestListerOfAnotherAddress follows the list of a gateway that pays the pool elsewhere, and says so.
func TestListerOfAnotherAddress(t *testing.T) {
	b := newListBench(t, nil)
	b.on(t, 1, regtestBits)
	other := newListBench(t, func(cfg *ListerConfig) { cfg.Store, cfg.Pool = b, p2wpkh(2) })
	if l := other.on(t, 1, regtestBits); !slices.Equal(l.Pool, p2wpkh(1)) || !strings.Contains(other.log.String(), "payout_address") {
		t.Errorf("the pool's script is %x; the log says %s", l.Pool, other.log.String())
	}
}

// TestListerPrepares has a window ready for each new block, as long as it is fresh and large enough.
func TestListerPrepares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newListBench(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Hour)
		if n := b.reads(); n != 0 {
			t.Errorf("%d windows were read before the first block", n)
		}
		b.on(t, 1, regtestBits)
		time.Sleep(prepareEvery + time.Millisecond)
		before := b.reads()
		b.set("window", true) // there is no need for one
		b.on(t, 2, regtestBits)
		b.set("window", false)
		b.on(t, 3, hardBits)
		if n := b.reads() - before; n != 1 {
			t.Errorf("%d windows were read at the retarget, want 1", n)
		}
		time.Sleep(prepareEvery)
		b.set("window", true)
		time.Sleep(prepareUse - prepareEvery)
		b.on(t, 4, hardBits)
		time.Sleep(2 * prepareEvery)
		if _, err := b.Payees(t.Context(), chainhash.Hash{5}, 5, hardBits); !errors.Is(err, errTest) {
			t.Errorf("with what is too old: error %v", err)
		}
		b.set("window", false)
		time.Sleep(prepareEvery)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, text := range []string{"no window is ready", "ready for the next coinbase again"} {
			if n := strings.Count(b.log.String(), text); n != 1 {
				t.Errorf("%q is logged %d times:\n%s", text, n, b.log.String())
			}
		}
	})
}

// TestListerWithSlowWindows comes to serve although nobody waits long enough for a window, and reads
// none most of the time.
func TestListerWithSlowWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newListBench(t, nil)
		b.slow = 6 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		ask := func() error {
			short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := b.Payees(short, chainhash.Hash{1}, 1, regtestBits)
			return err
		}
		if err := ask(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first time: error %v", err)
		}
		time.Sleep(10 * time.Second)
		if err := ask(); err != nil {
			t.Errorf("when one is ready: %v", err)
		}
		before := b.reads()
		time.Sleep(time.Hour)
		if n := b.reads() - before; n < 50 || n > 60 {
			t.Errorf("%d windows in an hour", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestListerHealsTheStore puts a list back that the store has lost, and says so if another came in its
// place.
func TestListerHealsTheStore(t *testing.T) {
	b := newListBench(t, nil)
	l := b.on(t, 1, regtestBits)
	clear(b.texts)
	if err := b.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := DecodeList(b.texts[chainhash.Hash{1}]); err != nil || again.Name() != l.Name() {
		t.Errorf("put back: %+v, %v", again, err)
	}
	b.texts[chainhash.Hash{1}] = []byte("another")
	if err := b.prepare(t.Context()); !errors.Is(err, ErrList) {
		t.Errorf("another in its place: error %v", err)
	}
}

// TestListerConfig refuses what makes no sense.
func TestListerConfig(t *testing.T) {
	for name, change := range map[string]func(*ListerConfig){
		"no store": func(c *ListerConfig) { c.Store = nil }, "no windows": func(c *ListerConfig) { c.Windows = nil },
		"no clock": func(c *ListerConfig) { c.Clock = nil }, "no scripts": func(c *ListerConfig) { c.Script = nil },
		"no pool": func(c *ListerConfig) { c.Pool = nil }, "no chain": func(c *ListerConfig) { c.Chain = nil },
		"solo": func(c *ListerConfig) { c.Terms.Scheme = SOLO }, "a fee above all": func(c *ListerConfig) { c.Terms.Fee = Whole + 1 },
		"no minimum": func(c *ListerConfig) { c.Minimum = 0 }, "no outputs": func(c *ListerConfig) { c.MaxOutputs = 0 },
		"no room": func(c *ListerConfig) { c.MaxWeight = 123 }, "too many": func(c *ListerConfig) { c.MaxOutputs = maxListPayees + 1 },
	} {
		cfg := newListBench(t, nil).ListerConfig
		change(&cfg)
		if _, err := NewLister(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
