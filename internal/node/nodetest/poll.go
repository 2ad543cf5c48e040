package nodetest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node"
)

// quiet is how long a long poll is watched for an answer that nothing calls for.
const quiet = 300 * time.Millisecond

// poll is a long poll under way.
type poll struct {
	cancel context.CancelFunc
	answer chan answer // holds one
}

type answer struct {
	raw json.RawMessage
	err error
}

// startPoll starts a long poll. It is ended and waited for at the end of the test.
func startPoll(t *testing.T, n node.Miner, id string) *poll {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &poll{cancel: cancel, answer: make(chan answer, 1)}
	var ended sync.WaitGroup
	ended.Go(func() {
		raw, err := n.Template(ctx, id)
		p.answer <- answer{raw, err}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return p
}

// await waits for the template.
func (p *poll) await(t *testing.T) template {
	t.Helper()
	select {
	case got := <-p.answer:
		if got.err != nil {
			t.Fatalf("long poll: %v", got.err)
		}
		return parse(t, got.raw)
	case <-time.After(limit):
		t.Fatalf("the long poll has no answer after %s", limit)
	}
	return template{}
}

// longPollBlock wants a long poll to wait while nothing happens, and to name a block that came
// from elsewhere.
func (c contract) longPollBlock() {
	t, n := c.t, c.Node
	before := fetch(t, n)
	polls := []*poll{startPoll(t, n, before.LongPollID), startPoll(t, n, before.LongPollID)}
	select {
	case got := <-polls[0].answer:
		t.Fatalf("the long poll is answered though nothing has changed: %s, %v", got.raw, got.err)
	case <-time.After(quiet):
	}
	mined := c.Elsewhere.Generate(t, 1)
	for _, p := range polls {
		after := p.await(t)
		if after.PreviousBlock != mined[0] || after.Height != before.Height+1 {
			t.Errorf("the long poll brings block %d on %s, want %d on %s", after.Height, after.PreviousBlock, before.Height+1, mined[0])
		}
		if after.LongPollID == before.LongPollID {
			t.Errorf("two templates have the same longpollid %s", after.LongPollID)
		}
	}
	// An id of the past is answered at once.
	late := startPoll(t, n, before.LongPollID).await(t)
	if late.PreviousBlock != mined[0] {
		t.Errorf("a late long poll brings a template on %s, want %s", late.PreviousBlock, mined[0])
	}
	// And the answers' own id can be waited on in its turn.
	next := startPoll(t, n, late.LongPollID)
	again := c.Elsewhere.Generate(t, 1)
	if got := next.await(t); got.PreviousBlock != again[0] {
		t.Errorf("the next long poll brings a template on %s, want %s", got.PreviousBlock, again[0])
	}
}

// longPollCancel wants a long poll to end when nobody waits for it any more, and the node to
// serve the next one.
func (c contract) longPollCancel() {
	t, n := c.t, c.Node
	id := fetch(t, n).LongPollID
	p := startPoll(t, n, id)
	select {
	case got := <-p.answer:
		t.Fatalf("the long poll is answered though nothing has changed: %s, %v", got.raw, got.err)
	case <-time.After(quiet):
	}
	p.cancel()
	select {
	case got := <-p.answer:
		// Which error it is may be up to the node, which notices too: btcd answers "malformed".
		if got.err == nil {
			t.Errorf("the cancelled long poll ends with a template: %s", got.raw)
		}
	case <-time.After(limit):
		t.Fatalf("the long poll goes on %s after it was cancelled", limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if raw, err := n.Template(ctx, id); err == nil {
		t.Errorf("the long poll whose time is up ends with a template: %s", raw)
	}
	if got := fetch(t, n); got.LongPollID == "" {
		t.Error("no template after a cancelled long poll")
	}
}

// concurrentUse makes every call at once, for the race detector.
func (c contract) concurrentUse() {
	t, n := c.t, c.Node
	start := info(t, n)
	proposal := encode(t, assemble(t, fetch(t, n)))
	var calls sync.WaitGroup
	for range 2 {
		for name, call := range map[string]func() error{
			"Info":      func() error { _, err := n.Info(t.Context()); return err },
			"BestBlock": func() error { _, err := n.BestBlock(t.Context()); return err },
			"Header":    func() error { _, err := n.Header(t.Context(), start.Best); return err },
			"Template":  func() error { _, err := n.Template(t.Context(), ""); return err },
			"Propose":   func() error { _, err := n.Propose(t.Context(), proposal); return err },
		} {
			calls.Go(func() {
				for range 3 {
					if err := call(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
	for range 3 {
		block := assemble(t, fetch(t, n))
		hash := solve(t, block, true)
		wantReason(t, "block", "")(n.SubmitBlock(t.Context(), gbt.NewRawBlock(encode(t, block))))
		wantBest(t, n, hash)
	}
	calls.Wait()
	if got := info(t, n); got.Height != start.Height+3 {
		t.Errorf("height %d, want %d", got.Height, start.Height+3)
	}
}
