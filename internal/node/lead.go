package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// source is how a new tip was heard of.
type source int

const (
	watchdog source = iota
	longPoll
	zmq
)

// template is a node's answer to getblocktemplate.
type template struct {
	raw        []byte
	previous   chainhash.Hash
	longPollID string
	received   time.Time
}

// report is what was learned of one node at one moment; what is nil was not asked.
type report struct {
	node int
	at   time.Time
	// err says that the node did not answer; then nothing else is set.
	err  error
	info *Info
	// tip is the node's best block, and source how it was heard of.
	tip    *tip
	source source
	// hint is the notification that had the node asked; zero if none had.
	hint Hint
	// template builds on tip; templateErr is why there is none.
	template    *template
	templateErr error
}

// view is what is known of one node.
type view struct {
	name string
	info Info
	// tip is the node's last word on the best block.
	tip      tip
	seen     TipSeen // of tip
	template *template

	// down, barren and unfit are why the node cannot lead: it does not answer, it gives no
	// templates, it must not be used. Each has since when.
	down, barren, unfit trouble

	lastSeen  time.Time
	lastErr   error
	lastErrAt time.Time
	// goodSince is since when the node is without trouble; zero while it is not.
	goodSince time.Time
	// behindSince is since when others have more work; zero while none has.
	behindSince time.Time
}

// trouble is an error and since when it lasts; the zero trouble is none.
type trouble struct {
	err   error
	since time.Time
}

func (t *trouble) set(err error, at time.Time) {
	if t.err == nil {
		t.since = at
	}
	t.err = err
}

// lead decides which node leads and what is told of it. It is a plain state machine: reports and
// the time go in, news comes out.
type lead struct {
	cfg      *SetConfig
	nodes    []view
	leader   int // -1: none
	ledSince time.Time
	// orders are the operator's, and aside says which nodes are left out because of them.
	orders []Order
	aside  []bool
	// last is the latest news and lastTip its tip.
	last    gbt.News
	lastTip tip
}

func newLead(cfg *SetConfig) *lead {
	l := &lead{cfg: cfg, nodes: make([]view, len(cfg.Nodes)), leader: -1, orders: noOrders(cfg), aside: make([]bool, len(cfg.Nodes))}
	for i, n := range cfg.Nodes {
		l.nodes[i].name = n.Name()
	}
	return l
}

// apply takes in a report.
func (l *lead) apply(r report) {
	v := &l.nodes[r.node]
	if r.err != nil {
		v.fault(&v.down, r.err, r.at)
		return
	}
	v.down = trouble{}
	v.lastSeen = r.at
	if r.info != nil {
		v.info = *r.info
		if err := unfit(r.info, l.cfg.Chain); err != nil {
			v.fault(&v.unfit, err, r.at)
		} else {
			v.unfit = trouble{}
		}
	}
	if r.tip != nil {
		if r.tip.hash != v.tip.hash {
			v.seen = TipSeen{}
		}
		v.tip = *r.tip
		if r.hint.Block == v.tip.hash {
			v.seen.mark(zmq, r.hint.At)
		} else {
			v.seen.mark(r.source, r.at)
		}
	}
	switch {
	case r.template != nil:
		v.template, v.barren = r.template, trouble{}
	case r.templateErr != nil:
		v.fault(&v.barren, r.templateErr, r.at)
	}
	if v.goodSince.IsZero() && v.trouble() == nil {
		v.goodSince = r.at
	}
}

func (v *view) fault(t *trouble, err error, at time.Time) {
	t.set(err, at)
	v.lastErr, v.lastErrAt, v.goodSince = err, at, time.Time{}
}

// unfit says why a node that answers must not be used, if so.
func unfit(info *Info, chain string) error {
	isolated := chain == "regtest" || chain == "simnet" // nobody to download from, or to hear of
	switch {
	case info.Chain != chain:
		return fmt.Errorf("%w: it is on %s and we mine on %s: use a node on %s or change the chain setting",
			errWrongChain, info.Chain, chain, chain)
	case info.InitialDownload && !isolated:
		return fmt.Errorf("%w: %.1f%% of the chain is verified, wait until it has caught up", ErrInitialDownload, 100*info.Progress)
	case info.Peers == 0 && chain == "main":
		return fmt.Errorf("%w: it has no peers, check its network", ErrNotConnected)
	}
	return nil
}

var errWrongChain = errors.New("the node is on another chain")

// trouble returns the node's worst trouble, nil if it has none.
func (v *view) trouble() error {
	for _, t := range []trouble{v.down, v.unfit, v.barren} {
		if t.err != nil {
			return t.err
		}
	}
	return nil
}

// lost reports since when the node has not been usable; false while it is, or while it is in
// trouble for so short a time that its last word still counts.
func (l *lead) lost(v *view, now time.Time) (time.Time, bool) {
	var since time.Time
	for _, t := range []trouble{v.down, v.unfit, v.barren} {
		if t.err != nil && (since.IsZero() || t.since.Before(since)) {
			since = t.since
		}
	}
	switch {
	case since.IsZero():
		return since, v.tip.work == nil
	case v.unfit.err != nil || v.tip.work == nil:
		return since, true
	}
	return since, now.Sub(since) > l.cfg.LeaveAfter
}

// decide returns the news that the nodes' state makes, and whether it is new.
func (l *lead) decide(now time.Time) (gbt.News, bool) {
	clear(l.aside)
	top, floor := l.heaviest(now)
	l.markBehind(top, now)
	if l.setAside(now); slices.Contains(l.aside, true) {
		top, floor = l.heaviest(now)
	}
	if top.work == nil || top.work.Cmp(floor.work) < 0 {
		l.leader = -1
		return l.hold(floor, now)
	}
	l.elect(top, now)
	v := &l.nodes[l.leader]
	news := gbt.News{Node: v.name, Tip: v.tip.hash}
	switch {
	case v.ready():
		news.Template, news.Received = v.template.raw, v.template.received
	case l.last.Template != nil && l.last.Tip == v.tip.hash:
		return l.last, false // another node's template on the same block is as good
	default:
		news.Received = now
		news.Err, news.Header = errBuilding, v.tip.told()
	}
	return l.tell(news, v.tip)
}

// heaviest returns the most work of usable nodes, and of all whose word counts.
func (l *lead) heaviest(now time.Time) (top, floor tip) {
	for i := range l.nodes {
		v := &l.nodes[i]
		since, lost := l.lost(v, now)
		if v.tip.work == nil || l.aside[i] {
			continue
		}
		if !lost {
			top = heavier(top, v.tip)
		}
		if !lost || now.Sub(since) <= l.cfg.TipHold {
			floor = heavier(floor, v.tip)
		}
	}
	return top, floor
}

// told returns what the node that first told of a best block says of it.
func (t *tip) told() *gbt.Header {
	h := &gbt.Header{
		Hash: t.hash, Previous: t.header.Previous, Height: t.header.Height, Bits: t.header.Bits, Time: t.header.Time.Unix(),
	}
	if !t.header.MedianTime.IsZero() {
		h.MedianTime = t.header.MedianTime.Unix()
	}
	return h
}

var errBuilding = errors.New("the node builds a template on the newest block")

func heavier(a, b tip) tip {
	if a.work == nil || b.work.Cmp(a.work) > 0 {
		return b
	}
	return a
}

// ready reports whether the node has a template on its best block.
func (v *view) ready() bool { return v.template != nil && v.template.previous == v.tip.hash }

// elect sets the leader among the usable nodes with the most work. The present one stays as long
// as it is among them, unless only others have a template yet, one with a template is preferred, or
// one that comes before it in the configuration ranks as high and has proven stable.
func (l *lead) elect(top tip, now time.Time) {
	var group []int
	present, anyReady := false, false
	for i := range l.nodes {
		v := &l.nodes[i]
		if _, lost := l.lost(v, now); lost || l.aside[i] || v.tip.work.Cmp(top.work) != 0 {
			continue
		}
		group = append(group, i)
		present = present || i == l.leader
		anyReady = anyReady || v.ready()
	}
	next := group[0]
	for _, i := range group[1:] {
		if l.rank(i) > l.rank(next) {
			next = i
		}
	}
	stays := present && (l.nodes[l.leader].ready() || !anyReady) && !l.retakes(next, now)
	if stays || next == l.leader {
		return
	}
	l.leader, l.ledSince = next, now
}

// rank orders nodes of equal work for a change of leader: first those with a template, then those
// that are preferred, then those on the block that was last told of; the configuration's order
// decides the rest.
func (l *lead) rank(i int) int {
	rank := 0
	if l.nodes[i].ready() {
		rank += 4
	}
	if l.orders[i] == Prefer {
		rank += 2
	}
	if l.nodes[i].tip.hash == l.last.Tip {
		rank++
	}
	return rank
}

// retakes reports whether node i, which ranks highest, takes the lead back from the present leader.
func (l *lead) retakes(i int, now time.Time) bool {
	v := &l.nodes[i]
	if was, is := l.orders[l.leader] == Prefer, l.orders[i] == Prefer; was != is {
		return is && v.ready()
	}
	return i < l.leader && !v.goodSince.IsZero() && now.Sub(v.goodSince) >= l.cfg.StableFor && now.Sub(l.ledSince) >= l.cfg.StableFor
}

// hold is the decision while no usable node has as much work as is known to exist: the last
// template stays good for a while, but nothing older comes in its place.
func (l *lead) hold(floor tip, now time.Time) (gbt.News, bool) {
	var since time.Time // when the last node that knew the most work was lost
	known := false
	for i := range l.nodes {
		v := &l.nodes[i]
		if v.tip.work == nil || floor.work != nil && v.tip.work.Cmp(floor.work) < 0 {
			continue
		}
		if s, lost := l.lost(v, now); lost && s.After(since) {
			since = s
		}
		known = true
	}
	current := floor.work == nil || l.lastTip.work != nil && l.lastTip.work.Cmp(floor.work) >= 0
	if known && current && l.last.Template != nil && now.Sub(since) <= l.cfg.LostAfter {
		return l.last, false
	}
	at := l.lastTip
	if floor.work != nil {
		at = heavier(at, floor)
	}
	return l.tell(gbt.News{Tip: at.hash, Received: now, Err: l.whyNone(now)}, at)
}

// whyNone says why no node gives templates.
func (l *lead) whyNone(now time.Time) error {
	states := make([]string, len(l.nodes))
	usable := false
	for i := range l.nodes {
		states[i] = l.nodes[i].name + ": " + string(l.state(i, now))
		_, lost := l.lost(&l.nodes[i], now)
		usable = usable || !lost
	}
	if usable {
		return fmt.Errorf("the nodes with the newest block are lost and the others do not have it (%s)", strings.Join(states, ", "))
	}
	return fmt.Errorf("no node is usable (%s)", strings.Join(states, ", "))
}

// tell returns news and whether it differs from the last.
func (l *lead) tell(news gbt.News, at tip) (gbt.News, bool) {
	same := news.Tip == l.last.Tip && (news.Template == nil) == (l.last.Template == nil)
	if news.Template != nil {
		same = same && news.Received.Equal(l.last.Received) && news.Node == l.last.Node
	} else {
		same = same && l.last.Err != nil && news.Err.Error() == l.last.Err.Error()
	}
	if same {
		return l.last, false
	}
	l.last, l.lastTip = news, at
	return news, true
}

// markBehind notes which nodes lag.
func (l *lead) markBehind(top tip, now time.Time) {
	for i := range l.nodes {
		v := &l.nodes[i]
		switch {
		case v.tip.work == nil || top.work == nil || v.tip.work.Cmp(top.work) >= 0:
			v.behindSince = time.Time{}
		case v.behindSince.IsZero():
			v.behindSince = now
		}
	}
}
