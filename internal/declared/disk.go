package declared

import (
	"fmt"
	"os"
	"path/filepath"
)

// disk is what a Store writes to; tests have one that fails.
type disk interface {
	// open opens a file, which is made if it is missing.
	open(path string) (medium, error)
	// syncDir makes the names in a folder outlive a crash.
	syncDir(dir string) error
}

// medium is an open file.
type medium interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) open(path string) (medium, error) {
	return os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
}

func (realDisk) syncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// file is the records of one previous block.
type file struct {
	medium
	path string
	// size is where the last record ends that was kept, count how many there are, and torn whether there
	// may be something behind the last.
	size  int64
	count int
	torn  bool
}

// append writes a record and returns once it would outlive a crash. After an error the file ends
// where it ended before, now or before the next record is written.
func (f *file) append(framed []byte) error {
	if f.torn {
		if err := f.cut(); err != nil {
			return err
		}
	}
	f.torn = true
	_, err := f.WriteAt(framed, f.size)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		if cutErr := f.cut(); cutErr != nil {
			return fmt.Errorf("%w; %w", err, cutErr)
		}
		return err
	}
	f.size, f.torn = f.size+int64(len(framed)), false
	return nil
}

// cut removes what stands behind the last record.
func (f *file) cut() error {
	if err := f.Truncate(f.size); err != nil {
		return fmt.Errorf("what was written of a record cannot be removed: %w", err)
	}
	f.torn = false
	return nil
}
