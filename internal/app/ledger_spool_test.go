package app

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/gbtpool/gbtpool/internal/spool"
)

// TestNotesLeaveRoom notes much more than there is room for, and then has something that must be kept.
func TestNotesLeaveRoom(t *testing.T) {
	const most = 64 << 10
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), Segment: most / 16, Most: most, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	kept := spooled{s, most / 2}
	for range 2 * most / 100 {
		kept.Note(make([]byte, 100))
		if err := kept.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(kept.Append(t.Context(), make([]byte, most/8)), s.Close()); err != nil {
		t.Errorf("after many notes: %v", err)
	}
}
