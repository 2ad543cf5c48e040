package gbt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// maxCheckedSets bounds how many answers a setChecker remembers. They are small.
const maxCheckedSets = 1 << 14

// setChecker has a full node check transaction sets that no template here vouches for, each once
// however many submissions come with it at a time.
type setChecker struct {
	network Network
	rules   *SetRules
	// slots holds one element for each check that a node does at the moment.
	slots chan struct{}
	mu    sync.Mutex
	// checks is by what is asked for and confirmed what was ever answered well. Both are held by mu.
	checks    map[claim]*setCheck
	confirmed map[setID]claim
}

// claim is a question to a node: whether a set is valid with a coinbase that takes this much.
type claim struct {
	set setID
	// value is what the coinbase pays, in satoshis, sigops what it counts, in sigop cost, and size
	// what it takes, in bytes without the witness.
	value, sigops, size int64
}

// claims returns what a set is to be checked for.
func (q *question) claims(coinbase *coinbaseTx) claim {
	return claim{set: q.id, value: q.value, sigops: coinbase.sigops(), size: int64(len(coinbase.bare))}
}

// covers reports whether what is good for c is good for other.
func (c claim) covers(other claim) bool {
	return other.value <= c.value && other.sigops <= c.sigops && other.size <= c.size
}

// setCheck is one question to a node; its answer stands once done is closed. err is a RejectError,
// or says why there is no answer.
type setCheck struct {
	done chan struct{}
	err  error
}

func newSetChecker(network Network, rules *SetRules, parallel int) *setChecker {
	return &setChecker{
		network: network, rules: rules, slots: make(chan struct{}, parallel),
		checks: make(map[claim]*setCheck), confirmed: make(map[setID]claim),
	}
}

// question is a set that a miner brings.
type question struct {
	template *Template // as it was issued to the miner, or the newest on the block
	set      *txSet
	id       setID
	coinbase *coinbaseTx
	value    int64 // what the coinbase claims, in satoshis
	// accepted is set if the nodes have taken the whole block.
	accepted bool
	// may takes a check off the miner's budget.
	may func() error
}

// check asks a node whether a block of a set with this coinbase is valid but for its proof of work,
// unless that is known. The header is the template's: what the miner chose of its own was checked
// before, and must not decide on what others submit. The error is a RejectError, or matches
// ErrUnavailable if no node could say.
func (s *setChecker) check(ctx context.Context, q *question) error {
	// What is required of one miner may not be of another, who cannot have it.
	if err := q.template.requires(q.set); err != nil {
		return err
	}
	asked := q.claims(q.coinbase)
	for {
		check, mine := s.claim(asked)
		if check == nil {
			return nil
		}
		if mine {
			check.err = s.askFor(ctx, asked, q)
			s.settle(asked, check)
		}
		select {
		case <-check.done:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
		if mine || !errors.Is(check.err, ErrBudget) {
			return check.err
		}
		// It was not this miner's budget that was spent.
	}
}

// claim returns the check for what is asked and whether the caller has to carry it out; nil if a
// node has confirmed as much already.
func (s *setChecker) claim(asked claim) (check *setCheck, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if best, ok := s.confirmed[asked.set]; ok && best.covers(asked) {
		return nil, false
	}
	if check, ok := s.checks[asked]; ok {
		return check, false
	}
	if len(s.checks) >= maxCheckedSets {
		clear(s.checks)
	}
	check = &setCheck{done: make(chan struct{})}
	s.checks[asked] = check
	return check, true
}

// settle makes the answer to a check known. Only an answer about the set is remembered.
func (s *setChecker) settle(asked claim, check *setCheck) {
	defer close(check.done)
	var refusal *RejectError
	if check.err != nil && errors.As(check.err, &refusal) && refusal.Reason != StalePrevblk {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.checks, asked)
}

// amend puts a refusal that says more in the place of one.
func (s *setChecker) amend(asked claim, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	close(done)
	s.checks[asked] = &setCheck{done: done, err: err}
}

// best returns what the set of a question that was answered well is known to be good for.
func (s *setChecker) best(q *question) claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if best, ok := s.confirmed[q.id]; ok {
		return best
	}
	return q.claims(q.coinbase)
}

// confirm notes that a set is good for what is claimed.
func (s *setChecker) confirm(c claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.confirmed) >= maxCheckedSets {
		clear(s.confirmed)
	}
	// A claim that is higher in one way and lower in another says nothing of both together.
	if best, ok := s.confirmed[c.set]; !ok || !best.covers(c) {
		s.confirmed[c.set] = c
	}
}

// checkFor is how long a check may take, its turn included: others wait for it, so the miner whose
// submission it is must not end it by hanging up.
const checkFor = time.Minute

func (s *setChecker) askFor(ctx context.Context, asked claim, q *question) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkFor)
	defer cancel()
	return s.ask(ctx, asked, q)
}

// ask looks at the set and then has a node do so.
func (s *setChecker) ask(ctx context.Context, asked claim, q *question) error {
	depends, err := q.set.inspect()
	if err != nil {
		return err
	}
	if err := s.rules.check(q.set, depends); err != nil {
		return err
	}
	if q.accepted {
		s.confirm(asked)
		return nil
	}
	if err := q.may(); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%w: too many blocks wait to be checked", ErrUnavailable)
	}
	padded := q.coinbase.padded()
	reason, err := s.propose(ctx, q, padded)
	if err == nil && slices.Contains([]Reason{badBlkSigops, badBlkWeight, badBlkLength}, reason) {
		// It is as full as it can be, so there is no room for what the miner may append later.
		padded = q.coinbase
		reason, err = s.propose(ctx, q, padded)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: no node could check the transactions: %w", ErrUnavailable, err)
	case late(reason):
		return reject(StalePrevblk, "a full node has another best block: %s", reason)
	case reason != "":
		return reject(reason, "a full node refuses the transactions")
	}
	s.confirm(q.claims(padded))
	return nil
}

func (s *setChecker) propose(ctx context.Context, q *question, coinbase *coinbaseTx) (Reason, error) {
	block, err := q.template.block(q.set, coinbase, q.template.CurTime)
	if err != nil {
		return "", err
	}
	return s.network.Propose(ctx, block)
}

// padded returns the coinbase with its scriptSig filled up, and with as many sigops more as the pool
// leaves room for in its own work, so that one check is good for whatever a miner appends.
func (c *coinbaseTx) padded() *coinbaseTx {
	free := maxScriptSig - len(c.scriptSig)
	if free <= 0 {
		return c
	}
	const sigops = freeSigops / txscript.MaxPubKeysPerMultiSig // bytes
	pad := make([]byte, free)
	copy(pad, bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, sigops))
	msg := c.msg()
	msg.TxIn[0].SignatureScript = append(msg.TxIn[0].SignatureScript, pad...)
	out, err := newCoinbase(msg)
	if err != nil {
		return c
	}
	return &out
}

// late reports whether a node did not check a block because its best block is another.
func late(reason Reason) bool {
	return reason == BadPrevblk || strings.HasPrefix(string(reason), string(inconclusive))
}

// newCoinbase makes what judging needs of a coinbase transaction.
func newCoinbase(msg *wire.MsgTx) (coinbaseTx, error) {
	raw, err := serializeTx(msg)
	if err != nil {
		return coinbaseTx{}, err
	}
	out, _, err := splitCoinbase(raw)
	return out, err
}
