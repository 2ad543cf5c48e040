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
var ErrFull = errors.New("no room for more declared work before the next block")

const (
	// suffix ends the name of a file of records, which begins with the previous block's hash.
	suffix = ".sets"
	// damagedSuffix ends the name of a copy of what could not be read of one.
	damagedSuffix = ".damaged"
)

// Config configures a Store.
type Config struct {
	// Dir is the folder for the files. It is made if it is missing, and may be used by one Store at
	// a time. Required.
	Dir string
	// Bytes bounds the file of one previous block, and Total all files together; default twice as
	// much, because there are files for two blocks at a time. Bytes is required.
	Bytes, Total int64
	// Log gets a line when something was lost in a crash. Required.
	Log *slog.Logger
}

// Store is a gbt.SetStore on files: one for each previous block, to which records are appended. It is
// safe for concurrent use.
type Store struct {
	cfg  Config
	disk disk
	lock *os.File
	mu   sync.Mutex
	logs map[chainhash.Hash]*file // held by mu; nil once closed
}

// Open opens the store. It fails if another process has it open.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" || cfg.Log == nil || cfg.Bytes <= 0 || cfg.Total < 0 {
		return nil, errors.New("declared: Dir, Bytes and Log are required, and Total must not be negative")
	}
	if cfg.Total == 0 {
		cfg.Total = 2 * cfg.Bytes
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("declared work: %w; set data_dir to a folder that can be written to", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("declared work: %w; set data_dir to a folder that can be written to", err)
	}
	if err := lockFile(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("declared work: the folder %s is in use by another gateway, each needs a data_dir of its own: %w", cfg.Dir, err), lock.Close())
	}
	return &Store{cfg: cfg, disk: realDisk{}, lock: lock, logs: make(map[chainhash.Hash]*file)}, nil
}

// Close closes the files. Later calls fail with an error that matches os.ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs == nil {
		return nil
	}
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
	total, err := s.total()
	switch {
	case err != nil:
		return err
	case f.size+int64(len(framed)) > s.cfg.Bytes:
		return fmt.Errorf("%w: %d of %d bytes are used in %s and it needs %d; raise declared_memory",
			ErrFull, f.size, s.cfg.Bytes, f.path, len(framed))
	case total+int64(len(framed)) > s.cfg.Total:
		return fmt.Errorf("%w: %d of %d bytes are used in %s and it needs %d; raise declared_memory",
			ErrFull, total, s.cfg.Total, s.cfg.Dir, len(framed))
	}
	if err := f.append(framed); err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	f.count++
	return nil
}

// Records implements gbt.SetStore.
func (s *Store) Records(ctx context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(s.path(previous)); errors.Is(err, os.ErrNotExist) && s.logs != nil {
		return nil, nil
	}
	f, err := s.open(ctx, previous)
	if err != nil {
		return nil, err
	}
	if from >= f.count {
		return nil, nil // whoever asks for what is not there has not the whole file read
	}
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	records, _ := unframe(raw[:min(f.size, int64(len(raw)))])
	return records[min(from, len(records)):], nil
}

// Keep implements gbt.SetStore.
func (s *Store) Keep(_ context.Context, previous ...chainhash.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs == nil {
		return fmt.Errorf("declared work: %w", os.ErrClosed)
	}
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
		name := strings.TrimSuffix(strings.TrimSuffix(entry.Name(), suffix), damagedSuffix)
		kept := slices.ContainsFunc(previous, func(hash chainhash.Hash) bool { return hash.String() == name })
		if name != entry.Name() && !kept {
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

// total returns how many bytes all files take.
func (s *Store) total() (int64, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return 0, fmt.Errorf("declared work: %w", err)
	}
	total := int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, fmt.Errorf("declared work: %w", err)
		}
		total += info.Size()
	}
	return total, nil
}

// open returns the file for a previous block, which ends with a whole record. The caller holds mu.
func (s *Store) open(ctx context.Context, previous chainhash.Hash) (*file, error) {
	if s.logs == nil {
		return nil, fmt.Errorf("declared work: %w", os.ErrClosed)
	}
	if f, ok := s.logs[previous]; ok {
		return f, nil
	}
	path := s.path(previous)
	opened, err := s.disk.open(path)
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", err)
	}
	f := &file{medium: opened, path: path}
	if err := s.repair(ctx, f); err != nil {
		return nil, errors.Join(fmt.Errorf("declared work: %w", err), f.Close())
	}
	s.logs[previous] = f
	return f, nil
}

// repair cuts off what a crash has left after the last whole record, and makes sure that the file's
// name outlives another one. What is cut off is copied before, in case that it is not what a crash
// leaves but good records behind a bad one.
func (s *Store) repair(ctx context.Context, f *file) error {
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	records, whole := unframe(raw)
	f.size, f.count = int64(whole), len(records)
	if rest := raw[whole:]; len(rest) > 0 {
		aside := strings.TrimSuffix(f.path, suffix) + damagedSuffix
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the end of a file of declared work is damaged and cut off",
			slog.String("file", f.path), slog.Int("bytes", len(rest)), slog.String("copied_to", aside))
		if err := os.WriteFile(aside, rest, 0o600); err != nil { //nolint:gosec // it is the configured folder and a hash
			s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "what is cut off cannot be copied", slog.Any("error", err))
		}
		if err := f.cut(); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return s.disk.syncDir(s.cfg.Dir)
}
