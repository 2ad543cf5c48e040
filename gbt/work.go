package gbt

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt/splice"
)

// ErrUnavailable matches errors that a retry cures: there is no template to give work on. The
// error's text says why.
var ErrUnavailable = errors.New("no block template available")

// ErrClosed says that the feed has ended because the program shuts down. It matches
// ErrUnavailable.
var ErrClosed = fmt.Errorf("%w: the pool is shutting down", ErrUnavailable)

// Work is a template as issued once to one account. It is immutable.
type Work struct {
	// Template is what the work was made of.
	Template *Template
	// ID is the workid: characters of the URL-safe base64 alphabet.
	ID string
	// Target is the share target.
	Target Target
	// Coinbase is the coinbase transaction, serialised without witness. Its scriptSig is unique
	// to this work.
	Coinbase []byte
	// CurTime is the time for the header and MaxTime the latest that it may carry, in Unix seconds.
	CurTime, MaxTime int64
	// Mutable lists what the miner may do with the work, by the names of BIP 23.
	Mutable []string
	offer   offer
	// head is the JSON that is particular to this work, tail what it shares.
	head []byte
	tail *rendered
}

// Result returns the getblocktemplate result as two pieces of JSON text: head is particular to
// this work and small, tail is shared by all work on the template and large. The result is the
// two in turn. Neither may be modified.
func (w *Work) Result() (head, tail []byte) { return w.head, w.tail.text }

// Packed returns the tail of Result in a content coding; nil if it is not served in that, or not yet:
// templates are compressed after they are published, while work on them is given out.
func (w *Work) Packed(c splice.Coding) *splice.Text { return w.tail.packed(c) }

// Block returns the work as a whole block that only lacks its proof of work, serialised: what a
// node is asked about in a proposal (BIP 23, Block Proposal).
func (w *Work) Block() ([]byte, error) {
	coinbase, _, err := splitCoinbase(w.Coinbase)
	if err != nil {
		return nil, err
	}
	if commitment := w.Template.WitnessCommitment; commitment != nil && w.offer.has(offerCommitment) {
		msg := coinbase.msg()
		msg.AddTxOut(wire.NewTxOut(0, commitment)) // as the miner has to
		if coinbase, err = newCoinbase(msg); err != nil {
			return nil, err
		}
	}
	return w.Template.block(w.Template.set, &coinbase, w.CurTime)
}
