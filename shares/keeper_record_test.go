package shares

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestEncodeRecord wants the bytes that encoding/json makes, which older programs read.
func TestEncodeRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes32 := rapid.SliceOfN(rapid.Byte(), 32, 32)
		s := Share{
			Hash:    chainhash.Hash(bytes32.Draw(t, "hash")),
			Account: rapid.StringN(0, 70, -1).Draw(t, "account"), Worker: rapid.StringN(0, 70, -1).Draw(t, "worker"),
			Weight: Weight(rapid.Int64().Draw(t, "weight")), Unit: Unit(rapid.Uint8().Draw(t, "unit")),
			Target:        gbt.Target(bytes32.Draw(t, "target")),
			PreviousBlock: chainhash.Hash(bytes32.Draw(t, "previous")), Height: rapid.Int32().Draw(t, "height"),
			Time: time.UnixMilli(rapid.Int64Range(-1e14, 1e15).Draw(t, "time")).UTC(),
		}
		if rapid.Bool().Draw(t, "block") {
			s.Found = &Found{Bits: rapid.Uint32().Draw(t, "bits"), Value: rapid.Int64().Draw(t, "value")}
		}
		want, failure := json.Marshal(record{recordVersion, s})
		got, err := encodeRecord(&s)
		if diff := cmp.Diff(string(want), string(got)); diff != "" || (err == nil) != (failure == nil) {
			t.Fatalf("%v, want %v, (-want +got)\n%s", err, failure, diff)
		}
	})
}

// BenchmarkEncodeRecord writes a share down for the spool.
func BenchmarkEncodeRecord(b *testing.B) {
	s := Share{
		Account: "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202", Worker: "rig", Weight: 1 << 40, Unit: 30, Height: 900000,
		Time: time.UnixMilli(1_800_000_000_123).UTC(),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeRecord(&s); err != nil {
			b.Fatal(err)
		}
	}
}
