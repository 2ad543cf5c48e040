package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/shares"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// filledLedger makes a ledger with some shares and a block.
func filledLedger(t *testing.T) ledgerFlags {
	t.Helper()
	server := redisserver.New(t, redisserver.Config{})
	flags := ledgerFlags{Pool: config.Pool{Chain: "regtest", Redis: server.URL(), RedisPrefix: "pool", RedisSlow: time.Second}}
	s, _ := paper(false)
	initialise := ledgerInitCmd{ledgerFlags: flags, Partitions: 2}
	if err := initialise.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	target, err := gbt.TargetFromBits(0x207fffff)
	if err != nil {
		t.Fatal(err)
	}
	err = flags.with(t.Context(), func(l *redisstore.Ledger) error {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		var err error
		for i := range 20 {
			s := &shares.Share{Account: []string{"alice", "bob"}[i%2], Worker: "rig", Weight: 1500, Target: target, Height: 5, Time: time.Now()}
			binary.LittleEndian.PutUint64(s.Hash[:], uint64(i+1))
			if i == 10 {
				s.Found = &shares.Found{Bits: 0x207fffff, Value: 50, Paid: 50, Window: 10}
			}
			_, recordErr := l.Record(ctx, s)
			err = errors.Join(err, recordErr)
		}
		stop()
		return errors.Join(err, <-done)
	})
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

// match fails unless a text is as a pattern says, from begin to end.
func match(t *testing.T, pattern, text string) {
	t.Helper()
	if !regexp.MustCompile(`^` + pattern + `$`).MatchString(text) {
		t.Errorf("it prints\n%s\nwant\n%s", text, pattern)
	}
}

// TestLedgerExport exports a ledger and reads what is said of that and of the file.
func TestLedgerExport(t *testing.T) {
	flags := filledLedger(t)
	path := filepath.Join(t.TempDir(), "ledger.jsonl.zst")
	export := ledgerExportCmd{ledgerFlags: flags, File: path}
	s, buf := paper(false)
	if err := export.Run(t.Context(), s, errScreen{s}); err != nil {
		t.Fatal(err)
	}
	match(t, `exported ledger [0-9a-f]{32}: 20 shares of 30\.0 kH
SHA-256 of its 33 lines [0-9a-f]{64}
[0-9.]+ k?B in [0-9.]+m?s
check it anywhere with: gbtpool ledger verify .*/ledger\.jsonl\.zst
`, buf.String())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	s, buf = paper(false)
	if err := (&ledgerVerifyCmd{File: path}).Run(t.Context(), s, errScreen{s}); err != nil {
		t.Fatal(err)
	}
	match(t, `ledger [0-9a-f]{32} for chain regtest, made \S+Z, exported \S+Z
partition        shares     in detail   accounts  work
        0            10            10          1  15\.0 kH
        1            10            10          1  15\.0 kH
1 block; SHA-256 of its 33 lines [0-9a-f]{64}
export of ledger [0-9a-f]{32} is sound: 20 shares of 30\.0 kH
`, buf.String())

	// A second one does not replace the first unless it is told to.
	if err := export.Run(t.Context(), s, errScreen{s}); err == nil || !strings.Contains(err.Error(), "is there already: name another file, or replace it with --force") {
		t.Errorf("exporting into the same file: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("the file has changed (%v)", err)
	}
	export.Force = true
	if err := export.Run(t.Context(), s, errScreen{s}); err != nil {
		t.Error(err)
	}
	export.File = filepath.Dir(path)
	if err := export.Run(t.Context(), s, errScreen{s}); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("exporting into a folder: %v", err)
	}
	alone(t, path)
}

// alone fails if there are other files beside one.
func alone(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Name() != filepath.Base(path) {
		t.Errorf("there are files %v, want %s alone", files, filepath.Base(path))
	}
}

// TestLedgerVerifyFaults verifies a file that was changed, one that was cut off, and none.
func TestLedgerVerifyFaults(t *testing.T) {
	flags := filledLedger(t)
	path := filepath.Join(t.TempDir(), "ledger.jsonl.zst")
	s, _ := paper(false)
	if err := (&ledgerExportCmd{ledgerFlags: flags, File: path}).Run(t.Context(), s, errScreen{s}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"changed": {reweighed(t, whole), `(?s).*
        0            10            10          1  15\.4 kH
  ✗ line 8: the round of block [0-9a-f]{64} is said to weigh 7500, its shares weigh 7900
.*  ✗ line 34: its SHA-256 is [0-9a-f]{64}, that of the lines is [0-9a-f]{64}, so the file was changed
export of ledger [0-9a-f]{32} is not sound: \d+ faults; do not rely on it, make another one or copy it again
`},
		"cut off": {whole[:len(whole)-20], `(?s).*  ✗ it is cut off after \d+ lines: copy it again, or make it again
export.* is not sound: 1 fault; .*
`},
		"something else": {[]byte("account,weight\n"), `  ✗ this is no zstd file: name one that gbtpool ledger export made
export is not sound: 1 fault; .*
`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			s, buf := paper(false)
			if err := (&ledgerVerifyCmd{File: path}).Run(t.Context(), s, errScreen{s}); !errors.Is(err, errSilent) {
				t.Errorf("it ends with %v", err)
			}
			match(t, tt.want, buf.String())
		})
	}
	if err := (&ledgerVerifyCmd{File: path + ".no"}).Run(t.Context(), s, errScreen{s}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := (&ledgerVerifyCmd{File: filepath.Dir(path)}).Run(t.Context(), s, errScreen{s}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a folder: %v", err)
	}
}

// reweighed changes the weight of one share.
func reweighed(t *testing.T, file []byte) []byte {
	t.Helper()
	in, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	text, err := in.DecodeAll(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // it writes nowhere
	return out.EncodeAll(bytes.Replace(text, []byte(`"weight":"1500"`), []byte(`"weight":"1900"`), 1), nil)
}

// TestLedgerExportFails leaves no file behind.
func TestLedgerExportFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl.zst")
	c := ledgerExportCmd{File: path}
	broken := errors.New("redis is away")
	_, err := c.write(io.Discard, func(w io.Writer) error {
		if _, err := w.Write([]byte("half of it")); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("it ends with %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) > 0 {
		t.Errorf("there is %v (%v)", files, err)
	}
	// What somebody else has made meanwhile stays.
	_, err = c.write(io.Discard, func(io.Writer) error { return os.WriteFile(path, []byte("theirs"), 0o600) })
	if err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("it ends with %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "theirs" {
		t.Errorf("the other's file is %q (%v)", text, err)
	}
	alone(t, path)
	var out bytes.Buffer
	size, err := (&ledgerExportCmd{File: "-"}).write(&out, func(w io.Writer) error {
		_, err := w.Write([]byte("all"))
		return err
	})
	if err != nil || size != 3 || out.String() != "all" {
		t.Errorf("standard output has %q of %d bytes (%v)", out.String(), size, err)
	}
	flags := ledgerFlags{Pool: config.Pool{Chain: "regtest", Redis: "redis://127.0.0.1:1/0", RedisPrefix: "pool", RedisSlow: time.Second}}
	s, _ := paper(false)
	err = (&ledgerExportCmd{ledgerFlags: flags, File: path + ".new"}).Run(t.Context(), s, errScreen{s})
	if !errors.Is(err, shares.ErrAway) {
		t.Errorf("without a redis it ends with %v", err)
	}
}

// TestStatusLine has a line rewritten on a terminal, now and then, and nothing printed elsewhere.
func TestStatusLine(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		s, buf := paper(terminal)
		line := newStatusLine(s)
		line.show("too soon")
		line.shown = line.shown.Add(-statusEvery)
		line.show("half")
		line.show("too soon")
		line.clear()
		want := "\r\x1b[Khalf\r\x1b[K"
		if !terminal {
			want = ""
		}
		if buf.String() != want {
			t.Errorf("on a terminal: %t, it prints %q", terminal, buf.String())
		}
	}
	start := time.Now().Add(-10 * time.Second)
	match(t, `25 %, 12\.3 k shares, 1\.2\d k a second, 30s to go`, pace(1, 4, 12345, start))
	match(t, `500 shares, \d\d a second`, pace(500, 0, 500, start))
}
