package payouts

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// failer is a test of the testing package or of rapid.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// keyring is keys that sign for the coins of tests, by script.
type keyring struct {
	keys    map[string]*btcec.PrivateKey
	scripts [][]byte
}

// newKeyring makes keys: those with even numbers are P2WPKH, the others P2TR.
func newKeyring(n int) *keyring {
	k := &keyring{keys: make(map[string]*btcec.PrivateKey)}
	for i := range n {
		secret := sha256.Sum256([]byte(fmt.Sprintf("key %d", i)))
		key, public := btcec.PrivKeyFromBytes(secret[:])
		script := append([]byte{txscript.OP_0, txscript.OP_DATA_20}, address.Hash160(public.SerializeCompressed())...)
		if i%2 == 1 {
			script = append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(public))...)
		}
		k.keys[string(script)] = key
		k.scripts = append(k.scripts, script)
	}
	return k
}

// sign signs a draft as a wallet does.
func (k *keyring) sign(t failer, d Draft) *wire.MsgTx {
	t.Helper()
	tx := d.Tx.Copy()
	fetcher := txscript.NewMultiPrevOutFetcher(nil)
	for _, c := range d.Coins() {
		fetcher.AddPrevOut(c.OutPoint, wire.NewTxOut(c.Value, c.Script))
	}
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	for i, c := range d.Coins() {
		var err error
		if key := k.keys[string(c.Script)]; txscript.IsPayToTaproot(c.Script) {
			tx.TxIn[i].Witness, err = txscript.TaprootWitnessSignature(tx, hashes, i, c.Value, c.Script, txscript.SigHashDefault, key)
		} else {
			tx.TxIn[i].Witness, err = txscript.WitnessSignature(tx, hashes, i, c.Value, c.Script, txscript.SigHashAll, key, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return tx
}

// version signs a draft and makes a version of it.
func (k *keyring) version(t failer, d Draft, number int) Version {
	t.Helper()
	v, err := d.Version(number, k.sign(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// coin returns the nth coin of a wallet.
func (k *keyring) coin(n int, value int64) Coin {
	var hash chainhash.Hash
	binary.BigEndian.PutUint64(hash[:], uint64(n)*0x9e3779b97f4a7c15)
	return Coin{OutPoint: wire.OutPoint{Hash: hash, Index: uint32(n % 3)}, Value: value, Script: k.scripts[n%len(k.scripts)]}
}

// payTo returns the nth of many scripts, of all kinds that are paid.
func payTo(n int) []byte {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	switch n % 5 {
	case 0:
		return append([]byte{txscript.OP_0, txscript.OP_DATA_20}, hash[:20]...)
	case 1:
		return append([]byte{txscript.OP_1, txscript.OP_DATA_32}, hash[:]...)
	case 2:
		return append(append([]byte{txscript.OP_DUP, txscript.OP_HASH160, txscript.OP_DATA_20}, hash[:20]...), txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
	case 3:
		return append(append([]byte{txscript.OP_HASH160, txscript.OP_DATA_20}, hash[:20]...), txscript.OP_EQUAL)
	default:
		return append([]byte{txscript.OP_0, txscript.OP_DATA_32}, hash[:]...)
	}
}

// payee returns the nth payee, with an account of its own.
func payee(n int, amount int64) Payee {
	return Payee{Script: payTo(n), Output: amount, Debits: []Debit{{Account: fmt.Sprintf("account %d", n), Amount: amount}}}
}

// payees returns payees with amounts.
func payees(amounts ...int64) []Payee {
	out := make([]Payee, len(amounts))
	for i, a := range amounts {
		out[i] = payee(i, a)
	}
	return out
}

// coinsOf returns coins with values.
func (k *keyring) coinsOf(values ...int64) []Coin {
	out := make([]Coin, len(values))
	for i, v := range values {
		out[i] = k.coin(i, v)
	}
	return out
}

// planScene is a policy and an input that nothing is wrong with.
func planScene(k *keyring, bearer Bearer) (Policy, PlanInput) {
	return Policy{Threshold: 10_000, FeeFloor: 1000, FeeCeiling: 1_000_000, Bearer: bearer}, PlanInput{
		NextID: 7, Created: time.UnixMilli(1_780_000_000_123).UTC(), Since: Place{Hash: chainhash.Hash{9}, Height: 900_000},
		Change: k.scripts[0], FeeRate: 10_000, PoolFunds: 10_000_000,
	}
}

// checkPlans checks plans and the error that came with them against what they were made of, in other words
// than the code has it.
func checkPlans(t failer, p Policy, in PlanInput, plans []Plan, err error) {
	t.Helper()
	for _, known := range []error{ErrCoins, ErrPoolFunds, ErrTooSmall} {
		if errors.Is(err, known) {
			err = nil
		}
	}
	if err != nil {
		t.Fatalf("an error that nobody waits for: %v", err)
	}
	coins, waits := make(map[OutPoint]Coin), make(map[string]Payee)
	for _, c := range in.Coins {
		coins[OutPoint(c.OutPoint)] = c
	}
	for _, payee := range in.Payees {
		waits[string(payee.Script)] = payee
	}
	funds := in.PoolFunds
	for i := range plans {
		plan := &plans[i]
		if err := plan.Check(); err != nil {
			t.Fatal(err)
		}
		if plan.ID != in.NextID+uint64(i) || plan.Since != in.Since.Hash || plan.Height != in.Since.Height || !plan.Created.Equal(in.Created) {
			t.Fatalf("plan %d calls itself %d", i, plan.ID)
		}
		if !slices.IsSortedFunc(plan.Inputs, compareInputs) {
			t.Fatalf("plan %d has its inputs in another order than its transaction", plan.ID)
		}
		var sum, out, borne, debited int64
		for _, input := range plan.Inputs {
			c, ok := coins[input.OutPoint]
			if !ok || c.Value != input.Value || string(c.Script) != string(input.Script) {
				t.Fatalf("plan %d spends %v, which is no coin or spent", plan.ID, input)
			}
			delete(coins, input.OutPoint)
			sum += input.Value
		}
		for _, got := range plan.Payees {
			want, ok := waits[string(got.Script)]
			if !ok || !slices.Equal(want.Debits, got.Debits) || got.Output+got.Fee != want.Output {
				t.Fatalf("plan %d pays %v, want %v", plan.ID, got, want)
			}
			delete(waits, string(got.Script))
			out, borne, debited = out+got.Output, borne+got.Fee, debited+got.Output+got.Fee
		}
		if plan.Change != nil {
			out += plan.Change.Value
		}
		pool := plan.Fee - borne
		funds -= pool
		switch {
		case sum != out+plan.Fee:
			t.Fatalf("plan %d: %d sat in, %d sat out, a fee of %d sat", plan.ID, sum, out, plan.Fee)
		case pool < 0 || funds < 0:
			t.Fatalf("plan %d: the pool bears %d sat and has %d sat then", plan.ID, pool, funds)
		case p.Bearer == BearerPool && borne != 0:
			t.Fatalf("plan %d: payees bear %d sat", plan.ID, borne)
		case len(plan.Payees) > p.maxOutputs():
			t.Fatalf("plan %d: %d payees", plan.ID, len(plan.Payees))
		case plan.Approval != (p.ApproveAbove > 0 && debited > p.ApproveAbove):
			t.Fatalf("plan %d: approval is %v", plan.ID, plan.Approval)
		}
	}
}

// checkSigned signs a draft and holds it against btcd's rules and what was promised of its size.
func (k *keyring) checkSigned(t failer, d Draft, maxWeight int64) Version {
	t.Helper()
	v := k.version(t, d, 1)
	if err := v.CheckSignatures(); err != nil {
		t.Fatal(err)
	}
	tx, err := v.Transaction()
	if err != nil {
		t.Fatal(err)
	}
	weight := blockchain.GetTransactionWeight(btcutil.NewTx(tx))
	if weight > maxWeight {
		t.Fatalf("%d weight units, want %d at most", weight, maxWeight)
	}
	if err := blockchain.CheckTransactionSanity(btcutil.NewTx(tx)); err != nil {
		t.Fatal(err)
	}
	if err := mempool.CheckTransactionStandard(btcutil.NewTx(tx), 900_000, time.Unix(1_780_000_000, 0), 1000, 2); err != nil {
		t.Fatal(err)
	}
	vsize := (weight + 3) / 4
	if got := float64(d.Fee) * 1000 / float64(vsize); got < float64(d.FeeRate) {
		t.Fatalf("%d sat for %d vB are %.1f sat per 1000 vB, want %d", d.Fee, vsize, got, d.FeeRate)
	}
	// Signatures are up to two bytes shorter than the longest, and change may be dropped.
	slack := int64(len(d.Inputs))/2 + 1 + 2*(68+43)
	if most := (vsize+slack)*d.FeeRate/1000 + 1000; d.Fee > most {
		t.Fatalf("%d sat for %d vB at %d sat per 1000 vB, want %d at most", d.Fee, vsize, d.FeeRate, most)
	}
	return v
}
