package node

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	// maxWalk is how many headers a node is asked for to connect its best block to known ones.
	maxWalk = 200
	// maxHeaders is how many headers are kept before the deep ones are forgotten, keepDepth how
	// deep is not.
	maxHeaders = 4096
	keepDepth  = 1024
)

// tip is a best block with the work of the chain that it ends. The zero tip is none.
type tip struct {
	hash   chainhash.Hash
	height int32
	bits   uint32
	// work is the number of expected hashes in the chain, counted from an arbitrary block that is
	// the same for all tips of one workIndex; nil in the zero tip.
	work *big.Int
	// header is what the first node to tell of it said.
	header Header
}

// placed is a header's place in a workIndex.
type placed struct {
	height int32
	bits   uint32
	work   *big.Int
	header Header
}

// workIndex knows the recent headers of all nodes and so which chain has the most work. Chains
// that do not meet within maxWalk headers are compared by height. It is safe for concurrent use.
type workIndex struct {
	mu      sync.Mutex
	headers map[chainhash.Hash]placed
	lowest  int32 // height, if there is any header
	highest int32
}

func newWorkIndex() *workIndex { return &workIndex{headers: make(map[chainhash.Hash]placed)} }

// locate returns the tip that a block is. Headers that are not known yet it asks of chain, waiting
// for each no longer than timeout.
func (x *workIndex) locate(ctx context.Context, chain Chain, hash chainhash.Hash, timeout time.Duration) (tip, error) {
	var walk []Header
	for at := hash; len(walk) < maxWalk; {
		if p, ok := x.find(at); ok {
			if len(walk) == 0 {
				return tip{hash: hash, height: p.height, bits: p.bits, work: p.work, header: p.header}, nil
			}
			break
		}
		h, err := within(ctx, timeout, func(ctx context.Context) (Header, error) { return chain.Header(ctx, at) })
		if err != nil {
			return tip{}, fmt.Errorf("header %d before the best block: %w", len(walk), err)
		}
		walk = append(walk, h)
		if h.Height <= 0 || x.below(h.Height) {
			break
		}
		at = h.Previous
	}
	return x.add(walk), nil
}

func (x *workIndex) find(hash chainhash.Hash) (placed, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, ok := x.headers[hash]
	return p, ok
}

// below reports whether no known header is deeper, so that walking on meets none.
func (x *workIndex) below(height int32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.headers) == 0 || height <= x.lowest
}

// add takes in headers that follow one another, the best block first, and returns its tip.
func (x *workIndex) add(walk []Header) tip {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := walk[len(walk)-1]
	base, ok := x.headers[last.Previous]
	work := base.work
	if !ok {
		work = x.estimate(last)
	}
	var best placed
	for i := len(walk) - 1; i >= 0; i-- {
		h := walk[i]
		work = new(big.Int).Add(work, blockchain.CalcWork(h.Bits))
		if known, ok := x.headers[h.Hash]; ok {
			work, h = known.work, known.header // another node's goroutine was faster
		}
		if h.MedianTime.IsZero() {
			h.MedianTime = x.medianTime(h)
		}
		best = placed{height: h.Height, bits: h.Bits, work: work, header: h}
		if len(x.headers) == 0 {
			x.lowest, x.highest = h.Height, h.Height
		}
		x.headers[h.Hash] = best
		x.lowest, x.highest = min(x.lowest, h.Height), max(x.highest, h.Height)
	}
	x.prune()
	return tip{hash: walk[0].Hash, height: best.height, bits: best.bits, work: best.work, header: best.header}
}

// medianSpan is how many blocks' times a median time is of.
const medianSpan = 11

// medianTime returns the median of the times of a block and the ten before it, for nodes that do not tell;
// zero if not all of them are known.
func (x *workIndex) medianTime(h Header) time.Time {
	times := []time.Time{h.Time}
	for len(times) < medianSpan {
		before, ok := x.headers[h.Previous]
		if !ok {
			return time.Time{}
		}
		h = before.header
		times = append(times, h.Time)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[medianSpan/2]
}

// estimate returns the work before a header whose parent is unknown: that of the known header
// nearest in height, and as much for each block between as for this one.
func (x *workIndex) estimate(h Header) *big.Int {
	var near placed
	distance := int32(-1)
	for _, p := range x.headers {
		d := max(p.height-(h.Height-1), (h.Height-1)-p.height)
		if distance < 0 || d < distance || d == distance && p.work.Cmp(near.work) > 0 {
			near, distance = p, d
		}
	}
	if distance < 0 {
		return new(big.Int)
	}
	between := big.NewInt(int64(h.Height - 1 - near.height))
	return between.Add(between.Mul(between, blockchain.CalcWork(h.Bits)), near.work)
}

// prune forgets deep headers once there are many.
func (x *workIndex) prune() {
	if len(x.headers) <= maxHeaders {
		return
	}
	x.lowest = x.highest - keepDepth
	for hash, p := range x.headers {
		if p.height < x.lowest {
			delete(x.headers, hash)
		}
	}
}
