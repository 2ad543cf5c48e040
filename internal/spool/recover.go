package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// recover reads what the folder holds, moves aside what a crash has left behind the last whole record
// of the last segment, and makes the rest outlive another one.
func (s *Spool) recover() error {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, tempSuffix) {
			if err := s.cfg.Disk.Remove(filepath.Join(s.cfg.Dir, name)); err != nil {
				return err
			}
		}
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		base, err := strconv.ParseUint(digits, 16, 64)
		if ok && err == nil && s.path(Place(base)) == filepath.Join(s.cfg.Dir, name) {
			s.bases = append(s.bases, Place(base))
		}
	}
	slices.Sort(s.bases)
	if s.state, err = s.readState(); err != nil {
		return err
	}
	if len(s.bases) == 0 {
		return s.ready()
	}
	for i, base := range s.bases[:len(s.bases)-1] {
		if err := s.check(base, s.bases[i+1]); err != nil {
			return err
		}
	}
	return s.resume(s.bases[len(s.bases)-1])
}

// check reads a segment that another one comes after.
func (s *Spool) check(base, next Place) error {
	f, err := s.cfg.Disk.Open(s.path(base), os.O_RDONLY)
	if err != nil {
		return err
	}
	whole, err := scan(f, base, int64(next-base))
	if errors.Is(err, errDamaged) {
		err = s.corrupt(base, whole, err)
	}
	return errors.Join(err, f.Close())
}

// resume opens the last segment and repairs it.
func (s *Spool) resume(base Place) error {
	path := s.path(base)
	f, err := s.cfg.Disk.Open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	s.tail.file, s.tail.base = f, base
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	whole, err := scan(f, base, max(info.Size()-headerSize, 0))
	switch {
	case errors.Is(err, errDamaged) && whole >= headerSize:
		if err := s.cut(whole, info.Size(), err); err != nil {
			return err
		}
	case errors.Is(err, errDamaged):
		return s.corrupt(base, whole, err)
	case err != nil:
		return err
	}
	// A process that was killed may have left records that it had not fsynced.
	if err := f.Sync(); err != nil {
		return err
	}
	s.tail.size = whole - headerSize
	s.end, s.written = s.tail.written(), s.tail.written()
	return s.cfg.Disk.SyncDir(s.cfg.Dir)
}

// cut cuts the last segment off at an offset of its file, once what comes from there on is kept elsewhere.
func (s *Spool) cut(offset, size int64, found error) error {
	tail := make([]byte, size-offset)
	if _, err := s.tail.file.ReadAt(tail, offset); err != nil {
		return err
	}
	kept, err := s.keep(offset, tail)
	if err != nil {
		return fmt.Errorf("%d bytes of %s that are damaged cannot be kept elsewhere: %w; make room on the disk, or move the file elsewhere",
			len(tail), s.path(s.tail.base), err)
	}
	log := s.cfg.Log.With(slog.String("file", s.path(s.tail.base)), slog.Int64("offset", offset),
		slog.Int("bytes", len(tail)), slog.String("kept", kept), slog.Any("found", found))
	if torn(tail) {
		log.Warn("spool cut off what a crash had left unfinished")
	} else {
		log.Error("spool cut off a damaged record and what came behind it, which may be good records")
	}
	return s.tail.file.Truncate(offset)
}

// torn reports whether what begins with no good record may be what an unfinished write has left: no
// record of the length it gives, or nothing behind that but the zeros with which systems extend files.
func torn(tail []byte) bool {
	tail = bytes.TrimRight(tail, "\x00")
	if len(tail) < frameSize {
		return true
	}
	size := binary.BigEndian.Uint32(tail)
	return size > MaxRecord || frameSize+int(size) >= len(tail)
}

// keep has what is cut off the last segment outlive a crash in a file of its own, and returns its path.
// A file that is there already is left alone, and does if it holds the same: an earlier start may
// have died, or failed, before it cut the segment.
func (s *Spool) keep(offset int64, tail []byte) (string, error) {
	name := fmt.Sprintf("%s.%d", strings.TrimSuffix(s.path(s.tail.base), segmentSuffix), offset)
	path := name + damagedSuffix
	for n := 2; ; n++ {
		there, err := os.ReadFile(filepath.Clean(path))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		if bytes.Equal(there, tail) {
			return path, s.cfg.Disk.SyncDir(s.cfg.Dir)
		}
		path = fmt.Sprintf("%s.%d%s", name, n, damagedSuffix)
	}
	f, err := replace(s.cfg.Disk, path, tail)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// scan reads size bytes of records of the segment at base. It returns the offset up to which the file
// is good, and errDamaged if that is not all.
func scan(f File, base Place, size int64) (whole int64, err error) {
	if err := checkHeader(f, base); err != nil {
		return 0, err
	}
	whole = headerSize
	records := newFrames(f, headerSize, headerSize+size)
	var buf []byte
	for {
		buf, err = records.next(buf)
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		whole += frameSize + int64(len(buf))
	}
}

// corrupt is the error for a damaged file.
func (s *Spool) corrupt(base Place, offset int64, err error) error {
	return fmt.Errorf("%w: %s at offset %d: %w; restore the file from a copy, or move it and all older segments "+
		"(the whole folder if it is the newest) elsewhere to go on without their records", ErrCorrupt, s.path(base), offset, err)
}
