package spool

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// testDisk is a Disk on real files that fails on demand and knows what a crash would leave. It never
// waits for the real disk.
type testDisk struct {
	OSDisk

	mu          sync.Mutex
	step, fails int  // the step that fails, counted from 1; 0 for none
	dies        bool // all that follow fail too
	stored      bool // what fails is done all the same
	short       int  // how many bytes a failing write writes if it is not stored
	err         error
	gone        bool // the process was killed: nothing is done any more
	syncs       int
	dirs        []string // that were made and are not fsynced
	dir         string   // where the files are

	// names are the files by base name, and durable what they were at the last SyncDir; a crash
	// leaves either of each.
	names, durable map[string]*node
}

// node is a file apart from its name.
type node struct {
	now, durable []byte
	// lost is set once an fsync has failed: the system has forgotten what it could not write, and
	// a later fsync succeeds without it.
	lost bool
}

func newTestDisk() *testDisk {
	return &testDisk{err: syscall.ENOSPC, names: map[string]*node{}, durable: map[string]*node{}}
}

// do counts a step, and fails or does it, or both. The caller holds mu.
func (d *testDisk) do(op func() error) error {
	if d.gone {
		return os.ErrClosed
	}
	d.step++
	if d.fails == 0 || d.step < d.fails || d.step > d.fails && !d.dies {
		return op()
	}
	if d.stored {
		return errors.Join(d.err, op())
	}
	return d.err
}

// arm makes the next-th step fail.
func (d *testDisk) arm(next int, stored, dies bool, short int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.fails, d.stored, d.dies, d.short = 0, next, stored, dies, short
}

// kill keeps a process from doing anything more, or lets the next one.
func (d *testDisk) kill(gone bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = gone
}

// struck reports whether a step has failed since arm.
func (d *testDisk) struck() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fails > 0 && d.step >= d.fails
}

func (d *testDisk) Mkdir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(func() error {
		d.dirs = append(d.dirs, path)
		return d.OSDisk.Mkdir(path)
	})
}

func (d *testDisk) Open(path string, flag int) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := filepath.Base(path)
	d.dir = filepath.Dir(path)
	if flag&os.O_CREATE == 0 {
		f, err := d.OSDisk.Open(path, flag)
		return testFile{f, d, d.names[name]}, err
	}
	var f File
	err := d.do(func() (err error) {
		if f, err = d.OSDisk.Open(path, flag); err == nil && d.names[name] == nil {
			d.names[name] = &node{}
		}
		return err
	})
	if err != nil && f != nil {
		return nil, errors.Join(err, f.Close())
	}
	return testFile{f, d, d.names[name]}, err
}

func (d *testDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return d.do(func() error {
		delete(d.names, filepath.Base(path))
		d.dirs = slices.DeleteFunc(d.dirs, func(made string) bool { return made == path })
		return d.OSDisk.Remove(path)
	})
}

func (d *testDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(func() error {
		d.names[filepath.Base(to)] = d.names[filepath.Base(from)]
		delete(d.names, filepath.Base(from))
		return d.OSDisk.Rename(from, to)
	})
}

func (d *testDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(func() error {
		if dir == d.dir {
			d.durable = maps.Clone(d.names)
		}
		d.dirs = slices.DeleteFunc(d.dirs, func(made string) bool { return filepath.Dir(made) == dir })
		return nil
	})
}

// testFile is a file on a testDisk.
type testFile struct {
	File

	disk *testDisk
	node *node
}

func (f testFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	write := func(p []byte) (int, error) {
		if grow := int(off) + len(p) - len(f.node.now); grow > 0 {
			f.node.now = append(f.node.now, make([]byte, grow)...)
		}
		copy(f.node.now[off:], p)
		return f.File.WriteAt(p, off)
	}
	done := false
	err := f.disk.do(func() error {
		done = true
		_, err := write(p)
		return err
	})
	if done {
		return len(p), err
	}
	if f.disk.gone {
		return 0, err
	}
	n, writeErr := write(p[:min(f.disk.short, len(p))])
	return n, errors.Join(err, writeErr)
}

func (f testFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.disk.do(func() error {
		f.node.now = f.node.now[:min(size, int64(len(f.node.now)))]
		f.node.lost = f.node.lost && size > int64(len(f.node.durable))
		return f.File.Truncate(size)
	})
}

func (f testFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.syncs++
	done := false
	err := f.disk.do(func() error {
		done = true
		if !f.node.lost {
			f.node.durable = bytes.Clone(f.node.now)
		}
		return nil
	})
	f.node.lost = f.node.lost || !done && !f.disk.gone
	return err
}

// crash makes a folder with what a crash may leave, as draw decides, and a disk for it; draw returns
// a number from 0 to below n.
func (d *testDisk) crash(t *testing.T, draw func(n int) int) (string, *testDisk) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := t.TempDir()
	after := newTestDisk()
	names := slices.AppendSeq(slices.Collect(maps.Keys(d.durable)), maps.Keys(d.names))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		n := d.durable[name]
		if draw(2) == 1 {
			n = d.names[name]
		}
		if n == nil {
			continue
		}
		content := n.left(draw)
		after.names[name] = &node{now: content, durable: bytes.Clone(content)}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after.durable = maps.Clone(after.names)
	return dir, after
}

// left returns what a crash leaves of a file: what was fsynced, and anything behind that.
func (n *node) left(draw func(n int) int) []byte {
	out := bytes.Clone(n.durable)
	if bytes.HasPrefix(n.durable, n.now) {
		if draw(2) == 0 {
			return bytes.Clone(n.now) // cut, and not fsynced since
		}
		return out
	}
	rest := bytes.Clone(n.now[len(out):])
	keep := draw(len(rest) + 1)
	switch draw(4) {
	case 0:
		return append(out, rest[:keep]...)
	case 1: // zeros where data should be
		clear(rest[keep:])
	case 2: // a hole, and data behind it
		clear(rest[:keep])
	case 3:
		for i := keep; i < len(rest); i++ {
			rest[i] ^= byte(1 + draw(255))
		}
	}
	return append(out, rest...)
}
