package redisstore

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// anyShare makes any share that is no block.
func anyShare(t *rapid.T) *shares.Share {
	hash := rapid.Map(rapid.SliceOfN(rapid.Byte(), chainhash.HashSize, chainhash.HashSize), func(b []byte) chainhash.Hash { return chainhash.Hash(b) })
	target, err := gbt.TargetFromBits(rapid.SampledFrom([]uint32{0x207fffff, 0x1d00ffff, 0x1703a30c}).Draw(t, "target"))
	if err != nil {
		t.Fatal(err)
	}
	return &shares.Share{
		Hash: hash.Draw(t, "hash"), PreviousBlock: hash.Draw(t, "previous block"), Account: rapid.String().Draw(t, "account"),
		Worker: rapid.StringN(0, 255, 255).Draw(t, "worker"), Weight: shares.Weight(rapid.Int64Min(0).Draw(t, "weight")),
		Unit: shares.Unit(rapid.Byte().Draw(t, "unit")), Target: target, Height: rapid.Int32().Draw(t, "height"),
		Time: time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC(),
	}
}

// TestEntry reads what was written, all of it and what windows need.
func TestEntry(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := anyShare(rt)
		m := redis.XMessage{ID: "7-8", Values: map[string]any{"e": string(appendEntry(nil, s))}}
		at := shares.Position{Millis: 7, Seq: 8, Partition: 9}
		if rapid.Bool().Draw(rt, "block") {
			s.Found = &shares.Found{Bits: 1, Value: 2, Paid: 3, Window: 4}
			m.Values["b"], m.Values["v"], m.Values["d"], m.Values["s"] = "1", "2", "3", "4"
		}
		got, err := entryOf(m, 9)
		if diff := cmp.Diff(shares.Entry{Position: at, Share: *s}, got); err != nil || diff != "" {
			rt.Fatalf("%v, -want +got:\n%s", err, diff)
		}
		c, err := countedOf(m, 9)
		if want := (counted{at, s.Account, s.Weight}); err != nil || c != want {
			rt.Fatalf("windows read %v, %v; want %v", c, err, want)
		}
	})
}

// TestEntryOfOld reads a share of a log from before its fields became one.
func TestEntryOfOld(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := anyShare(rt)
		m := redis.XMessage{ID: "7-8", Values: map[string]any{
			"h": string(s.Hash[:]), "a": s.Account, "k": s.Worker, "w": strconv.FormatInt(int64(s.Weight), 10), "u": strconv.Itoa(int(s.Unit)),
			"g": strconv.Itoa(int(s.Target.Bits())), "n": strconv.Itoa(int(s.Height)), "p": string(s.PreviousBlock[:]),
			"t": strconv.FormatInt(s.Time.UnixMilli(), 10),
		}}
		got, err := entryOf(m, 0)
		if diff := cmp.Diff(*s, got.Share); err != nil || diff != "" {
			rt.Fatalf("%v, -want +got:\n%s", err, diff)
		}
		if c, err := countedOf(m, 0); err != nil || c != (counted{got.Position, s.Account, s.Weight}) {
			rt.Fatalf("windows read %v, %v", c, err)
		}
		delete(m.Values, "w")
		if _, err := entryOf(m, 0); err == nil {
			rt.Fatal("a share without a weight is read")
		}
		if _, err := countedOf(m, 0); err == nil {
			rt.Fatal("windows read a share without a weight")
		}
	})
}

// TestDamagedEntry cuts an entry short everywhere, and adds to it.
func TestDamagedEntry(t *testing.T) {
	t.Parallel()
	target, err := gbt.TargetFromBits(0x1d00ffff)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(appendEntry(nil, &shares.Share{Account: "alice", Worker: "rig", Weight: math.MaxInt64, Target: target, Height: -1, Time: time.UnixMilli(1 << 41)}))
	if _, err := decodeEntry(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if _, err := decodeEntry(whole[:i]); !errors.Is(err, errEntry) {
			t.Errorf("of %d bytes, %d were enough: %v", len(whole), i, err)
		}
	}
	if _, err := decodeEntry(whole + "x"); !errors.Is(err, errEntry) {
		t.Errorf("a byte behind it: %v", err)
	}
	if _, err := countedOf(redis.XMessage{ID: "1-1", Values: map[string]any{"e": whole[:70]}}, 0); !errors.Is(err, errEntry) {
		t.Errorf("windows read 70 bytes: %v", err)
	}
	if _, err := countedOf(redis.XMessage{ID: "1-1"}, 0); err == nil {
		t.Error("windows read nothing")
	}
}

// FuzzDecodeEntry has anything read: what is taken for an entry is what somebody wrote, as far as its numbers are in
// their shortest form.
func FuzzDecodeEntry(f *testing.F) {
	target, err := gbt.TargetFromBits(0x1d00ffff)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(appendEntry(nil, &shares.Share{Account: "alice", Worker: "rig", Weight: 5, Target: target, Height: 7, Time: time.UnixMilli(1 << 41)})))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeEntry(text)
		if err != nil {
			return
		}
		again, err := decodeEntry(string(appendEntry(nil, &s)))
		if diff := cmp.Diff(s, again); err != nil || diff != "" {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
}
