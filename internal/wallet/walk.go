package wallet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errMalformed says that what somebody gave is no transaction.
var errMalformed = errors.New("this is no transaction")

// walk goes through a serialisation without keeping anything of it. The libraries' decoders set memory
// aside for as many items as a count says; that all are there is seen here first.
type walk struct {
	rest  []byte
	short bool // it has ended too early
}

// take returns the next n bytes.
func (w *walk) take(n uint64) []byte {
	if n > uint64(len(w.rest)) {
		w.rest, w.short = nil, true
		return nil
	}
	out := w.rest[:n]
	w.rest = w.rest[n:]
	return out
}

// size returns the next number, a compact size.
func (w *walk) size() uint64 {
	first := w.take(1)
	if w.short {
		return 0
	}
	if first[0] < 0xfd {
		return uint64(first[0])
	}
	var wide [8]byte
	copy(wide[:], w.take(2<<(first[0]-0xfd)))
	return binary.LittleEndian.Uint64(wide[:])
}

// each calls visit as often as the next number says, until the end.
func (w *walk) each(visit func()) {
	for n := w.size(); n > 0 && !w.short; n-- {
		visit()
	}
}

// bytes passes over a length and as many bytes.
func (w *walk) bytes() { w.take(w.size()) }

// walkTx fails unless all parts of a serialised transaction are there, and nothing after them.
func walkTx(raw []byte, witness bool) error {
	w := walk{rest: raw}
	w.take(4) // version
	marked := witness && len(w.rest) > 1 && w.rest[0] == 0
	if marked {
		w.take(2) // marker and flag (BIP 144)
	}
	inputs := 0
	w.each(func() {
		inputs++
		w.take(36) // outpoint
		w.bytes()  // scriptSig
		w.take(4)  // sequence
	})
	w.each(func() {
		w.take(8) // value
		w.bytes() // scriptPubKey
	})
	for ; marked && inputs > 0; inputs-- {
		w.each(w.bytes)
	}
	w.take(4) // lock time
	switch {
	case w.short:
		return fmt.Errorf("%w: it breaks off", errMalformed)
	case len(w.rest) != 0:
		return fmt.Errorf("%w: %d bytes follow it", errMalformed, len(w.rest))
	}
	return nil
}
