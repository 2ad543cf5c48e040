package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/internal/storetest"
)

// FuzzEventID has each id that is read be written as it was.
func FuzzEventID(f *testing.F) {
	for _, id := range []string{"", "0-0", "1700000000000-3", "-1-1", "1--1", "+1-1", "01-1", "9223372036854775808-0"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		at, err := eventPlace(id)
		if err == nil && id != "" && (at.String() != id || at.Millis < 0 || at.Seq < 0) {
			t.Errorf("%q is read as %s", id, at)
		}
	})
}

// TestWatchedAreFew has those go first that would first, when too many accounts are watched.
func TestWatchedAreFew(t *testing.T) {
	_, b, d := embeddedDoor(t)
	for i := range 11 {
		accounts := make([]string, maxWatching)
		for n := range accounts {
			accounts[n] = fmt.Sprint("account", i*maxWatching+n)
		}
		if err := d.Watch(t.Context(), accounts, time.Hour-time.Duration(i)*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	watched, err := d.Watched(t.Context())
	if err != nil || len(watched) != maxWatched || b.redis.ZScore(t.Context(), d.watching(), "account10500").Err() == nil {
		t.Errorf("%d accounts are watched, %v", len(watched), err)
	}
	if b.redis.ZScore(t.Context(), d.watching(), "account500").Err() != nil {
		t.Error("the one that is watched longest is not")
	}
}

// TestOnceIsKnownForAWhile publishes the same thing a day later.
func TestOnceIsKnownForAWhile(t *testing.T) {
	e, b, d := embeddedDoor(t)
	for i, want := range []int64{1, 1, 2} {
		if err := publishing(7, 8)(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if n := b.redis.XLen(t.Context(), d.stream()).Val(); n != want {
			t.Errorf("after publishing %d times there are %d events", i+1, n)
		}
		e.server.FastForward(23 * time.Hour)
	}
}

// TestEmbeddedForgets has the embedded Redis forget what its time is over of, by itself.
func TestEmbeddedForgets(t *testing.T) {
	_, b, d := embeddedDoor(t)
	if err := d.Put(t.Context(), "id", "text", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "it is gone", func() bool { return b.redis.Exists(t.Context(), d.challenge("id")).Val() == 0 })
}
