package gbt

import (
	"bytes"
	"encoding/hex"
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// FuzzTransactionSize compares with what the decoder reads.
func FuzzTransactionSize(f *testing.F) {
	for _, tx := range makeTransactions(f, mixedSpecs()) {
		raw, err := hex.DecodeString(tx.Data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(raw, 1, 2, 3))
	}
	f.Add([]byte("\x01\x00\x00\x00\xfe\x00\x00\x00\x01"))
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x01\x00\x00\x00\x00\x01\xfd\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := transactionSize(b)
		var msg wire.MsgTx
		r := bytes.NewReader(b)
		if msg.Deserialize(r) == nil && (err != nil || len(b)-r.Len() != size) {
			t.Fatalf("%d bytes, %v, the decoder reads %d", size, err, len(b)-r.Len())
		}
		if size > len(b) {
			t.Fatalf("%d of %d bytes", size, len(b))
		}
	})
}

// TestTransactionSizeCut cuts transactions short, everywhere.
func TestTransactionSizeCut(t *testing.T) {
	for n, tx := range makeTransactions(t, mixedSpecs()) {
		raw, err := hex.DecodeString(tx.Data)
		if err != nil {
			t.Fatal(err)
		}
		for length := range raw {
			if size, err := transactionSize(raw[:length]); err == nil {
				t.Errorf("transaction %d cut to %d bytes has %d", n, length, size)
			}
		}
		if size, err := transactionSize(append(raw, raw...)); err != nil || size != len(raw) {
			t.Errorf("transaction %d has %d bytes, %v, want %d", n, size, err, len(raw))
		}
	}
}

// TestFewBytesTakeFewBytes sends transactions that claim to have millions of inputs, outputs and
// witnesses, where no proof of work is needed: that must not take more memory than what was sent is
// worth.
func TestFewBytesTakeFewBytes(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := unproven(p, p.draw(p.ask("transactions")))
	const most = "\xfe\x00\x00\x38\x00" // 3.7 million
	d.abbreviated = true
	coinbase := serialize(t, d.coinbase)
	outputs := scriptSigOffset + 1 + len(script(d)) + 4
	for name, body := range map[string]string{
		"outputs of the coinbase":    string(coinbase[:outputs]) + most,
		"inputs of the coinbase":     string(coinbase[:4]) + "\xfe\x00\x00\x0c\x00" + string(coinbase[5:]),
		"outputs of a transaction":   string(coinbase) + "\x02\x00\x00\x00\x01" + string(make([]byte, 41)) + most,
		"inputs of a transaction":    string(coinbase) + "\x02\x00\x00\x00\xfe\x00\x00\x0c\x00" + string(make([]byte, 41)),
		"witnesses of a transaction": string(coinbase) + "\x02\x00\x00\x00\x00\x01\x01" + string(make([]byte, 41)) + "\x00" + most,
		"bytes of a transaction":     string(coinbase) + "\x02\x00\x00\x00\x01" + string(make([]byte, 36)) + "\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"transactions of the block":  string(coinbase),
		"bytes of the coinbase":      string(coinbase[:scriptSigOffset]) + "\xfe\x00\x09\x3d\x00",
	} {
		d.encode = func(b []byte) string { return hex.EncodeToString(append(b[:80:80], "\x06"+body...)) }
		s := d.submission(t)
		if name == "transactions of the block" {
			s.Data = s.Data[:160] + "feffffff7f" + s.Data[162:]
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := p.judge.Propose(t.Context(), s)
		runtime.ReadMemStats(&after)
		if r.Accepted() {
			t.Errorf("%s: %+v", name, r)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
			t.Errorf("%s: %d bytes for %d", name, taken, len(s.Data))
		}
	}
}
