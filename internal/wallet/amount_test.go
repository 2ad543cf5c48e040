package wallet

import (
	"encoding/json"
	"testing"
)

// TestAmountExact wants amounts to the satoshi, in every spelling that nodes and what stands between have.
func TestAmountExact(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "0.0": 0, "0.00000000": 0, "0e0": 0,
		"0.00000001": 1, "1e-08": 1, "1E-8": 1, "0.1e-7": 1, "100e-10": 1,
		"4.16e-06": 416, "50.0": 5_000_000_000, "50": 5_000_000_000, "24.9999": 2_499_990_000,
		"0.29": 29_000_000, "1.13": 113_000_000, "20999999.9769": 2_099_999_997_690_000,
		"20999999.99999999": 2_099_999_999_999_999, "21000000.00000000": 2_100_000_000_000_000, "2.1e7": 2_100_000_000_000_000,
	} {
		var got btc
		if err := json.Unmarshal([]byte(text), &got); err != nil || int64(got) != want {
			t.Errorf("%s is %d sat, %v; want %d", text, got, err, want)
		}
		again, err := json.Marshal(got)
		var back btc
		if err != nil || json.Unmarshal(again, &back) != nil || back != got {
			t.Errorf("%d sat is written %s, %v", got, again, err)
		}
	}
	for _, text := range []string{
		"-0.00000001", "-1", "0.000000001", "1e-9", "21000000.00000001", "1e8", "1e100", "1e999999999999", "1e-999999999",
		`"1.0"`, "true", "[]", "{}", "0.00000000000000000000000000000000000000000001",
	} {
		got := btc(7)
		if err := json.Unmarshal([]byte(text), &got); err == nil || got != 7 {
			t.Errorf("%s is %d sat, %v; want an error", text, got, err)
		}
	}
	for n, want := range map[btc]string{1: "0.00000001", 2_100_000_000_000_000: "21000000.00000000", 123_456_789: "1.23456789"} {
		if got, err := json.Marshal(n); err != nil || string(got) != want {
			t.Errorf("%d sat is written %s, %v; want %s", n, got, err, want)
		}
	}
}
