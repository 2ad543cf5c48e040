package guard

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// court is a Conduct with bans, in a bubble.
type court struct {
	*Conduct
	bans *Bans
	t    *testing.T
}

func inCourt(t *testing.T, cfg ConductConfig, f func(*court)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bans := newTestBans(t, new(memory), quiet())
		cfg.Bans, cfg.Proxies, cfg.Now, cfg.Log = bans, proxies(t, "", "10.0.0.0/8"), time.Now, quiet()
		c, err := NewConduct(cfg)
		if err != nil {
			t.Fatal(err)
		}
		run(t, c.Run)
		f(&court{c, bans, t})
	})
}

// hear has n submissions heard.
func (c *court) hear(n int, account, addr string, v gbt.Verdict) {
	ctx := context.Background()
	if addr != "" {
		ctx = WithClient(ctx, netip.MustParseAddr(addr))
	}
	for range n {
		c.Hear(ctx, gbt.Submission{Account: gbt.Account{Address: account}}, v)
	}
	synctest.Wait()
}

func (c *court) banned(account, addr string) (shares.Ban, bool) {
	return c.bans.Banned(netip.MustParseAddr(addr), account)
}

func refused(reason gbt.Reason) gbt.Verdict { return gbt.Verdict{Reason: reason} }

func TestConduct(t *testing.T) {
	inCourt(t, ConductConfig{}, func(c *court) {
		t := c.t
		c.hear(36, "alice", "192.0.2.1", gbt.Verdict{})
		c.hear(4, "alice", "192.0.2.1", refused(gbt.TimeTooNew))
		c.hear(95, "alice", "192.0.2.1", refused(gbt.HighHash))
		if ban, ok := c.banned("alice", "192.0.2.1"); ok {
			t.Fatalf("banned for 99: %v", ban)
		}
		c.hear(1, "alice", "192.0.2.1", refused(gbt.HighHash))
		ban, ok := c.banned("alice", "192.0.2.1")
		if !ok {
			t.Fatal("not banned for 100")
		}
		want := shares.Ban{
			Subject: "alice@192.0.2.1/32", Since: time.Now(), Until: time.Now().Add(10 * time.Minute), By: "conduct",
			Reason: `100 of your last 136 submissions were invalid, 96 of them high-hash: your program does not keep to the share target: it is the "target" of the template`,
		}
		if ban.Subject != want.Subject || ban.Reason != want.Reason || !ban.Since.Equal(want.Since) || !ban.Until.Equal(want.Until) || ban.By != want.By {
			t.Errorf("got  %+v\nwant %+v", ban, want)
		}
		// Nobody else is.
		if _, ok := c.banned("bob", "192.0.2.1"); ok {
			t.Error("bob is banned for what alice sent")
		}
		if _, ok := c.banned("alice", "192.0.2.2"); ok {
			t.Error("alice is banned elsewhere, where somebody else may have named her")
		}
	})
}

// TestConductSpares: what is not the miner's fault, or too little, bans nobody.
func TestConductSpares(t *testing.T) {
	const account, addr = "alice", "192.0.2.1"
	for name, hear := range map[string]func(*court){
		"half": func(c *court) {
			c.hear(200, account, addr, gbt.Verdict{})
			c.hear(200, account, addr, refused(gbt.HighHash))
		},
		"stale":        func(c *court) { c.hear(5000, account, addr, refused(gbt.StaleWork)) },
		"stale block":  func(c *court) { c.hear(5000, account, addr, refused(gbt.StalePrevblk)) },
		"unknown work": func(c *court) { c.hear(5000, account, addr, refused(gbt.UnknownWork)) },
		"a node's":     func(c *court) { c.hear(5000, account, addr, refused("inconclusive-not-best-prevblk")) },
		"no ruling":    func(c *court) { c.hear(5000, account, addr, gbt.Verdict{Err: gbt.ErrUnavailable}) },
		"blocks":       func(c *court) { c.hear(5000, account, addr, gbt.Verdict{Block: true, Reason: gbt.BadTxns}) },
		"duplicates": func(c *court) {
			c.hear(100, account, addr, gbt.Verdict{})
			c.hear(199, account, addr, refused(gbt.Duplicate))
		},
		"slowly": func(c *court) {
			for range 200 {
				c.hear(1, account, addr, refused(gbt.HighHash))
				time.Sleep(3100 * time.Millisecond)
			}
		},
		"nobody knows from where": func(c *court) { c.hear(5000, account, "", refused(gbt.HighHash)) },
	} {
		t.Run(name, func(t *testing.T) {
			inCourt(t, ConductConfig{}, func(c *court) {
				hear(c)
				if all := c.bans.All(); len(all) != 0 {
					c.t.Errorf("banned: %v", all)
				}
			})
		})
	}
}

// TestConductFaults: every fault counts, and says what to change in what a store keeps.
func TestConductFaults(t *testing.T) {
	for _, f := range append(faultList(), fault{gbt.Duplicate, "your program sends the same work again"}) {
		inCourt(t, ConductConfig{}, func(c *court) {
			c.hear(100, "alice", "192.0.2.1", refused(f.reason))
			ban, ok := c.banned("alice", "192.0.2.1")
			if !ok || !strings.Contains(ban.Reason, "100 of them "+string(f.reason)+": "+f.advice) {
				c.t.Errorf("%s: %t %q", f.reason, ok, ban.Reason)
			}
			if extra := len("1000000"+"1000000"+"1000000") - len("100100100"); len(ban.Reason)+extra > 200 {
				c.t.Errorf("%s: a reason of %d characters: %s", f.reason, len(ban.Reason), ban.Reason)
			}
		})
	}
}

func faultList() []fault {
	list := faults()
	return list[:]
}

// TestConductWindow: what is older than the window is forgotten.
func TestConductWindow(t *testing.T) {
	inCourt(t, ConductConfig{}, func(c *court) {
		c.hear(1000, "alice", "192.0.2.1", gbt.Verdict{})
		time.Sleep(5 * time.Minute)
		c.hear(99, "alice", "192.0.2.1", refused(gbt.HighHash))
		time.Sleep(4 * time.Minute)
		if _, ok := c.banned("alice", "192.0.2.1"); ok {
			c.t.Error("banned early")
		}
		c.hear(1, "alice", "192.0.2.1", refused(gbt.HighHash))
		if _, ok := c.banned("alice", "192.0.2.1"); !ok {
			c.t.Error("what was good before the window counts")
		}
	})
}

// TestConductDoubles: each ban lasts twice as long as the one before, up to the most, and all is
// forgotten after as long in peace.
func TestConductDoubles(t *testing.T) {
	inCourt(t, ConductConfig{First: time.Minute, Most: 5 * time.Minute}, func(c *court) {
		again := func(want time.Duration) {
			c.t.Helper()
			c.hear(100, "alice", "192.0.2.1", refused(gbt.Rejected))
			ban, ok := c.banned("alice", "192.0.2.1")
			if got := ban.Until.Sub(ban.Since); !ok || got != want {
				c.t.Errorf("banned for %s, want %s", got, want)
			}
			time.Sleep(want)
			if _, ok := c.banned("alice", "192.0.2.1"); ok {
				c.t.Error("not over")
			}
		}
		for _, minutes := range []int{1, 2, 4, 5, 5} {
			again(time.Duration(minutes) * time.Minute)
		}
		time.Sleep(5*time.Minute + 1)
		again(time.Minute)
	})
}

// TestConductOfAddress: an address that names one account after the other is banned as a whole, but
// for a trusted proxy's, and so is one that names none.
func TestConductOfAddress(t *testing.T) {
	inCourt(t, ConductConfig{Minimum: 10}, func(c *court) {
		for _, addr := range []string{"192.0.2.1", "10.0.0.1"} {
			for i := range 20 {
				c.hear(5, string(rune('a'+i)), addr, refused(gbt.Rejected))
			}
		}
		if ban, ok := c.banned("", "192.0.2.1"); !ok || ban.Subject != "192.0.2.1/32" {
			c.t.Errorf("%t %v", ok, ban)
		}
		if ban, ok := c.banned("", "10.0.0.1"); ok {
			c.t.Errorf("a proxy is banned: %v", ban)
		}
		c.hear(100, "", "2001:db8::1", refused(gbt.Rejected))
		if ban, ok := c.banned("anybody", "2001:db8::2"); !ok || ban.Subject != "2001:db8::/64" {
			c.t.Errorf("%t %v", ok, ban)
		}
	})
}

// TestConductForgets: many accounts do not fill the memory.
func TestConductForgets(t *testing.T) {
	inCourt(t, ConductConfig{Track: 10}, func(c *court) {
		for i := range 1000 {
			c.hear(1, string(rune('a'+i)), "192.0.2.1", refused(gbt.Rejected))
		}
		if n := c.records.Len(); n > 20 {
			c.t.Errorf("%d records", n)
		}
	})
}

func TestConductConfig(t *testing.T) {
	good := ConductConfig{Bans: newTestBans(t, new(memory), quiet()), Proxies: proxies(t, ""), Now: time.Now, Log: quiet()}
	for i, spoil := range []func(*ConductConfig){
		func(c *ConductConfig) { c.Bans = nil }, func(c *ConductConfig) { c.Proxies = nil },
		func(c *ConductConfig) { c.Now = nil }, func(c *ConductConfig) { c.Log = nil },
		func(c *ConductConfig) { c.Minimum = -1 }, func(c *ConductConfig) { c.Percent = 100 },
		func(c *ConductConfig) { c.Window = time.Millisecond }, func(c *ConductConfig) { c.First, c.Most = time.Hour, time.Minute },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := NewConduct(cfg); err == nil {
			t.Errorf("%d passes", i)
		}
	}
}

// next is an Intake with one answer.
type next struct {
	verdict gbt.Verdict
	asked   int
}

func (n *next) Submit(context.Context, gbt.Submission) gbt.Verdict {
	n.asked++
	return n.verdict
}

// headerWith returns a header in hexadecimal that claims a target and meets it or not.
func headerWith(t *testing.T, bits uint32, meets bool) string {
	t.Helper()
	target, err := gbt.TargetFromBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	header := make([]byte, 80)
	for i, shift := range []int{0, 8, 16, 24} {
		header[72+i] = byte(bits >> shift)
	}
	for nonce := range 1 << 20 {
		header[76], header[77], header[78] = byte(nonce), byte(nonce>>8), byte(nonce>>16)
		if target.MetBy(chainhash.DoubleHashH(header)) == meets {
			return hex.EncodeToString(header)
		}
	}
	t.Fatal("no nonce")
	return ""
}

// TestSubmissions: a banned miner's submission is refused without a look, unless it may be a block:
// then it goes its way, and what becomes of it is what the miner is told if it is one.
func TestSubmissions(t *testing.T) {
	const bits = 0x1f7fffff // one in 512 hashes
	block, none := headerWith(t, bits, true), headerWith(t, bits, false)
	hash := chainhash.Hash{1}
	retry := gbt.Verdict{Err: gbt.ErrUnavailable}
	for _, tt := range []struct {
		name, account, data string
		verdict             gbt.Verdict
		asked               int
		want                gbt.Reason
		err                 error
	}{
		{"not banned", "bob", none, gbt.Verdict{}, 1, "", nil},
		{"not banned, refused", "bob", none, refused(gbt.HighHash), 1, gbt.HighHash, nil},
		{"banned", "alice", none, gbt.Verdict{}, 0, gbt.Banned, nil},
		{"banned, no header", "alice", "00", gbt.Verdict{}, 0, gbt.Banned, nil},
		{"banned, no hexadecimal", "alice", strings.Repeat("x", 200), gbt.Verdict{}, 0, gbt.Banned, nil},
		{"a block", "alice", block, gbt.Verdict{Block: true}, 1, "", nil},
		{"a block of too little worth", "alice", block + "00", gbt.Verdict{Block: true, Reason: gbt.BadCbPrefix}, 1, gbt.BadCbPrefix, nil},
		{"claims to be one", "alice", block, gbt.Verdict{Reason: gbt.BadDiffbits, Hash: hash}, 1, gbt.Banned, nil},
		{"has to be sent again", "alice", block, retry, 1, "", gbt.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inCourt(t, ConductConfig{}, func(c *court) {
				put(c.t, c.bans, "alice@192.0.2.1", time.Hour)
				n := &next{verdict: tt.verdict}
				s, err := NewSubmissions(SubmissionsConfig{Next: n, Bans: c.bans, Conduct: c.Conduct})
				if err != nil {
					c.t.Fatal(err)
				}
				ctx := WithClient(c.t.Context(), netip.MustParseAddr("192.0.2.1"))
				v := s.Submit(ctx, gbt.Submission{Account: gbt.Account{Address: tt.account}, Data: tt.data})
				if v.Reason != tt.want || !errors.Is(v.Err, tt.err) || n.asked != tt.asked {
					c.t.Errorf("asked %d times: %+v", n.asked, v)
				}
				if v.Reason == gbt.Banned && !strings.Contains(v.Detail, "because") {
					c.t.Errorf("detail %q", v.Detail)
				}
			})
		})
	}
}

// TestSubmissionsHeard: Conduct hears the verdicts.
func TestSubmissionsHeard(t *testing.T) {
	inCourt(t, ConductConfig{}, func(c *court) {
		n := &next{verdict: refused(gbt.HighHash)}
		s, err := NewSubmissions(SubmissionsConfig{Next: n, Bans: c.bans, Conduct: c.Conduct})
		if err != nil {
			c.t.Fatal(err)
		}
		ctx := WithClient(c.t.Context(), netip.MustParseAddr("192.0.2.1"))
		for range 101 {
			s.Submit(ctx, gbt.Submission{Account: gbt.Account{Address: "alice"}})
			synctest.Wait()
		}
		if n.asked != 100 {
			c.t.Errorf("asked %d times: want the last one refused", n.asked)
		}
	})
}

// TestConductOfThisMachine: a proxy here that nobody has told of speaks for all miners, whom nobody can have banned.
func TestConductOfThisMachine(t *testing.T) {
	inCourt(t, ConductConfig{}, func(c *court) {
		for _, from := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
			ctx := WithClient(c.t.Context(), netip.MustParseAddr(from))
			for range 1100 {
				c.Hear(ctx, gbt.Submission{}, refused(gbt.HighHash))
			}
		}
		synctest.Wait()
		if all := c.bans.All(); len(all) > 0 {
			c.t.Errorf("banned: %+v", all)
		}
	})
}

// TestSubmissionsWithoutConduct: who an operator bans is turned away also where nobody is banned for what is sent.
func TestSubmissionsWithoutConduct(t *testing.T) {
	inCourt(t, ConductConfig{}, func(c *court) {
		put(c.t, c.bans, "alice", time.Hour)
		n := new(next)
		s, err := NewSubmissions(SubmissionsConfig{Next: n, Bans: c.bans})
		if err != nil {
			c.t.Fatal(err)
		}
		ctx := WithClient(c.t.Context(), netip.MustParseAddr("192.0.2.1"))
		for account, want := range map[string]gbt.Reason{"alice": gbt.Banned, "bob": ""} {
			if v := s.Submit(ctx, gbt.Submission{Account: gbt.Account{Address: account}}); v.Reason != want {
				c.t.Errorf("%s: %+v", account, v)
			}
		}
	})
}

func TestSubmissionsConfig(t *testing.T) {
	if _, err := NewSubmissions(SubmissionsConfig{}); err == nil {
		t.Error("passes without anything")
	}
}

// TestMayBeBlock: real blocks may be blocks.
func TestMayBeBlock(t *testing.T) {
	// The genesis block of mainnet (Bitcoin Core, kernel/chainparams.cpp).
	genesis := "01000000" + strings.Repeat("00", 32) + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a" +
		"29ab5f49ffff001d1dac2b7c"
	if !MayBeBlock(genesis) || !MayBeBlock(genesis+"01") || !MayBeBlock(strings.ToUpper(genesis)) {
		t.Error("the genesis block may be none")
	}
	if MayBeBlock(genesis[:159]) || MayBeBlock(strings.Replace(genesis, "1dac2b7c", "1dac2b7d", 1)) {
		t.Error("what is no block may be one")
	}
}
