package gbt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"github.com/gbtpool/gbtpool/gbt/splice"
)

const (
	// worthPacking is how long an answer is that is compressed, in bytes: one packet holds a shorter one.
	worthPacking = 1 << 10
	// maxPackings is how many answers wait to be compressed. What finds no place is asked for again.
	maxPackings = 16
)

// rendered is one form of what the work on a template shares: the same text as it is, and compressed.
type rendered struct {
	// text is JSON without the opening brace.
	text []byte
	// gzip and zstd are the text compressed; nil until that is done, which it may never be.
	gzip, zstd atomic.Pointer[splice.Text]
	// asked is set once the text waits to be compressed.
	asked atomic.Bool
}

// packed returns the text in a coding; nil if there is none.
func (a *rendered) packed(c splice.Coding) *splice.Text {
	switch c {
	case splice.Gzip:
		return a.gzip.Load()
	case splice.Zstd:
		return a.zstd.Load()
	default:
		return nil
	}
}

// press compresses answers one after another, beside those who wait for them and never in their way: who
// asks before it is done gets the text as it is. A nil press compresses nothing.
type press struct {
	packer *splice.Packer
	log    *slog.Logger
	jobs   chan packing
	// newest is the number of the template in force. What was asked for older ones is dropped.
	newest atomic.Uint64
}

// packing is an answer to compress, and the number of the template that it is of.
type packing struct {
	seq    uint64
	answer *rendered
}

func newPress(log *slog.Logger) (*press, error) {
	packer, err := splice.NewPacker()
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	return &press{packer: packer, log: log, jobs: make(chan packing, maxPackings)}, nil
}

// begin gives up what is older than t, and asks for t's plain answer, which most are served.
func (p *press) begin(t *Template) {
	if p == nil {
		return
	}
	p.newest.Store(t.Seq)
	p.want(t.Seq, t.answers.plain)
}

// want has an answer of a template compressed, unless that was asked for before. It never waits.
func (p *press) want(seq uint64, a *rendered) {
	if p == nil || len(a.text) < worthPacking || a.asked.Load() || a.asked.Swap(true) {
		return
	}
	select {
	case p.jobs <- packing{seq, a}:
	default:
		a.asked.Store(false)
	}
}

// run compresses until ctx ends.
func (p *press) run(ctx context.Context) {
	for {
		select {
		case job := <-p.jobs:
			p.pack(ctx, job)
		case <-ctx.Done():
			return
		}
	}
}

// pack compresses an answer, first by what is served first.
func (p *press) pack(ctx context.Context, job packing) {
	goOn := func() bool {
		runtime.Gosched() // who is to be answered goes first
		return ctx.Err() == nil && job.seq >= p.newest.Load()
	}
	for _, to := range []struct {
		coding splice.Coding
		at     *atomic.Pointer[splice.Text]
	}{{splice.Zstd, &job.answer.zstd}, {splice.Gzip, &job.answer.gzip}} {
		text, err := p.packer.Pack(to.coding, job.answer.text, goOn)
		switch {
		case errors.Is(err, splice.ErrStopped):
			return
		case err != nil:
			p.log.LogAttrs(ctx, slog.LevelError, "answer not compressed", slog.String("coding", string(to.coding)), slog.Any("error", err))
			continue
		}
		to.at.Store(text)
	}
}
