package gbt

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// TestJudgeHighHash looks at hashes on both sides of the two share targets: the easiest that is
// given to anybody, and that of the work.
func TestJudgeHighHash(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	easiest := p.judge.cfg.Easiest
	for name, tt := range map[string]struct {
		target, misses Target
		want           Reason
		detail         string
	}{
		"a share":                {p.issuer.cfg.Share, Target{}, "", ""},
		"easier than the work's": {easiest, p.issuer.cfg.Share, HighHash, "of this work"},
		"easier than all":        {Target{}, easiest, HighHash, "easiest"},
	} {
		d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
		d.target, d.misses = tt.target, tt.misses
		if v := p.judged(d); v.Reason != tt.want || !strings.Contains(v.Detail, tt.detail) || v.Hash != d.header.BlockHash() {
			t.Errorf("%s: got %q (%s) for %s, want %q", name, v.Reason, v.Detail, v.Hash, tt.want)
		}
	}
	// Who sends no proof of work has nothing of his submission read.
	d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
	d.target, d.misses = Target{}, easiest
	d.encode = func(b []byte) string { return hex.EncodeToString(b[:80]) + "not read" }
	if v := p.judged(d); v.Reason != HighHash {
		t.Errorf("got %q (%s), want %q", v.Reason, v.Detail, HighHash)
	}
}

// TestJudgeVersionBits has the node require a bit that BIP 320 would leave to the miner.
func TestJudgeVersionBits(t *testing.T) {
	const required = 1 << 14
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), hardBits, nil)
	in.Version, in.VBRequired, in.VBAvailable = 0x20000000|required, required, map[string]int{"a": 14, "b": 3, "odd": 29, "odder": -1}
	p.news(in)
	for version, want := range map[int32]Reason{
		0x20000000 | required:          "",
		0x20000000 | required | 1<<20:  "",
		0x20000000 | required | 1<<3:   "",
		0x20000000:                     BadVersion,
		0x3fffe000 &^ required:         BadVersion,
		0x20000000 | required | 1<<4:   BadVersion,
		0x20000000 | required | 1<<30:  BadVersion,
		0x00000000 | required:          BadVersion,
		-0x80000000 + 1<<29 | required: BadVersion,
	} {
		d := draftOf(t, testAccount(1), p.issue(testAccount(1)))
		d.header.Version = version
		if v := p.judged(d); v.Reason != want {
			t.Errorf("version %08x: got %q (%s), want %q", uint32(version), v.Reason, v.Detail, want)
		}
	}
}

// TestJudgeSigops appends bytes that count as signature checks to a block that has few left.
func TestJudgeSigops(t *testing.T) {
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), hardBits, mixedSpecs())
	in.SigopLimit = 5 + freeSigops*4 // the transactions' own, and what is reserved
	p.news(in)
	for n, want := range map[int]Reason{0: "", 1: "", 4: "", 5: badBlkSigops, 40: badBlkSigops} {
		d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
		d.appendScript(bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, n)...)
		if v := p.judged(d); v.Reason != want {
			t.Errorf("%d bytes: got %q (%s), want %q", n, v.Reason, v.Detail, want)
		}
	}
}

// TestJudgeWitnessFree judges work as it is issued to clients without segwit.
func TestJudgeWitnessFree(t *testing.T) {
	for _, abbreviated := range []bool{false, true} {
		p := newPool(t)
		p.serve(easyBits)
		w := p.issue(testAccount(1))
		d := draftOf(t, testAccount(1), w)
		d.abbreviated = abbreviated
		v := p.judged(d)
		if v.Reason != "" || v.Share.Value != subsidy+5000 || v.Share.Transactions != 3 {
			t.Errorf("got %q (%s), share %+v", v.Reason, v.Detail, v.Share)
		}
		offers := p.net.offers()
		if len(offers) != 1 {
			t.Fatalf("%d blocks offered, want 1", len(offers))
		}
		if err := checkBlock(offers[0]); err != nil {
			t.Error(err)
		}
		// The whole template's transactions do not belong to this work.
		whole := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
		d.txs, d.abbreviated = whole.txs, false
		if v := p.judged(d); v.Reason != BadTxns {
			t.Errorf("got %q (%s), want %q", v.Reason, v.Detail, BadTxns)
		}
	}
}

// TestJudgeNodesAnswer has the nodes say this and that of an honest block.
func TestJudgeNodesAnswer(t *testing.T) {
	down := errors.New("all nodes are down")
	tests := []struct {
		name   string
		said   Reason
		err    error
		want   Reason
		alarms bool
	}{
		{"accepted", "", nil, "", false},
		{"known already", Duplicate, nil, "", false},
		{"on a side branch", "inconclusive", nil, "", false},
		{"known on a side branch", "duplicate-inconclusive", nil, "", false},
		{"not on its best block", "inconclusive-not-best-prevblk", nil, "", false},
		{"invalid", "bad-txns-inputs-missingorspent", nil, "bad-txns-inputs-missingorspent", true},
		{"known as invalid", "duplicate-invalid", nil, "duplicate-invalid", true},
		{"not asked", "", down, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t)
			p.net.submit = func(context.Context, []byte) (Reason, error) { return tt.said, tt.err }
			p.serve(easyBits)
			v := p.judged(draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit")))
			if v.Reason != tt.want || v.BlockReason != tt.said || !errors.Is(v.BlockErr, tt.err) || !v.Block || v.Err != nil {
				t.Errorf("got %+v, want %q", v, tt.want)
			}
			if v.Accepted() != v.Share.Block {
				t.Errorf("accepted %t, share %+v", v.Accepted(), v.Share)
			}
			if got := strings.Contains(p.log.String(), "level=ERROR"); got != tt.alarms {
				t.Errorf("alarm %t: %s", got, p.log.String())
			}
			// What the judge has found itself goes before what the nodes say.
			d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
			d.workID = "garbage"
			if v := p.judged(d); v.Reason != UnknownWork || v.BlockReason != tt.said {
				t.Errorf("got %+v, want %q", v, UnknownWork)
			}
		})
	}
}

// TestJudgeMinerHangsUp offers a block though its sender is gone.
func TestJudgeMinerHangsUp(t *testing.T) {
	p := newPool(t)
	deadline := false
	p.net.submit = func(ctx context.Context, _ []byte) (Reason, error) {
		_, deadline = ctx.Deadline()
		return "", ctx.Err()
	}
	p.serve(easyBits)
	s := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit")).submission(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := p.judge.Judge(ctx, s); v.BlockErr != nil || v.Reason != "" || len(p.net.offers()) != 1 {
		t.Errorf("got %+v, want the block offered and credited", v)
	}
	if !deadline {
		t.Error("the nodes may take for ever")
	}
}

// TestJudgeForgedBlock checks that a header which only claims to be a block moves nothing.
func TestJudgeForgedBlock(t *testing.T) {
	p := newPool(t)
	p.net.submit = func(context.Context, []byte) (Reason, error) { return "bad-txnmrklroot", nil }
	p.serve(easyBits)
	before := p.feed.state.Load()
	d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
	d.root = ptr(tipOf(9))
	if v := p.judged(d); v.Reason != BadTxnmrklroot || !v.Block {
		t.Errorf("got %+v, want %q", v, BadTxnmrklroot)
	}
	if p.feed.state.Load() != before {
		t.Error("the feed has moved")
	}
	if v := p.judged(draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))); v.Reason != "bad-txnmrklroot" {
		t.Errorf("honest work after that: %+v", v)
	}
}

// TestJudgeBeforeFirstTemplate has a gateway start while miners still work for its predecessor. It
// cannot rule yet, and must not refuse; but a block cannot wait.
func TestJudgeBeforeFirstTemplate(t *testing.T) {
	const bits = "1f7fffff" // a block is a share in 32
	old := newPool(t)
	old.serve(bits)
	w := old.issue(testAccount(1), "segwit")
	p := newPool(t)

	share := draftOf(t, testAccount(1), w)
	share.misses = w.Template.NetworkTarget
	if v := p.judged(share); !errors.Is(v.Err, ErrUnavailable) || v.Accepted() || v.Reason != "" || v.Block || len(p.net.offers()) != 0 {
		t.Errorf("a share: got %+v, want ErrUnavailable", v)
	}
	block := draftOf(t, testAccount(1), w)
	block.target = w.Template.NetworkTarget
	if v := p.judged(block); !errors.Is(v.Err, ErrUnavailable) || !v.Block || v.BlockErr != nil {
		t.Errorf("a block: got %+v, want ErrUnavailable", v)
	}
	if offers := p.net.offers(); len(offers) != 1 {
		t.Errorf("%d blocks offered, want 1", len(offers))
	} else if err := checkBlock(offers[0]); err != nil {
		t.Error(err)
	}
	// Bits of the miner's own choice do not make every hash a block, but they may be the network's.
	forged := draftOf(t, testAccount(1), w)
	forged.header.Bits, forged.target, forged.misses = 0x207fffff, leadingZeros(1), p.judge.cfg.Easiest
	if v := p.judged(forged); !errors.Is(v.Err, ErrUnavailable) || v.Block || len(p.net.offers()) != 0 {
		t.Errorf("forged bits: got %+v, want ErrUnavailable", v)
	}
	none := draftOf(t, testAccount(1), w)
	none.target, none.misses = Target{}, p.judge.cfg.Easiest
	if v := p.judged(none); v.Reason != HighHash {
		t.Errorf("without proof of work: got %+v, want %q", v, HighHash)
	}
	// With the template comes the verdict.
	p.serve(bits)
	if v := p.judged(share); v.Reason != "" || v.Err != nil {
		t.Errorf("with a template: %+v, want the share accepted", v)
	}
}

// TestJudgeTipBeforeTemplate cannot rule on another gateway's work on a block of which it has no
// template yet.
func TestJudgeTipBeforeTemplate(t *testing.T) {
	other := newPool(t)
	other.news(makeTemplate(t, tipOf(2), hardBits, nil))
	d := draftOf(t, testAccount(1), other.issue(testAccount(1)))
	p := newPool(t)
	p.serve(hardBits)
	p.feed.take(t.Context(), News{Tip: tipOf(2), Err: errors.New("the node is making a template")})
	if v := p.judged(d); !errors.Is(v.Err, ErrUnavailable) || v.Reason != "" {
		t.Errorf("got %+v, want ErrUnavailable", v)
	}
	p.news(makeTemplate(t, tipOf(2), hardBits, nil))
	if v := p.judged(d); v.Reason != "" || v.Err != nil {
		t.Errorf("got %+v, want the share accepted", v)
	}
}

// TestJudgeTestnetBits has two difficulties on one previous block, as test networks do when blocks
// are slow to come: what is a block depends on the header's own.
func TestJudgeTestnetBits(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	hard := p.issue(testAccount(1), "segwit")
	p.serve(easyBits)
	if v := p.judged(draftOf(t, testAccount(1), hard)); v.Reason != "" || v.Block || len(p.net.offers()) != 0 {
		t.Errorf("a share of the difficult template: %+v", v)
	}
	if v := p.judged(draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))); v.Reason != "" || !v.Block || len(p.net.offers()) != 1 {
		t.Errorf("a share of the easy template: %+v", v)
	}
}

// TestJudgeAbbreviatedLate rebuilds a block from a template that was replaced long ago, and alarms
// when it is forgotten.
func TestJudgeAbbreviatedLate(t *testing.T) {
	p := newPool(t)
	p.serve(easyBits)
	d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
	d.abbreviated = true
	for n := range keepTemplates + 1 {
		v := p.judged(d)
		if n == keepTemplates {
			if v.Reason != UnknownWork || v.BlockErr == nil || !strings.Contains(p.log.String(), "level=ERROR") || len(p.net.offers()) != 0 {
				t.Errorf("forgotten: %+v, log %s", v, p.log.String())
			}
			break
		}
		if offers := p.net.offers(); v.Reason != "" || len(offers) != 1 {
			t.Fatalf("%d templates later: %+v, %d offers", n, v, len(offers))
		} else if err := checkBlock(offers[0]); err != nil {
			t.Fatal(err)
		}
		in := makeTemplate(t, tipOf(1), easyBits, nil)
		*in.CoinbaseValue += int64(n)
		p.news(in)
	}
}

// TestJudgeOffersWitness checks that nodes get the coinbase's witness that miners leave out, and
// get none where it would make the block invalid.
func TestJudgeOffersWitness(t *testing.T) {
	for _, specs := range [][]txSpec{mixedSpecs(), {{fee: 1}}, nil} {
		p := newPool(t)
		p.news(makeTemplate(t, tipOf(1), easyBits, specs))
		for _, with := range []bool{false, true} {
			d := draftOf(t, testAccount(1), p.issue(testAccount(1), "segwit"))
			if with {
				d.coinbase.TxIn[0].Witness = [][]byte{make([]byte, 32)}
			}
			if v := p.judged(d); v.Reason != "" {
				t.Errorf("%d transactions, witness sent %t: %+v", len(specs), with, v)
			}
			offers := p.net.offers()
			if len(offers) != 1 {
				t.Fatalf("%d blocks offered, want 1", len(offers))
			}
			block, err := btcutil.NewBlockFromBytes(offers[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := block.Transactions()[0].HasWitness(); got != (len(specs) > 1) {
				t.Errorf("%d transactions, witness sent %t: offered with witness %t", len(specs), with, got)
			}
			if err := checkBlock(offers[0]); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestJudgeConfig(t *testing.T) {
	good := newPool(t).judge.cfg
	for name, change := range map[string]func(*JudgeConfig){
		"no feed":        func(c *JudgeConfig) { c.Feed = nil },
		"no network":     func(c *JudgeConfig) { c.Network = nil },
		"no clock":       func(c *JudgeConfig) { c.Now = nil },
		"no log":         func(c *JudgeConfig) { c.Log = nil },
		"short key":      func(c *JudgeConfig) { c.Key = make([]byte, MinKey-1) },
		"no target":      func(c *JudgeConfig) { c.Easiest = Target{} },
		"no expiry":      func(c *JudgeConfig) { c.Expires = 0 },
		"negative grace": func(c *JudgeConfig) { c.Grace = -time.Second },
		"no block wait":  func(c *JudgeConfig) { c.BlockWait = 0 },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewJudge(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
