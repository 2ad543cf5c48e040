package pulse

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

func newAttendance(t *testing.T, s *store) *Attendance {
	t.Helper()
	a, err := NewAttendance(AttendanceConfig{Register: s, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// noted returns who was noted since the last call.
func (s *store) noted() []shares.Presence {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.seen
	s.seen = nil
	slices.SortFunc(out, byWorker)
	return out
}

func TestAttendance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		a := newAttendance(t, s)
		stop := run(t, a)
		time.Sleep(time.Minute)
		if s.calls != 0 {
			t.Error("the store is asked though nobody was there")
		}
		first := time.Now()
		for range 3 {
			a.Heard(verdictOf("alice", "rig", false))
		}
		sub, v := verdictOf("bob", "", false)
		late := v
		v.Share.Time = v.Share.Time.Add(time.Second)
		sub.UserAgent = "strange\n\x00 miner"
		a.Heard(sub, v)
		a.Heard(sub, late)
		a.Heard(sub, gbt.Verdict{Reason: gbt.HighHash})
		refused, _ := verdictOf("carol", "", false)
		a.Heard(refused, gbt.Verdict{Reason: gbt.StaleWork})
		a.Heard(verdictOf("dave", strings.Repeat("x", 200), false)) // not sound
		time.Sleep(attendEvery)
		synctest.Wait()
		want := []shares.Presence{
			{Account: "alice", Worker: "rig", Agent: "miner/1", Time: first},
			{Account: "bob", Agent: "strange miner", Time: first.Add(time.Second)},
		}
		if diff := cmp.Diff(want, s.noted()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		a.Heard(verdictOf("alice", "rig", false))
		stop()
		if got := s.noted(); len(got) != 1 {
			t.Errorf("%v is noted at the end, want what is left", got)
		}
	})
}

func TestAttendanceAway(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			a := newAttendance(t, s)
			run(t, a)
			s.fail(errAway, kept)
			a.Heard(verdictOf("alice", "", false))
			time.Sleep(time.Minute)
			a.Heard(verdictOf("alice", "", false))
			a.Heard(verdictOf("bob", "", false))
			last := time.Now()
			time.Sleep(time.Minute)
			s.noted()
			s.fail(nil, false)
			time.Sleep(attendEvery)
			synctest.Wait()
			got := s.noted()
			if len(got) != 2 || !got[0].Time.Equal(last) || got[1].Account != "bob" {
				t.Errorf("kept=%t: %v is noted, want the last of both", kept, got)
			}
		})
	}
}

func TestAttendanceMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		a := newAttendance(t, s)
		run(t, a)
		s.fail(errAway, false)
		var all sync.WaitGroup
		for part := range 4 {
			all.Go(func() {
				for n := range maxAttending/4 + 10 {
					a.Heard(verdictOf("alice", fmt.Sprint(part, ".", n), false))
				}
			})
		}
		all.Wait()
		if got := count(t, a.dropped); got != 40 {
			t.Errorf("%v are counted as dropped, want 40", got)
		}
		time.Sleep(attendEvery)
		s.fail(nil, false)
		time.Sleep(attendEvery)
		synctest.Wait()
		if got := s.noted(); len(got) != maxAttending {
			t.Errorf("%d are noted, want %d", len(got), maxAttending)
		}
	})
}

func TestNewAttendance(t *testing.T) {
	if _, err := NewAttendance(AttendanceConfig{}); err == nil {
		t.Error("an Attendance of nothing")
	}
}
