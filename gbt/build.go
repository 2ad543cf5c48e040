package gbt

import (
	"bytes"
	"encoding/hex"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// minPart is how many things are worth another goroutine.
const minPart = 64

// spread has work done for the numbers below n in parts, by all processors at once, and reports whether
// it was true for all.
func spread(n int, work func(from, to int) bool) bool {
	// More parts than processors, for the parts take different times.
	parts := min(4*runtime.GOMAXPROCS(0), n/minPart)
	if parts <= 1 {
		return work(0, n)
	}
	var wg sync.WaitGroup
	var next, failed atomic.Int64
	for range min(parts, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for part := next.Add(1); part <= int64(parts) && failed.Load() == 0; part = next.Add(1) {
				if !work(n*int(part-1)/parts, n*int(part)/parts) {
					failed.Store(1)
				}
			}
		})
	}
	wg.Wait()
	return failed.Load() == 0
}

// build decodes the transactions and checks them as parseTransaction does. Those that are known by their
// bytes are taken as they are. It is false if something is wrong with one.
func (e *elements) build(known map[chainhash.Hash]*Transaction) ([]Transaction, bool) {
	txs := make([]Transaction, len(e.list))
	ok := spread(len(e.list), func(from, to int) bool {
		return e.buildPart(txs, from, to, known)
	})
	return txs, ok
}

// buildPart builds those from one position to another.
func (e *elements) buildPart(txs []Transaction, from, to int, known map[chainhash.Hash]*Transaction) bool {
	size := 0
	for i := from; i < to; i++ {
		if !e.list[i].recognise(&txs[i], known) {
			size += len(e.list[i].data) / 2
		}
	}
	room := make([]byte, size) // for all that are new
	for i := from; i < to; i++ {
		tx, in := &txs[i], &e.list[i]
		if tx.Raw == nil {
			n, err := hex.Decode(room, in.data)
			if err != nil || n == 0 {
				return false
			}
			if *tx, err = newTransaction(room[:n:n]); err != nil {
				return false
			}
			room = room[n:]
		}
		if !in.describe(tx) || !e.link(tx, i) {
			return false
		}
	}
	return true
}

// recognise fills in tx if it is known under the id that the node gives it, with the same bytes.
func (in *element) recognise(tx *Transaction, known map[chainhash.Hash]*Transaction) bool {
	var id chainhash.Hash
	if len(known) == 0 || !readHash(&id, in.hash) {
		return false
	}
	old, ok := known[id]
	if !ok || old.Hash != id || !sameHex(in.data, old.Raw) {
		return false
	}
	*tx = Transaction{Raw: old.Raw, TxID: old.TxID, Hash: old.Hash, Weight: old.Weight}
	return true
}

// describe fills in what the node says of a transaction, if that can be and agrees with its bytes.
func (in *element) describe(tx *Transaction) bool {
	tx.Sigops, tx.Required, tx.Fee, tx.FeeKnown = in.sigops, in.required, in.fee, in.feeKnown
	return (in.weight == 0 || in.weight == tx.Weight) && in.fee <= btcutil.MaxSatoshi &&
		isHash(in.txid, &tx.TxID) && isHash(in.hash, &tx.Hash)
}

// link fills in what the transaction at i depends on, if that comes before it.
func (e *elements) link(tx *Transaction, i int) bool {
	from, to := e.list[i].from, e.list[i].to
	if from == to {
		return true
	}
	depends := e.depends[from:to:to] // which nobody else reads
	for k, d := range depends {
		if d < 1 || d > i {
			return false
		}
		depends[k] = d - 1
	}
	slices.Sort(depends)
	tx.Depends = slices.Compact(depends)
	return true
}

// isHash reports whether text is an id as nodes write it.
func isHash(text []byte, id *chainhash.Hash) bool {
	var reversed chainhash.Hash
	for i, b := range id {
		reversed[chainhash.HashSize-1-i] = b
	}
	var want [chainhash.MaxHashStringSize]byte
	hex.Encode(want[:], reversed[:])
	return bytes.Equal(text, want[:])
}

// readHash reads an id as nodes write it.
func readHash(id *chainhash.Hash, text []byte) bool {
	if len(text) != chainhash.MaxHashStringSize {
		return false
	}
	_, err := hex.Decode(id[:], text)
	slices.Reverse(id[:])
	return err == nil
}

// sameHex reports whether text is raw in lower-case hexadecimal digits.
func sameHex(text, raw []byte) bool {
	if len(text) != 2*len(raw) {
		return false
	}
	var part [512]byte
	for len(raw) > 0 {
		n := min(len(raw), len(part)/2)
		hex.Encode(part[:2*n], raw[:n])
		if !bytes.Equal(text[:2*n], part[:2*n]) {
			return false
		}
		text, raw = text[2*n:], raw[n:]
	}
	return true
}
