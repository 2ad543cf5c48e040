package spool

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
	"sync"
	"testing"
)

// TestTornTail cuts the last record at every byte, or fills what is cut with zeros or garbage: the
// records before it are there, what was cut off is logged, and appending goes on.
func TestTornTail(t *testing.T) {
	last := "the last"
	for name, garble := range map[string]func(p []byte) []byte{
		"cut": func([]byte) []byte { return nil },
		"zeros": func(p []byte) []byte {
			clear(p)
			return append(p, make([]byte, 4096)...)
		},
		"garbage": func(p []byte) []byte {
			for i := range p {
				p[i] ^= 0x5a
			}
			return p
		},
	} {
		for keep := range frameSize + len(last) {
			dir := t.TempDir()
			s := opened(t, dir, nil)
			appended(t, s, strings.Repeat("x", 90), "kept")
			end := appended(t, s, last)[0]
			closed(t, s)
			path := segments(t, dir)[1]
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := len(raw) - len(last) - frameSize + keep
			raw = append(raw[:at:at], garble(slices.Clone(raw[at:]))...)
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s, err = Open(Config{Dir: dir, Segment: 100, Most: 1000, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatalf("%s after %d bytes: %v", name, keep, err)
			}
			torn := len(raw) - (at - keep)
			if want := fmt.Sprintf("bytes=%d ", torn); torn > 0 != strings.Contains(log.String(), want) ||
				torn > 0 != strings.Contains(log.String(), "level=WARN") || torn == 0 && log.Len() > 0 {
				t.Errorf("%s after %d bytes: the log %q lacks %q or is no warning", name, keep, log.String(), want)
			}
			if s.End() != end {
				t.Errorf("%s after %d bytes: the end is %d, want %d", name, keep, s.End(), end)
			}
			appended(t, s, "more")
			holds(t, s, 0, strings.Repeat("x", 90), "kept", "more")
			closed(t, s)
			s = opened(t, dir, nil)
			holds(t, s, 0, strings.Repeat("x", 90), "kept", "more")
			closed(t, s)
		}
	}
}

// TestTornMiddle has a crash leave a hole with whole records behind it: these do not come back once the
// hole is filled.
func TestTornMiddle(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	at := appended(t, s, "kept", "hole", "back")[1]
	closed(t, s)
	path := segments(t, dir)[0]
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw[headerSize+int64(at):][:frameSize+4])
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"kept"}, {"kept", "more"}} {
		s = opened(t, dir, nil)
		holds(t, s, 0, want...)
		if len(want) == 1 {
			appended(t, s, "more")
		}
		closed(t, s)
	}
}

// TestDamage changes every byte of a segment that is not the last, and of the last one's header and
// the state, or does worse: ErrCorrupt names the file.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	for range 3 {
		appended(t, s, strings.Repeat("x", 80))
	}
	if err := s.SetState(t.Context(), []byte("state")); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	files := segments(t, dir)
	check := func(name, path string) {
		t.Helper()
		s, err := Open(Config{Dir: dir, Segment: 100, Most: 1000, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			closed(t, s)
		}
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore") {
			t.Errorf("%s: %v, want ErrCorrupt that names %s and says what to do", name, err, path)
		}
	}
	for path, size := range map[string]int{
		files[0]: int(headerSize) + 88, files[1]: int(headerSize) + 88, files[2]: int(headerSize), filepath.Join(dir, stateName): 13,
	} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(raw []byte) {
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i := range size {
			bad := slices.Clone(raw)
			bad[i] ^= 1
			write(bad)
			check(fmt.Sprintf("byte %d", i), path)
			write(raw[:i])
			check(fmt.Sprintf("cut at %d", i), path)
		}
		write(raw)
	}
	if err := os.Rename(files[1], files[1]+".away"); err != nil {
		t.Fatal(err)
	}
	check("without the middle one", files[0])
	if err := os.Rename(files[0], files[0]+".away"); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir, nil) // as the error has advised
	holds(t, s, 0, strings.Repeat("x", 80))
	closed(t, s)
}

// TestDamageWhileReading meets damage that came after the spool was opened.
func TestDamageWhileReading(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	defer closed(t, s)
	appended(t, s, "good", "damaged")
	if err := os.Truncate(segments(t, dir)[0], headerSize+8+4+8+1); err != nil {
		t.Fatal(err)
	}
	got, err := records(s, 0)
	if len(got) != 1 || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("offset %d", headerSize+12)) {
		t.Errorf("%q, %v", got, err)
	}
}

// childDir names the folder of the spool that the test binary is to fill, in its environment.
const childDir = "SPOOL_TEST_CHILD"

// child appends and notes from 8 goroutines until it is killed, and prints each record that was
// acknowledged.
func child(dir string) {
	s, err := Open(Config{Dir: dir, Segment: 20_000, Most: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				record := fmt.Sprintf("%d %d %d", os.Getpid(), g, i)
				s.Note([]byte("note of " + record))
				place, err := s.Append(context.Background(), []byte(record))
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				fmt.Printf("%d %s\n", place, record)
			}
		})
	}
	wg.Wait()
}

// TestKill kills a process that appends, at several moments: each record that it had acknowledged is
// there afterwards, at its place, and all are in order and there once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make(map[string]Place)
	for round := range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 1+97*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var place Place
			var pid, g, i int
			if _, err := fmt.Sscanf(lines.Text()+"\n", "%d %d %d %d\n", &place, &pid, &g, &i); err != nil || pid != cmd.Process.Pid {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acknowledged[fmt.Sprintf("%d %d %d", pid, g, i)] = place
		}
		if err := cmd.Wait(); err == nil || lines.Err() != nil {
			t.Fatalf("the child ended by itself, %v", lines.Err())
		}
		verifyKilled(t, dir, acknowledged)
	}
}

func verifyKilled(t *testing.T, dir string, acknowledged map[string]Place) {
	t.Helper()
	s := opened(t, dir, nil)
	defer closed(t, s)
	seen := make(map[string]Place)
	next := make(map[string]int) // of each goroutine of each child
	var before Place
	for r, err := range s.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		record := string(r.Data)
		if _, twice := seen[record]; twice || r.Place < before {
			t.Errorf("%q is there twice or out of order, at %d", record, r.Place)
		}
		seen[record], before = r.Place, r.Next
		i := strings.LastIndexByte(record, ' ')
		if want := strconv.Itoa(next[record[:i]]); record[i+1:] != want {
			t.Errorf("%q comes where number %s should", record, want)
		}
		next[record[:i]]++
	}
	for record, place := range acknowledged {
		if got, ok := seen[record]; !ok || got != place {
			t.Errorf("%q was acknowledged at %d and is at %d, %t", record, place, got, ok)
		}
	}
}
