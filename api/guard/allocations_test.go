package guard

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what guards each request and each share to what it may allocate.
func TestAllocations(t *testing.T) {
	const account = "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp"
	at, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	bans, err := NewBans(BansConfig{Store: new(memory), Now: time.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := bans.Ban(t.Context(), shares.Ban{Subject: "mallory@203.0.113.1/32", Since: now, By: "test"}); err != nil {
		t.Fatal(err)
	}
	address, of := DefaultCalls()
	calls, err := NewCalls(CallsConfig{Bans: bans, Buckets: buckets(t, 0), Address: address, Account: of})
	if err != nil {
		t.Fatal(err)
	}
	conduct, ctx := hotConduct(t), WithClient(context.Background(), at)
	share := gbt.Submission{Account: gbt.Account{Address: account}}
	allocs.Check(t, []allocs.Bound{
		{Path: "look for a ban", Why: "each request, however many bans there are", Run: func() {
			if _, ok := bans.Banned(at, account); ok {
				t.Error("banned")
			}
		}},
		{Path: "check a call", Most: 14, Bytes: 1 << 10, Why: "each call: the keys of its two limits", Run: func() {
			// Too many calls are refused, which is as well.
			_ = calls.Check("getblocktemplate", at, account)
		}},
		{Path: "hear a verdict", Most: 4, Bytes: 512, Why: "each share: two records that are there already", Run: func() {
			conduct.Hear(ctx, share, gbt.Verdict{})
		}},
	})
}
