package e2e

import (
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/payouts"
)

// TestPayoutsRedisRestored puts back a copy of Redis from before a settlement was planned, when that is on
// the chain. Payouts stop and say why, also with a fresh worker; after `payouts repair` nothing was lost,
// and nothing is paid twice.
func TestPayoutsRedisRestored(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2wpkh", map[string]string{"payout_interval": "0s"})
	b.credited()
	yesterday := b.store.Backup()
	if out := b.command(0, "payouts", "plan"); !strings.Contains(out, "nothing was changed; --yes plans it") {
		t.Errorf("payouts plan says\n%s", out)
	}
	b.command(0, "payouts", "plan", "--yes")
	b.awaitState(1, payouts.Published)
	late := b.mine(b.miners[0]) // the restored ledger does not know this one
	b.node.Generate(1)
	before := b.awaitState(1, payouts.Confirmed)
	b.awaitStage(late, payouts.BlockFound)

	b.store.Restore(yesterday)
	stopped := func(who string) {
		t.Helper()
		await(t, who+" to say that payouts have stopped", payoutWait, func() bool {
			return strings.Contains(b.gateway.output(), "the journal is behind the mirror")
		})
		await(t, "payouts list to say so", payoutWait, func() bool {
			out := b.command(0, "payouts", "list")
			return strings.Contains(out, "the worker has trouble") && strings.Contains(out, "payouts repair")
		})
		if _, err := b.settlement(1); err == nil {
			t.Error("the settlement is there again before anybody has repaired anything")
		}
		if out := b.command(1, "payouts", "plan", "--yes"); !strings.Contains(out, "halted") {
			t.Errorf("payouts plan says\n%s", out)
		}
	}
	stopped("the worker")
	if out := b.command(1, "payouts", "repair"); !strings.Contains(out, "stop the gateway") {
		t.Errorf("payouts repair beside a gateway says\n%s", out)
	}
	b.kill()
	b.start()
	stopped("a fresh worker")
	b.stop()
	if out := b.command(0, "payouts", "repair"); !strings.Contains(out, "brought back") {
		t.Errorf("payouts repair says\n%s", out)
	}
	if out := b.command(0, "payouts", "repair"); !strings.Contains(out, "lacks nothing") {
		t.Errorf("a second payouts repair says\n%s", out)
	}
	if out := b.command(1, "ledger", "resume"); !strings.Contains(out, "gateway bank, journal ") || !strings.Contains(out, "--yes") {
		t.Errorf("ledger resume says\n%s", out)
	}
	b.start() // its spool has what the share ledger lacks
	await(t, "the shares to be recorded again", payoutWait, func() bool {
		out := b.command(0, "ledger", "audit")
		return strings.Contains(out, "all sums agree with 4 shares")
	})
	b.command(0, "ledger", "resume", "--yes")
	after, err := b.settlement(1)
	if err != nil || len(after.Versions) != 1 || after.Versions[0].TxID != before.Versions[0].TxID {
		t.Fatalf("the settlement was %+v, and is %+v, %v", before.Status, after.Status, err)
	}
	b.node.Generate(2)
	b.awaitState(1, payouts.Final)
	b.node.Generate(98)
	b.awaitStage(late, payouts.BlockCredited)
	b.command(0, "payouts", "plan", "--yes")
	k := b.finishes(2)
	credits := b.credits()
	for _, m := range b.miners {
		if got := k.paid[string(b.scriptOf(m))]; got != credits[m] || got == 0 {
			t.Errorf("%s got %d sat, want %d sat", m, got, credits[m])
		}
	}
	if len(k.spends) != 2 {
		t.Errorf("%d transactions pay, want 2", len(k.spends))
	}
	b.auditLedger()
}
