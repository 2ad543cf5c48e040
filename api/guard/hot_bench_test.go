package guard

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// hotConduct hears submissions, and bans nobody for what the tests have it hear.
func hotConduct(tb testing.TB) *Conduct {
	tb.Helper()
	bans, err := NewBans(BansConfig{Store: new(memory), Now: time.Now, Log: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := NewConduct(ConductConfig{Bans: bans, Proxies: proxies(tb, ""), Now: time.Now, Log: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// BenchmarkHear takes in the verdict on one share.
func BenchmarkHear(b *testing.B) {
	c := hotConduct(b)
	ctx := WithClient(context.Background(), netip.MustParseAddr("192.0.2.1"))
	s := gbt.Submission{Account: gbt.Account{Address: "bcrt1q880sld3m9txhuel5y4fageluwk3exdph73p7dp"}}
	b.ReportAllocs()
	for b.Loop() {
		c.Hear(ctx, s, gbt.Verdict{})
	}
}

// BenchmarkClient finds out whose request a proxy passes on.
func BenchmarkClient(b *testing.B) {
	p := proxies(b, "X-Forwarded-For", "10.0.0.0/8")
	r := asked("10.0.0.1:1234", "X-Forwarded-For", "192.0.2.7, 10.0.0.2")
	b.ReportAllocs()
	for b.Loop() {
		if p.Client(r) != netip.MustParseAddr("192.0.2.7") {
			b.Fatal("another client")
		}
	}
}
