package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// maxPiece is how many nonces of a block one goroutine gets at a time.
const maxPiece = 1 << 18

// work is a template being mined. Its blocks and their nonces are given out piece by piece, so
// that no two goroutines try the same.
type work struct {
	assembler *Assembler
	template  *Template
	// serial counts the templates that a Miner has mined.
	serial uint64
	// done ends when the work should not be mined any more; replaced is closed when other work has
	// taken its place.
	done     context.Context //nolint:containedctx // the work is what it bounds
	end      context.CancelFunc
	replaced chan struct{}
	// renew closes wanted: the template should be fetched anew, without waiting for a long poll.
	renew  func()
	wanted chan struct{}
	// numbers counts the blocks that were made of any template. A full node gives the same template
	// to all who ask, so each work goes on where the one before ended.
	numbers *atomic.Uint32

	mu sync.Mutex
	// number and nonce are where the next piece begins. Both are held by mu.
	number uint32
	nonce  uint64
}

// newWork makes work that ends with ctx or when the template expires.
func newWork(ctx context.Context, a *Assembler, serial uint64, numbers *atomic.Uint32) *work {
	t := a.template
	w := &work{
		assembler: a, template: t, serial: serial, numbers: numbers, nonce: uint64(t.NonceFirst),
		replaced: make(chan struct{}), wanted: make(chan struct{}),
	}
	w.renew = sync.OnceFunc(func() { close(w.wanted) })
	if a.numbered {
		w.number = numbers.Add(1)
	}
	if at, expires := t.expiry(); expires {
		w.done, w.end = context.WithDeadline(ctx, at)
	} else {
		w.done, w.end = context.WithCancel(ctx)
	}
	return w
}

// goesOn reports whether the work is of the miner's own choice and may still be mined although the
// server has given out t.
func (w *work) goesOn(t *Template) bool {
	if w.done.Err() != nil || w.template.Origin == nil || w.template.PreviousBlock != t.PreviousBlock || !t.SubmitOld {
		return false
	}
	select {
	case <-w.wanted:
		return false // t is what was asked for in its place
	default:
		return true
	}
}

// noWork is what there is before the first template.
func noWork() *work {
	w := &work{replaced: make(chan struct{})}
	w.done, w.end = context.WithCancel(context.Background())
	w.end()
	return w
}

// piece is a range of nonces to try on a block.
type piece struct {
	work        *work
	block       *Block
	first, last uint32 // both included
}

// next gives out a piece of at most maxPiece nonces. The error matches ErrExhausted if there are no
// more.
func (w *work) next(now time.Time) (*piece, error) {
	w.mu.Lock()
	if w.nonce > uint64(w.template.NonceLast) {
		if !w.assembler.numbered {
			w.mu.Unlock()
			return nil, ErrExhausted
		}
		w.number, w.nonce = w.numbers.Add(1), uint64(w.template.NonceFirst)
	}
	number, first := w.number, w.nonce
	w.nonce = min(first+maxPiece, uint64(w.template.NonceLast)+1)
	last := w.nonce - 1
	w.mu.Unlock()
	b, err := w.assembler.Block(number, now)
	if err != nil {
		return nil, err
	}
	return &piece{work: w, block: b, first: uint32(first), last: uint32(last)}, nil
}

// found is a block that meets the share target.
type found struct {
	block *Block
	hash  chainhash.Hash
	work  *work
	solve bool // the network target is met too
}

// found returns a copy of the piece's block with a nonce, and whether it meets the share target.
func (p *piece) found(nonce uint32) (found, bool) {
	b := *p.block
	b.Header.Nonce = nonce
	f := found{block: &b, hash: b.Header.BlockHash(), work: p.work}
	f.solve = p.work.template.NetworkTarget.MetBy(f.hash)
	return f, p.work.template.Target.MetBy(f.hash)
}
