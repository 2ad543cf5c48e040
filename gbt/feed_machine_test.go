package gbt

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// feedMachine feeds random news and keeps the little of it that a feed may show.
type feedMachine struct {
	pool *pool
	// tip is the latest that any news named, and value what the template in force claims; force
	// is false while there is none.
	tip   chainhash.Hash
	value int64
	force bool

	seq     uint64
	ids     map[string]bool
	changed chan struct{}
}

func (m *feedMachine) take(news News) { m.pool.feed.take(m.pool.t.Context(), news) }

// template is a node's answer on a tip, one of three that differ.
func (m *feedMachine) template(t *rapid.T, tip chainhash.Hash) (in templateJSON, value int64) {
	in = makeTemplate(m.pool.t, tip, easyBits, nil)
	value = subsidy + rapid.Int64Range(0, 2).Draw(t, "fees")
	*in.CoinbaseValue = value
	return in, value
}

func drawTip(t *rapid.T) chainhash.Hash { return tipOf(rapid.IntRange(1, 3).Draw(t, "tip")) }

// move sets the tip of the model.
func (m *feedMachine) move(tip chainhash.Hash) {
	if tip != m.tip {
		m.tip, m.force = tip, false
	}
}

func (m *feedMachine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"a template": func(t *rapid.T) {
			tip := drawTip(t)
			in, value := m.template(t, tip)
			m.take(News{Node: "node", Tip: tip, Template: in.raw(m.pool.t), Received: m.pool.now})
			m.move(tip)
			m.value, m.force = value, true
		},
		"a tip without a template": func(t *rapid.T) {
			tip := drawTip(t)
			m.take(News{Tip: tip, Err: errors.New("the node is making one")})
			m.move(tip)
			m.force = false
		},
		"an unusable template": func(t *rapid.T) {
			tip := drawTip(t)
			m.take(News{Tip: tip, Template: []byte(`{}`)})
			m.move(tip)
		},
		"a template on another block than the tip": func(t *rapid.T) {
			tip := drawTip(t)
			in, _ := m.template(t, tipOf(9))
			m.take(News{Tip: tip, Template: in.raw(m.pool.t)})
			m.move(tip)
		},
		"time passes": func(t *rapid.T) {
			m.pool.now = m.pool.now.Add(time.Duration(rapid.Int64Range(-5_000, 60_000).Draw(t, "ms")) * time.Millisecond)
		},
		"": m.check,
	}
}

// check compares what the feed shows with what it should, and holds it to its numbers.
func (m *feedMachine) check(t *rapid.T) {
	got, err := m.pool.feed.Current()
	state := m.pool.feed.state.Load()
	if !m.force {
		if got != nil || !errors.Is(err, ErrUnavailable) {
			t.Fatalf("template %+v, %v, want none", got, err)
		}
	} else {
		switch {
		case err != nil:
			t.Fatal(err)
		case got.PreviousBlock != m.tip || got.Value != m.value:
			t.Fatalf("a template on %s that claims %d, want %s and %d", got.PreviousBlock, got.Value, m.tip, m.value)
		case got.Seq < m.seq:
			t.Fatalf("number %d after %d", got.Seq, m.seq)
		case got.Seq > m.seq && m.ids[got.LongPollID()]:
			t.Fatalf("the id %s is used again", got.LongPollID())
		}
		m.seq, m.ids[got.LongPollID()] = got.Seq, true
	}
	select {
	case <-m.changed:
		if state.changed == m.changed {
			t.Fatal("a closed channel is still in place")
		}
	default:
		if state.changed != m.changed {
			t.Fatal("the channel was replaced but nobody woken")
		}
	}
	m.changed = state.changed
	select {
	case <-state.changed:
		t.Fatal("who waits now is woken by the past")
	default:
	}
}

// TestFeedMachine runs random sequences of news through a feed.
func TestFeedMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPool(t)
		m := &feedMachine{pool: p, ids: make(map[string]bool), changed: p.feed.state.Load().changed}
		rt.Repeat(m.actions())
	})
}

// TestFeedMachineWakes checks the other half: a channel is replaced if and only if what Current
// shows has changed.
func TestFeedMachineWakes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPool(t)
		m := &feedMachine{pool: p, ids: make(map[string]bool), changed: p.feed.state.Load().changed}
		actions := m.actions()
		delete(actions, "")
		for name, act := range actions {
			actions[name] = func(t *rapid.T) {
				before, beforeErr := p.feed.Current()
				tip, channel := p.feed.state.Load().tip, p.feed.state.Load().changed
				act(t)
				after, afterErr := p.feed.Current()
				same := before == after && (beforeErr == nil) == (afterErr == nil) && tip == p.feed.state.Load().tip
				if woken := p.feed.state.Load().changed != channel; woken == same {
					t.Fatalf("%s: woken %t, the same as before %t", name, woken, same)
				}
			}
		}
		rt.Repeat(actions)
	})
}
