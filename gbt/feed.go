package gbt

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// keepTemplates is how many templates are remembered to judge their work by comparison. Work on
// older ones is judged too, but costs a node a check.
const keepTemplates = 64

// FeedConfig configures a Feed.
type FeedConfig struct {
	// Source brings the nodes' templates. Required.
	Source Source
	// Coinbaser decides whom coinbases pay. It is asked once for each new block. Required.
	Coinbaser Coinbaser
	// Tag is the pool's text in each coinbase's scriptSig, at most MaxTag bytes.
	Tag string
	// Board is where the gateways of a pool share templates; nil if there is no other.
	Board Board
	// Rules are what the operator wants of the transactions.
	Rules SetRules
	// Compress has what all work on a template shares compressed too, in the background. It takes a core for
	// some 50 ms for each full template.
	Compress bool
	// Patience is how long who asks for work waits while there is none, before ErrUnavailable.
	Patience time.Duration
	// Published, if set, hears how long after a node's answer there was a new template for it here: parsed,
	// checked, shared with the other gateways, rendered. What a node had answered before it led waited for
	// nobody and is left out, and so is what other gateways bring on their own. It must not block.
	Published func(after time.Duration)
	// Early is whether there are templates before a node has made one.
	Early Early
	// Now is the clock. Required.
	Now func() time.Time
	// Log gets one line per template and per loss of templates. Required.
	Log *slog.Logger
}

// Feed turns news from the nodes into one monotonic sequence of templates. It publishes each by
// one atomic store and wakes who waits for it; nobody waits for a lock.
type Feed struct {
	cfg    FeedConfig
	state  atomic.Pointer[feedState]
	roster roster
	// away is set while the Board does not answer, and recalls are its look-ups under way.
	away    atomic.Bool
	recalls singleflight.Group
	// press compresses answers; nil if that is not wanted.
	press *press
}

// feedState is all that the Feed knows at a moment. It is immutable; changed is closed when
// another takes its place.
type feedState struct {
	// template is the newest published one; nil before the first. Its long poll id is pollID.
	template *Template
	pollID   string
	// node is whom the last template of a node came from, of use or not.
	node string
	// answer is the identity of the node's answer that it was made of.
	answer [sha256.Size]byte
	// posted is the number that template has on the Board; 0 if it is not there, and raw is the node's
	// answer to put it up with then.
	posted uint64
	raw    json.RawMessage
	// declined is the number of another gateway's template that was found to be of no use; 0 if none was.
	declined uint64
	// recent holds the last templates, newest first, and shelf those that were looked up.
	recent []*Template
	shelf  *shelf
	// tip is the best block, since tipSince; before it was previousTip.
	tip, previousTip chainhash.Hash
	tipSince         time.Time
	// err says why there is no work to give, since errSince; nil while template is good.
	err      error
	errSince time.Time
	closed   bool
	changed  chan struct{}
}

// NewFeed makes a Feed. Call Run to start it.
func NewFeed(cfg FeedConfig) (*Feed, error) {
	switch {
	case cfg.Source == nil || cfg.Coinbaser == nil || cfg.Now == nil || cfg.Log == nil:
		return nil, errors.New("feed: Source, Coinbaser, Now and Log are required")
	case len(cfg.Tag) > MaxTag:
		return nil, fmt.Errorf("feed: the coinbase tag %q is longer than %d bytes", cfg.Tag, MaxTag)
	}
	f := &Feed{cfg: cfg, roster: roster{by: make(map[chainhash.Hash]Payees)}}
	if cfg.Compress {
		var err error
		if f.press, err = newPress(cfg.Log); err != nil {
			return nil, err
		}
	}
	f.state.Store(&feedState{
		err:      errors.New("waiting for the first template of a node"),
		errSince: cfg.Now(),
		changed:  make(chan struct{}),
		shelf:    newShelf(),
	})
	return f, nil
}

// Run follows the Source and the Board until ctx ends, and then turns everybody away with ErrClosed.
func (f *Feed) Run(ctx context.Context) error {
	defer f.close()
	g, within := errgroup.WithContext(ctx)
	news, board := make(chan News), make(chan bulletin)
	g.Go(func() error {
		for {
			n, err := f.cfg.Source.Next(within)
			if err != nil {
				return err
			}
			select {
			case news <- n:
			case <-within.Done():
				return within.Err()
			}
		}
	})
	if f.cfg.Board != nil {
		g.Go(func() error {
			f.watch(within, board)
			return nil
		})
	}
	if f.press != nil {
		g.Go(func() error {
			f.press.run(within)
			return nil
		})
	}
	g.Go(func() error {
		f.follow(within, news, board)
		return nil
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("feed: %w", err)
	}
	return nil // the end of ctx is how a feed ends, not a failure
}

// follow takes what comes until ctx ends. News that lacks nothing but its payees is taken again after a
// while: the nodes have no reason to bring it once more.
func (f *Feed) follow(ctx context.Context, news <-chan News, board <-chan bulletin) {
	var last News
	var again <-chan time.Time // nil while nothing is lacking
	for {
		select {
		case last = <-news:
		case <-again:
		case b := <-board:
			f.read(ctx, b)
			continue
		case <-ctx.Done():
			return
		}
		again = nil
		if f.take(ctx, last) {
			again = time.After(payeesEvery)
		}
	}
}

// take publishes what news changes, and reports whether it lacked its payees. Only one goroutine calls it,
// so states follow one another.
func (f *Feed) take(ctx context.Context, news News) (again bool) {
	old := f.state.Load()
	next := *old
	if news.Tip != old.tip {
		next.previousTip, next.tip, next.tipSince = old.tip, news.Tip, f.cfg.Now()
	}
	err := news.Err
	switch {
	case news.Template != nil:
		next.node = news.Node
		err = f.prepare(ctx, &next, news)
		again = errors.Is(err, errPayees)
		if err != nil && old.err == nil && old.template.PreviousBlock == next.tip {
			f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "keep the last template, the new one is unusable", slog.Any("error", err))
			err = nil
		}
	case f.early(ctx, &next, news):
		err = nil
	case err == nil:
		err = errors.New("the nodes propose no template")
	}
	f.setErr(ctx, old, &next, err)
	if next.template == old.template && next.tip == old.tip && (next.err == nil) == (old.err == nil) {
		// Nothing that anybody waits for has changed: keep the channel, wake nobody.
		f.state.Store(&next)
		return again
	}
	f.publish(old, &next)
	f.tell(old, &next, news)
	next.template.known() // which the next one will want to know
	return again
}

// tell says how long a template took that news has brought.
func (f *Feed) tell(old, next *feedState, news News) {
	if f.cfg.Published == nil || next.template == old.template || next.template.Early {
		return
	}
	if old.tip == news.Tip && old.node != "" && old.node != news.Node {
		return // the node had it before it led
	}
	f.cfg.Published(next.template.Published.Sub(news.Received))
}

// prepare makes the template that news brings, or that another gateway has put up on the same block,
// and puts it into next, unless it is the one there. Miners wait for it, so what does not depend on one
// another is done at once.
func (f *Feed) prepare(ctx context.Context, next *feedState, news News) error {
	if next.follows(news.Tip) && f.taken(ctx, next, news.Tip) {
		return nil
	}
	start := f.cfg.Now()
	side := f.beside(ctx, next, news)
	t, err := f.parse(news, next.template)
	if f.good(ctx, next, side.posted()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", news.Node, err)
	}
	answer := t.identity
	if next.template != nil && next.answer == answer {
		return nil
	}
	if t, err = f.adjust(ctx, t); errors.Is(err, errPayees) {
		return err // it is not the node's fault
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", news.Node, err)
	}
	if err = f.launch(ctx, next, t, launch{raw: news.Template, answer: answer, packed: side.packed, start: start}); err != nil {
		return fmt.Errorf("node %s: %w", news.Node, err)
	}
	return nil
}

// launch says where a template comes from that is put in force: the text that it was parsed from, the
// identity that it had then, how to get the text packed, if it is being packed, and when this began.
type launch struct {
	raw    json.RawMessage
	answer [sha256.Size]byte
	packed func() []byte
	start  time.Time
}

// launch puts a template of this gateway into next once it is rendered and the board has numbered it, or
// what the board has in its place.
func (f *Feed) launch(ctx context.Context, next *feedState, t *Template, l launch) error {
	t.Seq = f.nextSeq(next.template)
	put := make(chan *Posted, 1)
	go func() {
		var packed []byte
		if l.packed != nil {
			packed = l.packed()
		}
		put <- f.put(ctx, t, l.raw, packed)
	}()
	rendered, err := t.render()
	up := <-put
	if err != nil {
		return err
	}
	t.answers = rendered
	if up != nil && up.Mark != t.mark() && f.adopted(ctx, next, up, t.Early) {
		return nil
	}
	next.answer, next.posted, next.raw = l.answer, 0, l.raw
	next.number(t, up)
	f.install(ctx, next, t, l.start)
	return nil
}

// parse makes of news what the node proposes. Transactions that old has are shared with it.
func (f *Feed) parse(news News, old *Template) (*Template, error) {
	t, err := parseTemplate(news.Template, old)
	if err != nil {
		return nil, err
	}
	if t.PreviousBlock != news.Tip {
		return nil, fmt.Errorf("%w: it builds on %s but the best block is %s", ErrTemplate, t.PreviousBlock, news.Tip)
	}
	t.Node, t.Received = news.Node, news.Received
	return t, nil
}

// install puts a template into next.
func (f *Feed) install(ctx context.Context, next *feedState, t *Template, start time.Time) {
	t.Published = f.cfg.Now()
	next.template = t
	next.recent = f.remember(t, next.recent)
	f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "template",
		slog.Uint64("seq", t.Seq), slog.String("node", t.Node), slog.Int("height", int(t.Height)),
		slog.String("previous", t.PreviousBlock.String()), slog.Int("transactions", len(t.Transactions)),
		slog.Int64("fees_sat", t.Fees), slog.Int("dropped", t.Dropped), slog.Bool("early", t.Early),
		slog.Duration("prepared_in", t.Published.Sub(start)))
}

// remember returns the templates to judge work by: t and the newest of recent, which lose the
// rendered answer that nobody asks for any more.
func (f *Feed) remember(t *Template, recent []*Template) []*Template {
	out := append(make([]*Template, 0, keepTemplates), t)
	for _, old := range recent[:min(len(recent), keepTemplates-1)] {
		if old.answers != nil {
			retired := *old
			retired.answers, retired.index = nil, old.set.index() // which few ever need again
			f.vary(&retired)                                      // the old variants would hold on to the whole of old
			old = &retired
		}
		out = append(out, old)
	}
	return out
}

// nextSeq numbers the template after last: by the clock, so that numbers grow over restarts too,
// and always above the last.
func (f *Feed) nextSeq(last *Template) uint64 {
	seq := uint64(max(0, f.cfg.Now().UnixMilli()))
	if last != nil {
		seq = max(seq, last.Seq+1)
	}
	return seq
}

// adjust makes of a node's template what the pool works on: within the operator's rules and fitted to the
// coinbase, but not rendered. The error matches errPayees if nothing is wrong with it.
func (f *Feed) adjust(ctx context.Context, t *Template) (*Template, error) {
	var err error
	if t.payees, err = f.payees(ctx, t.PreviousBlock, t.Height, t.Bits); err != nil {
		return nil, err
	}
	if t, err = f.cfg.Rules.apply(t); err != nil {
		return nil, err
	}
	if t, err = f.fitted(t, limits{}); err != nil {
		return nil, err
	}
	// Gateways with other rules work on other sets, and with other lists or tags on other coinbases.
	set, list := t.set.id(t.PreviousBlock), t.payees.Name()
	t.identity = sha256.Sum256(slices.Concat(t.identity[:], set[:], list[:], []byte(f.cfg.Tag)))
	f.vary(t)
	return t, nil
}

// vary lets t have variants.
func (f *Feed) vary(t *Template) {
	t.variants = new(variants)
	t.reduce = func(s shape) (*Template, error) {
		out := t
		var err error
		if s.witnessFree {
			if out, err = t.withoutWitnesses(); err != nil {
				return nil, err
			}
		}
		if out, err = f.fitted(out, s.limits); err != nil {
			return nil, err
		}
		out.variants, out.reduce = nil, nil
		if t.answers == nil {
			return out, nil // nobody gets an answer from an old template
		}
		out.answers, err = out.render()
		return out, err
	}
}

// setErr notes in next whether there is work to give, and logs when that changes. That a node is
// making a template on a new block is no trouble; that its template is of no use is.
func (f *Feed) setErr(ctx context.Context, old, next *feedState, err error) {
	next.err = err
	level := slog.LevelDebug
	if errors.Is(err, ErrTemplate) || errors.Is(err, errPayees) {
		level = slog.LevelWarn
	}
	switch {
	case err != nil && old.err == nil:
		next.errSince = f.cfg.Now()
		f.cfg.Log.LogAttrs(ctx, level, "no template", slog.Any("error", err))
	case err != nil && err.Error() != old.err.Error():
		f.cfg.Log.LogAttrs(ctx, level, "still no template", slog.Any("error", err))
	case err == nil && old.err != nil && next.template == old.template:
		f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "template is good again")
	}
}

// publish puts next in old's place and wakes who waits.
func (f *Feed) publish(old, next *feedState) {
	next.changed = make(chan struct{})
	if next.template != old.template {
		next.pollID = next.template.LongPollID() // once, and not for each who waits
	}
	f.state.Store(next)
	close(old.changed)
	if next.replaces(old) {
		f.count(EarlyReplaced)
	}
	if next.template != old.template {
		f.press.begin(next.template)
	}
}

func (f *Feed) close() {
	old := f.state.Load()
	next := *old
	next.err, next.closed = ErrClosed, true
	f.publish(old, &next)
}
