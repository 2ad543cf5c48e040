package gbt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// ErrNotPosted says that a template is not on the board, or not any more.
var ErrNotPosted = errors.New("the template is not on the board")

// Board is where the gateways of a pool share their templates, so that all give out the same one under
// the same number, and judge work on any that one of them gave out. On each block it has one template
// in force, which belongs to the gateway that put it up and may replace it. Implementations are safe
// for concurrent use.
type Board interface {
	// Posted returns the template in force on a block if it is another gateway's; nil if there is none,
	// if it is this gateway's, or if its gateway has been silent for so long that this one may replace
	// it. One with the number have comes without its Answer.
	Posted(ctx context.Context, previous chainhash.Hash, have uint64) (*Posted, error)
	// Post puts a template up, under its Seq or a higher number, unless another gateway has one in
	// force on the block that is not early, or has any and this one is early, and returns what is in force then. One with the same mark as was given comes
	// without its Answer.
	Post(ctx context.Context, t *Posted) (*Posted, error)
	// Pack returns a node's answer as Post would store it, to be done while the template is still being
	// made. It may be nil.
	Pack(answer []byte) []byte
	// Find returns a template that was in force on a block, as long as work on it may be submitted, and
	// ErrNotPosted then.
	Find(ctx context.Context, previous chainhash.Hash, mark uint32) (*Posted, error)
}

// Posted is a template as gateways share it.
type Posted struct {
	// Seq is the template's number.
	Seq uint64
	// PreviousBlock is the block that it is on. Mark tells it from others there.
	PreviousBlock chainhash.Hash
	Mark          uint32
	// Node is the name of the node that proposed it, and Received when its answer arrived, in whole
	// milliseconds.
	Node     string
	Received time.Time
	// Answer is the node's getblocktemplate result as received.
	Answer []byte
	// Early says that any gateway may replace it with one that is not early. Only Post looks at it.
	Early bool
	// Packed is what Pack has made of Answer; nil if that is for Post to do.
	Packed []byte
}

const (
	// boardPatience is how long a new template waits for the board: miners wait for it meanwhile.
	boardPatience = 300 * time.Millisecond
	// boardEvery is how often the board is looked at for news of other gateways. That there is a new
	// block is not among them: each gateway hears of it from its own nodes.
	boardEvery = time.Second
)

// bulletin is what looking at the board has brought: a template to take over or, if there is none,
// that this gateway has one to put up.
type bulletin struct{ posted *Posted }

// watch looks at the board until ctx ends, and tells what there is to do.
func (f *Feed) watch(ctx context.Context, out chan<- bulletin) {
	ticker := time.NewTicker(boardEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		s := f.state.Load()
		if s.tip == (chainhash.Hash{}) {
			continue
		}
		p, err := f.look(ctx, s.tip, s.have())
		if err != nil || p != nil && p.Seq == s.have() || p == nil && (s.posted != 0 || s.err != nil) {
			continue
		}
		select {
		case out <- bulletin{p}:
		case <-ctx.Done():
			return
		}
	}
}

// have is the number of the template on the board that nothing is to be done about any more.
func (s *feedState) have() uint64 { return max(s.posted, s.declined) }

// look asks the board what is in force on a block, and remembers whether it answers.
func (f *Feed) look(ctx context.Context, previous chainhash.Hash, have uint64) (*Posted, error) {
	short, cancel := context.WithTimeout(ctx, boardPatience)
	defer cancel()
	p, err := f.cfg.Board.Posted(short, previous, have)
	f.heard(ctx, err)
	return p, err
}

// heard notes whether the board answers. While it does not, new templates do not wait for it.
func (f *Feed) heard(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil && f.away.CompareAndSwap(true, false):
		f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "templates are shared with the other gateways again")
	case err != nil && f.away.CompareAndSwap(false, true):
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "templates are not shared with the other gateways", slog.Any("error", err))
	}
}

// read does what a bulletin asks for. Only Run calls it.
func (f *Feed) read(ctx context.Context, b bulletin) {
	old := f.state.Load()
	next := *old
	// Who has lost its nodes does not know any more whether a template is on the best block.
	blind := old.err != nil && old.template != nil && old.template.PreviousBlock == old.tip
	switch {
	case b.posted != nil && b.posted.PreviousBlock == old.tip && b.posted.Seq != old.posted && !blind:
		if !f.adopted(ctx, &next, b.posted, f.welcome(old)) {
			f.state.Store(&next) // which only remembers that
			return
		}
		f.setErr(ctx, old, &next, nil)
		f.publish(old, &next)
	case b.posted == nil && old.posted == 0 && old.err == nil && old.template.PreviousBlock == old.tip:
		if f.post(ctx, &next, old.template, old.raw) {
			f.state.Store(&next) // nothing that anybody waits for
		}
	}
}

// adopted takes a template of another gateway over into next, if it is of use. An early one is only if
// early is set.
func (f *Feed) adopted(ctx context.Context, next *feedState, p *Posted, early bool) bool {
	if p.Seq == next.declined {
		return false
	}
	start := f.cfg.Now()
	t, err := f.rebuild(ctx, p, next.template)
	if err == nil && t.Early && !early {
		return false
	}
	if err == nil {
		t.Seq = next.above(t.Seq)
		t.answers, err = t.render()
	}
	if errors.Is(err, errPayees) {
		return false // for now: nothing is wrong with it
	}
	if err != nil {
		f.refuse(ctx, p, err)
		next.declined = p.Seq
		return false
	}
	next.posted, next.raw, next.answer = p.Seq, nil, [sha256.Size]byte{}
	f.install(ctx, next, t, start)
	return true
}

// good reports whether what another gateway has put up, if anything, is what this one gives out, too, or
// will from now on, in the place of what its node proposes.
func (f *Feed) good(ctx context.Context, next *feedState, p *Posted) bool {
	switch {
	case p == nil:
		return false
	case p.Seq == next.posted:
		return !next.template.Early
	}
	return f.adopted(ctx, next, p, false)
}

// follows reports whether the template on a block is another gateway's, so that nodes' answers are most
// likely of no use.
func (s *feedState) follows(tip chainhash.Hash) bool {
	return s.posted != 0 && s.answer == [sha256.Size]byte{} && s.template.PreviousBlock == tip && !s.template.Early
}

// taken reports whether another gateway still has a template in force on the best block, which is given
// out here then.
func (f *Feed) taken(ctx context.Context, next *feedState, tip chainhash.Hash) bool {
	if f.away.Load() {
		return false
	}
	p, err := f.look(ctx, tip, next.have())
	return err == nil && f.good(ctx, next, p)
}

// above returns a number that the board gave. Numbers never go backwards here, whatever they do elsewhere.
func (s *feedState) above(seq uint64) uint64 {
	if s.template == nil {
		return seq
	}
	return max(seq, s.template.Seq+1)
}

// rebuild makes of a shared template what it is at the gateway that put it up, but for its rendering. Transactions
// that old has are shared with it.
func (f *Feed) rebuild(ctx context.Context, p *Posted, old *Template) (*Template, error) {
	t, err := parseTemplate(p.Answer, old)
	if err != nil {
		return nil, err
	}
	if t.PreviousBlock != p.PreviousBlock {
		return nil, fmt.Errorf("%w: it builds on %s and was put up on %s", ErrTemplate, t.PreviousBlock, p.PreviousBlock)
	}
	t.Seq, t.Node, t.Received = p.Seq, p.Node, p.Received
	if t, err = f.adjust(ctx, t); err != nil {
		return nil, err
	}
	if t.mark() != p.Mark {
		return nil, fmt.Errorf("%w: it is another one here: the gateways differ in coinbase_tag, payout_address, their lists of payees or their rules for transactions", ErrTemplate)
	}
	return t, nil
}

// refuse says that a template of another gateway is of no use.
func (f *Feed) refuse(ctx context.Context, p *Posted, err error) {
	f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "another gateway's template is not used",
		slog.Uint64("seq", p.Seq), slog.String("node", p.Node), slog.Any("error", err))
}

// post puts a published template of this gateway's own nodes up. It reports whether it is in force.
func (f *Feed) post(ctx context.Context, next *feedState, t *Template, raw []byte) bool {
	up := f.put(ctx, t, raw, nil)
	next.number(t, up)
	return up != nil && up.Mark == t.mark()
}

// put offers a template of this gateway's own nodes to the board, and returns what is in force then; nil
// if the board does not say.
func (f *Feed) put(ctx context.Context, t *Template, raw, packed []byte) *Posted {
	if f.cfg.Board == nil || f.away.Load() {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, boardPatience)
	defer cancel()
	up, err := f.cfg.Board.Post(short, &Posted{
		Seq: t.Seq, PreviousBlock: t.PreviousBlock, Mark: t.mark(), Node: t.Node, Received: t.Received,
		Answer: raw, Packed: packed, Early: t.Early,
	})
	f.heard(ctx, err)
	if err != nil {
		return nil
	}
	return up
}

// number notes that t is what is up on the board, if it is, and gives it the board's number unless it is
// published already.
func (s *feedState) number(t *Template, up *Posted) {
	if up == nil || up.Mark != t.mark() {
		return
	}
	s.posted, s.raw = up.Seq, nil
	if s.template != t {
		t.Seq = s.above(up.Seq)
	}
}

// beside is what is done while a template is parsed.
type beside struct {
	found <-chan *Posted
	pack  <-chan []byte
}

// posted returns what another gateway has put up; nil if that is nothing, or not known.
func (b beside) posted() *Posted {
	if b.found == nil {
		return nil
	}
	return <-b.found
}

// packed returns the node's answer as it goes to the board; nil if it does not.
func (b beside) packed() []byte {
	if b.pack == nil {
		return nil
	}
	return <-b.pack
}

// beside looks at the board and packs the node's answer for it, while the answer is parsed here.
func (f *Feed) beside(ctx context.Context, next *feedState, news News) beside {
	if f.cfg.Board == nil || f.away.Load() {
		return beside{}
	}
	found, pack := make(chan *Posted, 1), make(chan []byte, 1)
	have := next.have()
	go func() {
		p, err := f.look(ctx, news.Tip, have)
		if err != nil {
			p = nil
		}
		found <- p
	}()
	go func() { pack <- f.cfg.Board.Pack(news.Template) }()
	return beside{found, pack}
}

// shelf holds templates that were looked up on the board to judge work on them, and notes those that
// are not there. The oldest make room.
type shelf struct {
	mu    sync.Mutex
	by    map[shelved]*Template // nil for one that is not on the board; held by mu
	order []shelved             // held by mu
}

// shelved names a template on a block.
type shelved struct {
	previous chainhash.Hash
	mark     uint32
}

func newShelf() *shelf { return &shelf{by: make(map[shelved]*Template)} }

func (s *shelf) get(key shelved) (t *Template, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known = s.by[key]
	return t, known
}

func (s *shelf) put(key shelved, t *Template) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.by[key]; known {
		return
	}
	if len(s.order) == keepTemplates {
		delete(s.by, s.order[0])
		s.order = s.order[1:]
	}
	s.by[key] = t
	s.order = append(s.order, key)
}

// on returns the shelved templates on a block.
func (s *shelf) on(previous chainhash.Hash) []*Template {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Template
	for _, key := range s.order {
		if t := s.by[key]; t != nil && key.previous == previous {
			out = append(out, t)
		}
	}
	return out
}

// on returns the templates on a block that are known here, newest first.
func (s *feedState) on(previous chainhash.Hash) iter.Seq[*Template] {
	return func(yield func(*Template) bool) {
		for _, t := range s.recent {
			if t.PreviousBlock == previous && !yield(t) {
				return
			}
		}
		for _, t := range s.shelf.on(previous) {
			if !yield(t) {
				return
			}
		}
	}
}

// recall looks a template up on the board if it is not known here, for work that another gateway gave
// out, or this one before it was restarted. It fails only for want of the board or the payees, and then in
// vain: the work is judged as well as it can be without.
func (f *Feed) recall(ctx context.Context, previous chainhash.Hash, mark uint32) {
	key := shelved{previous, mark}
	s := f.state.Load()
	if _, known := s.find(previous, mark); known || f.cfg.Board == nil {
		return
	}
	if _, known := s.shelf.get(key); known {
		return
	}
	name := previous.String() + strconv.FormatUint(uint64(mark), 16)
	_, err, _ := f.recalls.Do(name, func() (any, error) {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), boardPatience)
		defer cancel()
		p, err := f.cfg.Board.Find(short, previous, mark)
		if errors.Is(err, ErrNotPosted) {
			s.shelf.put(key, nil)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		t, err := f.rebuild(short, p, s.template)
		if errors.Is(err, errPayees) {
			return nil, err
		}
		if err != nil {
			s.shelf.put(key, nil)
			f.refuse(ctx, p, err)
			return nil, nil
		}
		t.index = t.set.index() // which few ever need
		s.shelf.put(key, t)
		return nil, nil
	})
	if err != nil {
		f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a template could not be looked up among the gateways'", slog.Any("error", err))
	}
}
