package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

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
		case <-time.After(10 * time.Second):
		}
		p.mu.Lock()
	}
	a := newAnswer(p.t, nil)
	a["height"], a["longpollid"], a["previousblockhash"] = p.height, strconv.Itoa(p.height), p.tip.String()
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), []byte{2, 1, 2}, nil))
	coinbase.AddTxOut(wire.NewTxOut(50_0000_0000, []byte{0x51}))
	raw := serialize(p.t, coinbase.SerializeNoWitness)
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
	m, err := NewMiner(MinerConfig{Client: c, Threads: 2, Events: func(e Event) {
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
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		height := p.height
		p.mu.Unlock()
		if height >= 505 {
			break
		}
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
	if counts[NewWork] < 5 || counts[Verdict] < 5 || m.Hashes() == 0 {
		t.Errorf("the events are %v after %d hashes", counts, m.Hashes())
	}
}

// TestSubmitAgain has a server that is in trouble at the first tries.
func TestSubmitAgain(t *testing.T) {
	tries := 0
	c := serve(t, func(w http.ResponseWriter, _ call) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		reply(w, "stale-work")
	})
	var events []Event
	m, err := NewMiner(MinerConfig{Client: c, Events: func(e Event) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := assemble(t, newAnswer(t, nil).parse(t), Options{PayTo: []byte{0x51}})
	m.offer(t.Context(), found{block: block, work: &work{template: block.template}})
	if tries != 2 || len(events) != 2 || events[0].Kind != Trouble || events[1].Reason != gbt.StaleWork {
		t.Errorf("after %d tries the events are %+v", tries, events)
	}

	// What is not worth anything any more is not sent, but for a block.
	for name, tt := range map[string]struct {
		solve bool
		want  int
	}{"share": {false, 0}, "block": {true, 1}} {
		tries = 1
		w := &work{template: block.template}
		w.worthless.Store(true)
		m.offer(t.Context(), found{block: block, work: w, solve: tt.solve})
		if tries-1 != tt.want {
			t.Errorf("a worthless %s was sent %d times", name, tries-1)
		}
	}
}

// TestRefused has a server that does not know the user: trying again is no use.
func TestRefused(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ call) { w.WriteHeader(http.StatusForbidden) })
	m, err := NewMiner(MinerConfig{Client: c, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); !forbidden(err) {
		t.Errorf("the miner ends with %v", err)
	}
}

func TestScan(t *testing.T) {
	header := &wire.BlockHeader{Version: 1, Bits: 0x207fffff}
	target, err := gbt.TargetFromBits(0x200fffff)
	if err != nil {
		t.Fatal(err)
	}
	const first, last = 10, 9000
	hashes, got := 0, 0
	s := search{header: header, target: target, first: first, last: last,
		batch: func(_ context.Context, n int) { hashes += n },
		found: func(nonce uint32, hash chainhash.Hash) {
			got++
			h := *header
			if h.Nonce = nonce; h.BlockHash() != hash || nonce < first || nonce > last {
				t.Errorf("nonce %d does not give %s", nonce, hash)
			}
		}}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := 0
	for nonce := uint32(first); nonce <= last; nonce++ {
		h := *header
		if h.Nonce = nonce; target.MetBy(h.BlockHash()) {
			want++
		}
	}
	if hashes != last-first+1 || got != want {
		t.Errorf("%d of %d hashes meet the target, want %d of %d", got, hashes, want, last-first+1)
	}
}

func BenchmarkHash(b *testing.B) {
	header := &wire.BlockHeader{Version: 1, Bits: 0x1d00ffff}
	b.SetBytes(wire.MaxBlockHeaderPayload)
	s := search{header: header, last: uint32(b.N), batch: func(context.Context, int) {}}
	if err := s.run(b.Context()); err != nil {
		b.Fatal(err)
	}
}
