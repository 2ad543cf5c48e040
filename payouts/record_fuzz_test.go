package payouts

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecodeRecord has any bytes read. What is taken for a record is one, in its only spelling.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []*Record{
		{Seq: 1, Key: "pause", Kind: KindPause},
		{Seq: 1<<64 - 1, Previous: Digest{1, 31: 2}, Key: "credit:ab", Kind: KindCredit, Time: time.UnixMilli(1_780_000_000_001), By: "gw<1>",
			Legs: []Leg{{Rewards, -MaxMoney}, {Miner("alice"), MaxMoney - 1}, {Fee, 1}}},
		{Seq: 7, Key: "k \u2028 \x00", Kind: KindCoin, Time: time.UnixMilli(-1), Sets: []Set{{TableCoins, "f", "{\"a\":1}"}, {TablePool, PoolPaused, ""}}},
	} {
		text, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "{}", "null", "[1]", `{"seq":1,"key":"k","kind":"book","legs":[["fee",1.0],["pool",-1]]}`, `{"seq":1,"key":"k","kind":"book","legs":[["fee"]]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Decode(text)
		if err != nil {
			if r != nil || !errors.Is(err, ErrRecord) {
				t.Fatalf("%+v, error %v, want ErrRecord", r, err)
			}
			return
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		again, err := r.Encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q becomes %q, %v", text, again, err)
		}
		same, err := Decode(again)
		if err != nil || !cmp.Equal(same, r) {
			t.Fatalf("%v\n%s", err, cmp.Diff(r, same))
		}
	})
}
