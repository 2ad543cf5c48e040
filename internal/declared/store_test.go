package declared

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/storetest"
)

var _ gbt.SetStore = (*Store)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestContract holds the store to what every one has to do.
func TestContract(t *testing.T) {
	storetest.SetStoreContract(t, func() gbt.SetStore {
		s, err := Open(Config{Dir: t.TempDir(), Bytes: 4_000_000, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closed(t, s) })
		return s
	})
}

func open(t *testing.T, dir string, log *bytes.Buffer) *Store {
	t.Helper()
	if log == nil {
		log = new(bytes.Buffer)
	}
	s, err := Open(Config{Dir: dir, Bytes: 1000, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func appended(t *testing.T, s *Store, previous chainhash.Hash, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := s.Append(t.Context(), previous, []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

func holds(t *testing.T, s *Store, previous chainhash.Hash, want ...string) {
	t.Helper()
	records, err := s.Records(t.Context(), previous, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, string(r))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records on %s: %s", previous, diff)
	}
}

// TestStore keeps records by block and in order, over a restart too.
func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "declared")
	one, two := chainhash.Hash{1}, chainhash.Hash{2}
	s := open(t, dir, nil)
	holds(t, s, one)
	appended(t, s, one, "a", "", "bc")
	appended(t, s, two, "d")
	holds(t, s, one, "a", "", "bc")
	closed(t, s)

	s = open(t, dir, nil)
	appended(t, s, one, "e")
	holds(t, s, one, "a", "", "bc", "e")
	holds(t, s, two, "d")
	if err := s.Keep(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	holds(t, s, one)
	holds(t, s, two, "d")
	appended(t, s, one, "again")
	holds(t, s, one, "again")
	closed(t, s)

	s = open(t, dir, nil)
	defer closed(t, s)
	if err := s.Keep(t.Context()); err != nil { // files that this process has not opened
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want the lock alone", len(entries), err)
	}
}

// TestStoreCrash cuts the file at every byte, as a crash does: whole records stay, and the next one
// is not lost behind what is left of the last.
func TestStoreCrash(t *testing.T) {
	whole := append(frame([]byte("first")), frame([]byte("second"))...)
	first := len(frame([]byte("first")))
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		path := filepath.Join(dir, chainhash.Hash{1}.String()+suffix)
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := open(t, dir, &log)
		want := []string{"next"}
		if cut >= first {
			want = []string{"first", "next"}
		}
		if cut == len(whole) {
			want = []string{"first", "second", "next"}
		}
		appended(t, s, chainhash.Hash{1}, "next")
		holds(t, s, chainhash.Hash{1}, want...)
		closed(t, s)
		s = open(t, dir, nil)
		holds(t, s, chainhash.Hash{1}, want...)
		closed(t, s)
		if torn := cut != 0 && cut != first && cut != len(whole); torn != strings.Contains(log.String(), "damaged") {
			t.Errorf("cut at %d: the log says %q", cut, log.String())
		}
	}
}

// TestStoreDamage flips each bit of a file: no damaged record is taken for a good one.
func TestStoreDamage(t *testing.T) {
	whole := append(frame([]byte("first")), frame([]byte("second"))...)
	for bit := range 8 * len(whole) {
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		for _, record := range first(unframe(damaged)) {
			if string(record) != "first" {
				t.Fatalf("bit %d flipped: %q", bit, record)
			}
		}
	}
}

func first(records [][]byte, _ int) [][]byte { return records }

// TestStoreSetsAside damages a record in the middle: reading ends before it, what follows is not
// thrown away until the block is gone, and the next record is kept.
func TestStoreSetsAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, chainhash.Hash{1}.String())
	bad := frame([]byte("second"))
	bad[frameSize]++
	bad = append(bad, frame([]byte("third"))...)
	if err := os.WriteFile(path+suffix, append(frame([]byte("first")), bad...), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := open(t, dir, &log)
	holds(t, s, chainhash.Hash{1}, "first")
	appended(t, s, chainhash.Hash{1}, "fourth")
	closed(t, s)
	s = open(t, dir, nil)
	defer closed(t, s)
	holds(t, s, chainhash.Hash{1}, "first", "fourth")
	if aside, err := os.ReadFile(path + damagedSuffix); err != nil || !bytes.Equal(aside, bad) {
		t.Errorf("%q was set aside, %v; want %q", aside, err, bad)
	}
	if !strings.Contains(log.String(), path+damagedSuffix) {
		t.Errorf("the log does not say where the damaged records are: %s", log.String())
	}
	if err := s.Keep(t.Context(), chainhash.Hash{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + damagedSuffix); err != nil {
		t.Errorf("while the block is kept: %v", err)
	}
	if err := s.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + damagedSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("when the block is gone: %v", err)
	}
}

// TestStoreFull refuses what is over a bound, says what to change, and keeps the rest usable.
func TestStoreFull(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Bytes: 1000, Total: 1500, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	one, two := chainhash.Hash{1}, chainhash.Hash{2}
	refused := func(previous chainhash.Hash) {
		t.Helper()
		err := s.Append(t.Context(), previous, make([]byte, 100))
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "declared_memory") {
			t.Errorf("error %v, want ErrFull and the setting to change", err)
		}
	}
	appended(t, s, one, strings.Repeat("x", 900))
	refused(one)
	appended(t, s, one, "small")
	appended(t, s, two, strings.Repeat("y", 500)) // which leaves less in all than for the block
	refused(two)
	holds(t, s, one, strings.Repeat("x", 900), "small")
	holds(t, s, two, strings.Repeat("y", 500))
	if err := s.Keep(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	appended(t, s, two, strings.Repeat("z", 400))
	holds(t, s, two, strings.Repeat("y", 500), strings.Repeat("z", 400))
}

// TestStoreClosed refuses all when it is closed, and leaves the files to who opens them next.
func TestStoreClosed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	appended(t, s, chainhash.Hash{1}, "kept")
	closed(t, s)
	closed(t, s)
	for name, call := range map[string]func() error{
		"Append":  func() error { return s.Append(t.Context(), chainhash.Hash{1}, nil) },
		"Records": func() error { _, err := s.Records(t.Context(), chainhash.Hash{2}, 0); return err },
		"Keep":    func() error { return s.Keep(t.Context()) },
	} {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want os.ErrClosed", name, err)
		}
	}
	s = open(t, dir, nil)
	defer closed(t, s)
	holds(t, s, chainhash.Hash{1}, "kept")
}

// TestOpen needs a folder of its own.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if _, err := Open(Config{Dir: dir, Bytes: 1, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	closed(t, s)
	closed(t, open(t, dir, nil))
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("without log and bound: no error")
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: blocked, Bytes: 1, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("where a file is: no error")
	}
}

// FuzzRecords reads anything as a file: what is read is what would be written.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(frame([]byte("first")), frame([]byte("second"))...))
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, whole := unframe(raw)
		var again []byte
		for _, r := range records {
			again = append(again, frame(r)...)
		}
		if !bytes.Equal(again, raw[:whole]) {
			t.Errorf("%x is read as %x", raw[:whole], again)
		}
	})
}
