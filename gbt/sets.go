package gbt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
)

// maxCheckedSets bounds how many answers a setChecker remembers. Sets come from work issued
// elsewhere on the same previous block, so there are few.
const maxCheckedSets = 256

// setChecker has a full node check transaction sets that no template here vouches for, each once
// however many submissions come with it at a time.
type setChecker struct {
	network Network
	mu      sync.Mutex
	checks  map[setKey]*setCheck // held by mu
}

// setKey names all that a node's answer depends on.
type setKey [sha256.Size]byte

// setCheck is one question to a node; its answer stands once done is closed.
type setCheck struct {
	done   chan struct{}
	reason Reason
	err    error
}

func newSetChecker(network Network) *setChecker {
	return &setChecker{network: network, checks: make(map[setKey]*setCheck)}
}

// check asks a node whether a block of set with this coinbase is valid but for its proof of work.
// The header is set's: what the miner chose of its own was checked before, and must not decide on
// what others submit. The error is a RejectError, or matches ErrUnavailable if no node could say.
func (s *setChecker) check(ctx context.Context, set *Template, coinbase *coinbaseTx) error {
	key := keyOf(set, coinbase)
	check, mine := s.claim(key)
	if mine {
		check.reason, check.err = s.propose(context.WithoutCancel(ctx), set, coinbase)
		if check.err != nil || check.late() {
			s.forget(key) // that says nothing of the set, so the next submission asks again
		}
		close(check.done)
	}
	select {
	case <-check.done:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	switch {
	case check.err != nil:
		return fmt.Errorf("%w: no node could check the transactions: %w", ErrUnavailable, check.err)
	case check.late():
		return reject(StalePrevblk, "a full node has another best block: %s", check.reason)
	case check.reason != "":
		return reject(check.reason, "a full node refuses the transactions")
	}
	return nil
}

func (s *setChecker) propose(ctx context.Context, set *Template, coinbase *coinbaseTx) (Reason, error) {
	block, err := set.block(coinbase, set.CurTime)
	if err != nil {
		return "", err
	}
	return s.network.Propose(ctx, block)
}

// late reports whether the node did not check the set because its best block is another.
func (c *setCheck) late() bool {
	return c.reason == BadPrevblk || strings.HasPrefix(string(c.reason), string(inconclusive))
}

// claim returns the check for key and whether the caller has to carry it out.
func (s *setChecker) claim(key setKey) (check *setCheck, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if check, ok := s.checks[key]; ok {
		return check, false
	}
	if len(s.checks) >= maxCheckedSets {
		clear(s.checks)
	}
	check = &setCheck{done: make(chan struct{})}
	s.checks[key] = check
	return check, true
}

func (s *setChecker) forget(key setKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.checks, key)
}

// keyOf names what a check is good for: previous block, transactions with their witnesses, and
// what the coinbase takes of fees, weight and sigops. Its remaining bytes are the miner's.
func keyOf(set *Template, coinbase *coinbaseTx) setKey {
	h := sha256.New()
	h.Write(set.PreviousBlock[:])
	for _, n := range []int64{set.Value, int64(len(coinbase.bare)), sigopCost(coinbase.tx)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	for i := range set.Transactions {
		h.Write(set.Transactions[i].TxID[:])
		h.Write(set.Transactions[i].Hash[:])
	}
	return setKey(h.Sum(nil))
}
