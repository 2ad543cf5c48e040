package gbt

import (
	"encoding/binary"
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// errCut says that bytes end before the transaction that they begin with.
var errCut = errors.New("the transaction is cut short")

// transactionSize returns how many bytes the transaction takes that b begins with. The decoder makes
// room for as many inputs and outputs as a transaction says that it has before it looks for them, so
// a few bytes can take it a hundred megabytes: this looks first.
func transactionSize(b []byte) (int, error) {
	s := skipper{rest: b}
	s.skip(4) // version
	inputs, witness := s.number(), false
	if inputs == wire.TxFlagMarker {
		witness = true
		s.skip(1) // flag
		inputs = s.number()
	}
	for n := inputs; n > 0 && !s.cut; n-- {
		s.skip(chainhash.HashSize + 4) // outpoint
		s.skip(s.number())             // scriptSig
		s.skip(4)                      // sequence
	}
	for n := s.number(); n > 0 && !s.cut; n-- {
		s.skip(8) // value
		s.skip(s.number())
	}
	for n := inputs; witness && n > 0 && !s.cut; n-- {
		for items := s.number(); items > 0 && !s.cut; items-- {
			s.skip(s.number())
		}
	}
	s.skip(4) // lock time
	if s.cut {
		return 0, errCut
	}
	return len(b) - len(s.rest), nil
}

// skipper reads numbers and leaps over what is between them.
type skipper struct {
	rest []byte
	cut  bool // there was less than it wanted
}

func (s *skipper) skip(n uint64) {
	if n > uint64(len(s.rest)) {
		s.cut, n = true, uint64(len(s.rest))
	}
	s.rest = s.rest[n:]
}

// number reads one of Bitcoin's variable-length integers. Whether it is in its shortest form is for
// the decoder to say.
func (s *skipper) number() uint64 {
	if len(s.rest) == 0 {
		s.cut = true
		return 0
	}
	first, field, size := s.rest[0], s.rest[1:], 0
	switch first {
	case 0xfd:
		size = 2
	case 0xfe:
		size = 4
	case 0xff:
		size = 8
	}
	if s.skip(uint64(1 + size)); s.cut || size == 0 {
		return uint64(first)
	}
	var n [8]byte
	copy(n[:], field[:size])
	return binary.LittleEndian.Uint64(n[:])
}
