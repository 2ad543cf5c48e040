package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is what a Spool writes to. Tests have one that fails; all others use OSDisk.
type Disk interface {
	// Mkdir makes a folder whose parent is there.
	Mkdir(path string) error
	// Open opens a file with the flags of os.OpenFile.
	Open(path string, flag int) (File, error)
	// Remove removes a file or an empty folder.
	Remove(path string) error
	// Rename gives a file another name, in place of the file that has it.
	Rename(from, to string) error
	// SyncDir makes the names in a folder outlive a crash.
	SyncDir(dir string) error
}

// File is an open file on a Disk, as *os.File is one.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	io.Closer
}

// OSDisk is the operating system's Disk. Its files are for the owner alone.
type OSDisk struct{}

// Mkdir implements Disk.
func (OSDisk) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

// Open implements Disk.
func (OSDisk) Open(path string, flag int) (File, error) {
	return os.OpenFile(filepath.Clean(path), flag, 0o600)
}

// Remove implements Disk.
func (OSDisk) Remove(path string) error { return os.Remove(path) }

// Rename implements Disk.
func (OSDisk) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir implements Disk.
func (OSDisk) SyncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeDir makes a folder, and those above it that are missing, outlive a crash. It does not ask who
// made them: an earlier start may have died between a folder and its fsync.
func makeDir(disk Disk, dir string) error {
	if err := makeMissing(disk, dir); err != nil {
		return err
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		err := disk.SyncDir(parent)
		if errors.Is(err, fs.ErrPermission) {
			return nil // what we may not read we have not made
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func makeMissing(disk Disk, dir string) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) || parent == dir {
		return err
	}
	if err := makeMissing(disk, parent); err != nil {
		return err
	}
	return disk.Mkdir(dir)
}

// replace makes a file of a folder hold content, all of it or what it held before, and returns it
// open. After an error it may hold either.
func replace(disk Disk, path string, content []byte) (File, error) {
	temp := path + tempSuffix
	// One whose fsync failed is not written again: what the system has of it may differ from the disk.
	if err := disk.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := disk.Open(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = disk.Rename(temp, path)
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err == nil {
		return f, nil
	}
	err = errors.Join(err, f.Close())
	if removeErr := disk.Remove(temp); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return nil, err
}
