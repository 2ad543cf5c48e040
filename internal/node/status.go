package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// State is what a node is good for.
type State string

// The states of a node.
const (
	Starting   State = "starting"     // it has not answered yet
	OK         State = "ok"           // it may lead
	Lagging    State = "lagging"      // others have a chain with more work
	Down       State = "down"         // it does not answer
	NoTemplate State = "no template"  // it answers but gives no templates
	Syncing    State = "syncing"      // it is in initial block download
	Alone      State = "without peer" // it has no peers
	WrongChain State = "wrong chain"  // it is on another chain than configured
)

// TipSeen says when each source first showed a node's best block; zero: not yet.
type TipSeen struct{ Watchdog, LongPoll, ZMQ time.Time }

func (s *TipSeen) mark(by source, at time.Time) {
	t := &s.Watchdog
	switch by {
	case longPoll:
		t = &s.LongPoll
	case zmq:
		t = &s.ZMQ
	case watchdog:
	}
	if t.IsZero() {
		*t = at
	}
}

// Status is a snapshot of one node.
type Status struct {
	Name string
	// Info is the node's last account of itself; Height and Best in it are as old as that.
	Info Info
	// State is what the node is good for and Reason why it is no better; empty if it is OK.
	State  State
	Reason string
	// Leading is whether the templates in use are this node's.
	Leading bool
	// Order is what the operator wants of it.
	Order Order
	// Height, Best and Bits are the node's best block's.
	Height  int32
	Best    chainhash.Hash
	Bits    uint32
	TipSeen TipSeen
	// TemplateAt is when the node's last template arrived, and Ready whether it builds on Best.
	TemplateAt time.Time
	Ready      bool
	// LastSeen is when the node last answered.
	LastSeen time.Time
	// LastError is the last trouble with the node, at LastErrorAt, over or not; nil if never.
	LastError   error
	LastErrorAt time.Time
	Blocks      BlockCounts
}

// BlockCounts counts the blocks that were offered to a node.
type BlockCounts struct {
	// Accepted counts blocks that the node took or had already, Refused those that it did not
	// take, Undelivered those that it never answered for. Pending are being offered.
	Accepted, Refused, Undelivered, Pending int64
}

// Status returns a snapshot of all nodes in the configuration's order.
func (s *Set) Status() []Status {
	known := *s.status.Load()
	out := make([]Status, len(known))
	for i := range known {
		out[i] = known[i]
		out[i].Blocks = s.counts[i].snapshot()
	}
	return out
}

// Healthy returns nil if a usable node with the most work gives templates, and else an error that
// says what is wrong with each.
func (s *Set) Healthy() error {
	var errs []error
	for _, st := range s.Status() {
		if st.Leading && st.Ready {
			return nil
		}
		reason := st.Reason
		if reason == "" {
			reason = "no template yet"
		}
		errs = append(errs, fmt.Errorf("%s is %s: %s", st.Name, st.State, reason))
	}
	return errors.Join(errs...)
}

// state says what node i is good for.
func (l *lead) state(i int, now time.Time) State {
	v := &l.nodes[i]
	_, lost := l.lost(v, now)
	switch {
	case v.down.err != nil && (lost || v.lastSeen.IsZero()):
		return Down
	case errors.Is(v.unfit.err, errWrongChain):
		return WrongChain
	case errors.Is(v.unfit.err, ErrInitialDownload), errors.Is(v.barren.err, ErrInitialDownload):
		return Syncing
	case errors.Is(v.unfit.err, ErrNotConnected), errors.Is(v.barren.err, ErrNotConnected):
		return Alone
	case v.barren.err != nil && lost:
		return NoTemplate
	case v.tip.work == nil:
		return Starting
	case l.lags(v, now):
		return Lagging
	}
	return OK
}

// lags reports whether others have had more work for some time.
func (l *lead) lags(v *view, now time.Time) bool {
	return !v.behindSince.IsZero() && now.Sub(v.behindSince) > l.cfg.LeaveAfter
}

// snapshot returns the status of all nodes.
func (l *lead) snapshot(now time.Time) []Status {
	out := make([]Status, len(l.nodes))
	for i := range l.nodes {
		v := &l.nodes[i]
		out[i] = Status{
			Name: v.name, Info: v.info, State: l.state(i, now), Leading: i == l.leader, Order: l.orders[i],
			Height: v.tip.height, Best: v.tip.hash, Bits: v.tip.bits, TipSeen: v.seen, Ready: v.ready(),
			LastSeen: v.lastSeen, LastError: v.lastErr, LastErrorAt: v.lastErrAt,
		}
		if v.template != nil {
			out[i].TemplateAt = v.template.received
		}
		switch out[i].State {
		case OK:
		case Lagging:
			out[i].Reason = fmt.Sprintf("its best block has height %d, others have more work", v.tip.height)
		case Starting:
			out[i].Reason = "it has not answered yet"
		case Down, NoTemplate, Syncing, Alone, WrongChain:
			if err := v.trouble(); err != nil {
				out[i].Reason = err.Error()
			}
		}
	}
	return out
}
