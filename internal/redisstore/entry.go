package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// errEntry says that what the log keeps of a share is damaged.
var errEntry = errors.New("damaged entry")

// appendEntry writes what the log keeps of a share: its hash and the previous block, 32 bytes each; account and worker,
// each with its length before it; weight, unit, share target in compact form, height and time in milliseconds. Numbers
// are varints, those that may be negative zigzag. It is one field of the log because Redis takes twice as long for nine.
func appendEntry(to []byte, s *shares.Share) []byte {
	to = append(append(to, s.Hash[:]...), s.PreviousBlock[:]...)
	for _, name := range []string{s.Account, s.Worker} {
		to = append(binary.AppendUvarint(to, uint64(len(name))), name...)
	}
	for _, n := range []uint64{uint64(s.Weight), uint64(s.Unit), uint64(s.Target.Bits())} {
		to = binary.AppendUvarint(to, n)
	}
	return binary.AppendVarint(binary.AppendVarint(to, int64(s.Height)), s.Time.UnixMilli())
}

// entryReader takes an entry apart from its front on. After an error all is zero.
type entryReader struct {
	rest string
	bad  bool
}

// bytes takes so many bytes.
func (r *entryReader) bytes(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// hash takes a hash.
func (r *entryReader) hash() (h chainhash.Hash) {
	copy(h[:], r.bytes(chainhash.HashSize))
	return h
}

// name takes a name with its length before it. It keeps nothing else of the entry in memory.
func (r *entryReader) name() string { return strings.Clone(r.bytes(r.number(math.MaxUint64))) }

// number takes a number of at most most.
func (r *entryReader) number(most uint64) uint64 {
	n, size := binary.Uvarint([]byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if r.bad || size <= 0 || n > most {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// signed takes a number that may be negative.
func (r *entryReader) signed() int64 {
	n := r.number(math.MaxUint64)
	return int64(n>>1) ^ -int64(n&1)
}

// decodeEntry reads what appendEntry writes.
func decodeEntry(text string) (shares.Share, error) {
	r := &entryReader{rest: text}
	var s shares.Share
	s.Hash, s.PreviousBlock = r.hash(), r.hash()
	s.Account, s.Worker = r.name(), r.name()
	s.Weight, s.Unit = shares.Weight(r.number(math.MaxInt64)), shares.Unit(r.number(math.MaxUint8))
	bits, height := uint32(r.number(math.MaxUint32)), r.signed()
	s.Height, s.Time = int32(height), time.UnixMilli(r.signed()).UTC()
	if r.bad || r.rest != "" || int64(s.Height) != height {
		return shares.Share{}, errEntry
	}
	var err error
	s.Target, err = gbt.TargetFromBits(bits)
	return s, err
}

// entryOf reads a share of the log.
func entryOf(m redis.XMessage, partition int) (shares.Entry, error) {
	at, err := parsePlace(m.ID)
	at.Partition = partition
	f := fields{values: m.Values}
	share, shareErr := shareOf(&f)
	if _, ok := m.Values["b"]; ok {
		share.Found = &shares.Found{
			Bits: uint32(f.number("b")), Value: f.number("v"), Paid: f.number("d"), Window: shares.Weight(f.number("s")),
		}
	}
	if err := errors.Join(err, shareErr, f.err); err != nil {
		return shares.Entry{}, fmt.Errorf("share %s of partition %d: %w", m.ID, partition, err)
	}
	return shares.Entry{Position: at, Share: share}, nil
}

// shareOf reads a share from the fields of the log, of which there was one for each of its numbers and names before
// there was one for all.
func shareOf(f *fields) (shares.Share, error) {
	if _, older := f.values["h"]; !older {
		return decodeEntry(f.text("e"))
	}
	s := shares.Share{
		Account: f.text("a"), Worker: f.text("k"), Weight: shares.Weight(f.number("w")), Unit: shares.Unit(f.number("u")),
		Height: int32(f.number("n")), Time: time.UnixMilli(f.number("t")).UTC(),
	}
	copy(s.Hash[:], f.text("h"))
	copy(s.PreviousBlock[:], f.text("p"))
	var err error
	s.Target, err = gbt.TargetFromBits(uint32(f.number("g")))
	return s, err
}

// countedOf reads no more of a share of the log than windows need.
func countedOf(m redis.XMessage, partition int) (counted, error) {
	at, err := parsePlace(m.ID)
	at.Partition = partition
	f := fields{values: m.Values}
	c := counted{at: at}
	if _, older := m.Values["h"]; older {
		c.account, c.weight = f.text("a"), shares.Weight(f.number("w"))
	} else {
		r := &entryReader{rest: f.text("e")}
		r.bytes(2 * chainhash.HashSize)
		c.account = r.name()
		r.bytes(r.number(math.MaxUint64)) // the worker
		c.weight = shares.Weight(r.number(math.MaxInt64))
		if r.bad && f.err == nil {
			f.err = errEntry
		}
	}
	if err := errors.Join(err, f.err); err != nil {
		return counted{}, fmt.Errorf("share %s of partition %d: %w", m.ID, partition, err)
	}
	return c, nil
}
