package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
)

// SetConfig configures a Set. A duration that is zero takes its default.
type SetConfig struct {
	// Nodes are the full nodes, the preferred one first. At least one, with names of their own.
	Nodes []Node
	// Hints brings notifications of new blocks by the name of the node that they come from, such
	// as ZMQ's. Optional: without it new blocks are noticed by long polls and the watchdog.
	Hints map[string]<-chan Hint
	// Chain is the chain to mine on, as Info names it. A node on another one is not used. Required.
	Chain string

	// WatchEvery is how often a node is asked for its best block; default 1 s.
	WatchEvery time.Duration
	// InfoEvery is how often a node is asked about itself; default 30 s.
	InfoEvery time.Duration
	// ProbeTimeout bounds those questions, and a node's part in a vote; default 3 s.
	ProbeTimeout time.Duration
	// CallTimeout bounds templates (but not long polls), proposals and each attempt to submit a
	// block; default 30 s.
	CallTimeout time.Duration

	// LeaveAfter is how long a node may be in trouble before it counts as lost; default 5 s.
	LeaveAfter time.Duration
	// StableFor is how long a preferred node must be without trouble before it leads again, and
	// how long a leader leads at least while it is as good; default 1 min.
	StableFor time.Duration
	// LostAfter is how long the last template stays good once no node backs it; default 30 s.
	LostAfter time.Duration
	// TipHold is how long the word of a lost node counts: until then nothing is built on a chain
	// with less work than it last named; default 1 min.
	TipHold time.Duration

	// SubmitFor is how long a found block is offered to a node that does not answer; default 2 min.
	SubmitFor time.Duration
	// DrainFor is how long Run waits at its end for blocks that are being offered; default 10 s.
	DrainFor time.Duration

	// Answered, if set, hears of each found block how long after it came a node had taken it for good or
	// refused it, or that it never did either; see BlockCounts. It must not block.
	Answered func(node string, what BlockResult, after time.Duration)

	// Now is the clock. Required.
	Now func() time.Time
	// Log gets one line for each change of a node's state and of the leader. Required.
	Log *slog.Logger
}

// tick is how often the passing of time alone is looked at.
const tick = 250 * time.Millisecond

// Set follows any number of full nodes and speaks for them: it implements gbt.Source and
// gbt.Network, and payouts.Chain and payouts.Network, which ask the nodes anew at each call. The node
// with the most work leads. It is safe for concurrent use.
type Set struct {
	cfg      SetConfig
	watchers []*watcher
	reports  chan report
	news     chan gbt.News // holds at most the latest
	status   atomic.Pointer[[]Status]
	orders   atomic.Pointer[[]Order] // by node
	ordered  chan struct{}           // has orders looked at now
	counts   []counts
	offers   *offers
	sends    *offers // of transactions
}

var (
	_ gbt.Source  = (*Set)(nil)
	_ gbt.Network = (*Set)(nil)

	_ payouts.Chain   = (*Set)(nil)
	_ payouts.Network = (*Set)(nil)

	_ Node = (*RPC)(nil)
)

// NewSet makes a Set. Call Run to start it.
func NewSet(cfg SetConfig) (*Set, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	s := &Set{
		cfg: cfg, reports: make(chan report), news: make(chan gbt.News, 1),
		counts: make([]counts, len(cfg.Nodes)), offers: newOffers(), sends: newOffers(), ordered: make(chan struct{}, 1),
	}
	none := noOrders(&s.cfg)
	s.orders.Store(&none)
	index := newWorkIndex()
	for i, n := range cfg.Nodes {
		s.watchers = append(s.watchers, newWatcher(s, i, n, index))
	}
	first := newLead(&s.cfg).snapshot(cfg.Now())
	s.status.Store(&first)
	return s, nil
}

// complete checks the configuration and fills in defaults.
func (c *SetConfig) complete() error {
	if len(c.Nodes) == 0 || c.Chain == "" || c.Now == nil || c.Log == nil {
		return errors.New("at least one node, Chain, Now and Log are required")
	}
	names := make(map[string]bool)
	for _, n := range c.Nodes {
		if names[n.Name()] {
			return fmt.Errorf("two nodes are named %q: give each its own name", n.Name())
		}
		names[n.Name()] = true
	}
	for name := range c.Hints {
		if !names[name] {
			return fmt.Errorf("hints are from %q, but no node is named so", name)
		}
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.WatchEvery, time.Second}, {&c.InfoEvery, 30 * time.Second}, {&c.ProbeTimeout, 3 * time.Second},
		{&c.CallTimeout, 30 * time.Second}, {&c.LeaveAfter, 5 * time.Second}, {&c.StableFor, time.Minute},
		{&c.LostAfter, 30 * time.Second}, {&c.TipHold, time.Minute}, {&c.SubmitFor, 2 * time.Minute},
		{&c.DrainFor, 10 * time.Second},
	} {
		if *d.value < 0 {
			return errors.New("a duration is negative")
		}
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	return nil
}

// Run follows the nodes until ctx ends, then waits for blocks that are being offered. Transactions it
// does not wait for: those are offered again at the next start. No trouble with a node ends it.
func (s *Set) Run(ctx context.Context) error {
	g, following := errgroup.WithContext(ctx)
	for _, w := range s.watchers {
		g.Go(func() error { w.watch(following); return nil })
		g.Go(func() error { w.fetch(following); return nil })
	}
	g.Go(func() error { s.follow(following); return nil })
	err := g.Wait()
	s.sends.drain(0)
	if left := s.offers.drain(s.cfg.DrainFor); left > 0 {
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "shut down before all nodes answered for a found block", slog.Int("offers", left))
	}
	return err
}

// Next implements gbt.Source.
func (s *Set) Next(ctx context.Context) (gbt.News, error) {
	select {
	case news := <-s.news:
		return news, nil
	case <-ctx.Done():
		return gbt.News{}, ctx.Err()
	}
}

// follow turns reports into news and status. It alone owns the lead.
func (s *Set) follow(ctx context.Context) {
	l := newLead(&s.cfg)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.reports:
			l.apply(r)
		case <-ticker.C:
		case <-s.ordered:
		}
		l.orders = *s.orders.Load()
		now := s.cfg.Now()
		if news, changed := l.decide(now); changed {
			s.tell(news)
		}
		for i, w := range s.watchers {
			w.setIdle(l.aside[i])
		}
		status := l.snapshot(now)
		s.logChanges(ctx, *s.status.Swap(&status), status)
	}
}

// tell puts news in the place of what nobody has read yet. Only follow calls it.
func (s *Set) tell(news gbt.News) {
	select {
	case <-s.news:
	default:
	}
	s.news <- news
}

// logChanges writes a line for each node whose state differs and for a new leader.
func (s *Set) logChanges(ctx context.Context, before, after []Status) {
	for i := range after {
		b, a := &before[i], &after[i]
		if a.State != b.State {
			level := slog.LevelWarn
			if a.State == OK || a.State == Starting {
				level = slog.LevelInfo
			}
			s.cfg.Log.LogAttrs(ctx, level, "node state", slog.String("node", a.Name),
				slog.String("state", string(a.State)), slog.String("before", string(b.State)),
				slog.String("reason", a.Reason), slog.String("version", a.Info.Version),
				slog.String("chain", a.Info.Chain), slog.Int("height", int(a.Height)))
		}
		if a.Leading && !b.Leading {
			s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "node leads", slog.String("node", a.Name),
				slog.Int("height", int(a.Height)), slog.String("best", a.Best.String()))
		}
	}
}
