package redisstore

import (
	"testing"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

func TestContact(t *testing.T) {
	url := redisserver.New(t, redisserver.Config{Args: []string{"appendonly no"}}).URL()
	b, ctx := newBench(t, url, "contact", 2), t.Context()
	other := *b.Client
	l, err := NewLedger(LedgerConfig{Client: &other, Chain: "regtest", Gateway: "other", Now: b.cfg.Now, Log: b.cfg.Log})
	if err == nil {
		err = l.Open(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		who    *Ledger
		height int32
		want   int32
	}{{b.Ledger, 100, 100}, {b.Ledger, 101, 101}, {l, 300, 101}, {b.Ledger, 200, 200}, {l, 150, 150}} {
		if got, err := step.who.Contact(ctx, step.height); err != nil || got != step.want {
			t.Errorf("step %d: the lowest height is %d, %v, want %d", i, got, err, step.want)
		}
	}
}
