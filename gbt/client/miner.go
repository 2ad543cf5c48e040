package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/gbt"
)

// MinerConfig configures a Miner.
type MinerConfig struct {
	// Client speaks with the server. Required.
	Client *Client
	// Options shape the blocks.
	Options Options
	// Target is the share target to ask for; zero asks for none.
	Target gbt.Target
	// SizeLimit is the most bytes that a block should take; 0 asks for nothing.
	SizeLimit int64
	// Policy chooses the transactions; nil takes the server's. What it chooses is proposed to the
	// server while the server's template is mined as it is given, which goes on if the choice
	// fails or is refused.
	Policy Policy
	// Node, if set, is the miner's own node, whose template is offered to Policy.
	Node *Client
	// Hasher does the work; default the processor.
	Hasher Hasher
	// Threads is the number of goroutines that hash; default one for each processor.
	Threads int
	// HashRate limits hashing, in hashes per second over all threads; 0 for no limit.
	HashRate float64
	// Events, if set, hears what happens. It is called from several goroutines, must not block,
	// and must not keep the Event's Template from being collected for long.
	Events func(Event)
}

// EventKind says what an Event is about.
type EventKind int

// The kinds of event.
const (
	// NewWork says that mining goes on with Template.
	NewWork EventKind = iota
	// Verdict says what the server ruled on a block, in Reason; empty is accepted.
	Verdict
	// Choice says what became of the Policy's choice. With an empty Reason, Template is it: declared
	// work, or the server's own template if the choice is the same. Otherwise the server refused
	// it, and Template is the server's, which is mined as it is given.
	Choice
	// Trouble says that something went wrong, in Err. What can be tried again is.
	Trouble
)

// Event is something that happened to a Miner.
type Event struct {
	Kind EventKind
	Time time.Time
	// Template is the new work, or what the block of a verdict was made of.
	Template *Template
	// Hash is the block's and Reason the verdict on it. Detail says more of a refusal, in the
	// server's words.
	Hash   chainhash.Hash
	Reason gbt.Reason
	Detail string
	// Block reports whether the hash meets the network target, not just the share target.
	Block bool
	Err   error
}

// Stats is what a Miner has done so far.
type Stats struct {
	// Hashes is the number of nonces tried.
	Hashes uint64
	// Accepted is the number of shares and blocks that the server took, Blocks of those that meet
	// the network target, and Refused of those it did not take.
	Accepted, Blocks int
	Refused          map[gbt.Reason]int
	// Declared is the number of accepted shares and blocks that were of declared work.
	Declared int
	// Dropped is the number of shares that were not sent, because they were worthless by then, the
	// server was away for too long, or takes them more slowly than they are found.
	Dropped int
	// Best is the lowest hash that was accepted, as a target; zero if there is none.
	Best gbt.Target
	// Height is of the block being mined; 0 at first.
	Height int32
}

// Miner mines for one server.
type Miner struct {
	cfg     MinerConfig
	work    atomic.Pointer[work]
	numbers atomic.Uint32 // see work
	// validFrom is the serial of the oldest work that is worth submitting shares of.
	validFrom atomic.Uint64
	// solves and shares wait to be submitted. They are apart so that a block never waits for shares.
	solves, shares chan found
	// crowded is set while shares are dropped because there are too many.
	crowded atomic.Bool
	hashes  atomic.Uint64

	// offered is the server's latest template and own the one of the miner's own node. news says
	// that one has changed.
	offered atomic.Pointer[offered]
	own     atomic.Pointer[Template]
	news    chan struct{}

	mu    sync.Mutex
	stats Stats // held by mu; Hashes is not used
}

// NewMiner makes a Miner.
func NewMiner(cfg MinerConfig) (*Miner, error) {
	if cfg.Client == nil {
		return nil, errors.New("miner: Client is required")
	}
	if cfg.Node != nil && cfg.Policy == nil {
		return nil, errors.New("miner: Node is of no use without a Policy")
	}
	if cfg.Threads < 0 || cfg.HashRate < 0 {
		return nil, errors.New("miner: Threads and HashRate must not be negative")
	}
	if cfg.Threads == 0 {
		cfg.Threads = runtime.GOMAXPROCS(0)
	}
	if cfg.Hasher == nil {
		cfg.Hasher = hashOnProcessor
	}
	if cfg.Events == nil {
		cfg.Events = func(Event) {}
	}
	m := &Miner{
		cfg: cfg, solves: make(chan found, maxSolves), shares: make(chan found, maxShares),
		news:  make(chan struct{}, 1),
		stats: Stats{Refused: make(map[gbt.Reason]int)},
	}
	m.work.Store(noWork())
	// Miners at one node with the same coinbase should not try the same blocks.
	m.numbers.Store(rand.Uint32()) //nolint:gosec // nothing depends on nobody guessing it
	return m, nil
}

// Stats returns what the miner has done so far.
func (m *Miner) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.stats
	out.Hashes, out.Refused = m.hashes.Load(), maps.Clone(m.stats.Refused)
	return out
}

// Run mines until ctx ends, which is no error; what has been found by then is still sent if that
// takes no longer than a second. It fails if the server refuses the user or the options do not fit
// the server's templates, since only a person can help then. It can be called once.
func (m *Miner) Run(ctx context.Context) error {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var senders sync.WaitGroup
	senders.Go(func() { m.send(sending, m.solves) })
	for range shareSenders {
		senders.Go(func() { m.send(sending, m.shares) })
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.follow(ctx) })
	if m.cfg.Policy != nil {
		g.Go(func() error { return m.choose(ctx) })
	}
	if m.cfg.Node != nil {
		g.Go(func() error { return m.followNode(ctx) })
	}
	for range m.cfg.Threads {
		g.Go(func() error { return m.mine(ctx) })
	}
	err := g.Wait()
	close(m.solves)
	close(m.shares)
	late := time.AfterFunc(sendLate, cut)
	defer late.Stop()
	senders.Wait()
	return err
}

// mine hashes whatever the work is until ctx ends.
func (m *Miner) mine(ctx context.Context) error {
	p := pace{perSecond: m.cfg.HashRate / float64(m.cfg.Threads), start: time.Now()}
	for {
		w := m.work.Load()
		for w.done.Err() == nil {
			next, err := w.next(time.Now())
			if errors.Is(err, ErrExhausted) {
				exhausted(w)
				break
			}
			if err != nil {
				return err
			}
			if err := m.scan(next, &p); err != nil {
				return err
			}
		}
		select {
		case <-w.replaced:
		case <-ctx.Done():
			return nil
		}
	}
}

// scan tries all nonces of a piece, or as many as it gets to until the work is done.
func (m *Miner) scan(next *piece, p *pace) error {
	w, header := next.work, &next.block.Header
	for first := uint64(next.first); first <= uint64(next.last); {
		if !p.wait(w.done) {
			return nil
		}
		header.Timestamp = time.Unix(w.template.Time(time.Now()), 0)
		var raw bytes.Buffer
		if err := header.Serialize(&raw); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		count := min(p.batch(), uint32(uint64(next.last)-first+1))
		nonces := m.cfg.Hasher([wire.MaxBlockHeaderPayload]byte(raw.Bytes()), w.template.Target, uint32(first), int(count))
		m.hashes.Add(uint64(count))
		p.made(count)
		for _, nonce := range nonces {
			if f, ok := next.found(nonce); ok {
				m.queue(f)
			}
		}
		first += uint64(count)
	}
	return nil
}

// exhausted gives work up that has no more nonces, and asks for other work, but not more than once
// a second.
func exhausted(w *work) {
	timer := time.NewTimer(time.Until(w.template.Received.Add(firstDelay)))
	defer timer.Stop()
	select {
	case <-timer.C:
		w.renew()
	case <-w.done.Done():
	}
	w.end()
}

// event tells of something that happened.
func (m *Miner) event(e Event) {
	e.Time = time.Now()
	m.cfg.Events(e)
}

// count changes the stats.
func (m *Miner) count(change func(*Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.stats)
}
