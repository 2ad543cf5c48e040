package spool

import (
	"bytes"
	"log/slog"
	"testing"
)

// hotSpool is a spool with room for everything.
func hotSpool(tb testing.TB) *Spool {
	tb.Helper()
	s, err := Open(Config{Dir: tb.TempDir(), Segment: 64 << 20, Most: 1 << 40, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// BenchmarkNote notes a share that is in the ledger, which waits for no disk.
func BenchmarkNote(b *testing.B) {
	s, record := hotSpool(b), bytes.Repeat([]byte("x"), 400)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		s.Note(record)
	}
}
