package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// fakePool serves templates that change whenever a block is found, and takes submissions.
type fakePool struct {
	t  *testing.T
	mu sync.Mutex
	// All below is held by mu.
	height  int
	tip     chainhash.Hash
	changed chan struct{}
	hashes  map[chainhash.Hash]int
	stale   int
}

func newFakePool(t *testing.T) *fakePool {
	t.Helper()
	return &fakePool{t: t, height: 500, changed: make(chan struct{}), hashes: make(map[chainhash.Hash]int)}
}

func (p *fakePool) handle(w http.ResponseWriter, c call) {
	if c.Method == "submitblock" {
		reply(w, p.submit(c))
		return
	}
	p.mu.Lock()
	if c.object(p.t)["longpollid"] == strconv.Itoa(p.height) {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-c.Gone:
		}
		p.mu.Lock()
	}
	a := newAnswer(p.t, nil)
	a["height"], a["longpollid"], a["previousblockhash"] = p.height, strconv.Itoa(p.height), p.tip.String()
	raw := serialize(p.t, newCoinbase([]byte{2, 1, 2}).SerializeNoWitness)
	a["coinbasetxn"] = map[string]string{"data": hex.EncodeToString(raw)}
	a["bits"], a["target"] = "1f00ffff", "007fff0000000000000000000000000000000000000000000000000000000000"
	p.mu.Unlock()
	reply(w, a)
}

// submit takes a block; one that meets the network target replaces the template.
func (p *fakePool) submit(c call) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var data string
	if err := json.Unmarshal(c.Params[0], &data); err != nil {
		p.t.Error(err)
	}
	raw, err := hex.DecodeString(data)
	if err != nil {
		p.t.Error(err)
	}
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		p.t.Error(err)
		return "rejected"
	}
	p.hashes[*block.Hash()]++
	if block.MsgBlock().Header.PrevBlock != p.tip {
		p.stale++
		return "stale-prevblk"
	}
	network, err := gbt.TargetFromBits(0x1f00ffff)
	if err != nil {
		p.t.Error(err)
	}
	if network.MetBy(*block.Hash()) {
		p.tip, p.height = *block.Hash(), p.height+1
		close(p.changed)
		p.changed = make(chan struct{})
	}
	return nil
}

// TestMiner mines some blocks at a pool that answers long polls.
func TestMiner(t *testing.T) {
	p := newFakePool(t)
	c := serve(t, p.handle)
	var mu sync.Mutex
	counts := make(map[EventKind]int)
	m, err := NewMiner(MinerConfig{Client: c, Threads: 2, HashRate: 80_000, Events: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		counts[e.Kind]++
		if e.Kind == Trouble {
			t.Error(e.Err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); m.Stats().Height < 505; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("five blocks take more than a minute")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for hash, n := range p.hashes {
		if n != 1 {
			t.Errorf("block %s was submitted %d times", hash, n)
		}
	}
	// Work that was replaced may be under way, but not much of it.
	if p.stale > len(p.hashes)/2 {
		t.Errorf("%d of %d submissions were stale", p.stale, len(p.hashes))
	}
	stats := m.Stats()
	if counts[NewWork] < 5 || stats.Blocks < 5 || stats.Hashes == 0 || stats.Dropped != 0 || stats.Best == (gbt.Target{}) {
		t.Errorf("the events are %v and the stats %+v", counts, stats)
	}
	if stats.Accepted+stats.Refused[gbt.StalePrevblk] != counts[Verdict] || counts[Verdict] != len(p.hashes) {
		t.Errorf("%d verdicts are told of and %+v counted of %d submissions", counts[Verdict], stats, len(p.hashes))
	}
}

// TestRefused has a server that does not know the user: trying again is no use.
func TestRefused(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		asked := 0
		c := serve(t, func(w http.ResponseWriter, _ call) { asked++; w.WriteHeader(status) })
		m, err := NewMiner(MinerConfig{Client: c, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(t.Context()); !forbidden(err) || asked != 1 {
			t.Errorf("status %d: the miner ends with %v after %d requests", status, err, asked)
		}
	}
}

// TestMisfit has options that do not fit the server's templates: trying again is no use either.
func TestMisfit(t *testing.T) {
	for name, o := range map[string]Options{"pays nobody": {}, "too long": {PayTo: []byte{0x51}, Append: make([]byte, 100)}} {
		c := serve(t, func(w http.ResponseWriter, _ call) { reply(w, newAnswer(t, nil)) })
		m, err := NewMiner(MinerConfig{Client: c, Threads: 1, Options: o})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(t.Context()); err == nil || errors.Is(err, ErrTemplate) {
			t.Errorf("%s: the miner ends with %v", name, err)
		}
	}
}

func TestMinerConfig(t *testing.T) {
	c, err := New(Config{URL: "http://pool"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []MinerConfig{{}, {Client: c, Threads: -1}, {Client: c, HashRate: -1}} {
		if _, err := NewMiner(cfg); err == nil {
			t.Errorf("the configuration %+v is accepted", cfg)
		}
	}
}

func TestHashOnProcessor(t *testing.T) {
	header := wire.BlockHeader{Version: 1, Bits: 0x207fffff}
	target, err := gbt.TargetFromBits(0x200fffff)
	if err != nil {
		t.Fatal(err)
	}
	const first, count = 0xffffff00, 256 // up to the last there is
	var want []uint32
	for i := range uint32(count) {
		h := header
		if h.Nonce = first + i; target.MetBy(h.BlockHash()) {
			want = append(want, h.Nonce)
		}
	}
	raw := [wire.MaxBlockHeaderPayload]byte(serialize(t, header.Serialize))
	if diff := cmp.Diff(want, hashOnProcessor(raw, target, first, count)); diff != "" || len(want) < 5 {
		t.Errorf("the nonces differ (-want +got):\n%s", diff)
	}
}

// BenchmarkHash measures the default Hasher on one thread; one operation is one hash.
func BenchmarkHash(b *testing.B) {
	header, target := [wire.MaxBlockHeaderPayload]byte{1}, gbt.Target{31: 1}
	for n := 0; n < b.N; n += maxBatch {
		hashOnProcessor(header, target, uint32(n), min(maxBatch, b.N-n))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "H/s")
}
