package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
)

var (
	// ErrCurrentKey says that the key which new tokens are signed with cannot be taken away.
	ErrCurrentKey = errors.New("new tokens are signed with it: rotate first")
	// ErrNoKey says that a file has no key of an id.
	ErrNoKey = errors.New("there is no such key")
)

// NewSigningKey makes a random key. Its id tells on which day, in UTC, it was made.
func NewSigningKey(algorithm Algorithm, now time.Time) (*Key, error) {
	id := now.UTC().Format("20060102") + "-" + strings.ToLower(rand.Text()[:8])
	var raw any
	var err error
	switch algorithm {
	case EdDSA:
		_, raw, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		raw, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case HS256:
		secret := make([]byte, leastSecret)
		_, err = rand.Read(secret)
		raw = secret
	default:
		err = fmt.Errorf("%q is none of %s, %s, %s", algorithm, EdDSA, ES256, HS256)
	}
	if err != nil {
		return nil, fmt.Errorf("token: make a key: %w", err)
	}
	return newKey(id, raw)
}

// MakeFile makes a file, of the mode 0600, with one new key. A file that is there is left as it is, and the
// error matches fs.ErrExist: no key is ever overwritten. It is there as a whole, also after a crash, or not
// at all; of two gateways that make it together one does.
func MakeFile(path string, algorithm Algorithm, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("token: make a key file: %w", err)
	}
	key, err := NewSigningKey(algorithm, now)
	if err != nil {
		return err
	}
	row, err := key.row(true)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	// Unlike a rename a link never replaces.
	return writeSet(path, []jwkset.JWKMarshal{row}, os.Link)
}

// Rotate puts a new key before those of a file, so that new tokens are signed with it. The others go on
// verifying, until they are taken away; what they sign with is erased. It is for one operator at a time.
func Rotate(path string, algorithm Algorithm, now time.Time) (*Key, error) {
	key, err := NewSigningKey(algorithm, now)
	if err != nil {
		return nil, err
	}
	row, err := key.row(true)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	err = change(path, func(old *Set) ([]jwkset.JWKMarshal, error) {
		rows := []jwkset.JWKMarshal{row}
		for k := range old.All() {
			row, err := k.row(false)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
	return key, err
}

// Remove takes a key out of a file: whatever it has signed is good for nothing from then on. The error matches
// ErrNoKey, or ErrCurrentKey.
func Remove(path, id string) error {
	return change(path, func(old *Set) ([]jwkset.JWKMarshal, error) {
		if old.Key(id) == nil {
			return nil, fmt.Errorf("key %q: %w", id, ErrNoKey)
		}
		// What is left has to sign, and go on as before.
		if first, err := current(old); err != nil || first.id == id {
			return nil, fmt.Errorf("key %q: %w", id, ErrCurrentKey)
		}
		var rows []jwkset.JWKMarshal
		for k := range old.All() {
			if k.id == id {
				continue
			}
			row, err := k.row(true)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
}

// current is the first key of a set that signs.
func current(keys *Set) (*Key, error) {
	for k := range keys.All() {
		if k.Signs() {
			return k, nil
		}
	}
	return nil, ErrNoKey
}

// change replaces the keys of a file by what a function makes of them.
func change(path string, to func(*Set) ([]jwkset.JWKMarshal, error)) error {
	raw, info, err := readFile(path)
	if err != nil {
		return fmt.Errorf("token: keys: %w", err)
	}
	old, err := fileSet(raw, info)
	if err != nil {
		return fmt.Errorf("token: %s: %w", path, err)
	}
	rows, err := to(old)
	if err != nil {
		return fmt.Errorf("token: %s: %w", path, err)
	}
	return writeSet(path, rows, func(temp, path string) error {
		// Somebody else may have changed it: the keys that were added would be lost.
		if now, err := os.Stat(path); err != nil || !sameFile(info, now) {
			return errors.New("the file has changed meanwhile: try again")
		}
		return os.Rename(temp, path)
	})
}

// writeSet writes a file next to another and puts it in its place.
func writeSet(path string, rows []jwkset.JWKMarshal, place func(temp, path string) error) error {
	raw, err := encodeSet(jwkset.JWKSMarshal{Keys: rows})
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".token.keys-*") // of the mode 0600
	if err != nil {
		return fmt.Errorf("token: write keys: %w", err)
	}
	_, err = temp.Write(raw)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = place(temp.Name(), path)
	}
	if removeErr := os.Remove(temp.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("token: write keys: %w", err)
	}
	return nil
}

// syncDir makes what was put into a folder outlive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
