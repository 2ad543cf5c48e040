package gbt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

func chains() []*chaincfg.Params {
	return []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
	}
}

// addressesOn returns an address of each kind on a chain, with its scriptPubKey in hexadecimal.
func addressesOn(t *testing.T, chain *chaincfg.Params) map[string]string {
	t.Helper()
	h20, h32 := bytes.Repeat([]byte{0xab}, 20), bytes.Repeat([]byte{0xcd}, 32)
	make20 := func(addr address.Address, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return addr.EncodeAddress()
	}
	p2pkh, err1 := address.NewAddressPubKeyHash(h20, chain)
	p2sh, err2 := address.NewAddressScriptHashFromHash(h20, chain)
	p2wpkh, err3 := address.NewAddressWitnessPubKeyHash(h20, chain)
	p2wsh, err4 := address.NewAddressWitnessScriptHash(h32, chain)
	p2tr, err5 := address.NewAddressTaproot(h32, chain)
	return map[string]string{
		make20(p2pkh, err1):  "76a914" + hex.EncodeToString(h20) + "88ac",
		make20(p2sh, err2):   "a914" + hex.EncodeToString(h20) + "87",
		make20(p2wpkh, err3): "0014" + hex.EncodeToString(h20),
		make20(p2wsh, err4):  "0020" + hex.EncodeToString(h32),
		make20(p2tr, err5):   "5120" + hex.EncodeToString(h32),
	}
}

func TestParseUserAcceptsAllKinds(t *testing.T) {
	for _, chain := range chains() {
		addresses := addressesOn(t, chain)
		if len(addresses) != 5 {
			t.Fatalf("%d addresses on %s, want 5", len(addresses), chain.Name)
		}
		for addr, script := range addresses {
			account, worker, err := ParseUser(addr+".rig-1", chain)
			if err != nil {
				t.Errorf("%s on %s: %v", addr, chain.Name, err)
				continue
			}
			if account.Address != addr || hex.EncodeToString([]byte(account.Script)) != script || worker != "rig-1" {
				t.Errorf("%s on %s: got %q %x %q, want script %s", addr, chain.Name, account.Address, account.Script, worker, script)
			}
		}
	}
}

// TestParseUserNamesTheChain tells who uses an address of another chain which one that is.
func TestParseUserNamesTheChain(t *testing.T) {
	// These share their address forms, so an address of one may be one of the other.
	same := map[string]string{"testnet3": "regtest", "regtest": "testnet3"}
	for _, chain := range chains() {
		for _, other := range chains() {
			for addr := range addressesOn(t, other) {
				_, _, err := ParseUser(addr, chain)
				_, _, native := ParseUser(addr, other)
				switch {
				case native != nil:
					t.Errorf("%s on its own %s: %v", addr, other.Name, native)
				case chain == other:
				case err == nil:
					if same[chain.Name] != other.Name {
						t.Errorf("%s of %s is accepted on %s", addr, other.Name, chain.Name)
					}
				case !errors.Is(err, ErrUser):
					t.Errorf("%s: %v does not match ErrUser", addr, err)
				case !strings.Contains(err.Error(), chain.Name) || !namesOneOf(err, other.Name, same[other.Name]):
					t.Errorf("%s of %s on %s: %q does not name both chains", addr, other.Name, chain.Name, err)
				}
			}
		}
	}
}

func namesOneOf(err error, names ...string) bool {
	for _, name := range names {
		if name != "" && strings.Contains(err.Error(), "belongs to "+name) {
			return true
		}
	}
	return false
}

func TestParseUserCanonical(t *testing.T) {
	// The example of BIP 173 and that of BIP 350, in the two cases that they may have.
	for _, addr := range []string{
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
	} {
		lower, _, err := ParseUser(addr, &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		upper, worker, err := ParseUser(strings.ToUpper(addr)+".Rig.2", &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		if upper != lower || upper.Address != addr {
			t.Errorf("%q and %q are one address", lower, upper)
		}
		if worker != "Rig.2" {
			t.Errorf("worker %q, want all that follows the first dot, as it is", worker)
		}
	}
}

func TestParseUserWorkers(t *testing.T) {
	const addr = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	tests := []struct{ user, worker, fault string }{
		{addr, "", ""},
		{addr + ".", "", ""},
		{addr + ".1", "1", ""},
		{addr + ".a.b", "a.b", ""},
		{addr + ".d=5_x-y/z", "d=5_x-y/z", ""},
		{addr + ".a b", "", "worker name"},
		{addr + ".tab\t", "", "worker name"},
		{addr + ".nul\x00", "", "worker name"},
		{addr + ".\x7f", "", "worker name"},
		{addr + ".grüße", "", "worker name"},
		{addr + "." + strings.Repeat("w", maxUserLength-len(addr)-1), strings.Repeat("w", maxUserLength-len(addr)-1), ""},
		{addr + "." + strings.Repeat("w", maxUserLength-len(addr)), "", "longer than 191"},
	}
	for _, tt := range tests {
		account, worker, err := ParseUser(tt.user, &chaincfg.MainNetParams)
		if tt.fault != "" {
			if !errors.Is(err, ErrUser) || !strings.Contains(err.Error(), tt.fault) || account != (Account{}) {
				t.Errorf("%q: %v %v, want an error about the %s", tt.user, account, err, tt.fault)
			}
		} else if err != nil || account.Address != addr || worker != tt.worker {
			t.Errorf("%q: %q %q %v, want worker %q", tt.user, account.Address, worker, err, tt.worker)
		}
	}
}

func TestParseUserRefuses(t *testing.T) {
	tests := map[string]string{
		"":        "payout address",
		".rig":    "payout address",
		"satoshi": "not an address",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5": "not an address", // checksum
		"bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4": "not an address", // mixed case
		"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3":         "not an address", // checksum
		// P2PK, an unknown witness version and an anchor pay nobody whom we could name.
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798": "no P2PKH",
		"bc1sw50qgdz25j":                               "not an address",
		"bc1pfeessrawgf":                               "no P2PKH",
		"\x00\xff":                                     "not an address",
		strings.Repeat("1", 4096):                      "longer than",
		strings.Repeat("1", 190):                       "not an address",
		"<script>alert(1)</script>":                    "not an address",
		"\tbc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4": "not an address",
	}
	for user, fault := range tests {
		account, _, err := ParseUser(user, &chaincfg.MainNetParams)
		switch {
		case !errors.Is(err, ErrUser) || account != (Account{}):
			t.Errorf("%.50q: %v %v, want ErrUser", user, account, err)
		case !strings.Contains(err.Error(), fault):
			t.Errorf("%.50q: %q does not say %q", user, err, fault)
		case len(err.Error()) > 300:
			t.Errorf("%.50q: the error has %d characters", user, len(err.Error()))
		}
	}
}
