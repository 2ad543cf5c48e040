package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	// chooseEvery is how often a miner chooses at most while the previous block is the same, so
	// that a server whose template changes often is not asked about each.
	chooseEvery = 10 * time.Second
	// apartFor is how long the miner's own node may have another previous block than the server
	// before that is worth a word.
	apartFor = 30 * time.Second
)

// offered is a server's template.
type offered struct {
	template *Template
	// serial is that of the work made of it.
	serial uint64
	// tip ends when the server gives out a template on another previous block.
	tip   context.Context //nolint:containedctx // the block is what it bounds
	leave context.CancelFunc
}

// publish makes a server's template the one to choose from.
func (m *Miner) publish(ctx context.Context, t *Template, serial uint64) {
	o, last := &offered{template: t, serial: serial}, m.offered.Load()
	if last != nil && last.template.PreviousBlock == t.PreviousBlock {
		o.tip, o.leave = last.tip, last.leave
	} else {
		if last != nil {
			last.leave()
		}
		o.tip, o.leave = context.WithCancel(ctx)
	}
	m.offered.Store(o)
	m.tell()
}

// tell has the miner choose anew.
func (m *Miner) tell() {
	select {
	case m.news <- struct{}{}:
	default: // it has been told already
	}
}

// chooser is where a miner's choosing stands.
type chooser struct {
	miner *Miner
	// last is what was chosen from last.
	last Offer
	// previous is the block that the last choice was for, and until when the next is to wait.
	previous chainhash.Hash
	until    time.Time
	// mined is the choice that was last accepted, on its previous block.
	mined *Template
	// tries counts proposals that were not answered.
	tries backoff
	// apart is since when the miner's own node and the server have different previous blocks; zero
	// if they agree. told is set once that has been told.
	apart time.Time
	told  bool
}

// choose lets the Policy choose whenever there is something new, until ctx ends.
func (m *Miner) choose(ctx context.Context) error {
	c := chooser{miner: m}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.news:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if again := c.next(); again > 0 {
			timer.Reset(again)
		}
	}
}

// next chooses if it is time to. It returns after how long to look again, even if there is nothing
// new by then; 0 if that is of no use.
func (c *chooser) next() time.Duration {
	o := c.miner.offered.Load()
	if o == nil || o.tip.Err() != nil {
		return 0
	}
	offer := Offer{Pool: o.template, Node: c.miner.own.Load()}
	if c.miner.cfg.Node != nil {
		if again, agree := c.agree(offer); !agree {
			return again
		}
	}
	if offer == c.last {
		return 0
	}
	if c.previous != offer.Pool.PreviousBlock {
		c.previous, c.until = offer.Pool.PreviousBlock, time.Time{}
		c.tries.succeeded()
	}
	if again := time.Until(c.until); again > 0 {
		return again
	}
	err := c.decide(o, offer)
	switch {
	case o.tip.Err() != nil:
		return 0 // nobody waits for an answer any more
	case err != nil:
		c.trouble(fmt.Errorf("no answer to the proposal: %w", err))
		again := c.tries.failed()
		c.until = time.Now().Add(again)
		return again
	}
	c.last, c.until = offer, time.Now().Add(chooseEvery)
	c.tries.succeeded()
	return 0
}

// agree reports whether the miner's own node has the same previous block as the server: only then
// can their templates be joined. If not, it returns when to look again.
func (c *chooser) agree(o Offer) (again time.Duration, agree bool) {
	switch {
	case o.Node != nil && o.Node.PreviousBlock == o.Pool.PreviousBlock:
		c.apart, c.told = time.Time{}, false
		return 0, true
	case c.apart.IsZero():
		c.apart = time.Now()
	case c.told:
		return 0, false
	}
	if again = time.Until(c.apart.Add(apartFor)); again > 0 {
		return again, false
	}
	c.told = true
	if o.Node == nil {
		c.trouble(errors.New("there is no template of the miner's own node: the server's are mined as they are given"))
	} else {
		c.trouble(fmt.Errorf("the miner's own node builds on block %s at height %d, the server on %s at height %d: the server's template is mined as it is given until they agree",
			o.Node.PreviousBlock, o.Node.Height-1, o.Pool.PreviousBlock, o.Pool.Height-1))
	}
	return 0, false
}

// decide lets the Policy choose and has the choice mined if the server agrees. An error means that
// the server has not answered.
func (c *chooser) decide(o *offered, offer Offer) error {
	chosen, err := c.chosen(o.tip, offer)
	if err != nil {
		if o.tip.Err() == nil {
			c.trouble(fmt.Errorf("no transactions are chosen, the server's template is mined as it is given: %w", err))
			c.miner.asGiven(o)
		}
		return nil
	}
	switch current := c.miner.work.Load().template; {
	case sameTransactions(chosen, o.template):
		c.miner.asGiven(o)
		c.miner.event(Event{Kind: Choice, Template: o.template})
		return nil
	case offer.Pool == c.last.Pool && current != nil && current == c.mined && sameTransactions(chosen, current):
		return nil // only the miner's own node has something new, and nothing that was chosen
	}
	a, err := NewAssembler(chosen, c.miner.cfg.Options)
	if err != nil {
		c.trouble(err)
		return nil
	}
	ruling := Ruling{Template: chosen}
	if chosen.proposes() {
		block, err := a.Block(0, time.Now())
		if err != nil {
			return err
		}
		if ruling, err = c.miner.cfg.Client.Propose(o.tip, block); err != nil {
			return err
		}
	}
	c.ruled(o, ruling)
	return nil
}

// chosen returns the template with the transactions that the Policy chooses.
func (c *chooser) chosen(ctx context.Context, offer Offer) (*Template, error) {
	txs, err := c.miner.cfg.Policy(ctx, offer)
	if err != nil {
		return nil, err
	}
	return offer.With(txs)
}

// ruled acts on the server's ruling.
func (c *chooser) ruled(o *offered, r Ruling) {
	if !r.Accepted() {
		c.miner.asGiven(o)
		c.miner.event(Event{Kind: Choice, Template: o.template, Reason: r.Reason, Detail: r.Detail})
		return
	}
	a, err := NewAssembler(r.Template, c.miner.cfg.Options)
	if err != nil {
		c.miner.asGiven(o)
		c.trouble(fmt.Errorf("the choice is accepted on terms that cannot be mined, the server's template is mined as it is given: %w", err))
		return
	}
	c.mined = r.Template
	c.miner.event(Event{Kind: Choice, Template: r.Template})
	c.miner.mineInstead(newWork(o.tip, a, o.serial, &c.miner.numbers))
}

// trouble tells of what went wrong.
func (c *chooser) trouble(err error) { c.miner.event(Event{Kind: Trouble, Err: err}) }

// mineInstead mines work in place of other work on the same block.
func (m *Miner) mineInstead(w *work) {
	m.replace(w, func(old *work) bool {
		if old.done.Err() != nil || old.template.PreviousBlock != w.template.PreviousBlock || w.serial < m.validFrom.Load() {
			return false // what comes next is on its way
		}
		w.wanted, w.renew = old.wanted, old.renew // whoever waits, waits for these
		return true
	})
}

// asGiven mines the server's template as it was given if a choice is being mined.
func (m *Miner) asGiven(o *offered) {
	if t := m.work.Load().template; t == nil || t.Origin == nil {
		return
	}
	a, err := NewAssembler(o.template, m.cfg.Options)
	if err != nil {
		return // it was made before
	}
	m.mineInstead(newWork(o.tip, a, o.serial, &m.numbers))
}

// sameTransactions reports whether two templates have the same transactions.
func sameTransactions(a, b *Template) bool {
	hashes := func(t *Template) []chainhash.Hash {
		out := make([]chainhash.Hash, len(t.Transactions))
		for i := range t.Transactions {
			out[i] = t.Transactions[i].Hash
		}
		return out
	}
	return slices.Equal(hashes(a), hashes(b))
}
