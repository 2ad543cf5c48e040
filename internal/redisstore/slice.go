package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// sliceVersion begins each slice.
	sliceVersion = 1
	// maxSlice is the most shares of one slice, and maxSliceBytes the most that one may take unpacked:
	// names are at most 255 bytes each.
	maxSlice      = 1 << 16
	maxSliceBytes = 64 << 20
)

// errSlice says that a slice is damaged.
var errSlice = errors.New("damaged slice")

// slice is old detail of a partition: what windows and sums need of each share, in columns, oldest
// first. Hashes, targets and times are left behind.
type slice struct {
	places []shares.Position
	// accounts and workers name each one once; account and worker point into them.
	accounts, workers []string
	account, worker   []uint32
	weights           []shares.Weight
}

// names collects names and numbers them.
type names struct {
	list   []string
	number map[string]uint32
}

func (n *names) of(name string) uint32 {
	i, ok := n.number[name]
	if !ok {
		if n.number == nil {
			n.number = make(map[string]uint32)
		}
		i = uint32(len(n.list))
		n.number[name] = i
		n.list = append(n.list, name)
	}
	return i
}

// sliceOf makes a slice of entries, oldest first.
func sliceOf(entries []shares.Entry) *slice {
	var accounts, workers names
	s := new(slice)
	for i := range entries {
		e := &entries[i]
		s.places = append(s.places, e.Position)
		s.account = append(s.account, accounts.of(e.Account))
		s.worker = append(s.worker, workers.of(e.Worker))
		s.weights = append(s.weights, e.Weight)
	}
	s.accounts, s.workers = accounts.list, workers.list
	return s
}

// encode packs a slice: a version byte, then zstd over the columns of varints. Places are differences
// in milliseconds, with the sequence after each.
func (s *slice) encode() ([]byte, error) {
	var raw []byte
	number := func(n uint64) { raw = binary.AppendUvarint(raw, n) }
	number(uint64(len(s.places)))
	for _, list := range [][]string{s.accounts, s.workers} {
		number(uint64(len(list)))
		for _, name := range list {
			number(uint64(len(name)))
			raw = append(raw, name...)
		}
	}
	last := int64(0)
	for _, p := range s.places {
		number(uint64(p.Millis - last))
		number(uint64(p.Seq))
		last = p.Millis
	}
	for _, column := range [][]uint32{s.account, s.worker} {
		for _, i := range column {
			number(uint64(i))
		}
	}
	for _, w := range s.weights {
		number(uint64(w))
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("slice: %w", err)
	}
	return z.EncodeAll(raw, []byte{sliceVersion}), nil
}

// reader takes varints and names off the front of a text. After an error all is zero.
type reader struct {
	raw []byte
	err error
}

func (r *reader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.raw)
	if r.err != nil || size <= 0 || n > most {
		r.err = errSlice
		return 0
	}
	r.raw = r.raw[size:]
	return n
}

// names reads a list of names. They share one text, so a single one keeps all of them in memory.
func (r *reader) names() []string {
	spans := make([]span, 0, min(r.number(maxSlice), uint64(len(r.raw))))
	begin := r.raw
	for range cap(spans) {
		size := r.number(maxSliceBytes)
		if size > uint64(len(r.raw)) { // what is left behind the number itself
			r.err = errSlice
		}
		if r.err != nil {
			return nil
		}
		from := len(begin) - len(r.raw)
		spans = append(spans, span{uint32(from), uint32(from + int(size))})
		r.raw = r.raw[size:]
	}
	text := string(begin[:len(begin)-len(r.raw)])
	list := make([]string, len(spans))
	for i, s := range spans {
		list[i] = text[s.from:s.to]
	}
	return list
}

// span is where a name is in a text of at most maxSliceBytes.
type span struct{ from, to uint32 }

// newSliceOpener makes what unpacks slices, for several at a time. It needs not be closed.
func newSliceOpener() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxSliceBytes))
	if err != nil {
		return nil, fmt.Errorf("slice: %w", err)
	}
	return z, nil
}

// decodeSlice unpacks a slice of a partition.
func decodeSlice(opener *zstd.Decoder, packed []byte, partition int) (*slice, error) {
	if len(packed) == 0 || packed[0] != sliceVersion {
		return nil, fmt.Errorf("%w: unknown version", errSlice)
	}
	raw, err := opener.DecodeAll(packed[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSlice, err)
	}
	r := &reader{raw: raw}
	n := int(r.number(maxSlice))
	if n > len(raw) {
		return nil, fmt.Errorf("%w: it says it has %d shares", errSlice, n)
	}
	s := &slice{accounts: r.names(), workers: r.names(), places: make([]shares.Position, n), weights: make([]shares.Weight, n)}
	at := shares.Position{Partition: partition}
	for i := range s.places {
		at.Millis += int64(r.number(uint64(math.MaxInt64 - at.Millis)))
		at.Seq = int64(r.number(math.MaxInt64))
		s.places[i] = at
	}
	for _, column := range []struct {
		of   *[]uint32
		most int
	}{{&s.account, len(s.accounts)}, {&s.worker, len(s.workers)}} {
		*column.of = make([]uint32, n)
		for i := range *column.of {
			(*column.of)[i] = uint32(r.number(uint64(max(column.most-1, 0))))
		}
		if n > 0 && column.most == 0 {
			r.err = errSlice
		}
	}
	for i := range s.weights {
		s.weights[i] = shares.Weight(r.number(uint64(shares.MaxWeight)))
	}
	if r.err != nil || len(r.raw) != 0 {
		return nil, fmt.Errorf("%w: its columns do not fit", errSlice)
	}
	return s, s.ordered()
}

// ordered checks that places grow.
func (s *slice) ordered() error {
	for i := 1; i < len(s.places); i++ {
		if s.places[i-1].Compare(s.places[i]) >= 0 {
			return fmt.Errorf("%w: its places do not grow", errSlice)
		}
	}
	return nil
}

// has reports whether a share is at a place.
func (s *slice) has(at shares.Position) bool {
	_, ok := slices.BinarySearchFunc(s.places, at, shares.Position.Compare)
	return ok
}
