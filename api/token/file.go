package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// FileConfig says where a File is.
type FileConfig struct {
	// Path is a JWK Set. If it holds anything secret its mode has to be 0600 or 0400.
	Path string
	// Every is how often it is looked at for changes; the default is 2 seconds.
	Every time.Duration
	Log   *slog.Logger
}

// File is the keys of a file. It is read again when it changes, so a key that is taken out of it is good for
// nothing soon after. What cannot be read leaves the keys as they were, and is logged. It implements Source,
// and is safe for concurrent use.
type File struct {
	cfg  FileConfig
	keys atomic.Pointer[Set]

	mu   sync.Mutex // guards seen
	seen os.FileInfo
}

// OpenFile reads the keys of a file. Any key in it that cannot be used is an error.
func OpenFile(cfg FileConfig) (*File, error) {
	if cfg.Path == "" || cfg.Log == nil {
		return nil, errors.New("token: Path and Log are required")
	}
	if cfg.Every == 0 {
		cfg.Every = 2 * time.Second
	}
	f := &File{cfg: cfg}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Keys implements Source.
func (f *File) Keys() *Set { return f.keys.Load() }

// Current returns the key that new tokens are signed with: the first of the file that can sign.
func (f *File) Current() (*Key, error) {
	k, err := current(f.Keys())
	if err != nil {
		return nil, fmt.Errorf("token: %s: none of its keys signs: %w", f.cfg.Path, err)
	}
	return k, nil
}

// Run looks for changes until the context ends. It never fails.
func (f *File) Run(ctx context.Context) error {
	ticker := time.NewTicker(f.cfg.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := f.read(); err != nil {
			f.cfg.Log.LogAttrs(ctx, slog.LevelError, "keys of tokens could not be read again", slog.Any("error", err))
		}
	}
}

// Learn reads the file again if it has changed. It implements Source.
func (f *File) Learn(context.Context) error { return f.read() }

// read reads the file if it has changed. What it could not read is not tried again until it changes.
func (f *File) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.cfg.Path)
	if err != nil {
		// It is told of once: by the next change there is something to compare with.
		if f.seen == nil && f.keys.Load() != nil {
			return nil
		}
		f.seen = nil
		return fmt.Errorf("token: keys: %w", err)
	}
	if f.seen != nil && sameFile(f.seen, info) {
		return nil
	}
	f.seen = info
	raw, info, err := readFile(f.cfg.Path)
	if err != nil {
		return fmt.Errorf("token: keys: %w", err)
	}
	set, err := fileSet(raw, info)
	if err != nil {
		return fmt.Errorf("token: %s: %w", f.cfg.Path, err)
	}
	f.seen = info
	f.keys.Store(set)
	return nil
}

// sameFile reports whether nothing was written in between.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

// readFile reads what a JWK Set may have at most, and a byte more.
func readFile(path string) ([]byte, os.FileInfo, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	// Of what is open, so that a symbolic link does not hide what it leads to.
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSet+1))
	return raw, info, err
}

// fileSet makes the set of a file, of which every key has to be right.
func fileSet(raw []byte, info os.FileInfo) (*Set, error) {
	keys, faults, err := parseSet(raw)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key for signatures")
	}
	for _, k := range keys {
		if k.secret() && info.Mode().Perm()&^0o600 != 0 {
			return nil, fmt.Errorf("it has the mode %04o, so that others than its owner get at its keys: run chmod 600 on it, and if others have access to this host, rotate the keys", info.Mode().Perm())
		}
	}
	return newSet(keys)
}
