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

// maxLayout is the longest transaction that layoutOf looks at, in bytes. The decoder refuses scripts,
// witnesses and counts that no shorter one can have.
const maxLayout = 4_000_000

// layout is where the witness is in a serialised transaction: between from and to, if it has one.
type layout struct {
	witness  bool
	from, to int
}

// layoutOf finds the parts of a transaction without decoding it. It accepts nothing that the decoder
// would not, nor what is not in the one form that the decoder's own serialisation has.
func layoutOf(raw []byte) (layout, bool) {
	s := strictSkipper{skipper: skipper{rest: raw}}
	if len(raw) > maxLayout {
		return layout{}, false
	}
	s.skip(4) // version
	inputs, l := s.count(), layout{}
	if inputs == wire.TxFlagMarker && len(s.rest) > 0 {
		if s.rest[0] != wire.WitnessFlag {
			return layout{}, false
		}
		l.witness = true
		s.skip(1)
		inputs = s.count()
	}
	for n := inputs; n > 0 && !s.cut; n-- {
		s.skip(chainhash.HashSize + 4) // outpoint
		s.skip(s.count())              // scriptSig
		s.skip(4)                      // sequence
	}
	for n := s.count(); n > 0 && !s.cut; n-- {
		s.skip(8) // value
		s.skip(s.count())
	}
	l.from = len(raw) - len(s.rest)
	superfluous := l.witness
	for n := inputs; l.witness && n > 0 && !s.cut; n-- {
		items := s.count()
		superfluous = superfluous && items == 0
		for ; items > 0 && !s.cut; items-- {
			s.skip(s.count())
		}
	}
	l.to = len(raw) - len(s.rest)
	s.skip(4) // lock time
	return l, !s.cut && len(s.rest) == 0 && !superfluous
}

// strictSkipper refuses numbers that are not in their shortest form.
type strictSkipper struct{ skipper }

// count reads a number, and takes one that is longer than need be for the end.
func (s *strictSkipper) count() uint64 {
	before := len(s.rest)
	n := s.number()
	if before-len(s.rest) > wire.VarIntSerializeSize(n) {
		s.cut = true
	}
	return n
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
