package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// work returns the work from the genesis to a block.
func (w *world) work(hash chainhash.Hash) *big.Int {
	sum := new(big.Int)
	for {
		h, ok := w.header(hash)
		if !ok {
			return sum
		}
		sum.Add(sum, blockchain.CalcWork(h.Bits))
		hash = h.Previous
	}
}

// modelNode is what the test knows of a node from the events alone.
type modelNode struct {
	tip      chainhash.Hash
	template chainhash.Hash       // the block that its last template builds on
	troubles map[string]time.Time // since when
}

func (m *modelNode) ready() bool { return m.template == m.tip }

// since returns since when the node has been in trouble.
func (m *modelNode) since() (first time.Time, troubled bool) {
	for _, s := range m.troubles {
		if !troubled || s.Before(first) {
			first, troubled = s, true
		}
	}
	return first, troubled
}

func (m *modelNode) trouble(kind string, at time.Time) {
	if _, ok := m.troubles[kind]; !ok {
		m.troubles[kind] = at
	}
}

// leadModel drives a lead with random events and checks what it tells after each.
type leadModel struct {
	*rapid.T
	world  *world
	blocks []chainhash.Hash
	lead   *lead
	nodes  []modelNode
	now    time.Time
	last   gbt.News // the latest news
}

func TestNeverBackwards(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, genesis := newWorld()
		cfg := SetConfig{Chain: "main", Now: time.Now, Log: quiet()}
		for i := range rapid.IntRange(1, 4).Draw(rt, "nodes") {
			cfg.Nodes = append(cfg.Nodes, newFake(fmt.Sprint("n", i), w, genesis))
		}
		if err := cfg.complete(); err != nil {
			rt.Fatal(err)
		}
		m := &leadModel{T: rt, world: w, blocks: []chainhash.Hash{genesis}, lead: newLead(&cfg), now: time.Unix(1e9, 0)}
		for range cfg.Nodes {
			m.nodes = append(m.nodes, modelNode{troubles: make(map[string]time.Time)})
		}
		m.Repeat(map[string]func(*rapid.T){
			"time passes": m.passTime,
			"extends":     m.extend,
			"moves":       m.move,
			"template":    m.template,
			"down":        func(rt *rapid.T) { m.fail(rt, "down") },
			"barren":      func(rt *rapid.T) { m.fail(rt, "barren") },
			"unfit":       func(rt *rapid.T) { m.fail(rt, "unfit") },
			"order":       m.order,
		})
	})
}

func (m *leadModel) pick(rt *rapid.T) int { return rapid.IntRange(0, len(m.nodes)-1).Draw(rt, "node") }

func (m *leadModel) passTime(rt *rapid.T) {
	d := time.Duration(rapid.SampledFrom([]int{10, 500, 3000, 6000, 31000, 61000}).Draw(rt, "ms")) * time.Millisecond
	for end := m.now.Add(d); m.now.Before(end); {
		m.now = m.now.Add(min(time.Second, end.Sub(m.now)))
		m.decide(rt)
	}
}

// extend has a node find a block.
func (m *leadModel) extend(rt *rapid.T) {
	i := m.pick(rt)
	previous := m.nodes[i].tip
	if previous == (chainhash.Hash{}) {
		previous = m.blocks[0]
	}
	bits := rapid.SampledFrom([]uint32{easyBits, easyBits, easyBits, 0x203fffff}).Draw(rt, "bits")
	block := m.world.add(m.world.block(previous, bits))
	m.blocks = append(m.blocks, block)
	m.say(rt, i, block)
}

// move has a node name any block as its best: it follows others, or it reorganises.
func (m *leadModel) move(rt *rapid.T) {
	m.say(rt, m.pick(rt), rapid.SampledFrom(m.blocks).Draw(rt, "block"))
}

// say has a node answer that a block is its best, perhaps with a template on it.
func (m *leadModel) say(rt *rapid.T, i int, block chainhash.Hash) {
	n := &m.nodes[i]
	h, _ := m.world.header(block)
	r := report{node: i, at: m.now, info: &Info{Chain: "main", Peers: 1}, tip: &tip{hash: block, height: h.Height, work: m.world.work(block)}}
	n.tip = block
	delete(n.troubles, "down")
	delete(n.troubles, "unfit")
	if rapid.Bool().Draw(rt, "with template") {
		r.template = &template{raw: []byte(block.String()), previous: block, received: m.now}
		n.template = block
		delete(n.troubles, "barren")
	}
	m.lead.apply(r)
	m.decide(rt)
}

// order has an operator drain or prefer a node, or leave it as it is.
func (m *leadModel) order(rt *rapid.T) {
	m.lead.orders[m.pick(rt)] = rapid.SampledFrom([]Order{NoOrder, Drain, Prefer}).Draw(rt, "order")
	m.decide(rt)
}

// replaces reports whether node i is good enough to take no templates from drained nodes.
func (m *leadModel) replaces(i int) bool {
	n := &m.nodes[i]
	if _, troubled := n.since(); troubled || n.tip == (chainhash.Hash{}) || m.lead.orders[i] == Drain {
		return false
	}
	work := m.world.work(n.tip)
	for j := range m.nodes {
		if m.world.work(m.nodes[j].tip).Cmp(work) > 0 {
			return false
		}
	}
	return work.Cmp(m.world.work(m.last.Tip)) >= 0
}

func (m *leadModel) template(rt *rapid.T) {
	i := m.pick(rt)
	if block := m.nodes[i].tip; block != (chainhash.Hash{}) {
		m.say(rt, i, block)
	}
}

func (m *leadModel) fail(rt *rapid.T, kind string) {
	i := m.pick(rt)
	n := &m.nodes[i]
	r := report{node: i, at: m.now}
	switch kind {
	case "down":
		r.err = errDead
	case "unfit":
		delete(n.troubles, "down")
		r.info = &Info{Chain: "test"}
	case "barren":
		delete(n.troubles, "down")
		r.templateErr = errBusy
	}
	n.trouble(kind, m.now)
	m.lead.apply(r)
	m.decide(rt)
}

// decide checks the lead's decision.
func (m *leadModel) decide(rt *rapid.T) {
	news, changed := m.lead.decide(m.now)
	if changed {
		m.checkNews(rt, news)
		m.last = news
	}
	told := m.world.work(m.last.Tip)
	best, ready := new(big.Int), false
	calm, drained := true, false
	for i := range m.nodes {
		n := &m.nodes[i]
		if _, troubled := n.since(); troubled || n.tip == (chainhash.Hash{}) {
			calm = false
			continue
		}
		if m.lead.orders[i] == Drain {
			drained = true
			continue
		}
		work := m.world.work(n.tip)
		if work.Cmp(told) > 0 {
			rt.Fatalf("node %d has more work than what was told", i)
		}
		if c := work.Cmp(best); c > 0 || c == 0 && n.ready() {
			best, ready = work, n.ready()
		}
	}
	if calm && !drained && (told.Cmp(best) != 0 || ready && m.last.Template == nil) {
		rt.Fatalf("all nodes are well and %t ready with work %v, but told is %v of work %v", ready, best, m.last, told)
	}
}

// checkNews checks one piece of news against what the nodes said.
func (m *leadModel) checkNews(rt *rapid.T, news gbt.News) {
	if (news.Template == nil) == (news.Err == nil) {
		rt.Fatalf("neither template nor error, or both: %+v", news)
	}
	if news.Template != nil {
		if string(news.Template) != news.Tip.String() {
			rt.Fatalf("a template on %s for tip %s", news.Template, news.Tip)
		}
		var backed bool
		for i := range m.nodes {
			if m.lead.nodes[i].name != news.Node {
				continue
			}
			backed = m.nodes[i].tip == news.Tip && m.nodes[i].ready()
			if other := slices.IndexFunc(m.indexes(), m.replaces); m.lead.orders[i] == Drain && other >= 0 {
				rt.Fatalf("drained node %d leads though node %d can", i, other)
			}
		}
		if !backed {
			rt.Fatalf("%s does not stand behind %s", news.Node, news.Tip)
		}
	}
	before := m.world.work(m.last.Tip)
	if m.world.work(news.Tip).Cmp(before) >= 0 {
		return
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		since, troubled := n.since()
		if m.world.work(n.tip).Cmp(before) >= 0 && (!troubled || m.now.Sub(since) <= m.lead.cfg.TipHold) {
			rt.Fatalf("went back from %s to %s though node %d still stands behind as much work", m.last.Tip, news.Tip, i)
		}
	}
}

func (m *leadModel) indexes() []int {
	all := make([]int, len(m.nodes))
	for i := range all {
		all[i] = i
	}
	return all
}

// TestSetNeverBackwards has real watchers follow fake nodes through random faults: what is told
// may have less work than what was told before only if no node that knew more is left, and when
// all is well again the newest block's template is told.
func TestSetNeverBackwards(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			node, what int
			wait       time.Duration
		}
		count := rapid.IntRange(1, 3).Draw(rt, "nodes")
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				rapid.IntRange(0, count-1).Draw(rt, "node"), rapid.IntRange(0, 8).Draw(rt, "what"),
				time.Duration(rapid.SampledFrom([]int{0, 0, 30, 400, 1500, 7000, 70000}).Draw(rt, "ms")) * time.Millisecond,
			}
		}), 1, 25).Draw(rt, "steps")
		var problem error
		synctest.Test(t, func(t *testing.T) {
			w, genesis := newWorld()
			var nodes []*fakeNode
			for i := range count {
				nodes = append(nodes, newFake(fmt.Sprint("n", i), w, genesis))
			}
			r := newRig(t, nil, nodes)
			defer r.stop()
			r.after(time.Second)
			downs := 0 // times that a node was made to name less work, or lost for long
			for _, s := range steps {
				disturb(nodes, s.node, s.what, &downs)
				if s.wait > 60*time.Second {
					downs++
				}
				r.after(s.wait)
			}
			for _, n := range nodes {
				n.set(func(f *fakeNode) { f.err, f.tmplErr, f.hung, f.deaf, f.building = nil, nil, false, false, 0 })
			}
			r.after(30 * time.Second)
			problem = checkTold(w, nodes, r, downs)
		})
		if problem != nil {
			rt.Fatal(problem)
		}
	})
}

// disturb does something to a node.
func disturb(nodes []*fakeNode, i, what int, downs *int) {
	n := nodes[i]
	switch what {
	case 0, 1:
		n.extend()
	case 2: // it follows another
		other := nodes[(i+1)%len(nodes)]
		other.mu.Lock()
		best := other.best
		other.mu.Unlock()
		if n.world.work(best).Cmp(n.world.work(n.best)) >= 0 {
			n.set(func(f *fakeNode) { f.best = best })
		}
	case 3:
		n.set(func(f *fakeNode) { f.err = errDead })
	case 4:
		n.set(func(f *fakeNode) { f.hung = true })
	case 5:
		n.set(func(f *fakeNode) { f.err, f.tmplErr, f.hung, f.deaf, f.building = nil, nil, false, false, 0 })
	case 6:
		n.set(func(f *fakeNode) { f.building = 600 * time.Millisecond })
	case 7:
		n.set(func(f *fakeNode) { f.tmplErr = errBusy })
	case 8: // the tip is invalidated
		if h, ok := n.world.header(n.best); ok && h.Height > 100 {
			*downs++
			n.set(func(f *fakeNode) { f.best = h.Previous })
		}
	}
}

// checkTold checks all that a Set told.
func checkTold(w *world, nodes []*fakeNode, r *rig, downs int) error {
	told := r.told()
	for i, n := range told {
		if n.Template != nil {
			if tmpl, err := peek(n.Template); err != nil || tmpl.previous != n.Tip {
				return fmt.Errorf("template %s for tip %s: %w", n.Template, n.Tip, errors.Join(err))
			}
		}
		if i > 0 && w.work(n.Tip).Cmp(w.work(told[i-1].Tip)) < 0 {
			if downs--; downs < 0 {
				return fmt.Errorf("went back to %s", n.Tip)
			}
		}
	}
	best := new(big.Int)
	for _, n := range nodes {
		if work := w.work(n.best); work.Cmp(best) > 0 {
			best = work
		}
		if n.maxPolls > 1 {
			return fmt.Errorf("%d long polls at once", n.maxPolls)
		}
	}
	if last := r.latest(); last.Template == nil || w.work(last.Tip).Cmp(best) != 0 {
		return fmt.Errorf("all nodes are well but told is %+v", last)
	}
	synctest.Wait()
	return nil
}

// chainOf is a Chain that answers from a world.
type chainOf struct {
	Chain
	w     *world
	asked int
}

func (c *chainOf) Header(_ context.Context, hash chainhash.Hash) (Header, error) {
	c.asked++
	h, ok := c.w.header(hash)
	if !ok {
		return Header{}, ErrUnknownBlock
	}
	return h, nil
}

func TestWorkIndex(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, genesis := newWorld()
		index, chain := newWorkIndex(), &chainOf{w: w}
		blocks := []chainhash.Hash{genesis}
		var tips []tip
		locate := func(hash chainhash.Hash) {
			got, err := index.locate(t.Context(), chain, hash, time.Second)
			if err != nil || got.hash != hash {
				rt.Fatalf("got %v, %v", got, err)
			}
			tips = append(tips, got)
		}
		locate(genesis)
		for range rapid.IntRange(1, 30).Draw(rt, "blocks") {
			previous := rapid.SampledFrom(blocks).Draw(rt, "previous")
			bits := rapid.SampledFrom([]uint32{easyBits, 0x203fffff, 0x1f7fffff}).Draw(rt, "bits")
			blocks = append(blocks, w.add(w.block(previous, bits)))
			if rapid.Bool().Draw(rt, "look") {
				locate(blocks[len(blocks)-1])
			}
		}
		for _, a := range tips {
			for _, b := range tips {
				if got, want := a.work.Cmp(b.work), w.work(a.hash).Cmp(w.work(b.hash)); got != want {
					rt.Fatalf("%v and %v compare as %d, want %d", a, b, got, want)
				}
			}
		}
		if chain.asked > len(blocks) {
			rt.Fatalf("asked for %d headers of %d blocks", chain.asked, len(blocks))
		}
	})
}

// TestMedianTime works out what a node does not tell, once it has told of enough blocks.
func TestMedianTime(t *testing.T) {
	w, best := newWorld()
	index, chain := newWorkIndex(), &chainOf{w: w}
	// Minutes after the hour, out of order. The blocks know no median time.
	minutes := []int64{0, 10, 5, 30, 7, 40, 20, 50, 25, 60, 35, 70, 41}
	for i, m := range minutes {
		best = w.grow(best, 1)
		w.mu.Lock()
		h := w.headers[best]
		h.Time, h.MedianTime = time.Unix(1_700_000_000+60*m, 0), time.Time{}
		w.headers[best] = h
		w.mu.Unlock()
		got, err := index.locate(t.Context(), chain, best, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		want := time.Time{}
		if i >= 10 {
			last := slices.Clone(minutes[i-10 : i+1])
			slices.Sort(last)
			want = time.Unix(1_700_000_000+60*last[5], 0)
		}
		if !got.header.MedianTime.Equal(want) {
			t.Errorf("after block %d the median time is %s, want %s", i+1, got.header.MedianTime, want)
		}
	}
}

// TestWorkIndexApart has chains that do not meet in what a node is asked for.
func TestWorkIndexApart(t *testing.T) {
	w, genesis := newWorld()
	index, chain := newWorkIndex(), &chainOf{w: w}
	locate := func(hash chainhash.Hash) tip {
		t.Helper()
		got, err := index.locate(t.Context(), chain, hash, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	middle := w.grow(genesis, 1000)
	first := locate(middle)
	if chain.asked != 1 {
		t.Errorf("asked for %d headers at first, want 1", chain.asked)
	}
	far := locate(w.grow(middle, 5000))
	behind := locate(genesis)
	sibling := locate(w.grow(w.headers[middle].Previous, 1))
	if far.work.Cmp(first.work) <= 0 || behind.work.Cmp(first.work) >= 0 || sibling.work.Cmp(first.work) != 0 {
		t.Errorf("work is %v, %v ahead, %v behind, %v beside", first.work, far.work, behind.work, sibling.work)
	}
	if chain.asked > 2*maxWalk+10 {
		t.Errorf("asked for %d headers", chain.asked)
	}
	at := far.hash
	for range 30 {
		at = w.grow(at, 190)
		locate(at)
	}
	if n := len(index.headers); n > maxHeaders+maxWalk {
		t.Errorf("%d headers are kept", n)
	}
	if _, err := index.locate(t.Context(), chain, chainhash.Hash{1}, time.Second); !errors.Is(err, ErrUnknownBlock) {
		t.Errorf("unknown block: got %v", err)
	}
}
