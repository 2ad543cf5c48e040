package spool

import (
	"bytes"
	"testing"

	"github.com/gbtpool/gbtpool/test/allocs"
)

// TestAllocations holds what a record takes to what it may allocate.
func TestAllocations(t *testing.T) {
	s, record := hotSpool(t), bytes.Repeat([]byte("x"), 400)
	allocs.Check(t, []allocs.Bound{
		{Path: "append alone", Most: 12, Bytes: 2 << 10, Why: "each share while the ledger is away: its frame, and its part of a write", Run: func() {
			if _, err := s.Append(t.Context(), record); err != nil {
				t.Error(err)
			}
		}},
		{Path: "note", Most: 6, Bytes: 2 << 10, Why: "each share", Run: func() { s.Note(record) }},
	})
}
