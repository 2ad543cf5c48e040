package wallet

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// TestAddress wants the addresses that BIP 84 and BIP 86 give for their keys.
func TestAddress(t *testing.T) {
	account, err := hdkeychain.NewKeyFromString("xprv9xgqHN7yz9MwCkxsBPN5qetuNdQSUttZNKw1dcYTV4mkaAFiBVGQziHs3NRSWMkCzvgjEe3n9xV8oYywvM8at9yRqyaZVz6TYYhX98VjsUk")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // 0/0
		if account, err = account.Derive(0); err != nil {
			t.Fatal(err)
		}
	}
	taproot, err := account.ECPrivKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		form      Form
		key, want string
	}{
		{"", "KyZpNDKnfs94vbrwhJneDi77V6jF64PWPF8x5cdJb8ifgg2DUc9d", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"},
		{P2WPKH, "KyZpNDKnfs94vbrwhJneDi77V6jF64PWPF8x5cdJb8ifgg2DUc9d\n", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"},
		{P2TR, hex.EncodeToString(taproot.Serialize()) + "\r\n", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"},
	} {
		k, err := NewHotKey(HotKeyConfig{Path: keyFile(t, tc.key), Form: tc.form, Chain: &chaincfg.MainNetParams, Unspent: nothing})
		if err != nil {
			t.Fatal(err)
		}
		if k.Address() != tc.want {
			t.Errorf("form %q has the address %s, want %s", tc.form, k.Address(), tc.want)
		}
	}
}

// TestKeyFileRefused goes through files that are no key, and wants errors that say what to change and
// quote nothing of the file.
func TestKeyFileRefused(t *testing.T) {
	key, _ := btcec.PrivKeyFromBytes([]byte{1, 2, 3})
	wif := func(chain *chaincfg.Params, compressed bool) string {
		w, err := btcutil.NewWIF(key, chain, compressed)
		if err != nil {
			t.Fatal(err)
		}
		return w.String()
	}
	const order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "one line"},
		"two lines":        {testKey + "\n" + testKey, "one line"},
		"long":             {strings.Repeat("0", maxKeyFile) + "\n\n", "one line"},
		"63 digits":        {testKey[1:], "64 hexadecimal digits"},
		"no digits":        {"x" + testKey[1:], "hexadecimal digits"},
		"zero":             {strings.Repeat("0", 64), "no private key"},
		"the group order":  {order, "no private key"},
		"another chain":    {wif(&chaincfg.MainNetParams, true), "another chain than regtest"},
		"uncompressed":     {wif(&chaincfg.RegressionNetParams, false), "uncompressed"},
		"a spoilt WIF":     {"1" + wif(&chaincfg.RegressionNetParams, true)[1:], "neither"},
		"an address":       {"bcrt1qf9kv2we4gmq7rfjfh2ze2q2y3nv3y65e9vxd2p", "neither"},
		"two keys in line": {testKey[:32] + " " + testKey[32:], "one line"},
	} {
		_, err := NewHotKey(HotKeyConfig{Path: keyFile(t, tc.text), Chain: &chaincfg.RegressionNetParams, Unspent: nothing})
		if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want ErrKeyFile with %q", name, err, tc.want)
		}
		if len(tc.text) > 8 && err != nil && strings.Contains(err.Error(), tc.text[:8]) {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
	}
	if _, err := NewHotKey(HotKeyConfig{Path: keyFile(t, order[:63]+"0"), Chain: &chaincfg.RegressionNetParams, Unspent: nothing}); err != nil {
		t.Errorf("the largest key: %v", err)
	}
	if _, err := NewHotKey(HotKeyConfig{Path: keyFile(t, testKey), Form: "p2pkh", Chain: &chaincfg.RegressionNetParams, Unspent: nothing}); err == nil {
		t.Error("a form that there is not is taken")
	}
}

// TestKeyFileMode wants files that are for others to be refused, also behind a symbolic link.
func TestKeyFileMode(t *testing.T) {
	open := func(path string) error {
		_, err := NewHotKey(HotKeyConfig{Path: path, Chain: &chaincfg.RegressionNetParams, Unspent: nothing})
		return err
	}
	path := keyFile(t, testKey)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o644: false, 0o700: false, 0o601: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, link} {
			err := open(name)
			if ok && err != nil {
				t.Errorf("mode %04o: %v", mode, err)
			}
			if !ok && (!errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "chmod 600")) {
				t.Errorf("mode %04o: %v, want ErrKeyFile that says chmod 600", mode, err)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(dir); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v, want ErrKeyFile", err)
	}
	if err := open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrKeyFile) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v, want ErrKeyFile and fs.ErrNotExist", err)
	}
}

func TestMakeKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hot.key")
	if err := MakeKeyFile(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", info, err)
	}
	if _, err := NewHotKey(HotKeyConfig{Path: path, Chain: &chaincfg.RegressionNetParams, Unspent: nothing}); err != nil {
		t.Errorf("the file that was made: %v", err)
	}
	if err := MakeKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v, want fs.ErrExist", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the key was overwritten (%v)", err)
	}
	other := filepath.Join(dir, "other.key")
	if err := MakeKeyFile(other); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) == string(before) {
		t.Errorf("two keys are the same (%v)", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(left, []string{path, other}) {
		t.Errorf("the folder holds %v, %v", left, err)
	}
	if hidden, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(hidden) != 0 {
		t.Errorf("left behind: %v, %v", hidden, err)
	}
	if err := MakeKeyFile(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v, want fs.ErrNotExist", err)
	}
}

// TestHotKeySigns wants valid signatures that are the same each time, and nothing else to change.
func TestHotKeySigns(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		tx, coins := settlement(k.script, 5)
		before := encode(t, tx)
		got := signed(t, k, tx, coins)
		if string(encode(t, tx)) != string(before) {
			t.Errorf("%s: the caller's transaction has changed", form)
		}
		if got.TxHash() != tx.TxHash() {
			t.Errorf("%s: the id is %s, want %s as before it was signed", form, got.TxHash(), tx.TxHash())
		}
		if string(encode(t, unsigned(got))) != string(before) {
			t.Errorf("%s: more than witnesses has changed", form)
		}
		if err := verify(got, coins); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if string(encode(t, signed(t, k, got, coins))) != string(encode(t, got)) {
			t.Errorf("%s: another signature the second time", form)
		}
		if weight := witnessWeight(got.TxIn[0].Witness); weight > maxWitness {
			t.Errorf("%s: a witness of %d bytes, more than %d", form, weight, maxWitness)
		}
		change, err := k.Change(t.Context())
		if err != nil || string(change) != string(k.script) {
			t.Errorf("%s: change goes to %x, %v", form, change, err)
		}
	}
}

func witnessWeight(w [][]byte) int {
	n := 1
	for _, part := range w {
		n += 1 + len(part)
	}
	return n
}

// TestHotKeyRefuses gives coins that are not the key's, or not the transaction's.
func TestHotKeyRefuses(t *testing.T) {
	for _, form := range forms() {
		k := hotKey(t, form, testKey)
		foreign := hotKey(t, form, "02"+testKey[2:])
		for name, spoil := range map[string]func(c []payouts.Coin) []payouts.Coin{
			"another key's coin": func(c []payouts.Coin) []payouts.Coin { c[1].Script = foreign.script; return c },
			"a legacy coin":      func(c []payouts.Coin) []payouts.Coin { c[1].Script = []byte{0x51}; return c },
			"another order":      func(c []payouts.Coin) []payouts.Coin { c[0], c[1] = c[1], c[0]; return c },
			"a coin less":        func(c []payouts.Coin) []payouts.Coin { return c[:1] },
			"no coins":           func([]payouts.Coin) []payouts.Coin { return nil },
			"a negative value":   func(c []payouts.Coin) []payouts.Coin { c[0].Value = -1; return c },
		} {
			tx, coins := settlement(k.script, 2)
			if got, err := k.Sign(t.Context(), tx, spoil(coins)); err == nil {
				t.Errorf("%s, %s: signed %v", form, name, got.TxHash())
			} else if name == "another key's coin" && !strings.Contains(err.Error(), k.Address()) {
				t.Errorf("%s, %s: %v, want it to name the key's address", form, name, err)
			}
		}
	}
}
