package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what each request takes, from its first byte to the answer, to what it may allocate.
func TestAllocations(t *testing.T) {
	small, full := hotServer(t, smallAnswer(t)), hotServer(t, fullAnswer(t))
	askSmall, askFull := newRoundTrip(small, askTemplate), newRoundTrip(full, askTemplate)
	share := newRoundTrip(small, shareText())
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.SetBasicAuth(user, "d=512,x")
	text := []byte(shareText())
	served := func(e *roundTrip) func() {
		return func() {
			if err := e.run(); err != nil {
				t.Error(err)
			}
		}
	}
	allocs.Check(t, []allocs.Bound{
		{Path: "serve a small template", Most: 30, Bytes: 8 << 10, Why: "each miner, for each template: request, work and head", Run: served(askSmall)},
		{Path: "serve a full template", Most: 30, Bytes: 8 << 10, Why: "the same: what all miners share is written as it is", Run: served(askFull)},
		{Path: "serve a share", Most: 22, Bytes: 5 << 10, Why: "each share, beside what judge and ledger take", Run: served(share)},
		{Path: "identify", Most: 14, Bytes: 2 << 10, Why: "each request: the user name and the address in it", Run: func() {
			if c, ok := small.identify(r); !ok || c.err != nil {
				t.Error(c.err)
			}
		}},
		{Path: "decode a share", Most: 6, Bytes: 2 << 10, Why: "each share: the envelope, and its text once", Run: func() {
			msg, err := decodeMessage(text)
			if err != nil {
				t.Fatal(err)
			}
			c := call{request: msg.call}
			if _, err := c.submission(); err != nil {
				t.Error(err)
			}
		}},
	})
	if !allocs.Counts {
		return
	}
	// What a miner gets is megabytes larger, and nothing that is made for it is.
	const most = 2 << 10
	ofSmall, ofFull := allocs.Measure(served(askSmall)), allocs.Measure(served(askFull))
	t.Logf("%+v for %d bytes, %+v for %d bytes", ofSmall, askSmall.sent, ofFull, askFull.sent)
	if askFull.sent < 100*askSmall.sent {
		t.Errorf("the full template has %d bytes and the small one %d: they tell nothing", askFull.sent, askSmall.sent)
	}
	if ofFull.Bytes > ofSmall.Bytes+most {
		t.Errorf("serving a full template allocates %d bytes, a small one %d, want at most %d more", ofFull.Bytes, ofSmall.Bytes, most)
	}
	if ofFull.Allocations > ofSmall.Allocations+10 {
		t.Errorf("serving a full template takes %d allocations, a small one %d", ofFull.Allocations, ofSmall.Allocations)
	}
}
