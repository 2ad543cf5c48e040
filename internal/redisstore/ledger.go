package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// LedgerConfig configures a Ledger. All but ID is required.
type LedgerConfig struct {
	Client *Client
	// Chain and Unit are what the ledger must be for.
	Chain string
	Unit  shares.Unit
	// ID is the ledger that this gateway has written to before; empty if none. Another one is
	// shares.ErrForeign.
	ID string
	// Gateway names this process among all that write: no two at a time have the same.
	Gateway string
	// Process tells this process from another one of the same name: a random text.
	Process string
	Now     func() time.Time
	Log     *slog.Logger
}

// Ledger is the share ledger of a pool. It implements shares.Ledger, shares.Books, shares.Figures,
// shares.Histories and shares.Upkeep. Before Open has succeeded everything is shares.ErrAway.
type Ledger struct {
	*Client
	cfg LedgerConfig
	// open is set once.
	open  atomic.Pointer[opened]
	ready chan struct{}
	// waitAOF has each group wait until Redis has synced it to its disk.
	waitAOF atomic.Bool
	queue   *queue
	// idle are places for shares on their way, to be used again.
	idle sync.Pool
	// needs is what Trim has found out about blocks that were not released.
	needs atomic.Pointer[map[chainhash.Hash][]shares.Position]
}

// opened is what is known of a ledger once it has been looked at.
type opened struct {
	Genesis
	parts []part
}

// NewLedger makes a Ledger. Call Open, and Run to have shares committed.
func NewLedger(cfg LedgerConfig) (*Ledger, error) {
	if cfg.Client == nil || cfg.Now == nil || cfg.Log == nil || cfg.Gateway == "" || cfg.Chain == "" {
		return nil, errors.New("ledger: Client, Chain, Gateway, Now and Log are required")
	}
	l := &Ledger{Client: cfg.Client, cfg: cfg, queue: newQueue(), ready: make(chan struct{})}
	l.needs.Store(new(map[chainhash.Hash][]shares.Position))
	return l, nil
}

// Open looks whether the right ledger is there. It fails with shares.ErrAway for as long as Redis
// cannot be asked, and with shares.ErrForeign if it is another's or empty.
func (l *Ledger) Open(ctx context.Context) error {
	g, err := l.Genesis(ctx)
	if err != nil {
		return err
	}
	switch {
	case g.Chain != l.cfg.Chain || g.Unit != l.cfg.Unit:
		return fmt.Errorf("%w: it counts chain %s in units of 2^%d hashes, this pool %s in 2^%d",
			shares.ErrForeign, g.Chain, g.Unit, l.cfg.Chain, l.cfg.Unit)
	case l.cfg.ID != "" && g.Ledger != l.cfg.ID:
		return fmt.Errorf("%w: it is ledger %s, but this gateway's shares are in ledger %s", shares.ErrForeign, g.Ledger, l.cfg.ID)
	}
	o := &opened{Genesis: g}
	for p := range g.Partitions {
		o.parts = append(o.parts, l.keys.part(p))
	}
	if old := l.open.Load(); old != nil && old.Ledger != g.Ledger {
		return fmt.Errorf("%w: it is ledger %s, but was %s before", shares.ErrForeign, g.Ledger, old.Ledger)
	}
	if l.open.Swap(o) == nil {
		close(l.ready)
	}
	return nil
}

// Reached returns a channel that is closed once Open has succeeded.
func (l *Ledger) Reached() <-chan struct{} { return l.ready }

// opened returns what Open found.
func (l *Ledger) opened() (*opened, error) {
	o := l.open.Load()
	if o == nil {
		return nil, fmt.Errorf("%w: redis has not been reached yet", shares.ErrAway)
	}
	return o, nil
}

// ID returns the ledger's id; empty before Open.
func (l *Ledger) ID() string {
	if o := l.open.Load(); o != nil {
		return o.Ledger
	}
	return ""
}

// Unit returns what its weights count in.
func (l *Ledger) Unit() shares.Unit { return l.cfg.Unit }

// of returns the partition of an account.
func (o *opened) of(account string) (int, part) {
	p := partitionOf(account, o.Partitions)
	return p, o.parts[p]
}

// errStopping is what shares fail with when nothing is committed any more.
var errStopping = fmt.Errorf("%w: the gateway is shutting down", shares.ErrAway)

// SetWaitAOF has each group of shares wait until Redis has synced it to its disk, for servers that can and
// whose appendfsync is not always.
func (l *Ledger) SetWaitAOF(wait bool) { l.waitAOF.Store(wait) }

// Run commits shares until ctx ends, once. What is waiting then, or comes later, fails with shares.ErrAway.
func (l *Ledger) Run(ctx context.Context) error {
	defer l.queue.close(errStopping)
	select {
	case <-l.ready:
	case <-ctx.Done():
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	o := l.open.Load()
	for range o.Partitions {
		g.Go(func() error {
			l.commit(ctx, newTrip(l, o))
			return nil
		})
	}
	return g.Wait()
}

// Record implements shares.Ledger.
func (l *Ledger) Record(ctx context.Context, share *shares.Share) (shares.Receipt, error) {
	w, err := l.prepare(share)
	if err != nil {
		return shares.Receipt{}, err
	}
	l.queue.put(w)
	r := l.await(ctx, w)
	return r.Receipt, r.Err
}

// RecordAll implements shares.Ledger.
func (l *Ledger) RecordAll(ctx context.Context, list []*shares.Share) []shares.Recorded {
	out := make([]shares.Recorded, len(list))
	sent := make([]*pending, len(list))
	for i, share := range list {
		sent[i], out[i].Err = l.prepare(share)
	}
	l.queue.put(sent...)
	for i, w := range sent {
		if w != nil {
			out[i] = l.await(ctx, w)
		}
	}
	return out
}

// prepare makes a share ready to be queued.
func (l *Ledger) prepare(share *shares.Share) (*pending, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	if err := check(share, o.Unit); err != nil {
		return nil, err
	}
	w, ok := l.idle.Get().(*pending)
	if !ok {
		w = &pending{done: make(chan shares.Recorded, 1)}
	}
	w.share, w.partition = share, partitionOf(share.Account, o.Partitions)
	return w, nil
}

// await waits for what becomes of a share.
func (l *Ledger) await(ctx context.Context, w *pending) shares.Recorded {
	select {
	case r := <-w.done:
		share := w.share
		w.share = nil
		l.idle.Put(w)
		if share.Found != nil && (r.Err == nil || errors.Is(r.Err, shares.ErrDuplicate)) {
			l.cutRest(ctx, share)
		}
		return r
	case <-ctx.Done(): // it is still on its way, so what it has is not to be used again
		return shares.Recorded{Err: fmt.Errorf("%w: waiting for redis: %w", shares.ErrAway, ctx.Err())}
	}
}

// cutRest ends the round of a found block in the other partitions.
func (l *Ledger) cutRest(ctx context.Context, share *shares.Share) {
	o := l.open.Load()
	own, _ := o.of(share.Account)
	err := l.cutElsewhere(ctx, o, share.Hash, own)
	if err != nil {
		// The share and its block are safe; whoever reads the block's round cuts the rest.
		l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "block not frozen in all partitions yet", slog.Any("error", err))
	}
}

// check refuses what no ledger can hold.
func check(share *shares.Share, unit shares.Unit) error {
	switch {
	case share.Weight < 0 || share.Weight > shares.MaxWeight:
		return fmt.Errorf("%w: a share of %d", shares.ErrWeight, share.Weight)
	case share.Unit != unit:
		return fmt.Errorf("%w: a share counted in units of 2^%d in a ledger of 2^%d", shares.ErrForeign, share.Unit, unit)
	case share.Account == "":
		return errors.New("ledger: a share without account")
	default:
		return nil
	}
}
