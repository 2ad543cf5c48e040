package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// model is what a spool must hold, beside one on a disk that fails and crashes.
type model struct {
	t    *testing.T
	dir  string
	disk *testDisk
	s    *Spool

	serial int
	// kept are the records that must be there, in order: those that were confirmed or read. maybe
	// are those that may be, each once.
	kept   []Record
	maybe  map[string]bool
	states [][]byte // those that may be found, the last first
	oldest Place    // what is before may be gone
	end    Place    // the highest ever seen
}

func (m *model) open(t *rapid.T) {
	s, err := Open(Config{Dir: m.dir, Segment: 120, Most: 2000, Disk: m.disk, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
}

// record makes up a record that there is none like.
func (m *model) record(t *rapid.T) []byte {
	m.serial++
	return fmt.Appendf(nil, "%d %s", m.serial, bytes.Repeat([]byte("x"), rapid.SampledFrom([]int{0, 10, 60, 130}).Draw(t, "size")))
}

func (m *model) append(t *rapid.T) {
	rec := m.record(t)
	fits := m.s.Bytes()+frameSize+int64(len(rec)) <= 2000
	place, err := m.s.Append(m.t.Context(), rec)
	m.s.flusher.Wait()
	switch {
	case err == nil && fits:
		m.kept = append(m.kept, Record{place, place + Place(frameSize+len(rec)), rec})
		if err := m.s.Healthy(); err != nil {
			t.Fatalf("after an append: %v", err)
		}
	case errors.Is(err, ErrFull) && !fits:
	case err != nil && fits && m.disk.struck():
		m.maybe[string(rec)] = true
	default:
		t.Fatalf("room: %t, error %v", fits, err)
	}
}

func (m *model) note(t *rapid.T) {
	rec := m.record(t)
	m.maybe[string(rec)] = true
	m.s.Note(rec)
	m.s.flusher.Wait()
}

func (m *model) release(t *rapid.T) {
	before := m.s.End()
	if len(m.kept) > 0 {
		before = rapid.SampledFrom(m.kept).Draw(t, "before").Place
	}
	m.oldest = max(m.oldest, before)
	if err := m.s.Release(before); err != nil && !m.disk.struck() {
		t.Fatal(err)
	}
}

func (m *model) setState(t *rapid.T) {
	state := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "state")
	err := m.s.SetState(m.t.Context(), state)
	if err != nil {
		if !m.disk.struck() || !bytes.Equal(m.s.State(), m.states[0]) {
			t.Fatalf("state %x, want %x, %v", m.s.State(), m.states[0], err)
		}
		m.states = append(m.states, state)
		return
	}
	m.states = [][]byte{state}
}

// fault makes a step of the disk fail, soon.
func (m *model) fault(t *rapid.T) {
	m.disk.arm(rapid.IntRange(1, 6).Draw(t, "step"), rapid.Bool().Draw(t, "stored"), false, rapid.IntRange(0, 20).Draw(t, "short"))
}

func (m *model) reopen(t *rapid.T) {
	m.disk.arm(0, false, false, 0)
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	m.found(t)
}

// kill ends the process, and nothing else.
func (m *model) kill(t *rapid.T) {
	m.stop()
	m.disk.kill(false)
	m.disk.arm(0, false, false, 0)
	m.open(t)
	m.found(t)
}

// stop keeps the spool from leaving anything behind.
func (m *model) stop() {
	m.disk.kill(true)
	if err := m.s.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		m.t.Fatal(err)
	}
}

func (m *model) crash(t *rapid.T) {
	dir, disk := m.disk.crash(m.t, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "left") })
	m.stop()
	m.dir, m.disk = dir, disk
	m.open(t)
	m.found(t)
}

// found looks at the state after a restart.
func (m *model) found(t *rapid.T) {
	for _, state := range m.states {
		if bytes.Equal(state, m.s.State()) {
			m.states = [][]byte{state}
			return
		}
	}
	t.Fatalf("state %x, want one of %x", m.s.State(), m.states)
}

// check reads all. What was read must be there from then on.
func (m *model) check(t *rapid.T) {
	oldest := m.s.Oldest()
	if oldest > m.oldest {
		t.Fatalf("oldest is %d, released was up to %d", oldest, m.oldest)
	}
	for len(m.kept) > 0 && m.kept[0].Place < oldest {
		m.maybe[string(m.kept[0].Data)] = true // a crash may bring it back
		m.kept = m.kept[1:]
	}
	var read []Record
	want, at := m.kept, oldest
	for r, err := range m.s.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Place != at {
			t.Fatalf("a record at %d, want one at %d", r.Place, at)
		}
		at = r.Next
		read = append(read, r)
		switch {
		case len(want) > 0 && want[0].Place == r.Place && bytes.Equal(want[0].Data, r.Data):
			want = want[1:]
		case m.maybe[string(r.Data)]:
			delete(m.maybe, string(r.Data))
		default:
			t.Fatalf("%q at %d is nobody's", r.Data, r.Place)
		}
	}
	m.s.flusher.Wait()
	if len(want) > 0 || at != m.s.End() || at < m.end {
		t.Fatalf("the log ends at %d, said %d, before %d; missing are %v", at, m.s.End(), m.end, want)
	}
	m.kept, m.end = read, at
	if got := m.s.Bytes(); got != int64(at-oldest) {
		t.Fatalf("%d bytes, want %d", got, at-oldest)
	}
}

// TestModel takes any course of appends, notes, releases, states, faults, restarts and crashes: what
// was confirmed or read is there from then on, in order, once, at its place, until it is released.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: t, dir: filepath.Join(t.TempDir(), "new"), disk: newTestDisk(), maybe: map[string]bool{}, states: [][]byte{nil}}
		m.open(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append too": m.append, "note": m.note, "release": m.release, "state": m.setState,
			"fault": m.fault, "reopen": m.reopen, "kill": m.kill, "crash": m.crash, "check": m.check,
		})
		m.disk.arm(0, false, false, 0)
		m.check(rt)
		if err := m.s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
