package wallet

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// maxKeyFile is more than a key file has, in bytes.
const maxKeyFile = 256

// keyFault makes an ErrKeyFile. What the file holds is never quoted.
func keyFault(path, format string, args ...any) error {
	return fmt.Errorf("wallet: %w: %s %s", ErrKeyFile, path, fmt.Sprintf(format, args...))
}

// readKeyFile reads a private key.
func readKeyFile(path string, chain *chaincfg.Params) (*btcec.PrivateKey, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the operator's own setting
	if err != nil {
		return nil, fmt.Errorf("wallet: %w: %w", ErrKeyFile, err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	// Of what is open, so that a symbolic link does not hide what it leads to.
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("wallet: %w: %w", ErrKeyFile, err)
	case !info.Mode().IsRegular():
		return nil, keyFault(path, "is not a file")
	case info.Mode().Perm()&^0o600 != 0:
		return nil, keyFault(path, "has the mode %04o, so that others than its owner get at the key: run chmod 600 on it, and if others have access to this host, use a new key", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("wallet: %w: %w", ErrKeyFile, err)
	}
	line := strings.TrimSpace(string(text))
	if len(text) > maxKeyFile || line == "" || strings.ContainsAny(line, " \t\r\n") {
		return nil, keyFault(path, "does not hold one line with a key")
	}
	return parseKey(path, line, chain)
}

// parseKey parses a private key: WIF of a compressed public key, or 64 hexadecimal digits.
func parseKey(path, text string, chain *chaincfg.Params) (*btcec.PrivateKey, error) {
	if len(text) == hex.EncodedLen(btcec.PrivKeyBytesLen) {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, keyFault(path, "holds 64 characters that are not all hexadecimal digits")
		}
		var scalar btcec.ModNScalar
		if overflow := scalar.SetByteSlice(raw); overflow || scalar.IsZero() {
			return nil, keyFault(path, "holds a number that is no private key")
		}
		return btcec.PrivKeyFromScalar(&scalar), nil
	}
	wif, err := btcutil.DecodeWIF(text)
	switch {
	case err != nil:
		return nil, keyFault(path, "holds neither a key in WIF nor 64 hexadecimal digits")
	case !wif.IsForNet(chain):
		return nil, keyFault(path, "holds a key of another chain than %s", chain.Name)
	case !wif.CompressPubKey:
		return nil, keyFault(path, "holds a key of an uncompressed public key, which has no witness address: use a new key")
	}
	return wif.PrivKey, nil
}

// MakeKeyFile makes a random key and a file of the mode 0600 for it, as a HotKey reads it. The file is
// there as a whole, also after a crash, or not at all. If there is a file already it is left as it is, and
// the error matches fs.ErrExist: no key is ever overwritten.
func MakeKeyFile(path string) error {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		return fmt.Errorf("wallet: make a key: %w", err)
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".key-*") // of the mode 0600
	if err != nil {
		return fmt.Errorf("wallet: make a key file: %w", err)
	}
	_, err = temp.WriteString(hex.EncodeToString(key.Serialize()) + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), path) // unlike a rename it never replaces
	}
	err = errors.Join(err, os.Remove(temp.Name()))
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("wallet: make a key file: %w", err)
	}
	return nil
}

// syncDir makes what was put into a folder outlive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is the operator's own setting
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
