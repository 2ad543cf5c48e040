package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"golang.org/x/sync/errgroup"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// pollEvery is how often a server without long polling is asked.
	pollEvery = 10 * time.Second
	// scanNonces is how many nonces of a block are tried before its time is set anew.
	scanNonces = 1 << 26
	// queued is how many blocks may wait to be submitted before hashing waits for them.
	queued = 256
	// submitFor is how long a block is offered to a server that gives no verdict.
	submitFor = 2 * time.Minute
)

// MinerConfig configures a Miner.
type MinerConfig struct {
	// Client speaks with the server. Required.
	Client *Client
	// Options shape the blocks.
	Options Options
	// Target is the share target to ask for; zero asks for none.
	Target gbt.Target
	// Threads is the number of hashers; default one for each processor.
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
	// Trouble says that something went wrong, in Err, and is tried again.
	Trouble
)

// Event is something that happened to a Miner.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Template *Template
	// Hash is the block's and Reason the verdict on it.
	Hash   chainhash.Hash
	Reason gbt.Reason
	// Block reports whether the hash meets the network target, not just the share target.
	Block bool
	Err   error
}

// Miner mines for one server on the processor.
type Miner struct {
	cfg    MinerConfig
	work   atomic.Pointer[work]
	news   chan struct{} // gets a token when work is replaced; hashers without work wait for it
	fetch  chan struct{} // gets a token when the template should be fetched anew
	blocks chan found
	hashes atomic.Uint64
	// numbers counts the blocks made where the coinbase can be appended to.
	numbers atomic.Uint32
}

// work is a template being mined.
type work struct {
	assembler *Assembler
	template  *Template
	// done ends when the work should not be mined any more.
	done   context.Context //nolint:containedctx // the work is what it bounds
	end    context.CancelFunc
	number atomic.Uint32 // of the next block, where the coinbase cannot be appended to
	// worthless is set when what was found on the work should not even be submitted.
	worthless atomic.Bool
}

// found is a block that meets the share target.
type found struct {
	block *Block
	hash  chainhash.Hash
	work  *work
	solve bool // the network target is met too
}

// NewMiner makes a Miner.
func NewMiner(cfg MinerConfig) (*Miner, error) {
	if cfg.Client == nil {
		return nil, errors.New("miner: Client is required")
	}
	if cfg.Threads < 0 || cfg.HashRate < 0 {
		return nil, errors.New("miner: Threads and HashRate must not be negative")
	}
	if cfg.Threads == 0 {
		cfg.Threads = runtime.NumCPU()
	}
	if cfg.Events == nil {
		cfg.Events = func(Event) {}
	}
	return &Miner{
		cfg: cfg, news: make(chan struct{}), fetch: make(chan struct{}, 1), blocks: make(chan found, queued),
	}, nil
}

// Hashes returns the number of hashes made so far.
func (m *Miner) Hashes() uint64 { return m.hashes.Load() }

// Run mines until ctx ends, which is no error. It fails if the server refuses the user, since only
// a person can help then.
func (m *Miner) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.follow(ctx) })
	g.Go(func() error { return m.submit(ctx) })
	for range m.cfg.Threads {
		g.Go(func() error { return m.hash(ctx) })
	}
	return g.Wait()
}

// follow keeps the work up to date: a template at first, then long polls.
func (m *Miner) follow(ctx context.Context) error {
	var last *Template
	var b backoff
	for ctx.Err() == nil {
		t, err := m.next(ctx, last)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx is how a miner ends, not a failure
		case err == nil:
			b.succeeded()
			if err := m.adopt(ctx, t); err != nil {
				return err
			}
			last = t
			continue
		case errors.Is(err, errStopped):
			last = nil // asked for a new template
			continue
		case forbidden(err):
			return err
		}
		m.event(Event{Kind: Trouble, Err: err})
		last = nil
		_ = sleep(ctx, b.failed()) // the loop looks at ctx
	}
	return nil
}

// next returns the template after last, or any if last is nil. It fails with errStopped if a
// template should be fetched at once instead.
func (m *Miner) next(ctx context.Context, last *Template) (*Template, error) {
	if last == nil {
		return m.cfg.Client.Template(ctx, Request{Target: m.cfg.Target}, nil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		var expired <-chan time.Time
		if last.Expires > 0 {
			timer := time.NewTimer(time.Until(last.Received.Add(last.Expires)))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-m.fetch:
			cancel(errStopped)
		case <-expired:
			cancel(errStopped)
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-watch }()
	var t *Template
	var err error
	if last.LongPollID == "" {
		if err = sleep(ctx, pollEvery); err == nil {
			t, err = m.cfg.Client.Template(ctx, Request{Target: m.cfg.Target}, nil)
		}
	} else {
		t, err = m.cfg.Client.Template(ctx, Request{LongPollID: last.LongPollID, Target: m.cfg.Target}, last)
	}
	if err != nil && errors.Is(context.Cause(ctx), errStopped) {
		return nil, errStopped
	}
	return t, err
}

// adopt puts a template in place of the one being mined.
func (m *Miner) adopt(ctx context.Context, t *Template) error {
	a, err := NewAssembler(t, m.cfg.Options)
	if err != nil {
		return err
	}
	w := &work{assembler: a, template: t}
	w.done, w.end = context.WithCancel(ctx)
	if old := m.work.Swap(w); old != nil {
		old.worthless.Store(!t.SubmitOld)
		old.end()
	}
	m.event(Event{Kind: NewWork, Template: t})
	for range m.cfg.Threads {
		select {
		case m.news <- struct{}{}:
		default:
		}
	}
	return nil
}

// hash mines whatever the work is until ctx ends.
func (m *Miner) hash(ctx context.Context) error {
	p := pace{perSecond: m.cfg.HashRate / float64(m.cfg.Threads), start: time.Now()}
	for ctx.Err() == nil {
		w := m.work.Load()
		if w == nil || w.done.Err() != nil {
			// The work is gone and the next is on its way. A missed token costs one turn of this.
			m.await(ctx)
			continue
		}
		b, err := w.assembler.Block(m.number(w), time.Now())
		if errors.Is(err, ErrExhausted) {
			w.end()
			m.refresh()
			continue
		}
		if err != nil {
			return err
		}
		if err := m.scan(ctx, w, b, &p); err != nil {
			return err
		}
	}
	return nil
}

// number returns the number of the next block to make of w. Where the coinbase can be appended to,
// numbers are not used again even on other work, since a full node gives the same template to all
// who ask.
func (m *Miner) number(w *work) uint32 {
	if w.assembler.append {
		return m.numbers.Add(1) - 1
	}
	return w.number.Add(1) - 1
}

// scan tries nonces of a block and queues what meets the target.
func (m *Miner) scan(ctx context.Context, w *work, b *Block, p *pace) error {
	s := search{header: &b.Header, target: w.template.Target, first: w.template.NonceFirst}
	s.last = uint32(min(uint64(s.first)+scanNonces-1, uint64(w.template.NonceLast)))
	s.batch = func(done context.Context, n int) {
		m.hashes.Add(uint64(n))
		p.wait(done, n)
	}
	s.found = func(nonce uint32, hash chainhash.Hash) {
		if w.done.Err() != nil {
			return
		}
		solution := *b
		solution.Header.Nonce = nonce
		f := found{block: &solution, hash: hash, work: w, solve: w.template.NetworkTarget.MetBy(hash)}
		if f.solve {
			w.end() // the next block stands on this one
		}
		select {
		case m.blocks <- f:
		case <-ctx.Done():
		}
	}
	return s.run(w.done) //nolint:contextcheck // the work's own context ends with ctx and before
}

// await waits for new work for a moment.
func (m *Miner) await(ctx context.Context) {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-m.news:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// refresh asks for a new template.
func (m *Miner) refresh() {
	select {
	case m.fetch <- struct{}{}:
	default:
	}
}

// submit sends what is found. At the end it still sends what is queued, as long as that works at
// the first try.
func (m *Miner) submit(ctx context.Context) error {
	for {
		select {
		case f := <-m.blocks:
			m.offer(ctx, f)
		case <-ctx.Done():
			return nil
		}
	}
}

// offer submits one block until there is a verdict or it is worth no more.
func (m *Miner) offer(ctx context.Context, f found) {
	var b backoff
	for deadline := time.Now().Add(submitFor); !f.work.worthless.Load() || f.solve; {
		// A block that is being sent when the miner stops should arrive.
		reason, err := m.cfg.Client.Submit(context.WithoutCancel(ctx), f.block)
		if err == nil {
			m.event(Event{Kind: Verdict, Template: f.work.template, Hash: f.hash, Reason: reason, Block: f.solve})
			if f.solve {
				m.refresh()
			}
			return
		}
		m.event(Event{Kind: Trouble, Err: fmt.Errorf("block %s: %w", f.hash, err)})
		if forbidden(err) || time.Now().After(deadline) || sleep(ctx, b.failed()) != nil {
			return
		}
	}
}

func (m *Miner) event(e Event) {
	e.Time = time.Now()
	m.cfg.Events(e)
}
