package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestProfile takes a profile of gateways that were there before something is measured, and of those that it starts.
func TestProfile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l := newLab(t, "-profile", dir)
	if err := ready(l.options); err != nil {
		t.Fatal(err)
	}
	node, err := l.startNode(t.Context(), hardBits)
	if err != nil {
		t.Fatal(err)
	}
	start := func() error {
		g, err := l.gateway(t.Context(), gatewayConfig{node: node})
		if err == nil {
			_, err = templateID(t.Context(), g.addr)
		}
		return err
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	want := func(names ...string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != len(names) {
			t.Fatalf("there are %q, %v, want %q", files, err, names)
		}
		for _, name := range names {
			checkProfile(t, filepath.Join(dir, name))
		}
	}
	want() // nothing was measured
	if err := l.measured(func() error { return l.within(start) }); err != nil {
		t.Fatal(err)
	}
	want("TestProfile-1.prof", "TestProfile-2.prof")
	// The second gateway has ended.
	if err := l.measured(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	want("TestProfile-1.prof", "TestProfile-2.prof", "TestProfile-3.prof")
}

// checkProfile looks whether a file is a CPU profile.
func checkProfile(t *testing.T, path string) {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	raw, err := io.ReadAll(in)
	if err != nil || !bytes.Contains(raw, []byte("nanoseconds")) {
		t.Errorf("%s is no CPU profile: %v", path, err)
	}
}

// TestNoProfile shows that without the option a gateway has no listener for it.
func TestNoProfile(t *testing.T) {
	l := newLab(t)
	node, err := l.startNode(t.Context(), hardBits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.gateway(t.Context(), gatewayConfig{node: node}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(l.dir, "*-gbtpool.yaml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("admin_listen: \"\"\n")) || len(l.profilers) != 0 {
		t.Errorf("%d are profiled, with the settings\n%s", len(l.profilers), text)
	}
}
