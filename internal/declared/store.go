package declared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// ErrFull matches the error of Append for a record that there is no room for.
var ErrFull = errors.New("no room for more declared work")

// suffix ends the name of a file, which begins with the previous block's hash.
const suffix = ".sets"

// Config configures a Store.
type Config struct {
	// Dir is the folder for the files. It is made if it is missing, and may be used by one Store at
	// a time. Required.
	Dir string
	// Bytes bounds the file of one previous block. There are files for two blocks at a time.
	Bytes int64
	// Log gets a line when something was lost in a crash. Required.
	Log *slog.Logger
}

// Store is a gbt.SetStore on files: one for each previous block, to which records are appended. It is
// safe for concurrent use.
type Store struct {
	cfg  Config
	lock *os.File
	mu   sync.Mutex
	logs map[chainhash.Hash]*file // held by mu
}

// file is an open file of records.
type file struct {
	*os.File
	size int64
}

// Open opens the store. It fails if another process has it open.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" || cfg.Log == nil || cfg.Bytes <= 0 {
		return nil, errors.New("declared: Dir, Bytes and Log are required")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	if err := lockFile(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("declared work: the folder %s is in use by another gateway, each needs a data_dir of its own: %w", cfg.Dir, err), lock.Close())
	}
	return &Store{cfg: cfg, lock: lock, logs: make(map[chainhash.Hash]*file)}, nil
}

// Close closes the files. The Store must not be used any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := append(make([]error, 0, 1+len(s.logs)), s.lock.Close())
	for _, f := range s.logs {
		errs = append(errs, f.Close())
	}
	s.logs = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	return nil
}

// Append implements gbt.SetStore. The error matches ErrFull if there is no room.
func (s *Store) Append(ctx context.Context, previous chainhash.Hash, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.open(ctx, previous)
	if err != nil {
		return err
	}
	framed := frame(record)
	if f.size+int64(len(framed)) > s.cfg.Bytes {
		return fmt.Errorf("%w: %s has %d of %d bytes", ErrFull, f.Name(), f.size, s.cfg.Bytes)
	}
	_, err = f.WriteAt(framed, f.size)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// Whatever is there of it must not stand before the next record.
		return fmt.Errorf("declared work: %w", errors.Join(err, f.Truncate(f.size)))
	}
	f.size += int64(len(framed))
	return nil
}

// Records implements gbt.SetStore.
func (s *Store) Records(ctx context.Context, previous chainhash.Hash) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(s.path(previous)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	f, err := s.open(ctx, previous)
	if err != nil {
		return nil, err
	}
	raw, err := read(f)
	if err != nil {
		return nil, err
	}
	records, _ := unframe(raw)
	return records, nil
}

// Keep implements gbt.SetStore.
func (s *Store) Keep(_ context.Context, previous ...chainhash.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for of, f := range s.logs {
		if !slices.Contains(previous, of) {
			errs = append(errs, f.Close())
			delete(s.logs, of)
		}
	}
	entries, err := os.ReadDir(s.cfg.Dir)
	errs = append(errs, err)
	for _, entry := range entries {
		name, ours := strings.CutSuffix(entry.Name(), suffix)
		kept := slices.ContainsFunc(previous, func(hash chainhash.Hash) bool { return hash.String() == name })
		if ours && !kept {
			errs = append(errs, os.Remove(filepath.Join(s.cfg.Dir, entry.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("old declared work: %w", err)
	}
	return nil
}

func (s *Store) path(previous chainhash.Hash) string {
	return filepath.Join(s.cfg.Dir, previous.String()+suffix)
}

// open returns the file for a previous block, which ends with a whole record. The caller holds mu.
func (s *Store) open(ctx context.Context, previous chainhash.Hash) (*file, error) {
	if s.logs == nil {
		return nil, fmt.Errorf("declared work: %w", os.ErrClosed)
	}
	if f, ok := s.logs[previous]; ok {
		return f, nil
	}
	opened, err := os.OpenFile(s.path(previous), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	f := &file{File: opened}
	if err := s.repair(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.logs[previous] = f
	return f, nil
}

// repair cuts off what a crash has left after the last whole record, and makes sure that the file's
// name outlives another one.
func (s *Store) repair(ctx context.Context, f *file) error {
	raw, err := read(f)
	if err != nil {
		return err
	}
	_, whole := unframe(raw)
	f.size = int64(whole)
	if rest := len(raw) - whole; rest > 0 {
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the end of a file of declared work is damaged and cut off",
			slog.String("file", f.Name()), slog.Int("bytes", rest))
		if err := errors.Join(f.Truncate(f.size), f.Sync()); err != nil {
			return fmt.Errorf("declared work: %w", err)
		}
	}
	dir, err := os.Open(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	return nil
}

func read(f *file) ([]byte, error) {
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	return raw, nil
}
