package gbt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// errFull says that no more declared work can be kept before the next block.
var errFull = errors.New("no room for more declared work before the next block")

// transactionOverhead is what a transaction takes of memory beside its bytes, and reference what
// each set takes for one of its own.
const (
	transactionOverhead = 256
	reference           = 8 + chainhash.HashSize/4
)

// declaredSets keeps the transaction sets of declared work until their previous block is gone,
// each transaction once. They are in the store too.
type declaredSets struct {
	store  SetStore
	memory int64 // bytes, for each previous block
	mu     sync.Mutex
	blocks map[chainhash.Hash]*declaredBlock // held by mu
	// kept is what keep last kept, so that it has nothing to do but after a new block. Held by mu.
	kept []chainhash.Hash
}

// declaredBlock is what was declared on one previous block.
type declaredBlock struct {
	sets map[setID]*txSet
	txs  map[chainhash.Hash]*Transaction // by wtxid
	used int64                           // bytes
	read int                             // records of the store
}

func newDeclaredSets(store SetStore, memory int64) *declaredSets {
	return &declaredSets{store: store, memory: memory, blocks: make(map[chainhash.Hash]*declaredBlock)}
}

// find returns a declared set. confirm hears of each that was read from the store, where another gateway
// may have put it since it was last read.
func (d *declaredSets) find(ctx context.Context, previous chainhash.Hash, id setID, confirm func(claim)) (*txSet, error) {
	set, read := d.known(previous, id)
	if set != nil || d.store == nil {
		return set, nil
	}
	// Shares are judged while this takes its time.
	records, err := d.store.Records(ctx, previous, read)
	if err != nil {
		return nil, fmt.Errorf("%w: declared work cannot be read: %w", ErrUnavailable, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	block, ok := d.blocks[previous]
	if !ok {
		return nil, nil // it was dropped meanwhile
	}
	if done := block.read - read; done < len(records) {
		d.take(block, previous, records[max(done, 0):], confirm)
	}
	return block.sets[id], nil
}

// known returns a declared set that was read, and how many records were.
func (d *declaredSets) known(previous chainhash.Hash, id setID) (*txSet, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	block := d.block(previous)
	return block.sets[id], block.read
}

// take keeps what records say. One that cannot be read, or that there is no room for, is left out: whoever
// declared it declares it again. The caller holds mu.
func (d *declaredSets) take(block *declaredBlock, previous chainhash.Hash, records [][]byte, confirm func(claim)) {
	for _, record := range records {
		block.read++
		set, c, err := block.decode(record)
		if err != nil {
			continue
		}
		c.set = set.id(previous)
		if _, ok := block.sets[c.set]; ok || block.used+block.cost(set) > d.memory {
			continue
		}
		block.keep(set, c.set)
		confirm(c)
	}
}

// transaction returns a declared transaction by its wtxid, or its txid if that is the same.
func (d *declaredSets) transaction(previous, id chainhash.Hash) *Transaction {
	d.mu.Lock()
	defer d.mu.Unlock()
	if block, ok := d.blocks[previous]; ok {
		return block.txs[id]
	}
	return nil
}

// matching returns a declared set that c's merkle root commits to; nil if there is none.
func (d *declaredSets) matching(c *candidate) *txSet {
	d.mu.Lock()
	defer d.mu.Unlock()
	block, ok := d.blocks[c.header.PrevBlock]
	if !ok {
		return nil
	}
	for _, set := range block.sets {
		if c.commits(set) {
			return set
		}
	}
	return nil
}

// add keeps a set that was confirmed for what is claimed. It returns once the set would outlive a
// crash.
func (d *declaredSets) add(ctx context.Context, previous chainhash.Hash, set *txSet, c claim) error {
	block, record, err := d.record(previous, set, c)
	if record == nil || err != nil {
		return err
	}
	// Shares are judged while this takes its time.
	if d.store != nil {
		if err := d.store.Append(ctx, previous, record); err != nil {
			return fmt.Errorf("%w: declared work cannot be stored: %w", ErrUnavailable, err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	block.keep(set, c.set)
	return nil
}

// record returns the record of a set and where it belongs; none if it is there already.
func (d *declaredSets) record(previous chainhash.Hash, set *txSet, c claim) (*declaredBlock, []byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	block := d.block(previous)
	if _, ok := block.sets[c.set]; ok {
		return block, nil, nil
	}
	if cost := block.cost(set); block.used+cost > d.memory {
		return nil, nil, fmt.Errorf("%w: %d of %d bytes are used and it needs %d", errFull, block.used, d.memory, cost)
	}
	return block, block.encode(set, c), nil
}

// keep drops what was declared on other previous blocks. What the store does not drop now it drops after
// the next block.
func (d *declaredSets) keep(ctx context.Context, previous ...chainhash.Hash) error {
	if !d.forget(previous) || d.store == nil {
		return nil
	}
	// Shares are judged while this takes its time.
	if err := d.store.Keep(ctx, previous...); err != nil {
		return fmt.Errorf("old declared work: %w", err)
	}
	return nil
}

// forget is keep without the store. It reports whether there was anything new to do.
func (d *declaredSets) forget(previous []chainhash.Hash) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Equal(d.kept, previous) {
		return false
	}
	maps.DeleteFunc(d.blocks, func(p chainhash.Hash, _ *declaredBlock) bool { return !slices.Contains(previous, p) })
	d.kept = previous
	return true
}

// block returns what is declared on previous, as far as it was read. The caller holds mu.
func (d *declaredSets) block(previous chainhash.Hash) *declaredBlock {
	block, ok := d.blocks[previous]
	if !ok {
		block = &declaredBlock{sets: make(map[setID]*txSet), txs: make(map[chainhash.Hash]*Transaction)}
		d.blocks[previous] = block
	}
	return block
}

// cost returns what keeping a set takes.
func (b *declaredBlock) cost(set *txSet) int64 {
	cost := int64(len(set.txs)) * reference
	for _, tx := range set.txs {
		if _, ok := b.txs[tx.Hash]; !ok {
			cost += int64(len(tx.Raw)) + transactionOverhead
		}
	}
	return cost
}

// keep puts a set into memory, without a transaction that is there already.
func (b *declaredBlock) keep(set *txSet, id setID) {
	b.used += b.cost(set)
	own := *set
	own.txs = make([]*Transaction, len(set.txs))
	for i, tx := range set.txs {
		known, ok := b.txs[tx.Hash]
		if !ok {
			// The bytes are a part of what the miner sent, which need not stay as a whole.
			clone := *tx
			clone.Raw = bytes.Clone(tx.Raw)
			known = &clone
			b.txs[tx.Hash] = known
		}
		own.txs[i] = known
	}
	b.sets[id] = &own
}

// recordVersion begins each record: the number of this form of it.
const recordVersion = 1

// encode returns a set as a record: the version, the claim's value, sigops and size, the number of
// transactions that no record had before, these, the number of all, and their wtxids in block order.
// Integers are big-endian or Bitcoin's variable-length ones.
func (b *declaredBlock) encode(set *txSet, c claim) []byte {
	out := []byte{recordVersion}
	out = binary.BigEndian.AppendUint64(out, uint64(c.value))
	out = binary.BigEndian.AppendUint64(out, uint64(c.sigops))
	out = binary.BigEndian.AppendUint64(out, uint64(c.size))
	var fresh []*Transaction
	for _, tx := range set.txs {
		if _, ok := b.txs[tx.Hash]; !ok {
			fresh = append(fresh, tx)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(fresh)))
	for _, tx := range fresh {
		out = binary.AppendUvarint(out, uint64(len(tx.Raw)))
		out = append(out, tx.Raw...)
	}
	out = binary.AppendUvarint(out, uint64(len(set.txs)))
	for _, tx := range set.txs {
		out = append(out, tx.Hash[:]...)
	}
	return out
}

// errRecord says that bytes are no record of declared work.
var errRecord = errors.New("not a record of declared work")

// decode reads a record. The transactions that it refers to are in b.
func (b *declaredBlock) decode(record []byte) (*txSet, claim, error) {
	r := bytes.NewReader(record)
	var head struct {
		Version             byte
		Value, Sigops, Size int64
	}
	if err := binary.Read(r, binary.BigEndian, &head); err != nil || head.Version != recordVersion {
		return nil, claim{}, errRecord
	}
	fresh := make(map[chainhash.Hash]*Transaction)
	count, err := binary.ReadUvarint(r)
	for ; err == nil && count > 0; count-- {
		err = readTransaction(r, fresh)
	}
	if err != nil {
		return nil, claim{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	count, err = binary.ReadUvarint(r)
	if err != nil || count > wire.MaxBlockPayload || uint64(r.Len()) != count*chainhash.HashSize {
		return nil, claim{}, errRecord
	}
	txs := make([]*Transaction, count)
	for i := range txs {
		var id chainhash.Hash
		_, _ = r.Read(id[:]) // the length was checked
		if txs[i] = fresh[id]; txs[i] == nil {
			txs[i] = b.txs[id]
		}
		if txs[i] == nil {
			return nil, claim{}, fmt.Errorf("%w: it lacks transaction %s", errRecord, id)
		}
	}
	return newTxSet(txs), claim{value: head.Value, sigops: head.Sigops, size: head.Size}, nil
}

// readTransaction reads one transaction of a record.
func readTransaction(r *bytes.Reader, into map[chainhash.Hash]*Transaction) error {
	size, err := binary.ReadUvarint(r)
	if err != nil || size > uint64(r.Len()) {
		return errRecord
	}
	raw := make([]byte, size)
	_, _ = r.Read(raw) // there are as many bytes
	tx, err := newTransaction(raw)
	if err != nil {
		return err
	}
	into[tx.Hash] = &tx
	return nil
}
