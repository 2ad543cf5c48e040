package gbt

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// Work that goes on to the next previous block (BIP 23, prevblock).

// tipAt is a template on a tip at a height.
func tipAt(tb testing.TB, tip int, height int32) templateJSON {
	tb.Helper()
	in := makeTemplate(tb, tipOf(tip), hardBits, mixedSpecs())
	in.Height = height
	return in
}

// moveTo puts a draft on another previous block, at a height.
func (p *pool) moveTo(d *draft, tip int, height int64) *draft {
	p.t.Helper()
	push, err := txscript.NewScriptBuilder().AddInt64(height).Script()
	if err != nil {
		p.t.Fatal(err)
	}
	moved := *d
	moved.coinbase = d.coinbase.Copy()
	moved.header.PrevBlock = tipOf(tip)
	moved.coinbase.TxIn[0].SignatureScript = slices.Concat(push, script(d)[heightAt+2:])
	return &moved
}

// TestPrevblock moves work to the block that came after it was issued.
func TestPrevblock(t *testing.T) {
	p := choosingPool(t, hardBits)
	w := p.ask("prevblock", "transactions", "submit/hash")
	d := p.draw(w)
	plain := p.draw(p.ask("transactions"))
	p.news(tipAt(t, 2, 501))

	moved := p.moveTo(d, 2, 501)
	share := p.accept("moved", moved.submission(t))
	if share.PreviousBlock != tipOf(2) || share.Height != 501 || share.Full != w.Template.Value || share.Target != w.Target {
		t.Errorf("share %+v", share)
	}
	for form, send := range formsOfSubmission() {
		own := *moved
		own.coinbase = moved.coinbase.Copy()
		s := send(p, &own)
		if len(s.Data) == 160 {
			p.refuse(form, s, UnknownWork) // there is no coinbase that it could stand for
		} else {
			p.accept(form, s)
		}
	}
	fewer := *moved
	fewer.coinbase = moved.coinbase.Copy()
	fewer.txs = moved.txs[:2]
	p.settle(&fewer, subsidy+3000)
	p.accept("with other transactions", fewer.submission(t))
	p.accept("where it was issued, within grace", d.submission(t))

	for name, tt := range map[string]struct {
		draft *draft
		want  Reason
	}{
		"without the offer":      {p.moveTo(plain, 2, 501), UnknownWork},
		"with the old height":    {p.moveTo(d, 2, 500), BadCbPrefix},
		"with too high a height": {p.moveTo(d, 2, 502), BadCbPrefix},
		"a flipped token":        {p.moveTo(flipToken(d), 2, 501), UnknownWork},
		"to a block before":      {p.moveTo(d, 9, 501), BadPrevblk},
		"not final":              {withLockTime(p.moveTo(d, 2, 501), 501), badNonfinal},
		"another account's":      {ofAccount(p.moveTo(d, 2, 501), 2), UnknownWork},
	} {
		p.refuse(name, tt.draft.submission(t), tt.want)
	}
	late := p.moveTo(d, 2, 501)
	late.header.Timestamp = p.now
	p.now = p.now.Add(testExpires + time.Second)
	p.refuse("expired", late.submission(t), StaleWork)
	p.now = p.now.Add(-testExpires - time.Second)

	// It moves by one block, not by two.
	p.news(tipAt(t, 3, 502))
	p.refuse("two blocks on", p.moveTo(d, 3, 502).submission(t), UnknownWork)
	p.accept("one block on, within grace", p.draw(p.ask("prevblock")).submission(t))
}

func flipToken(d *draft) *draft {
	out := *d
	out.coinbase = d.coinbase.Copy()
	script(&out)[tokenAt+3] ^= 1
	return &out
}

func withLockTime(d *draft, at uint32) *draft { d.coinbase.LockTime = at; return d }

func ofAccount(d *draft, n byte) *draft { d.account = testAccount(n); return d }

// TestPrevblockDeclared declares work on the next block that was issued on the one before.
func TestPrevblockDeclared(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("prevblock", "transactions"))
	early := p.moveTo(d, 2, 501)
	if r := p.proposed(early); r.Reason != BadPrevblk {
		t.Errorf("before the pool hears of it: %+v, want %q", r, BadPrevblk)
	}
	p.news(tipAt(t, 2, 501))
	moved := p.moveTo(d, 2, 501)
	moved.txs = moved.txs[:2]
	p.settle(moved, subsidy+3000)
	moved.workID = p.declared(moved)
	share := p.accept("declared on the next block", merkle(t, moved))
	if share.PreviousBlock != tipOf(2) || share.Full != subsidy+15000 {
		t.Errorf("share %+v", share)
	}
	p.refuse("with the workid of the old block", func() Submission { s := merkle(t, d); s.WorkID = moved.workID; return s }(), UnknownWork)
	if r := p.proposed(d); r.Reason != StalePrevblk {
		t.Errorf("on the old block: %+v, want %q", r, StalePrevblk)
	}
}

// TestPrevblockReorganised has a sibling take the place of the block that work was issued on.
func TestPrevblockReorganised(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("prevblock", "transactions"))
	p.news(tipAt(t, 2, 500)) // the sibling
	p.accept("on the sibling", p.moveTo(d, 2, 500).submission(t))
	p.news(tipAt(t, 1, 500))
	p.accept("back where it was issued", d.submission(t))
	p.accept("on the sibling that lost, within grace", p.draw(p.ask()).submission(t))
	p.now = p.now.Add(testGrace + time.Second)
	p.refuse("on the sibling that lost", p.moveTo(d, 2, 500).submission(t), StalePrevblk)
}

// TestPrevblockBeforeThePool submits on a block that the pool has not heard of.
func TestPrevblockBeforeThePool(t *testing.T) {
	type outcome struct {
		v    Verdict
		took time.Duration
	}
	for name, tt := range map[string]struct {
		capability string
		// happens takes place while the submission waits, if it does.
		happens func(p *pool, hangUp func())
		spoil   func(d *draft)
		waits   bool
		want    Reason
		err     bool
	}{
		"the pool hears of it":      {"prevblock", func(p *pool, _ func()) { p.news(tipAt(p.t, 2, 501)) }, nil, true, "", false},
		"the pool never does":       {"prevblock", nil, nil, true, BadPrevblk, false},
		"the pool hears of another": {"prevblock", func(p *pool, _ func()) { p.news(tipAt(p.t, 3, 501)) }, nil, true, BadPrevblk, false},
		"it hears of both":          {"prevblock", func(p *pool, _ func()) { p.news(tipAt(p.t, 3, 501)); p.news(tipAt(p.t, 2, 501)) }, nil, true, UnknownWork, false},
		"another template in between": {"prevblock", func(p *pool, _ func()) {
			in := tipAt(p.t, 1, 500)
			*in.CoinbaseValue++
			p.news(in)
			synctest.Wait()
			p.news(tipAt(p.t, 2, 501))
		}, nil, true, "", false},
		"the tip without a template": {"prevblock", func(p *pool, _ func()) {
			p.feed.take(p.t.Context(), News{Tip: tipOf(2), Err: errors.New("the node is making it")})
		}, nil, true, "", true},
		"the tip before its template": {"prevblock", func(p *pool, _ func()) {
			p.feed.take(p.t.Context(), News{Tip: tipOf(2), Err: errors.New("the node is making it")})
			synctest.Wait()
			p.news(tipAt(p.t, 2, 501))
		}, nil, true, "", false},
		"the pool shuts down":    {"prevblock", func(p *pool, _ func()) { p.feed.close() }, nil, true, BadPrevblk, false},
		"the miner hangs up":     {"prevblock", func(_ *pool, hangUp func()) { hangUp() }, nil, true, "", true},
		"it was not offered":     {"transactions", nil, nil, false, BadPrevblk, false},
		"the token is not ours":  {"prevblock", nil, func(d *draft) { script(d)[tokenAt+2] ^= 1 }, false, BadPrevblk, false},
		"another account's":      {"prevblock", nil, func(d *draft) { d.account = testAccount(2) }, false, BadPrevblk, false},
		"no proof for that work": {"prevblock", nil, func(d *draft) { d.target, d.misses = leadingZeros(2), d.target }, false, BadPrevblk, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := choosingPool(t, hardBits)
				d := p.moveTo(p.draw(p.ask(tt.capability)), 2, 501)
				if tt.spoil != nil {
					tt.spoil(d)
				}
				s := d.submission(t)
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				done := make(chan outcome, 1)
				go func() {
					start := time.Now()
					v := p.judge.Judge(ctx, s)
					done <- outcome{v, time.Since(start)}
				}()
				synctest.Wait()
				if waits := len(done) == 0; waits != tt.waits {
					t.Fatalf("it waits: %t, want %t", waits, tt.waits)
				}
				if tt.happens != nil {
					time.Sleep(testGrace / 2)
					tt.happens(p, hangUp)
				}
				got := <-done
				if got.v.Reason != tt.want || errors.Is(got.v.Err, ErrUnavailable) != tt.err {
					t.Errorf("%+v, want %q, unavailable %t", got.v, tt.want, tt.err)
				}
				if got.took > testGrace || tt.want == "" && !tt.err && got.took != testGrace/2 {
					t.Errorf("it took %s", got.took)
				}
			})
		})
	}
}

// TestPrevblockWaitsForNothing does not wait for a block that the pool has heard of.
func TestPrevblockWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := choosingPool(t, hardBits)
		p.news(tipAt(t, 2, 501))
		d := p.draw(p.ask("prevblock"))
		back := p.moveTo(d, 1, 500)
		behind := newPool(t, choosing)
		behind.serve(hardBits)
		behind.feed.take(t.Context(), News{Tip: tipOf(2), Err: errors.New("the node is making it")})
		start := time.Now()
		p.refuse("on the block before the work's", back.submission(t), UnknownWork)
		if v := behind.judged(d); !errors.Is(v.Err, ErrUnavailable) {
			t.Errorf("where the block has no template yet: %+v, want ErrUnavailable", v)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
}

// TestPrevblockIsOfferedAtOnce does not wait with a block until the pool has heard of the one before.
func TestPrevblockIsOfferedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := choosingPool(t, easyBits)
		d := p.moveTo(p.draw(p.ask("prevblock")), 2, 501)
		d.target = p.feed.state.Load().template.NetworkTarget
		s := d.submission(t)
		done := make(chan Verdict, 1)
		go func() { done <- p.judge.Judge(t.Context(), s) }()
		synctest.Wait()
		if offers := p.net.offers(); len(offers) != 1 || len(done) != 0 {
			t.Errorf("%d blocks offered, answered %d", len(offers), len(done))
		}
		p.news(func() templateJSON { in := tipAt(t, 2, 501); in.Bits = easyBits; return in }())
		if v := <-done; !v.Accepted() || !v.Share.Block {
			t.Errorf("%+v", v)
		}
	})
}

// TestCheckNotInTime cannot have a set checked before the next block is there.
func TestCheckNotInTime(t *testing.T) {
	down := errors.New("connection refused")
	for name, spent := range map[string]bool{"the node is down": false, "the budget is spent": true} {
		p := choosingPool(t, hardBits)
		d := p.draw(p.ask("transactions"))
		d.txs = d.txs[:2]
		p.settle(d, subsidy)
		next := func() { p.news(tipAt(t, 2, 501)) }
		if spent {
			spend(p, testAccount(1), DefaultBudget().Checks, 0)
			if v := p.judged(d); !errors.Is(v.Err, ErrBudget) || v.Accepted() {
				t.Errorf("before: %+v, want ErrBudget", v)
			}
			next()
		} else {
			p.net.propose = func(context.Context, []byte) (Reason, error) { return "", down }
			if v := p.judged(d); !errors.Is(v.Err, ErrUnavailable) || errors.Is(v.Err, ErrBudget) || v.Accepted() {
				t.Errorf("before: %+v, want ErrUnavailable", v)
			}
			p.net.propose = func(_ context.Context, raw []byte) (Reason, error) {
				if chainhash.Hash(raw[4:36]) == tipOf(1) {
					next()
				}
				return "", down
			}
		}
		if v := p.judged(d); v.Reason != StalePrevblk || v.Err != nil || (v.Share != Share{}) {
			t.Errorf("%s: %+v, want %q", name, v, StalePrevblk)
		}
	}
}
