package app_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
)

// busyNode is a node that takes until ready is closed to answer with a template, once there is such a channel.
type busyNode struct {
	*devnet.Chain
	ready atomic.Pointer[chan struct{}]
}

func (n *busyNode) Template(ctx context.Context, longPollID string) (json.RawMessage, error) {
	raw, err := n.Chain.Template(ctx, longPollID)
	if ready := n.ready.Load(); ready != nil {
		select {
		case <-*ready:
			return n.Chain.Template(ctx, "") // what was made before has grown old
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return raw, err
}

// TestEarlyTemplate mines a block on an early template, which the node takes before it has made a template
// of its own on the block before.
func TestEarlyTemplate(t *testing.T) {
	busy := &busyNode{Chain: newDevnet(t)}
	cfg := configure(t, busy.Chain, app.Choice{})
	cfg.EarlyTemplate, cfg.Watch.Nodes = true, []node.Node{busy}
	p := run(t, busy.Chain, cfg)
	c := p.connect(t, "rig")
	full, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	busy.ready.Store(&ready)
	blocks, err := p.chain.Generate(t.Context(), 1, []byte{txscript.OP_TRUE})
	if err != nil {
		t.Fatal(err)
	}
	early, err := c.Template(t.Context(), client.Request{LongPollID: full.LongPollID}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if early.PreviousBlock != blocks[0] || len(early.Transactions) != 0 || early.Height != full.Height+1 {
		t.Fatalf("after block %s the pool gives out %+v", blocks[0], early)
	}
	assembler, err := client.NewAssembler(early, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	block, err := assembler.Block(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for !early.Target.MetBy(block.Header.BlockHash()) || !early.NetworkTarget.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	if reason, err := c.Submit(t.Context(), block); err != nil || reason != "" {
		t.Fatalf("the block is ruled %q, %v", reason, err)
	}
	if best, err := p.chain.BestBlock(t.Context()); err != nil || best != block.Header.BlockHash() {
		t.Fatalf("the best block is %s, %v", best, err)
	}
	// Nothing is made early of what was made early.
	waitFor(t, "the next block to be heard of", func() bool {
		return metric(t, p.URL(), `gbtpool_early_templates_total{result="reorganisation"}`) == 1
	})
	close(ready)
	next, err := c.Template(t.Context(), client.Request{LongPollID: early.LongPollID}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if next.PreviousBlock != block.Header.BlockHash() {
		t.Errorf("work is on %s", next.PreviousBlock)
	}
	for result, want := range map[string]int{"made": 1, "reorganisation": 1, "replaced": 0} {
		if got := metric(t, p.URL(), `gbtpool_early_templates_total{result="`+result+`"}`); got != want {
			t.Errorf("%s is counted %d times, want %d", result, got, want)
		}
	}
}
