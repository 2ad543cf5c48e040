package payouts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// NodeReserve is what full nodes leave free of their templates for the header, the transaction count and the
// coinbase unless they are told otherwise, in weight units, and ListWeight what of it outputs may take.
const (
	NodeReserve = 8000
	ListWeight  = NodeReserve - gbt.CoinbaseBase
)

const (
	// listMargin is how long ago the windows of lists end: the ledger's clock has passed their end on all
	// servers of a cluster, and whatever is recorded later has a later place.
	listMargin = 2 * time.Second
	// Windows are prepared at least so far apart, nine times as far as one takes to read, and at most so far.
	prepareEvery = 3 * time.Second
	prepareRest  = 9
	prepareMost  = time.Minute
	// prepareUse is for how long a prepared window is used.
	prepareUse = 2 * time.Minute
)

// ListStore keeps the lists of payees, one for each previous block, for as long as blocks that pay by them
// may be credited. Implementations are safe for concurrent use.
type ListStore interface {
	// Commit stores a list as the one of a previous block unless there is one, and returns the one that is
	// there then. It returns once that is as durable as the store makes it.
	Commit(ctx context.Context, previous chainhash.Hash, text []byte) ([]byte, error)
	// List returns the list of a previous block, or ErrNotFound.
	List(ctx context.Context, previous chainhash.Hash) ([]byte, error)
}

// Windows is what a Lister reads of the share ledger.
type Windows interface {
	// WindowAt is that of shares.Books.
	WindowAt(ctx context.Context, end shares.Position, size shares.Weight) (shares.Window, error)
}

// ListerConfig configures a Lister.
type ListerConfig struct {
	// Windows is the share ledger, Clock its clock, which orders shares, and Store where the lists lie.
	// Required.
	Windows Windows
	Clock   func(ctx context.Context) (time.Time, error)
	Store   ListStore
	// Terms are what the window's accounts were promised. The scheme has to be PPLNS.
	Terms Terms
	// Minimum, MaxOutputs and MaxWeight are those of the lists; ListWeight is what nodes leave room for.
	Minimum    int64
	MaxOutputs int
	MaxWeight  int64
	// Script returns the script of an account. An account without one is paid by settlements. Required.
	Script func(account string) ([]byte, error)
	// Pool is the script of the pool's own output. Required.
	Pool []byte
	// Owed returns what accounts are owed from earlier blocks and get from coinbases too, in satoshis. What
	// a block that previous builds on has paid already must not be among it, whether that block is credited
	// or not. nil has coinbases pay for nothing but the window.
	Owed func(ctx context.Context, previous chainhash.Hash) ([]Credit, error)
	// Chain is the chain in use. Required.
	Chain *chaincfg.Params
	// Now is the clock, and Log gets what needs an operator. Required.
	Now func() time.Time
	Log *slog.Logger
}

func (cfg *ListerConfig) validate() error {
	switch {
	case cfg.Windows == nil || cfg.Clock == nil || cfg.Store == nil || cfg.Script == nil || len(cfg.Pool) == 0 || cfg.Chain == nil || cfg.Now == nil || cfg.Log == nil:
		return errors.New("lister: Windows, Clock, Store, Script, Pool, Chain, Now and Log are required")
	case cfg.Terms.Scheme != PPLNS:
		return fmt.Errorf("lister: %w: coinbases pay accounts under pplns, not under %s: choose pplns, or pay by settlements", ErrTerms, cfg.Terms.Scheme)
	case cfg.Minimum < 1 || cfg.Minimum > MaxMoney:
		return fmt.Errorf("lister: Minimum is %d sat, want 1 at least", cfg.Minimum)
	case cfg.MaxOutputs < 1 || cfg.MaxOutputs > maxListPayees:
		return fmt.Errorf("lister: MaxOutputs is %d, want 1 to %d", cfg.MaxOutputs, maxListPayees)
	case cfg.MaxWeight < gbt.OutputWeight(cfg.Pool):
		return fmt.Errorf("lister: MaxWeight is %d, too little for the pool's own output of %d", cfg.MaxWeight, gbt.OutputWeight(cfg.Pool))
	}
	return cfg.Terms.Check()
}

// Lister has coinbases pay the accounts of a PPLNS window directly. For each previous block it makes one
// list, which all gateways of the pool share because the store keeps the first. It implements
// gbt.Coinbaser and is safe for concurrent use.
type Lister struct {
	cfg ListerConfig

	mu sync.Mutex
	// All below is held by mu. bits are those of the newest block that was asked for, at height, and ready
	// is the window that was prepared for it. newest is the list that was committed there, on previous; nil
	// before.
	bits     uint32
	height   int32
	ready    *readyWindow
	previous chainhash.Hash
	newest   []byte
}

// readyWindow is a window that was read ahead of its use.
type readyWindow struct {
	shares.Window
	end shares.Position
	at  time.Time
}

// NewLister makes a Lister. Call Run to have windows prepared.
func NewLister(cfg ListerConfig) (*Lister, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Lister{cfg: cfg}, nil
}

// Payees implements gbt.Coinbaser. They are a *List.
func (l *Lister) Payees(ctx context.Context, previous chainhash.Hash, height int32, bits uint32) (gbt.Payees, error) {
	l.expect(height, bits)
	text, err := l.cfg.Store.List(ctx, previous)
	if errors.Is(err, ErrNotFound) {
		text, err = l.make(ctx, previous, height, bits)
	}
	if err == nil {
		// Also what another gateway has made: it may not be on disk yet.
		text, err = l.cfg.Store.Commit(ctx, previous, text)
	}
	if err != nil {
		return nil, fmt.Errorf("list of payees on %s: %w", previous, err)
	}
	list, err := DecodeList(text)
	if err != nil {
		return nil, err
	}
	if list.Previous != previous {
		return nil, fmt.Errorf("%w: it is on %s and lies where that on %s should", ErrList, list.Previous, previous)
	}
	if !slices.Equal(list.Pool, l.cfg.Pool) {
		l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "coinbases on this block pay another payout_address than this gateway's: its list was made by a gateway that had another",
			slog.String("previous", previous.String()), slog.String("script", hex.EncodeToString(list.Pool)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if height == l.height {
		l.previous, l.newest = previous, text
	}
	return list, nil
}

// expect notes what windows will be asked for, also by who gives up before one is read.
func (l *Lister) expect(height int32, bits uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if height >= l.height {
		l.bits, l.height, l.newest = bits, height, nil
	}
}

// make makes the list on a block.
func (l *Lister) make(ctx context.Context, previous chainhash.Hash, height int32, bits uint32) ([]byte, error) {
	w, err := l.window(ctx, bits)
	if err != nil {
		return nil, err
	}
	var owed []Credit
	if l.cfg.Owed != nil {
		if owed, err = l.cfg.Owed(ctx, previous); err != nil {
			return nil, fmt.Errorf("what accounts are owed: %w", err)
		}
	}
	list := l.list(ctx, w, previous, height, owed)
	if err := list.Check(); err != nil {
		return nil, err
	}
	return list.Encode()
}

// window returns the window to pay: the prepared one, or else one that is read now.
func (l *Lister) window(ctx context.Context, bits uint32) (*readyWindow, error) {
	size, err := l.size(bits)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	ready := l.ready
	l.mu.Unlock()
	if ready != nil && ready.Size == size && l.cfg.Now().Sub(ready.at).Abs() <= prepareUse {
		return ready, nil
	}
	return l.read(ctx, size)
}

// size is that of windows at a network target.
func (l *Lister) size(bits uint32) (shares.Weight, error) {
	target, err := gbt.TargetFromBits(bits)
	if err != nil {
		return 0, fmt.Errorf("network target: %w", err)
	}
	network, err := shares.UnitOf(l.cfg.Chain).Network(target)
	if err != nil {
		return 0, err
	}
	multiple := shares.Weight(l.cfg.Terms.Multiple)
	if network > shares.MaxWeight/multiple {
		return shares.MaxWeight, nil
	}
	return network * multiple, nil
}

// read reads a window that ended a moment ago.
func (l *Lister) read(ctx context.Context, size shares.Weight) (*readyWindow, error) {
	clock, err := l.cfg.Clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("clock of the ledger: %w", err)
	}
	end := shares.Position{Millis: max(0, clock.Add(-listMargin).UnixMilli())}
	w, err := l.cfg.Windows.WindowAt(ctx, end, size)
	if err != nil {
		return nil, err
	}
	if unit := shares.UnitOf(l.cfg.Chain); w.Unit != unit {
		return nil, fmt.Errorf("the ledger counts in units of 2^%d hashes, this chain in 2^%d", w.Unit, unit)
	}
	return &readyWindow{w, end, l.cfg.Now()}, nil
}

// list makes a list.
func (l *Lister) list(ctx context.Context, w *readyWindow, previous chainhash.Hash, height int32, owed []Credit) *List {
	list := &List{
		Previous: previous, Height: height, End: w.end, Size: w.Size, Total: w.Total, Unit: w.Unit, Fee: l.cfg.Terms.Fee, Bonus: l.cfg.Terms.Bonus,
		Minimum: l.cfg.Minimum, MaxOutputs: l.cfg.MaxOutputs, MaxWeight: l.cfg.MaxWeight, Pool: l.cfg.Pool,
	}
	left := 0
	var why error
	for _, p := range l.order(list, w, owed) {
		if len(list.Payees) == list.MaxOutputs {
			break // there are no outputs for more
		}
		script, err := l.cfg.Script(p.Account)
		if err != nil {
			if left++; why == nil {
				why = fmt.Errorf("%s: %w", p.Account, err)
			}
			continue
		}
		p.Script = script
		list.Payees = append(list.Payees, p)
	}
	if left > 0 {
		l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "accounts have no script that a coinbase could pay: they wait for settlements",
			slog.Int("accounts", left), slog.Any("first", why))
	}
	return list
}

// order returns all who may be paid: whoever gets most of a block that has no fees comes first.
func (l *Lister) order(list *List, w *readyWindow, owed []Credit) []ListPayee {
	all, at := make([]ListPayee, 0, len(w.Credits)), make(map[string]int, len(w.Credits))
	for _, c := range w.Credits {
		at[c.Account] = len(all)
		all = append(all, ListPayee{Account: c.Account, Weight: c.Weight})
	}
	for _, o := range owed {
		if o.Amount <= 0 {
			continue
		}
		i, ok := at[o.Account]
		if !ok {
			i, at[o.Account] = len(all), len(all)
			all = append(all, ListPayee{Account: o.Account})
		}
		all[i].Carry += o.Amount
	}
	value := blockchain.CalcBlockSubsidy(list.Height, l.cfg.Chain)
	value -= part(value, list.Fee)
	value -= part(value, list.Bonus)
	slices.SortFunc(all, func(a, b ListPayee) int {
		return cmp.Or(cmp.Compare(list.portion(value, b.Weight)+b.Carry, list.portion(value, a.Weight)+a.Carry),
			cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Account, b.Account))
	})
	return all
}

// Run prepares windows until ctx ends, so that the list on a new block need not wait for one. It also puts
// the newest list back into a store that has lost it, as after a failover: gateways that did not know it
// would pay others.
func (l *Lister) Run(ctx context.Context) error {
	failing := false
	for {
		start := l.cfg.Now()
		if err := l.prepare(ctx); ctx.Err() == nil {
			l.tell(ctx, failing, err)
			failing = err != nil
		}
		timer := time.NewTimer(min(max(prepareEvery, prepareRest*l.cfg.Now().Sub(start)), prepareMost))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// tell says when windows cease to be ready, and when they are again.
func (l *Lister) tell(ctx context.Context, failing bool, err error) {
	switch {
	case err != nil && !failing:
		l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "no window is ready for the next coinbase", slog.Any("error", err))
	case err == nil && failing:
		l.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "a window is ready for the next coinbase again")
	}
}

// prepare does it once. There is nothing to do before the first block.
func (l *Lister) prepare(ctx context.Context) error {
	l.mu.Lock()
	bits, previous, newest := l.bits, l.previous, l.newest
	l.mu.Unlock()
	if bits == 0 {
		return nil
	}
	there, err := newest, error(nil)
	if newest != nil {
		there, err = l.cfg.Store.Commit(ctx, previous, newest)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(there, newest) {
		return fmt.Errorf("%w: the one on %s is not the one that this gateway's coinbases pay by: the store went back in time, and another gateway made a new one; work of this block may be refused by the other gateways", ErrList, previous)
	}
	size, err := l.size(bits)
	if err != nil {
		return err
	}
	ready, err := l.read(ctx, size)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = ready
	return nil
}
