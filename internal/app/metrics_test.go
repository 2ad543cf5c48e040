package app_test

import (
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// TestLedgerMetrics reads what Prometheus is told of the ledger after a share and a refusal.
func TestLedgerMetrics(t *testing.T) {
	p := start(t)
	c := p.connect(t, "rig")
	template, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	assembler, err := client.NewAssembler(template, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	block, err := assembler.Block(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for !template.Target.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	for _, want := range []string{"", "stale-prevblk"} {
		if reason, err := c.Submit(t.Context(), block); err != nil || string(reason) != want {
			t.Fatalf("the verdict is %q, %v, want %q", reason, err, want)
		}
	}
	for name, want := range map[string]int{
		"gbtpool_ledger_up": 1, "gbtpool_ledger_halted": 0, "gbtpool_spool_up": 1, "gbtpool_spool_limit_bytes": 64 << 20, "gbtpool_spool_waiting_shares": 0,
		"gbtpool_pool_shares_total": 1, "gbtpool_pool_blocks_total": 1, `gbtpool_pool_refused_total{kind="rejected"}`: 0,
		// Both meet the network target, of the chain's easiest.
		`gbtpool_judge_seconds_count{verdict="block"}`: 2, `gbtpool_ledger_write_seconds_count{result="recorded"}`: 1,
	} {
		if got := metric(t, p.URL(), name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{
		"gbtpool_template_publish_seconds_count", `gbtpool_node_block_seconds_count{node="` + p.chain.Name() + `",result="accepted"}`,
	} {
		if got := metric(t, p.URL(), name); got == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); metric(t, p.URL(), `gbtpool_pool_refused_total{kind="stale"}`) != 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the ledger never counts the refusal")
		}
	}
}
