package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gbtpool/gbtpool/gbt"
)

// newKeySize is the size of a key that is made here, in bytes.
const newKeySize = 32

// Key reads the key that issued work is authenticated with: hexadecimal text in the work key
// file. The default file is made, with a random key and for its owner alone, if it is missing.
func (p *Pool) Key() ([]byte, error) {
	path := p.WorkKeyFile
	if path == "" {
		path = filepath.Join(p.DataDir, "work.key")
		if err := makeKey(path); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("work_key_file: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("work_key_file: %s does not hold hexadecimal text", path)
	}
	if len(key) < gbt.MinKey {
		return nil, fmt.Errorf("work_key_file: the key in %s has %d bytes, want at least %d", path, len(key), gbt.MinKey)
	}
	return key, nil
}

// makeKey writes a new key to path unless there is a file.
func makeKey(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	key := make([]byte, newKeySize)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("work key: %w", err)
	}
	// A file of its own that takes the name only when complete, so that two gateways that start
	// together end up with one key.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".work.key-*")
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // nothing is lost if the temporary name stays
	_, err = tmp.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("work key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("work key: %w", err)
	}
	return nil
}
