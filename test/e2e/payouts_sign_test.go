package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
)

// credited starts a bank's gateway, has each miner find a block, and has them credited.
func (b *bank) credited() {
	b.t.Helper()
	b.start()
	found := b.mineMany(len(b.miners))
	b.node.Generate(100)
	for _, hash := range found {
		b.awaitStage(hash, payouts.BlockCredited)
	}
}

// finishes has a settlement that is published confirmed and final, and compares all with the chain.
func (b *bank) finishes(id uint64) *books {
	b.t.Helper()
	b.awaitState(id, payouts.Published)
	b.node.Generate(3)
	b.awaitState(id, payouts.Final)
	b.stop()
	return b.reconcile()
}

// TestPayoutsSignedOffline has a settlement signed where the gateway has no key, by PSBT. What was signed
// is refused unless it is what was planned.
func TestPayoutsSignedOffline(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2tr", map[string]string{"wallet": "offline", "wallet_key_file": "", "wallet_key_form": ""})
	b.credited()
	d := b.awaitSettlement(1, "waiting for its signature", func(d *payouts.Detail) bool { return strings.Contains(d.Note, "signature") })
	if d.Status.State != payouts.Planned {
		t.Fatalf("the settlement is %s", d.Status.State)
	}
	file := filepath.Join(b.dir, "settlement.psbt")
	b.command(0, "payouts", "show", "1", "--psbt", file)
	key, err := wallet.NewHotKey(wallet.HotKeyConfig{
		Path: b.keyFile, Form: wallet.P2TR, Chain: &chaincfg.RegressionNetParams,
		Unspent: func(context.Context, wire.OutPoint) (payouts.Unspent, error) {
			return payouts.Unspent{}, errors.New("an offline signer asks nobody")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out := b.command(1, "payouts", "seal", file); !strings.Contains(out, "sign") {
		t.Errorf("a PSBT without signatures: payouts seal says\n%s", out)
	}
	for name, tamper := range map[string]func(*wire.MsgTx){
		"an amount":    func(tx *wire.MsgTx) { tx.TxOut[0].Value--; tx.TxOut[1].Value++ },
		"a payee":      func(tx *wire.MsgTx) { tx.TxOut[len(tx.TxOut)-1].PkScript = b.scriptOf(accountOf(t, 9)) },
		"one more":     func(tx *wire.MsgTx) { tx.TxOut[0].Value -= 1000; tx.AddTxOut(wire.NewTxOut(1000, b.script)) },
		"the fee":      func(tx *wire.MsgTx) { tx.TxOut[len(tx.TxOut)-1].Value -= 5000 },
		"the sequence": func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum },
	} {
		bad := filepath.Join(b.dir, strings.ReplaceAll(name, " ", "-")+".psbt")
		signPSBT(t, key, file, bad, tamper)
		if out := b.command(1, "payouts", "seal", bad); !strings.Contains(out, "settlement 1") {
			t.Errorf("changed %s: payouts seal says\n%s", name, out)
		}
	}
	if d, err := b.settlement(1); err != nil || d.Status.State != payouts.Planned || len(b.pool()) > 0 {
		t.Fatalf("after what was refused the settlement is %s, %v", d.Status.State, err)
	}
	good := filepath.Join(b.dir, "signed.psbt")
	signPSBT(t, key, file, good, func(*wire.MsgTx) {})
	if out := b.command(0, "payouts", "seal", good); !strings.Contains(out, "sealed settlement 1") {
		t.Errorf("payouts seal says\n%s", out)
	}
	b.finishes(1)
}

// signPSBT signs a PSBT as a signer does, having changed its transaction, and writes it into another file.
func signPSBT(t *testing.T, key *wallet.HotKey, from, to string, tamper func(*wire.MsgTx)) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	packet, err := psbt.NewFromRawBytes(bytes.NewReader(bytes.TrimSpace(text)), true)
	if err != nil {
		t.Fatal(err)
	}
	tamper(packet.UnsignedTx)
	packet.Outputs = slices.Grow(packet.Outputs, len(packet.UnsignedTx.TxOut))[:len(packet.UnsignedTx.TxOut)]
	coins := make([]payouts.Coin, len(packet.Inputs))
	for i := range coins {
		out := packet.Inputs[i].WitnessUtxo
		coins[i] = payouts.Coin{OutPoint: packet.UnsignedTx.TxIn[i].PreviousOutPoint, Value: out.Value, Script: out.PkScript}
	}
	signed, err := key.Sign(t.Context(), packet.UnsignedTx, coins)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range signed.TxIn {
		packet.Inputs[i].TaprootKeySpendSig = in.Witness[0]
	}
	var raw bytes.Buffer
	if err := packet.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(base64.StdEncoding.EncodeToString(raw.Bytes())), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPayoutsApproved has a settlement wait for approval, and payouts paused and resumed.
func TestPayoutsApproved(t *testing.T) {
	t.Parallel()
	b := newBank(t, "p2wpkh", map[string]string{"payout_approve_above": "1000000"})
	b.credited()
	b.awaitSettlement(1, "waiting for approval", func(d *payouts.Detail) bool { return strings.Contains(d.Note, "approv") })
	if out := b.command(1, "payouts", "publish", "1"); !strings.Contains(out, "nothing to publish") {
		t.Errorf("payouts publish says\n%s", out)
	}
	b.command(0, "payouts", "pause", "the operator looks")
	b.command(0, "payouts", "approve", "1")
	b.awaitSettlement(1, "paused", func(d *payouts.Detail) bool { return strings.Contains(d.Note, "the operator looks") })
	if out := b.command(0, "payouts", "list"); !strings.Contains(out, "paused: the operator looks") {
		t.Errorf("payouts list says\n%s", out)
	}
	// A worker that starts anew keeps to it.
	b.kill()
	b.start()
	last := b.mine(b.miners[0])
	b.awaitStage(last, payouts.BlockFound)
	if d, err := b.settlement(1); err != nil || d.Status.State != payouts.Planned || d.Status.Approved == "" {
		t.Errorf("while payouts are paused the settlement is %s, approved by %q, %v", d.Status.State, d.Status.Approved, err)
	}
	if out := b.command(1, "payouts", "approve", "1"); !strings.Contains(out, "already") {
		t.Errorf("a second approval: it says\n%s", out)
	}
	b.command(0, "payouts", "resume")
	b.command(1, "payouts", "resume")
	k := b.finishes(1)
	credits := b.credits()
	for _, m := range b.miners {
		if got := k.paid[string(b.scriptOf(m))]; got != credits[m] || got == 0 {
			t.Errorf("%s got %d sat, want %d sat", m, got, credits[m])
		}
	}
}
