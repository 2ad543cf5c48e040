package gbt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// maxCheckedSets bounds how many transaction sets a setChecker remembers. Sets come from work
// issued elsewhere on the same previous block, so there are few.
const maxCheckedSets = 256

// setChecker has a full node check transaction sets that no template here vouches for, each once
// however many submissions come with it at a time.
type setChecker struct {
	network Network
	mu      sync.Mutex
	// previous is the block on which the checked sets stand; another empties the memory. Both are
	// held by mu.
	previous chainhash.Hash
	checks   map[setKey]*setCheck
}

// setKey names a transaction set together with what its coinbase claims.
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

// check asks a node whether c, which holds set, is valid but for its proof of work. The error is a
// RejectError, or matches ErrUnavailable if no node could say.
func (s *setChecker) check(ctx context.Context, c *candidate, set *Template) error {
	key := keyOf(c, set)
	check, mine := s.claim(c.header.PrevBlock, key)
	if mine {
		check.reason, check.err = s.network.Propose(context.WithoutCancel(ctx), c.block(nil))
		if check.err != nil {
			s.forget(key) // the next submission asks again
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
	case check.reason != "":
		return reject(check.reason, "a full node refuses the transactions")
	}
	return nil
}

// claim returns the check for key and whether the caller has to carry it out.
func (s *setChecker) claim(previous chainhash.Hash, key setKey) (check *setCheck, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if previous != s.previous || len(s.checks) >= maxCheckedSets {
		s.previous = previous
		clear(s.checks)
	}
	if check, ok := s.checks[key]; ok {
		return check, false
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
// what the coinbase claims of their fees.
func keyOf(c *candidate, set *Template) setKey {
	h := sha256.New()
	h.Write(c.header.PrevBlock[:])
	var value [8]byte
	binary.BigEndian.PutUint64(value[:], uint64(set.Value))
	h.Write(value[:])
	for i := range set.Transactions {
		h.Write(set.Transactions[i].TxID[:])
		h.Write(set.Transactions[i].Hash[:])
	}
	return setKey(h.Sum(nil))
}
