package gbt

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
)

// TestBlockWeight compares what the judge counts of a block with what btcd does.
func TestBlockWeight(t *testing.T) {
	for _, kind := range kindsOfWork() {
		p := choosingPool(t, hardBits)
		d := kind.draft(p)
		s := d.submission(t)
		c, err := readHeader(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.judge.read(t.Context(), p.feed.state.Load(), s, c); err != nil {
			t.Fatal(err)
		}
		raw, err := c.block()
		if err != nil {
			t.Fatal(err)
		}
		block, err := btcutil.NewBlockFromBytes(raw.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		weight, size := c.weight(c.known)
		if want := blockchain.GetBlockWeight(block); weight != want || size != int64(raw.Size()) {
			t.Errorf("%s: weight %d and %d bytes, want %d and %d", kind.name, weight, size, want, raw.Size())
		}
	}
}

// TestBlockLimits fills blocks up to the template's limits and beyond, with transactions of the miner's
// own: no node is asked about what is too large.
func TestBlockLimits(t *testing.T) {
	measure := func(p *pool, d *draft) (weight, size int64) {
		raw, err := hex.DecodeString(d.submission(p.t).Data)
		if err != nil {
			p.t.Fatal(err)
		}
		block, err := btcutil.NewBlockFromBytes(raw)
		if err != nil {
			p.t.Fatal(err)
		}
		// The coinbase goes without its witness, which is 36 bytes.
		return blockchain.GetBlockWeight(block) + 36, int64(len(raw)) + 36
	}
	probe := choosingPool(t, hardBits)
	d := probe.draw(probe.ask("transactions"))
	d.txs = d.txs[:2]
	probe.settle(d, subsidy)
	weight, size := measure(probe, d)
	for name, tt := range map[string]struct {
		weight, size int64
		want         Reason
	}{
		"room":         {weight + 1, size + 1, ""},
		"just enough":  {weight, size, ""},
		"weight short": {weight - 1, size, badBlkWeight},
		"size short":   {weight, size - 1, badBlkLength},
	} {
		p := choosingPool(t, hardBits)
		own := p.draw(p.ask("transactions"))
		own.txs = own.txs[:2]
		p.settle(own, subsidy)
		// A template that small would be issued without these transactions.
		st := p.feed.state.Load()
		limited := *st.template
		limited.WeightLimit, limited.SizeLimit = tt.weight, tt.size
		next := *st
		next.template, next.recent = &limited, []*Template{&limited}
		limited.variants, limited.reduce = st.template.variants, st.template.reduce
		p.feed.state.Store(&next)
		p.refuse(name, own.submission(t), tt.want)
		if n := len(p.net.proposals()); (n == 1) != (tt.want == "") {
			t.Errorf("%s: %d checks", name, n)
		}
	}
}

// TestJudgeConfigBounds takes settings up to their bounds and no further.
func TestJudgeConfigBounds(t *testing.T) {
	good := newPool(t).judge.cfg
	for name, tt := range map[string]struct {
		change func(*JudgeConfig)
		ok     bool
	}{
		"no floor":          {func(c *JudgeConfig) { c.Floor = 0 }, true},
		"all is the floor":  {func(c *JudgeConfig) { c.Floor = wholePay }, true},
		"a negative floor":  {func(c *JudgeConfig) { c.Floor = -1 }, false},
		"more than all":     {func(c *JudgeConfig) { c.Floor = wholePay + 1 }, false},
		"no memory":         {func(c *JudgeConfig) { c.Memory = 0 }, true},
		"negative memory":   {func(c *JudgeConfig) { c.Memory = -1 }, false},
		"no grace":          {func(c *JudgeConfig) { c.Grace = 0 }, true},
		"the usual budget":  {func(c *JudgeConfig) { c.Budget = Budget{} }, true},
		"half of a budget":  {func(c *JudgeConfig) { c.Budget = Budget{Checks: 1} }, false},
		"the shortest key":  {func(c *JudgeConfig) { c.Key = make([]byte, MinKey) }, true},
		"no time to wait":   {func(c *JudgeConfig) { c.BlockWait = -1 }, false},
		"no time to expire": {func(c *JudgeConfig) { c.Expires = -1 }, false},
	} {
		cfg := good
		tt.change(&cfg)
		if _, err := NewJudge(cfg); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStoreCannotForget credits shares although old declared work stays in the store, and says so.
func TestStoreCannotForget(t *testing.T) {
	store := newKeptSets()
	p := choosingPool(t, hardBits, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) { judge.Store = store })
	nextBlocks(p, 2)
	share := p.draw(p.ask()).submission(t)
	p.log.Reset()
	store.fail(errors.New("read-only file system"))
	p.accept("while the store fails", share)
	if log := p.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "read-only file system") {
		t.Errorf("log %s", log)
	}
	store.fail(nil)
	p.log.Reset()
	p.accept("when it is back", share)
	if log := p.log.String(); log != "" {
		t.Errorf("log %s", log)
	}
}
