package fieldclients

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// checkHonest fails the test if a program is not as it should be after it mined for a while.
func checkHonest(t *testing.T, st State) {
	t.Helper()
	if st.Protocol != GBT || st.Broken != "" || st.Resending != "" || st.Unsigned != "" {
		t.Errorf("the program is %+v", st)
	}
	for reason := range st.Rejected {
		if reason != "stale-prevblk" {
			t.Errorf("shares were rejected: %v", st.Rejected)
		}
	}
}

// TestMine: each program mines blocks that the node accepts, transactions with witnesses among
// them, and sees every new block.
func TestMine(t *testing.T) {
	for _, name := range allPrograms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			p := g.join(name)
			run(t, p, "five blocks, one of them with witnesses", func() bool {
				blocks := g.node.accepted()
				return len(blocks) >= 5 && slices.ContainsFunc(blocks, hasWitness)
			})
			for _, b := range g.node.accepted() {
				must(t, checkBlock(b))
			}
			if st := p.State(); st.Accepted == 0 {
				t.Error("no share was accepted")
			}
			checkHonest(t, p.State())
		})
	}
}

// TestProxy: the work that bfgminer gives to hardware behind it has five bytes appended.
func TestProxy(t *testing.T) {
	g := newGateway(t)
	p := g.join(bfgminer, func(c *Config) { c.Proxy = true })
	must(t, p.Fetch(t.Context()))
	s, err := p.Mine(t.Context())
	if err != nil || s.Verdict != Accepted {
		t.Fatalf("%+v, %v", s, err)
	}
	checkHonest(t, p.State())
}

// TestManyWorks: one template is enough for as many pieces of work as bfgminer likes, each with a
// coinbase of its own, though it counts sigops and room.
func TestManyWorks(t *testing.T) {
	g := newGateway(t)
	p := g.join(bfgminer)
	must(t, p.Fetch(t.Context()))
	for range 10 {
		if _, err := p.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.State(); st.Works != 10 || st.Templates != 1 || st.Accepted == 0 {
		t.Errorf("got %+v", st)
	}
	checkHonest(t, p.State())
}

// TestManySigops: bfgminer mines on, with many pieces of work, where the transactions count more
// sigops than it can.
func TestManySigops(t *testing.T) {
	const many, each = 4, 205 // OP_CHECKMULTISIG counts 20, and 4 times that in a block
	g := newGateway(t)
	run(t, g.join(minerd), "coins that anyone can spend", func() bool { return len(g.node.accepted()) >= many })
	_, err := g.node.Generate(t.Context(), 100, g.traffic.Script())
	must(t, err)
	for _, b := range g.node.accepted()[:many] {
		coin := b.Transactions[0]
		txid := coin.TxHash()
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&txid, 0), nil, nil))
		tx.AddTxOut(wire.NewTxOut(coin.TxOut[0].Value-10_000_000, bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, each)))
		must(t, g.node.AddTransaction(tx))
	}
	g.fill(10) // bfgminer looks at sigops in a block with witnesses alike
	await(t, "the template", func() bool {
		a, _ := g.ask(minerd, "")
		return len(arrayOf(a["transactions"])) >= many+10
	})
	told, _ := g.ask(minerd, "")
	sum := int64(0)
	for _, tx := range transactions(t, told) {
		n, ok := integer(tx["sigops"])
		if !ok {
			t.Fatal("minerd is not told what transactions count")
		}
		sum += n
	}
	if sum <= noSigopLimit {
		t.Fatalf("the transactions count %d sigops, which nobody stumbles over", sum)
	}
	p := g.join(bfgminer)
	must(t, p.Fetch(t.Context()))
	for range 3 {
		if s, err := p.Mine(t.Context()); err != nil || s.Verdict != Accepted && s.Reason != "stale-prevblk" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	checkHonest(t, p.State())
}

// TestOperatorRows: an operator's row goes before the built-in ones. What each program makes of an
// answer that does not suit it is what it was seen to do elsewhere.
func TestOperatorRows(t *testing.T) {
	for _, tt := range []struct {
		program string
		row     gbt.Profile
		reason  string // empty for accepted
	}{
		{minerd, gbt.Profile{Agent: "CPUminer/2", Commitment: gbt.CommitmentOmitted}, "unexpected-witness"},
		{minerd, gbt.Profile{Agent: "cpuminer/", Form: gbt.FormStripped}, ""},
		{minerd, gbt.Profile{Agent: "cpuminer/", Form: gbt.FormWitnessFree}, ""},
		{multi, gbt.Profile{Agent: "cpuminer-multi/", Form: gbt.FormWhole}, "bad-txnmrklroot"},
		{multi, gbt.Profile{Agent: "cpuminer-multi/", Form: gbt.FormWitnessFree}, ""},
		{bfgminer, gbt.Profile{Agent: "bfgminer/5", Commitment: gbt.CommitmentOmitted, Withhold: []string{"submit/truncate"}}, ""},
		{bfgminer, gbt.Profile{Agent: "bfgminer/5", Form: gbt.FormStripped, Withhold: []string{"submit/truncate"}}, ""},
		// It sends the bare header of its first work, whose coinbase it has changed.
		{bfgminer, gbt.Profile{Agent: "bfgminer/"}, "bad-txnmrklroot"},
	} {
		t.Run(fmt.Sprintf("%s %+v", tt.program, tt.row), func(t *testing.T) {
			g := newGateway(t, tt.row)
			p := g.join(tt.program)
			must(t, p.Fetch(t.Context()))
			s, err := p.Mine(t.Context())
			if err != nil || s.Reason != tt.reason || (s.Verdict == Accepted) != (tt.reason == "") {
				t.Errorf("%s %q, %v", s.Verdict, s.Reason, err)
			}
		})
	}
}

// TestCoinbaseSig: what programs are told to write into the coinbase is accepted.
func TestCoinbaseSig(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		p := g.join(name, func(c *Config) { c.CoinbaseSig = "/field clients/" })
		must(t, p.Fetch(t.Context()))
		s, err := p.Mine(t.Context())
		if err != nil || s.Verdict != Accepted || !strings.Contains(s.Body, fmt.Sprintf("%x", "/field clients/")) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// TestFullSubmissions: submissions in full are taken too, from programs that do not heed
// submit/coinbase; cpuminer-multi's lack the witnesses.
func TestFullSubmissions(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		var a object
		g.fill(20)
		await(t, "a template with transactions", func() bool {
			a, _ = g.ask(name, "")
			return len(arrayOf(a["transactions"])) > 0
		})
		mutable := slices.DeleteFunc(arrayOf(a["mutable"]), func(v any) bool { return v == any("submit/coinbase") })
		a["mutable"] = mutable
		p := g.join(name)
		switch p := p.(type) {
		case *CPUMiner:
			must(t, p.take(a, false))
		case *BFGMiner:
			must(t, p.take(a))
		}
		s, err := p.Mine(t.Context())
		data, _ := member(arrayOf(a["transactions"])[0], "data")
		if digits, _ := text(data); !strings.Contains(s.Body, digits) {
			t.Errorf("%s did not send in full", name)
		}
		if err != nil || s.Verdict != Accepted {
			t.Errorf("%s: %s %s, %v", name, s.Verdict, s.Reason, err)
		}
	}
	for _, b := range g.node.accepted() {
		must(t, checkBlock(b))
	}
}

// TestLibblkmakerWithoutAgent: another program with bfgminer's library is known by what it lists.
func TestLibblkmakerWithoutAgent(t *testing.T) {
	g := newGateway(t)
	p, ok := g.join(bfgminer).(*BFGMiner)
	if !ok {
		t.Fatal("not a bfgminer")
	}
	// Another program with the same library is told by what it can do.
	m := p.request("/", p.templateRequest("", ""), false)
	m.header[len(m.header)-1] = "User-Agent: another/1"
	result, _, err := p.call(t.Context(), p.workio, m)
	must(t, err)
	must(t, p.take(result))
	for range 2 {
		s, err := p.Mine(t.Context())
		if err != nil || s.Verdict != Accepted && s.Reason != "stale-prevblk" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if list, _ := member(result, "mutable"); slices.Contains(names(list), "submit/truncate") {
		t.Error("submit/truncate is offered to libblkmaker")
	}
}

// TestRolledTime: bfgminer moves the header's time on with the clock, although it may not be asked to.
func TestRolledTime(t *testing.T) {
	g := newGateway(t)
	for _, passed := range []time.Duration{time.Second, 5 * time.Minute, 3 * time.Hour} {
		offset := time.Duration(0)
		p := g.join(bfgminer, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(offset) } })
		must(t, p.Fetch(t.Context()))
		offset = passed
		s, err := p.Mine(t.Context())
		if passed > 10*time.Minute {
			if !errors.Is(err, ErrNoWork) {
				t.Errorf("work is made after it expired: %+v, %v", s, err)
			}
			continue
		}
		if err != nil || s.Verdict != Accepted {
			t.Errorf("%s later: %+v, %v", passed, s, err)
		}
	}
}

// TestRequestDiff: the target that bfgminer asks for is the one it gets.
func TestRequestDiff(t *testing.T) {
	g := newGateway(t)
	p, ok := g.join(bfgminer, func(c *Config) { c.RequestDiff = 0.25 }).(*BFGMiner)
	if !ok {
		t.Fatal("not a bfgminer")
	}
	result, _, err := p.call(t.Context(), p.workio, p.request("/", p.templateRequest("", p.requestTarget()), false))
	must(t, err)
	// The network's is easier on regtest, and a block is always a share.
	if got, _ := member(result, "target"); got != any("7fffff"+strings.Repeat("0", 58)) {
		t.Errorf("the target is %v", got)
	}
}

// TestLongPolls: a long poll of each program is answered by a new block, with work on it.
func TestLongPolls(t *testing.T) {
	for _, name := range allPrograms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			p := g.join(name)
			must(t, p.Fetch(t.Context()))
			before := p.State()
			if !before.LongPolling {
				t.Fatalf("there is no long poll: %+v", before)
			}
			done := make(chan error, 1)
			go func() { done <- p.Poll(t.Context()) }()
			select {
			case err := <-done:
				t.Fatalf("the poll was answered although nothing happened: %v", err)
			case <-time.After(350 * time.Millisecond): // a few keep-alive bytes long
			}
			hashes, err := g.node.Generate(t.Context(), 1, []byte{txscript.OP_TRUE})
			must(t, err)
			select {
			case err := <-done:
				must(t, err)
			case <-time.After(patience):
				t.Fatal("the poll was not answered")
			}
			st := p.State()
			if st.Height != before.Height+1 || st.WorkID == before.WorkID || st.SubmitOld {
				t.Errorf("after block %s: %+v", hashes[0], st)
			}
			s, err := p.Mine(t.Context())
			if err != nil || s.Verdict != Accepted || s.Height != st.Height {
				t.Errorf("%+v, %v", s, err)
			}
			checkHonest(t, p.State())
		})
	}
}

// TestSubmitOld: new transactions alone do not spoil the work before.
func TestSubmitOld(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		p := g.join(name)
		must(t, p.Fetch(t.Context()))
		done := make(chan error, 1)
		go func() { done <- p.Poll(t.Context()) }()
		await(t, "new transactions to end the long poll", func() bool {
			g.fill(5)
			select {
			case err := <-done:
				must(t, err)
				return true
			default:
				return false
			}
		})
		if !p.State().SubmitOld {
			t.Errorf("%s: work on the same block is said to be worthless", name)
		}
	}
}

// TestRestart: work is submitted to a gateway that was not there when it was issued, and a long
// poll that the restart ended is taken up again.
func TestRestart(t *testing.T) {
	for _, name := range allPrograms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			p := g.join(name)
			must(t, p.Fetch(t.Context()))
			done := make(chan error, 1)
			go func() { done <- p.Poll(t.Context()) }()
			time.Sleep(50 * time.Millisecond) // it need not have arrived
			g.stop()
			if err := <-done; err == nil {
				t.Error("the stop answered a long poll with work")
			}
			if err := p.Fetch(t.Context()); !errors.Is(err, ErrNoWork) {
				t.Errorf("work of a gateway that is stopped: %v", err)
			}
			if st := p.State(); st.Protocol == Getwork {
				t.Fatalf("the program has left for good: %+v", st)
			}
			g.start()
			s, err := p.Mine(t.Context())
			if err != nil || s.Verdict != Accepted {
				t.Errorf("work from before: %+v, %v", s, err)
			}
			must(t, p.Fetch(t.Context()))
			if !p.State().LongPolling {
				t.Error("there is no long poll any more")
			}
			before := len(g.node.accepted())
			run(t, p, "blocks after the restart", func() bool { return len(g.node.accepted()) > before+2 })
			checkHonest(t, p.State())
		})
	}
}

// each has all programs do something at the same time, since the gateway makes them wait.
func each(programs map[string]program, do func(name string, p program)) {
	var wg sync.WaitGroup
	for name, p := range programs {
		wg.Go(func() { do(name, p) })
	}
	wg.Wait()
}

// working returns all programs, with work.
func (g *gateway) working() map[string]program {
	g.t.Helper()
	out := make(map[string]program)
	for _, name := range allPrograms() {
		out[name] = g.join(name)
		must(g.t, out[name].Fetch(g.t.Context()))
	}
	return out
}

// TestEarlyShare: a share that comes before a restarted gateway has a template again is not refused:
// the program sends it again until it can be ruled on.
func TestEarlyShare(t *testing.T) {
	g := newGateway(t)
	programs := g.working()
	g.stop()
	g.node.down.Store(true)
	a := g.launch()
	each(programs, func(name string, p program) {
		if s, err := p.Mine(t.Context()); err != nil || s.Verdict != Resending {
			t.Errorf("%s without a template: %s %q, %v", name, s.Verdict, s.Reason, err)
		}
	})
	g.node.down.Store(false)
	await(t, "a template", func() bool { _, err := a.Template(); return err == nil })
	for name, p := range programs {
		if _, err := p.Mine(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// It is ruled on, though another program's block may have come first.
		st := p.State()
		if st.Resending != "" || st.Accepted+st.Rejected["stale-prevblk"] == 0 {
			t.Errorf("%s sent its share again, and then: %+v", name, st)
		}
		checkHonest(t, st)
	}
}

// TestNoTemplate: while there is no template each program stays on getblocktemplate or comes back
// to it.
func TestNoTemplate(t *testing.T) {
	g := newGateway(t)
	programs := g.working()
	g.node.down.Store(true)
	each(programs, func(name string, p program) {
		var err error
		for err == nil { // the last template is good for a moment
			err = p.Fetch(t.Context())
		}
		if !errors.Is(err, ErrNoWork) || !strings.Contains(err.Error(), "503") && name == minerd {
			t.Errorf("%s without a template: %v", name, err)
		}
		if st := p.State(); st.Protocol == Getwork || st.Protocol == Stratum {
			t.Errorf("%s has left for good: %+v", name, st)
		}
	})
	g.node.down.Store(false)
	await(t, "the template to be back", func() bool { status, _ := g.get("/readyz"); return status == 200 })
	for name, p := range programs {
		must(t, p.Fetch(t.Context()))
		if s, err := p.Mine(t.Context()); err != nil || s.Verdict != Accepted && s.Reason != "stale-prevblk" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		checkHonest(t, p.State())
	}
}

// TestRestless: a program that runs while its gateway is restarted goes on mining by itself.
func TestRestless(t *testing.T) {
	for _, name := range allPrograms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			p := g.join(name)
			before := -1
			run(t, p, "blocks before and after a restart", func() bool {
				blocks := len(g.node.accepted())
				if before < 0 && blocks >= 2 {
					g.stop()
					time.Sleep(200 * time.Millisecond) // so that the program meets a closed port
					g.start()
					before = len(g.node.accepted())
				}
				return before >= 0 && blocks > before+2
			})
			checkHonest(t, p.State())
		})
	}
}
