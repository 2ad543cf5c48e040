package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/payouts"
)

// childVariable has this test binary append for ever, to a folder.
const childVariable = "GBTPOOL_TEST_MIRROR"

// files returns the mirror's files, oldest first.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	out, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(out) == 0 {
		tb.Fatalf("files %q, %v", out, err)
	}
	slices.Sort(out)
	return out
}

// copied copies the files of a folder into a new one.
func copied(tb testing.TB, dir string) string {
	tb.Helper()
	to := tb.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// TestCutAnywhere cuts the last file at every byte of the last record: the record is there as a whole or
// not at all, and can be appended again.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	all := chain(t, 3)
	whole := t.TempDir()
	m := opened(t, config(whole))
	appended(t, m, all[:2]...)
	closed(t, m)
	last := files(t, whole)[len(files(t, whole))-1]
	before, err := os.ReadFile(filepath.Clean(last))
	if err != nil {
		t.Fatal(err)
	}
	m = opened(t, config(whole))
	appended(t, m, all[2])
	closed(t, m)
	raw, err := os.ReadFile(filepath.Clean(last))
	if err != nil || !bytes.HasPrefix(raw, before) || len(raw) == len(before) {
		t.Fatalf("%d bytes after %d, %v", len(raw), len(before), err)
	}
	for size := len(before); size <= len(raw); size++ {
		for _, rest := range [][]byte{nil, make([]byte, 100)} {
			if rest != nil && size%9 != 0 {
				continue // it takes its time
			}
			dir := copied(t, whole)
			at := filepath.Join(dir, filepath.Base(last))
			if err := os.WriteFile(at, append(raw[:size:size], rest...), 0o600); err != nil {
				t.Fatal(err)
			}
			m := opened(t, config(dir))
			want := all[:2]
			if size == len(raw) {
				want = all
			}
			holds(t, m, want)
			appended(t, m, all[len(want):]...)
			holds(t, m, all)
			closed(t, m)
			m = opened(t, config(dir))
			holds(t, m, all)
			closed(t, m)
		}
	}
}

// TestCutPieces cuts a mirror between, and in, the pieces of a large record.
func TestCutPieces(t *testing.T) {
	t.Parallel()
	all := chain(t, 4, 2)
	whole := t.TempDir()
	m := opened(t, config(whole))
	appended(t, m, all[:3]...)
	closed(t, m)
	list := files(t, whole)
	if len(list) < 3 {
		t.Fatalf("the large record is in %d files", len(list))
	}
	for i := range 2 { // the last files, each with one piece
		for _, cut := range []int64{0, 1, 1000} {
			dir := copied(t, whole)
			for _, name := range list[len(list)-i:] {
				if err := os.Remove(filepath.Join(dir, filepath.Base(name))); err != nil {
					t.Fatal(err)
				}
			}
			at := filepath.Join(dir, filepath.Base(list[len(list)-1-i]))
			info, err := os.Stat(at)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(at, info.Size()-cut); err != nil {
				t.Fatal(err)
			}
			m := opened(t, config(dir))
			if i+int(cut) == 0 {
				holds(t, m, all[:3])
			} else {
				holds(t, m, all[:2])
				appended(t, m, all[2])
			}
			appended(t, m, all[3])
			holds(t, m, all)
			closed(t, m)
			m = opened(t, config(dir))
			holds(t, m, all)
			closed(t, m)
		}
	}
}

// TestDamage changes a byte in the middle of each file, or removes one. In any but the newest the mirror is
// not to be trusted; in the newest it ends before, and what was there is kept aside.
func TestDamage(t *testing.T) {
	all := chain(t, 60)
	whole := t.TempDir()
	m := opened(t, config(whole))
	appended(t, m, all...)
	closed(t, m)
	list := files(t, whole)
	if len(list) < 3 {
		t.Fatalf("%d files", len(list))
	}
	for i, name := range list {
		dir := copied(t, whole)
		at := filepath.Join(dir, filepath.Base(name))
		raw, err := os.ReadFile(filepath.Clean(at))
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(at, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		cfg := config(dir)
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		m, err := open(t.Context(), cfg, 4096)
		if i < len(list)-1 {
			if !errors.Is(err, spool.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(name)) {
				t.Errorf("file %d: error %v, want ErrCorrupt and its name", i, err)
			}
			continue
		}
		if err != nil || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), ".damaged") {
			t.Fatalf("the newest file: %v; the log says %q", err, log.String())
		}
		holds(t, m, all[:m.Head().Seq])
		appended(t, m, all[m.Head().Seq:]...)
		holds(t, m, all)
		closed(t, m)
	}
	for i, name := range list[:len(list)-1] {
		dir := copied(t, whole)
		if err := os.Remove(filepath.Join(dir, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t.Context(), config(dir), 4096); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("without file %d: error %v, want ErrCorrupt", i, err)
		}
	}
}

// TestDamagedMeanwhile damages a file of an open mirror.
func TestDamagedMeanwhile(t *testing.T) {
	all := chain(t, 60)
	m := opened(t, config(t.TempDir()))
	appended(t, m, all...)
	at := files(t, m.cfg.Dir)[1]
	raw, err := os.ReadFile(filepath.Clean(at))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(at, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range m.Records(1) {
		last = err
	}
	if !errors.Is(last, spool.ErrCorrupt) {
		t.Fatalf("error %v, want ErrCorrupt", last)
	}
}

// failing is a disk that fails at some write or fsync, once, after it was done or instead.
type failing struct {
	spool.OSDisk
	left  int // until it fails
	after bool
}

func (d *failing) Open(path string, flag int) (spool.File, error) {
	f, err := d.OSDisk.Open(path, flag)
	return &failingFile{f, d}, err
}

// fail runs something, or fails.
func (d *failing) fail(do func() error) error {
	d.left--
	if d.left != 0 {
		return do()
	}
	if d.after {
		return errors.Join(errors.New("broken"), do())
	}
	return errors.New("broken")
}

type failingFile struct {
	spool.File
	disk *failing
}

func (f *failingFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.disk.fail(func() error {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

func (f *failingFile) Sync() error { return f.disk.fail(f.File.Sync) }

// TestDiskFails has each write and each fsync of the disk fail, once. The append that fails is tried again,
// and all records are there once.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	all := chain(t, 4, 2)
	for _, after := range []bool{false, true} {
		failed := true
		for n := 1; failed; n++ {
			failed = false
			disk := &failing{after: after}
			cfg := config(t.TempDir())
			cfg.Disk = disk
			m := opened(t, cfg)
			disk.left = n
			for _, r := range all {
				if err := m.Append(t.Context(), r); err != nil {
					failed = true
					appended(t, m, r)
				}
			}
			if m.Head() != headOf(t, all[len(all)-1]) {
				t.Fatalf("the head is %d", m.Head().Seq)
			}
			closed(t, m)
			m = opened(t, config(cfg.Dir))
			holds(t, m, all)
			closed(t, m)
			if n > 100 {
				t.Fatal("it fails for ever")
			}
			if !failed && n < 10 {
				t.Fatalf("only %d writes", n)
			}
		}
	}
}

// slow is a disk whose fsyncs wait.
type slow struct {
	spool.OSDisk
	waits chan struct{} // tells that one waits; nil if none has to
	goOn  chan struct{}
}

func (d *slow) Open(path string, flag int) (spool.File, error) {
	f, err := d.OSDisk.Open(path, flag)
	return &slowFile{f, d}, err
}

type slowFile struct {
	spool.File
	disk *slow
}

func (f *slowFile) Sync() error {
	if f.disk.waits != nil {
		f.disk.waits <- struct{}{}
		<-f.disk.goOn
	}
	return f.File.Sync()
}

// TestAppendGivenUp has an append be given up while the disk works. The record is there in the end, once.
func TestAppendGivenUp(t *testing.T) {
	all := chain(t, 3)
	disk := new(slow)
	cfg := config(t.TempDir())
	cfg.Disk = disk
	m := opened(t, cfg)
	appended(t, m, all[0])
	disk.waits, disk.goOn = make(chan struct{}), make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-disk.waits
		giveUp()
	}()
	if err := m.Append(ctx, all[1]); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want Canceled", err)
	}
	disk.waits = nil // whoever waits has read it
	close(disk.goOn)
	other := *all[1]
	other.By = "somebody else"
	if err := m.Append(t.Context(), &other); !errors.Is(err, payouts.ErrDiverged) {
		t.Fatalf("another one: error %v, want ErrDiverged", err)
	}
	appended(t, m, all[1:]...)
	holds(t, m, all)
	closed(t, m)
	holds(t, opened(t, config(cfg.Dir)), all)
}

// appendForEver is the child of TestKill. It says what it has appended.
func appendForEver(dir string) {
	cfg := config(dir)
	m, err := open(context.Background(), cfg, 1<<16)
	for err == nil {
		head := m.Head()
		r := &payouts.Record{Seq: head.Seq + 1, Previous: head.Hash, Key: strconv.FormatUint(head.Seq, 10), Kind: payouts.KindBook, By: "child"}
		if head.Seq%5 == 0 {
			r.Sets = []payouts.Set{{Table: "t", Field: "f", Value: strings.Repeat(strconv.FormatUint(head.Seq, 10), 1000)}}
		}
		if err = m.Append(context.Background(), r); err == nil {
			fmt.Println(m.Head().Seq, m.Head().Hash)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// TestKill kills a process that appends, again and again. What it has said is there.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	said := make(map[uint64]string)
	for round := range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			number, hash, _ := strings.Cut(lines.Text(), " ")
			seq, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			said[seq] = hash
			if i == 20+7*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		m := opened(t, config(dir))
		count := 0
		for r, err := range m.Records(0) {
			if err != nil {
				t.Fatal(err)
			}
			if hash, ok := said[r.Seq]; ok && hash == headOf(t, r).Hash.String() {
				count++
			}
		}
		if count != len(said) {
			t.Fatalf("round %d: %d of %d records are there", round, count, len(said))
		}
		closed(t, m)
	}
}
