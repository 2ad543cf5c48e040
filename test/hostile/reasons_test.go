package hostile

import (
	"encoding/hex"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// clock is a pool's clock that tests move ahead.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *clock) of(s *settings)          { s.issuer.Now, s.judge.Now = c.now, c.now }
func short(s *settings)                  { s.issuer.Expires, s.judge.Expires = time.Minute, time.Minute }
func graceless(s *settings)              { s.issuer.Grace, s.judge.Grace = 0, 0 }
func forbid(text string) func(*settings) {
	return func(s *settings) { s.judge.ForbiddenFlags = []string{text} }
}

// reasonCase is one way to have a submission refused.
type reasonCase struct {
	want gbt.Reason
	user string
	// spoil changes the block before it is mined, or sends what it likes itself.
	spoil func(g *gateway, c *clock, w *work, b *block)
	// raw is what to send; nil sends the block in full.
	raw func(b *block) string
	// alone needs a gateway whose clock or chain goes on for it.
	alone bool
}

func reasonCases() []reasonCase {
	nothing := func(*gateway, *clock, *work, *block) {}
	change := func(f func(w *work, b *block)) func(*gateway, *clock, *work, *block) {
		return func(_ *gateway, _ *clock, w *work, b *block) { f(w, b) }
	}
	script := func(b *block) *[]byte { return &b.coinbase.TxIn[0].SignatureScript }
	return []reasonCase{
		{want: "", spoil: nothing},
		{want: gbt.BadCbFlag, spoil: change(func(_ *work, b *block) { *script(b) = append(*script(b), "/BIP16/"...) })},
		{want: gbt.BadCbLength, spoil: change(func(_ *work, b *block) { *script(b) = append(*script(b), make([]byte, 101-len(*script(b)))...) })},
		{want: gbt.BadCbPrefix, spoil: change(func(_ *work, b *block) { (*script(b))[len(*script(b))-1] ^= 1 })},
		{want: gbt.BadDiffbits, spoil: change(func(_ *work, b *block) { b.header.Bits-- })},
		{want: gbt.BadPrevblk, spoil: change(func(_ *work, b *block) { b.header.PrevBlock = chainhash.Hash{1} })},
		{want: gbt.BadTxnmrklroot, spoil: change(func(_ *work, b *block) { b.keepRoot = true })},
		{want: gbt.BadTxns, spoil: change(func(_ *work, b *block) { b.coinbase.TxOut[0].PkScript = []byte{0x51, 0x51} })},
		{want: gbt.BadVersion, spoil: change(func(_ *work, b *block) { b.header.Version ^= 1 })},
		{want: gbt.Duplicate, spoil: func(g *gateway, _ *clock, _ *work, b *block) {
			if reason := g.submit(alice, b, b.mine().whole()); reason != "" {
				g.t.Fatalf("the first time: %s", reason)
			}
		}},
		{want: gbt.HighHash, spoil: change(func(w *work, b *block) { b.target, b.misses = zeros(2), w.Target })},
		{want: gbt.Rejected, spoil: nothing, raw: func(b *block) string { return hex.EncodeToString(b.whole()[:100]) + "zz" }},
		{want: gbt.StalePrevblk, alone: true, spoil: func(g *gateway, _ *clock, w *work, _ *block) {
			_, err := g.chain.Generate(g.t.Context(), 1, g.traffic.Script())
			check(g.t, err)
			g.next(w)
		}},
		{want: gbt.StaleWork, alone: true, spoil: func(_ *gateway, c *clock, _ *work, _ *block) { c.advance(2 * time.Minute) }},
		{want: gbt.TimeInvalid, alone: true, spoil: func(_ *gateway, c *clock, w *work, b *block) {
			c.advance(30 * time.Second)
			b.header.Timestamp = time.Unix(w.MaxTime+1, 0)
		}},
		{want: gbt.TimeTooNew, spoil: change(func(w *work, b *block) { b.header.Timestamp = time.Unix(w.MaxTime+100, 0) })},
		{want: gbt.TimeTooOld, spoil: change(func(w *work, b *block) { b.header.Timestamp = time.Unix(w.MinTime-1, 0) })},
		{want: gbt.UnknownUser, user: "nobody", spoil: nothing},
		{want: gbt.UnknownWork, user: bob, spoil: nothing},
	}
}

// TestReasons has every rejection reason of BIP 22 given, and told in the log and the metrics with
// the miner's name and the detail.
func TestReasons(t *testing.T) {
	seen := make(map[gbt.Reason]bool)
	shared := start(t, short, graceless, forbid("/BIP16/"))
	for _, tt := range reasonCases() {
		name := string(tt.want)
		if name == "" {
			name = "accepted"
		}
		seen[tt.want] = true
		t.Run(name, func(t *testing.T) {
			c, g := new(clock), shared.in(t)
			if tt.alone {
				g = start(t, c.of, short, graceless, forbid("/BIP16/"))
			}
			w := g.fetch(alice)
			b := blockOf(t, w)
			tt.spoil(g, c, w, b)
			user := alice
			if tt.user != "" {
				user = tt.user
			}
			data := hex.EncodeToString(b.mine().whole())
			if tt.raw != nil {
				data = tt.raw(b)
			}
			a := g.submitRaw(user+".rig1", b, data)
			if got := a.reason(t); got != tt.want || a.status != 200 {
				t.Fatalf("HTTP %d, %q (%s), want %q", a.status, got, a.header.Get("X-Reject-Detail"), tt.want)
			}
			if tt.want == "" {
				return
			}
			g.checkTold(a, tt.want, user)
		})
	}
	if len(seen) != 19 {
		t.Errorf("%d reasons, want the 18 of BIP 22 and acceptance", len(seen))
	}
}

// checkTold looks for a refusal in the answer's header, the log and the metrics.
func (g *gateway) checkTold(a *answer, reason gbt.Reason, user string) {
	g.t.Helper()
	detail := a.header.Get("X-Reject-Detail")
	if detail == "" {
		g.t.Error("no detail for the miner")
	}
	line := ""
	for l := range strings.Lines(g.log.String()) {
		if strings.Contains(l, "submission rejected") {
			line = l
		}
	}
	for _, want := range []string{"reason=" + string(reason), "detail=", "user_agent=" + agent} {
		if !strings.Contains(line, want) {
			g.t.Errorf("the log line %q lacks %q", line, want)
		}
	}
	if user == alice && (!strings.Contains(line, alice) || !strings.Contains(line, "rig1")) {
		g.t.Errorf("the log line %q does not name the miner", line)
	}
	if metrics := g.metrics(); !strings.Contains(metrics, `reason="`+string(reason)+`"`) {
		g.t.Errorf("the metrics do not tell of %s", reason)
	}
}
