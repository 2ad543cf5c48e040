package node

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Order is what an operator wants of a node, until the program starts again.
type Order string

// The orders.
const (
	NoOrder Order = "none"
	// Drain takes no templates from a node, and asks it for none, as long as another one that does
	// not lag can be used. It is followed all the same, and found blocks go to it.
	Drain Order = "drain"
	// Prefer has a node lead as long as no other has more work.
	Prefer Order = "prefer"
)

// ErrUnknownNode says that no node has a name.
var ErrUnknownNode = errors.New("there is no such node")

// Order gives a node an order, in the place of the one before, or ErrUnknownNode.
func (s *Set) Order(name string, order Order) error {
	switch order {
	case NoOrder, Drain, Prefer:
	default:
		return fmt.Errorf("%q is no order for a node: want %s, %s or %s", order, NoOrder, Drain, Prefer)
	}
	i := slices.IndexFunc(s.cfg.Nodes, func(n Node) bool { return n.Name() == name })
	if i < 0 {
		return fmt.Errorf("%w: %q", ErrUnknownNode, name)
	}
	for {
		old := s.orders.Load()
		orders := slices.Clone(*old)
		orders[i] = order
		if s.orders.CompareAndSwap(old, &orders) {
			signal(s.ordered)
			return nil
		}
	}
}

// noOrders is an order for each node, which is none.
func noOrders(cfg *SetConfig) []Order {
	orders := make([]Order, len(cfg.Nodes))
	for i := range orders {
		orders[i] = NoOrder
	}
	return orders
}

// setAside decides which nodes are left out because they are drained: all that are, as long as
// another one is usable and neither lags nor has less work than was told of already.
func (l *lead) setAside(now time.Time) {
	clear(l.aside)
	for i := range l.nodes {
		v := &l.nodes[i]
		if _, lost := l.lost(v, now); lost || l.orders[i] == Drain || l.lags(v, now) ||
			l.lastTip.work != nil && v.tip.work.Cmp(l.lastTip.work) < 0 {
			continue
		}
		for j := range l.aside {
			l.aside[j] = l.orders[j] == Drain
		}
		return
	}
}

// setIdle has a watcher's node asked for templates no more, or again.
func (w *watcher) setIdle(idle bool) {
	if w.idle.Swap(idle) == idle {
		return
	}
	signal(w.want) // in place of the long poll in flight
	if !idle {
		signal(w.resume)
	}
}
