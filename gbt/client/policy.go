package client

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Policy chooses the transactions of a block, in block order, from what is on offer. They need to
// pass the checks of Offer.With. ctx ends when the choice is not needed any more. A Miner calls its
// policy from one goroutine.
type Policy func(ctx context.Context, o Offer) ([]Transaction, error)

// Empty is the Policy of blocks without transactions but those that the server requires.
func Empty(_ context.Context, o Offer) ([]Transaction, error) {
	return o.keep(func(*wire.MsgTx) bool { return false })
}

// NoOpReturn is the Policy of blocks without transactions that carry data in an OP_RETURN output,
// nor those that depend on one.
func NoOpReturn(_ context.Context, o Offer) ([]Transaction, error) {
	return o.keep(func(tx *wire.MsgTx) bool {
		for _, out := range tx.TxOut {
			if len(out.PkScript) > 0 && out.PkScript[0] == txscript.OP_RETURN {
				return false
			}
		}
		return true
	})
}

// MaxFee is the Policy of blocks with all that the miner's own node has in its template, which is
// what pays most of what that node knows.
func MaxFee(_ context.Context, o Offer) ([]Transaction, error) {
	if o.Node == nil {
		return nil, errors.New("a node of the miner's own is needed to choose the transactions that pay most")
	}
	return o.keep(func(*wire.MsgTx) bool { return true })
}

// keep returns those of the source's transactions that pass, in their order, without those that
// spend one that is left out. What the server requires stays, with all that it spends: if the
// source does not have it, it goes first, and what is in conflict with it is left out.
func (o Offer) keep(pass func(*wire.MsgTx) bool) ([]Transaction, error) {
	required, err := o.Required()
	if err != nil {
		return nil, err
	}
	s := selection{
		pass: pass, must: ids(required), left: o.room(),
		seen: make(map[chainhash.Hash]bool), dropped: make(map[chainhash.Hash]bool), spent: make(map[wire.OutPoint]bool),
	}
	lists := [][]Transaction{o.Source().Transactions}
	if o.Node != nil {
		lists = [][]Transaction{required, o.Node.Transactions}
	}
	for _, list := range lists {
		for i := range list {
			if err := s.consider(&list[i]); err != nil {
				return nil, err
			}
		}
	}
	return s.chosen, nil
}

// Required returns the transactions that the server requires and, before each, those that it spends.
func (o Offer) Required() ([]Transaction, error) {
	wanted := make(map[chainhash.Hash]bool)
	txs := o.Pool.Transactions
	first := len(txs)
	for i := len(txs) - 1; i >= 0; i-- {
		if !txs[i].Required && !wanted[txs[i].TxID] {
			continue
		}
		msg, err := parseTransaction(txs[i].Raw)
		if err != nil {
			return nil, err
		}
		first, wanted[txs[i].TxID] = i, true
		for _, in := range msg.TxIn {
			wanted[in.PreviousOutPoint.Hash] = true
		}
	}
	var out []Transaction
	for _, tx := range txs[first:] {
		if wanted[tx.TxID] {
			out = append(out, tx)
		}
	}
	return out, nil
}

// selection is a choice of transactions being made.
type selection struct {
	pass func(*wire.MsgTx) bool
	// must are the txids that have to be chosen.
	must map[chainhash.Hash]bool
	// left is the room for more.
	left room
	// seen are the txids that were decided on, dropped of those the ones that are left out.
	seen, dropped map[chainhash.Hash]bool
	// spent are the coins that the chosen ones spend.
	spent  map[wire.OutPoint]bool
	chosen []Transaction
}

// consider decides on the next transaction.
func (s *selection) consider(tx *Transaction) error {
	if s.seen[tx.TxID] {
		return nil
	}
	msg, err := parseTransaction(tx.Raw)
	if err != nil {
		return err
	}
	s.seen[tx.TxID] = true
	wanted := s.must[tx.TxID] || !s.conflicts(msg) && s.pass(msg)
	if fits := wanted && s.left.take(tx); !fits && !s.must[tx.TxID] {
		s.dropped[tx.TxID] = true
		return nil
	}
	for _, in := range msg.TxIn {
		s.spent[in.PreviousOutPoint] = true
	}
	s.chosen = append(s.chosen, *tx)
	return nil
}

// conflicts reports whether a transaction spends what a chosen one does, or what one that is left
// out makes.
func (s *selection) conflicts(msg *wire.MsgTx) bool {
	for _, in := range msg.TxIn {
		if s.dropped[in.PreviousOutPoint.Hash] || s.spent[in.PreviousOutPoint] {
			return true
		}
	}
	return false
}
