package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// world is a tree of blocks. Blocks are headers of 80 bytes.
type world struct {
	mu      sync.Mutex
	headers map[chainhash.Hash]Header
	made    uint32
}

const easyBits = 0x207fffff

func newWorld() (w *world, genesis chainhash.Hash) {
	w = &world{headers: make(map[chainhash.Hash]Header)}
	return w, w.grow(chainhash.Hash{}, 1)
}

// block makes a block on previous without telling anybody.
func (w *world) block(previous chainhash.Hash, bits uint32) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	b := make([]byte, headerSize)
	copy(b[4:], previous[:])
	binary.LittleEndian.PutUint32(b[72:], bits)
	binary.LittleEndian.PutUint32(b[76:], w.made)
	return b
}

func (w *world) add(b []byte) chainhash.Hash {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := Header{Hash: chainhash.DoubleHashH(b), Bits: binary.LittleEndian.Uint32(b[72:]), Height: 100}
	copy(h.Previous[:], b[4:])
	if parent, ok := w.headers[h.Previous]; ok {
		h.Height = parent.Height + 1
	}
	h.Time = time.Unix(1_700_000_000+600*int64(h.Height), 0)
	h.MedianTime = h.Time.Add(-5 * 600 * time.Second)
	w.headers[h.Hash] = h
	return h.Hash
}

// grow adds n blocks to a branch and returns the last.
func (w *world) grow(previous chainhash.Hash, n int) chainhash.Hash {
	for range n {
		previous = w.add(w.block(previous, easyBits))
	}
	return previous
}

func (w *world) header(hash chainhash.Hash) (Header, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.headers[hash]
	return h, ok
}

// confirmations counts the blocks from one to the best of a chain; -1 if it is not on the chain.
func (w *world) confirmations(best chainhash.Hash, of Header) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	tip := w.headers[best]
	at := tip
	for at.Height > of.Height {
		at = w.headers[at.Previous]
	}
	if at.Hash != of.Hash {
		return -1
	}
	return int64(tip.Height-of.Height) + 1
}

// fakeNode is a Node in which everything can go wrong.
type fakeNode struct {
	name  string
	world *world

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	best     chainhash.Hash
	mempool  int
	info     Info
	err      error // of all calls
	tmplErr  error
	hung     bool // calls answer no more
	deaf     bool // long polls answer no more
	hasty    bool // long polls answer at once
	noPolls  bool // templates have no long poll id
	stale    chainhash.Hash
	building time.Duration // what a template takes
	verdicts []verdict     // of SubmitBlock in turn, the last for ever
	ruling   *verdict      // of Propose, its own if nil
	checking time.Duration // what Propose takes
	// checkHung has Propose answer no more.
	checkHung bool
	offered   int
	asked     map[string]int
	polls     int // long polls in flight
	maxPolls  int
	fakeCoins
}

type verdict struct {
	reason gbt.Reason
	err    error
}

var errDead = errors.New("connection refused")

func newFake(name string, w *world, best chainhash.Hash) *fakeNode {
	return &fakeNode{
		name: name, world: w, best: best, changed: make(chan struct{}), asked: make(map[string]int),
		info: Info{Kind: Core, Version: "/fake/", Chain: "main", Peers: 8, Progress: 1},
	}
}

// set changes the node.
func (f *fakeNode) set(change func(*fakeNode)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeNode) extend() chainhash.Hash {
	var best chainhash.Hash
	f.set(func(f *fakeNode) { f.best = f.world.grow(f.best, 1); best = f.best })
	return best
}

// enter counts a call and waits as long as the node hangs.
func (f *fakeNode) enter(ctx context.Context, method string) error {
	f.mu.Lock()
	f.asked[method]++
	for f.hung && ctx.Err() == nil {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.err
}

func (f *fakeNode) Name() string { return f.name }

func (f *fakeNode) Info(ctx context.Context) (Info, error) {
	if err := f.enter(ctx, "info"); err != nil {
		return Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	info := f.info
	info.Best = f.best
	return info, nil
}

func (f *fakeNode) BestBlock(ctx context.Context) (chainhash.Hash, error) {
	if err := f.enter(ctx, "best"); err != nil {
		return chainhash.Hash{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.best, nil
}

func (f *fakeNode) Header(ctx context.Context, hash chainhash.Hash) (Header, error) {
	if err := f.enter(ctx, "header"); err != nil {
		return Header{}, err
	}
	h, ok := f.world.header(hash)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok || f.hidden[hash] {
		return Header{}, ErrUnknownBlock
	}
	if f.moving > 0 {
		f.moving--
		f.best = f.world.grow(f.best, 1)
	}
	h.Confirmations = f.world.confirmations(f.best, h)
	return h, nil
}

func (f *fakeNode) id() string { return fmt.Sprintf("%s%d", f.best, f.mempool) }

func (f *fakeNode) Template(ctx context.Context, longPollID string) (json.RawMessage, error) {
	if err := f.enter(ctx, "template"); err != nil {
		return nil, err
	}
	if longPollID != "" {
		if err := f.poll(ctx, longPollID); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	previous, id, building, err := f.best, f.id(), f.building, f.tmplErr
	if f.stale != (chainhash.Hash{}) {
		previous = f.stale
	}
	if f.noPolls {
		id = ""
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(building):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return json.RawMessage(fmt.Sprintf(`{"previousblockhash":%q,"longpollid":%q}`, previous, id)), nil
}

// poll waits until the node has another template than id names.
func (f *fakeNode) poll(ctx context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	f.maxPolls = max(f.maxPolls, f.polls)
	defer func() { f.polls-- }()
	for f.err == nil && ctx.Err() == nil && (f.id() == id && !f.hasty || f.deaf || f.hung) {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	return errors.Join(f.err, ctx.Err())
}

func (f *fakeNode) Propose(ctx context.Context, _ []byte) (gbt.Reason, error) {
	if err := f.enter(ctx, "propose"); err != nil {
		return "", err
	}
	f.mu.Lock()
	takes, ruling := f.checking, f.ruling
	if f.checkHung {
		takes = time.Hour
	}
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if ruling == nil {
		return gbt.Reason("checked by " + f.name), nil
	}
	return ruling.reason, ruling.err
}

func (f *fakeNode) SubmitBlock(ctx context.Context, block gbt.RawBlock) (gbt.Reason, error) {
	if err := f.enter(ctx, "submit"); err != nil {
		return "", err
	}
	var v verdict
	f.set(func(f *fakeNode) {
		f.offered++
		if len(f.verdicts) > 0 {
			v = f.verdicts[0]
			f.verdicts = f.verdicts[min(1, len(f.verdicts)-1):]
		}
		if v == (verdict{}) {
			f.best = f.world.add(block.Bytes())
		}
	})
	return v.reason, v.err
}

func (f *fakeNode) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[method]
}

// rig is a Set that runs in a bubble, and what it told.
type rig struct {
	t    *testing.T
	set  *Set
	log  *logBuffer
	stop func()

	mu   sync.Mutex
	news []gbt.News
	at   []time.Time
}

// newRig starts a Set of nodes, inside a synctest bubble.
func newRig(t *testing.T, change func(*SetConfig), nodes []*fakeNode) *rig {
	t.Helper()
	r := &rig{t: t, log: new(logBuffer)}
	cfg := SetConfig{
		Chain: "main", Now: time.Now,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, n := range nodes {
		cfg.Nodes = append(cfg.Nodes, n)
	}
	if change != nil {
		change(&cfg)
	}
	set, err := NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.set = set
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := set.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	all.Go(func() {
		for {
			news, err := set.Next(ctx)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.news = append(r.news, news)
			r.at = append(r.at, time.Now())
			r.mu.Unlock()
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	return r
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// logged returns what was logged so far.
func (r *rig) logged() string {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.log.b.String()
}

// after lets time pass.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told returns all news so far.
func (r *rig) told() []gbt.News {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]gbt.News(nil), r.news...)
}

// latest returns the last news.
func (r *rig) latest() gbt.News {
	told := r.told()
	if len(told) == 0 {
		return gbt.News{}
	}
	return told[len(told)-1]
}

// want fails the test unless the latest news is a node's template on tip.
func (r *rig) want(node string, tip chainhash.Hash) {
	r.t.Helper()
	got := r.latest()
	if got.Node != node || got.Tip != tip || got.Err != nil {
		r.t.Fatalf("after %s: got news of %q on %s, error %v, want a template of %q on %s", r.clock(), got.Node, got.Tip, got.Err, node, tip)
	}
	tmpl, err := peek(got.Template)
	if err != nil || tmpl.previous != tip {
		r.t.Fatalf("template: got %s, %v, want one on %s", got.Template, err, tip)
	}
}

// wantNone fails the test unless the latest news is that there is no template.
func (r *rig) wantNone(tip chainhash.Hash) {
	r.t.Helper()
	if got := r.latest(); got.Template != nil || got.Err == nil || got.Tip != tip {
		r.t.Fatalf("after %s: got %+v, want no template on %s", r.clock(), got, tip)
	}
}

func (r *rig) clock() time.Duration {
	return time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
}

func (r *rig) state(i int) State { return r.set.Status()[i].State }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
