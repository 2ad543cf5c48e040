package main

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// newLab makes a lab that is ended with the test.
func newLab(t *testing.T, args ...string) *lab {
	t.Helper()
	o, err := parseOptions(append([]string{"-smoke"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBuild(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{options: o, build: b, dir: t.TempDir(), name: t.Name(), progress: io.Discard, started: time.Now()}
	t.Cleanup(func() {
		if err := l.end(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestEarly looks whether early templates are told from the node's, with a gateway that gives them out and one that does
// not.
func TestEarly(t *testing.T) {
	l := newLab(t)
	const making = time.Second
	n, err := l.announcing(t.Context(), making)
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.hear(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The node's time begins a moment before it tells of the block.
	if h.early <= 0 || h.early >= h.node || h.node < making/2 || h.full < h.node {
		t.Errorf("heard %+v of a node that takes %s", h, making)
	}
	// What is measured from the node's answer on is the full template, and not what came before it.
	if _, err := n.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent, err := capture(t.Context(), n.g.addr, n.g.login, "identity", askTemplate(""))
	if err != nil {
		t.Fatal(err)
	}
	expected := &news{captured: sent}
	took, came, err := l.firstByte(t.Context(), n, expected, "identity")
	if err != nil || !came || took <= 0 || expected.short.Load() == 0 {
		t.Errorf("after %s and %d early templates the full one came: %t, %v", took, expected.short.Load(), came, err)
	}

	late, err := l.announcing(t.Context(), 0, "early_template: false\n")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := late.hear(t.Context()); err == nil {
		t.Errorf("heard %+v of a gateway without early templates", h)
	}
}

// TestNewsEarly tells templates without transactions from others by their lengths, in any encoding.
func TestNewsEarly(t *testing.T) {
	n := &news{captured: captured{body: make([]byte, 100_000)}}
	for length, want := range map[int]bool{100_000: false, 30_000: false, 1400: true, 0: false} {
		if got := n.early(&answer{status: http.StatusOK, length: length}); got != want {
			t.Errorf("%d bytes are an early template: %t, want %t", length, got, want)
		}
	}
	if n.early(&answer{status: http.StatusServiceUnavailable, length: 1400}) || n.short.Load() != 1 {
		t.Errorf("%d early templates are counted, want 1", n.short.Load())
	}
}
