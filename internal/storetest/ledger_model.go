package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// naive is a ledger as simple as can be: all shares in one list.
type naive struct {
	all     []shares.Entry
	heights map[chainhash.Hash]int32
	floor   int32
	// blocks are where found blocks are in the list, oldest first, and released those let go.
	blocks   []int
	released map[chainhash.Hash]bool
}

// window counts the last size of weight before an index.
func (n *naive) window(end int, size shares.Weight) map[string]shares.Weight {
	entries := slices.Clone(n.all[:end])
	slices.SortFunc(entries, func(a, b shares.Entry) int { return b.Compare(a.Position) })
	out := make(map[string]shares.Weight)
	for _, e := range entries {
		part := min(e.Weight, size)
		size -= part
		if part > 0 {
			out[e.Account] += part
		}
	}
	return out
}

// round counts the shares between two indices.
func (n *naive) round(begin, end int) (map[string]shares.Weight, int64) {
	out := make(map[string]shares.Weight)
	for _, e := range n.all[begin:end] {
		if e.Weight > 0 {
			out[e.Account] += e.Weight
		}
	}
	return out, int64(end - begin)
}

// model compares a ledger with the naive one under whatever order of events.
func model(t *testing.T, open func(testing.TB) (one, other Ledger), reopen func(testing.TB, Ledger) Ledger) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		one, other := open(t)
		m := &machine{r: r, t: t, reopen: reopen, naive: naive{heights: make(map[chainhash.Hash]int32), floor: -1, released: make(map[chainhash.Hash]bool)}}
		m.gateways = []Ledger{one, other}
		m.held = lease(t, one)
		r.Repeat(map[string]func(*rapid.T){
			"record":    m.record,
			"duplicate": m.duplicate,
			"block":     m.block,
			"compact":   m.compact,
			"trim":      m.trim,
			"release":   m.release,
			"retire":    m.retire,
			"restart":   m.restart,
			"retarget":  m.retarget,
			"":          m.check,
		})
	})
}

type machine struct {
	naive
	r        *rapid.T
	t        *testing.T
	reopen   func(testing.TB, Ledger) Ledger
	gateways []Ledger
	held     shares.Lease
	number   int
	height   int32
	// bits is the share target that is issued now.
	bits    uint32
	trimmed bool
}

// gateway draws one by its number: a ledger itself is too much to print.
func (m *machine) gateway(r *rapid.T) Ledger {
	return m.gateways[rapid.IntRange(0, len(m.gateways)-1).Draw(r, "gateway")]
}

// one makes a share at about the present height.
func (m *machine) one(r *rapid.T) *shares.Share {
	m.number++
	m.height += rapid.Int32Range(0, 1).Draw(r, "blocks")
	weights := rapid.OneOf(rapid.Int64Range(0, 100), rapid.SampledFrom([]int64{0, 1, 1 << 40, 1 << 53, 1<<53 + 1, 1 << 56}))
	s := share(m.number, fmt.Sprint("account", rapid.IntRange(0, 6).Draw(r, "account")), shares.Weight(weights.Draw(r, "weight")))
	s.Worker = fmt.Sprint("rig", rapid.IntRange(0, 2).Draw(r, "worker"))
	s.Height = max(m.height, m.floor+1)
	if m.bits != 0 {
		var err error
		if s.Target, err = gbt.TargetFromBits(m.bits); err != nil {
			r.Fatal(err)
		}
	}
	return s
}

// retarget has shares issued at another target from now on, which changes nothing of those before.
func (m *machine) retarget(r *rapid.T) {
	m.bits = rapid.SampledFrom([]uint32{0x207fffff, 0x1f00ffff, 0x1d00ffff, 0x1703a30c}).Draw(r, "bits")
}

// restart opens the ledger of a gateway anew: what it answers does not live in the gateway.
func (m *machine) restart(r *rapid.T) {
	at := rapid.IntRange(0, len(m.gateways)-1).Draw(r, "gateway")
	m.gateways[at] = m.reopen(m.t, m.gateways[at])
}

func (m *machine) put(r *rapid.T, s *shares.Share) {
	receipt, err := m.gateway(r).Record(m.t.Context(), s)
	if err != nil {
		r.Fatalf("Record: %v", err)
	}
	m.all = append(m.all, shares.Entry{Position: receipt.Position, Share: *s})
	m.heights[s.Hash] = s.Height
}

func (m *machine) record(r *rapid.T) { m.put(r, m.one(r)) }

func (m *machine) duplicate(r *rapid.T) {
	if len(m.all) == 0 {
		return
	}
	e := rapid.SampledFrom(m.all).Draw(r, "share")
	receipt, err := m.gateway(r).Record(m.t.Context(), &e.Share)
	switch {
	case e.Height <= m.floor && !errors.Is(err, shares.ErrTooOld):
		r.Fatalf("a share of height %d with floor %d: %v", e.Height, m.floor, err)
	case e.Height > m.floor && (!errors.Is(err, shares.ErrDuplicate) || receipt.Position != e.Position):
		r.Fatalf("a duplicate: %+v, %v", receipt, err)
	}
}

func (m *machine) block(r *rapid.T) {
	m.put(r, foundBy(m.one(r), shares.Weight(rapid.Int64Range(0, 50).Draw(r, "window"))))
	m.blocks = append(m.blocks, len(m.all)-1)
}

func (m *machine) compact(r *rapid.T) {
	if err := m.gateway(r).Compact(m.t.Context(), m.held, rapid.IntRange(0, 5).Draw(r, "keep")); err != nil {
		r.Fatal(err)
	}
}

func (m *machine) trim(r *rapid.T) {
	m.trimmed = true
	if err := m.gateway(r).Trim(m.t.Context(), m.held, 50); err != nil {
		r.Fatal(err)
	}
}

func (m *machine) release(r *rapid.T) {
	if len(m.blocks) == 0 {
		return
	}
	hash := m.all[rapid.SampledFrom(m.blocks).Draw(r, "block")].Hash
	if err := m.gateway(r).Release(m.t.Context(), m.held, hash); err != nil {
		r.Fatal(err)
	}
	m.released[hash] = true
}

func (m *machine) retire(r *rapid.T) {
	floor := m.height - rapid.Int32Range(1, 5).Draw(r, "depth")
	if floor < 0 {
		return
	}
	if err := m.gateway(r).Retire(m.t.Context(), m.held, floor); err != nil {
		r.Fatal(err)
	}
	m.floor = max(m.floor, floor)
}

// check compares everything that the ledger says with what the naive one says.
func (m *machine) check(r *rapid.T) {
	l := m.gateway(r)
	for _, size := range []shares.Weight{0, 1, 50} {
		same(r, fmt.Sprint("window of ", size), credits(m.t, l, chainhash.Hash{}, size), m.window(len(m.all), size))
	}
	m.compareWindowAt(r, l)
	begin := 0
	for _, at := range m.blocks {
		b := m.all[at]
		if !m.released[b.Hash] {
			same(r, "window of a block", credits(m.t, l, b.Hash, b.Found.Window), m.window(at+1, b.Found.Window))
			m.compareRound(r, l, b.Hash, begin, at+1)
		}
		begin = at + 1
	}
	m.compareRound(r, l, chainhash.Hash{}, begin, len(m.all))
	m.compareSums(r, l)
}

// compareWindowAt asks for windows that end at shares, and beside them.
func (m *machine) compareWindowAt(r *rapid.T, l Ledger) {
	if len(m.all) == 0 {
		return
	}
	at := m.all[rapid.IntRange(0, len(m.all)-1).Draw(r, "end")].Position
	at.Seq = max(0, at.Seq+rapid.Int64Range(-1, 1).Draw(r, "beside"))
	at.Partition = max(0, at.Partition+rapid.IntRange(-1, 1).Draw(r, "partition beside"))
	sorted := slices.Clone(m.all)
	slices.SortFunc(sorted, func(a, b shares.Entry) int { return a.Compare(b.Position) })
	within := naive{}
	for _, e := range sorted {
		if e.Compare(at) <= 0 {
			within.all = append(within.all, e)
		}
	}
	size := shares.Weight(rapid.Int64Range(0, 60).Draw(r, "size"))
	w, err := l.WindowAt(m.t.Context(), at, size)
	if err != nil && m.trimmed {
		return // what is folded has no places any more
	}
	if err != nil {
		r.Fatal(err)
	}
	got := make(map[string]shares.Weight)
	for _, c := range w.Credits {
		got[c.Account] = c.Weight
	}
	same(r, fmt.Sprintf("window at %v", at), got, within.window(len(within.all), size))
}

func (m *machine) compareRound(r *rapid.T, l Ledger, hash chainhash.Hash, begin, end int) {
	sums, count := m.round(begin, end)
	got, err := l.Round(m.t.Context(), hash)
	if err != nil {
		r.Fatal(err)
	}
	want, err := shares.NewRound(hash, 0, count, sums)
	if err != nil {
		r.Fatal(err)
	}
	same(r, "round", got, want)
}

func (m *machine) compareSums(r *rapid.T, l Ledger) {
	sums, _ := m.round(0, len(m.all))
	list, err := l.Accounts(m.t.Context(), math.MaxInt)
	if err != nil {
		r.Fatal(err)
	}
	got := make(map[string]shares.Weight)
	for _, a := range list {
		if a.Weight > 0 {
			got[a.Account] = a.Weight
		}
	}
	same(r, "sums", got, sums)
}
