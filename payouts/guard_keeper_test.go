package payouts

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"
)

// oddJournal is a journal with something wrong.
type oddJournal struct {
	*memory
	head  func(Head) Head
	lost  uint64 // the record that it has lost, and those after
	first func(*Record)
}

func (o *oddJournal) Head(ctx context.Context) (Head, error) {
	h, err := o.memory.Head(ctx)
	if o.head != nil {
		h = o.head(h)
	}
	return h, err
}

func (o *oddJournal) Records(ctx context.Context, from uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for r, err := range o.memory.Records(ctx, from) {
			if o.lost != 0 && r.Seq >= o.lost || !yield(r, err) {
				return
			}
		}
	}
}

// Post has somebody else post first.
func (o *oddJournal) Post(ctx context.Context, token int64, r *Record) error {
	if o.first != nil {
		o.first(r)
	}
	return o.memory.Post(ctx, token, r)
}

// pauses are records of a journal from its first on.
func pauses(t *testing.T, keys ...string) []*Record {
	t.Helper()
	out := make([]*Record, 0, len(keys))
	var at Head
	for _, key := range keys {
		r := &Record{Seq: at.Seq + 1, Previous: at.Hash, Key: key, Kind: KindPause, Time: time.Unix(1, 0).UTC(), Sets: []Set{{TablePool, PoolPaused, key}}}
		var err error
		if at, err = r.Head(); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// kept is a keeper with a journal and a mirror of some records each.
func kept(t *testing.T, journal, mirror []*Record) (*Keeper, *oddJournal, *memoryMirror, *fakeLedger) {
	t.Helper()
	j, m, l := &oddJournal{memory: newMemory(new(faults))}, &memoryMirror{faults: new(faults)}, &fakeLedger{}
	for _, r := range journal {
		if err := j.memory.Post(t.Context(), 0, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range mirror {
		if err := m.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	k, err := NewKeeper(KeeperConfig{Journal: j, Tables: j, Mirror: m, Halts: l, By: "test", Now: func() time.Time { return time.Unix(2, 345) }})
	if err != nil {
		t.Fatal(err)
	}
	return k, j, m, l
}

// TestSyncCompares looks at a journal that differs from the mirror in each way: it is copied, or everybody
// stops.
func TestSyncCompares(t *testing.T) {
	three, fork := pauses(t, "a", "b", "c"), pauses(t, "a", "x", "y")
	for name, c := range map[string]struct {
		journal, mirror []*Record
		want            error
		copied          int
	}{
		"the same":                  {three, three, nil, 3},
		"more":                      {three, three[:1], nil, 3},
		"an empty mirror":           {three, nil, nil, 3},
		"less":                      {three[:1], three, ErrBehind, 3},
		"nothing":                   {nil, three, ErrBehind, 3},
		"another of one length":     {fork[:2], three[:2], ErrDiverged, 2},
		"another that is longer":    {fork, three[:2], ErrDiverged, 2},
		"another that is shorter":   {fork[:2], three, ErrDiverged, 3},
		"the same up to the mirror": {fork, three[:1], nil, 3},
	} {
		k, _, m, l := kept(t, c.journal, c.mirror)
		_, err := k.Sync(t.Context())
		if !errors.Is(err, c.want) || len(m.records) != c.copied || (len(l.halts) == 1) != (c.want != nil) {
			t.Errorf("%s: %v, %d in the mirror, %d halts", name, err, len(m.records), len(l.halts))
		}
	}
}

// TestSyncFindsDamage reads a journal that does not have what it says.
func TestSyncFindsDamage(t *testing.T) {
	three := pauses(t, "a", "b", "c")
	for name, harm := range map[string]func(*oddJournal){
		"lost":         func(j *oddJournal) { j.lost = 3 },
		"another head": func(j *oddJournal) { j.head = func(h Head) Head { h.Hash[0] ^= 1; return h } },
	} {
		k, j, _, _ := kept(t, three, three[:1])
		harm(j)
		if _, err := k.Sync(t.Context()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
	k, _, m, _ := kept(t, three, three[:1])
	m.at = 3 // the first was written above
	if _, err := k.Sync(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("a mirror that does not write: %v", err)
	}
}

// TestKeeperPosts has the mirror have what is posted, and the journal nothing that would not be sound.
func TestKeeperPosts(t *testing.T) {
	three := pauses(t, "a", "b", "c")
	k, j, m, _ := kept(t, three, three)
	head, err := k.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bad := Entry{Key: "bad", Kind: KindBook, Legs: []Leg{{Rewards, -1}, {Pool, 1}}}
	count := j.count
	if _, err := k.Post(t.Context(), 0, head, bad); !errors.Is(err, ErrRecord) || errors.Is(err, ErrMoved) || j.count != count {
		t.Errorf("an unsound record: %v, %d writes", err, j.count-count)
	}
	if _, err := k.Post(t.Context(), 0, Head{Seq: 2}, bad); !errors.Is(err, ErrMoved) {
		t.Errorf("judged on what has moved: %v, want ErrMoved", err)
	}
	good := Entry{Key: "d", Kind: KindPause, Sets: []Set{{TablePool, PoolPaused, "d"}}}
	if head, err = k.Post(t.Context(), 0, head, good); err != nil || m.head != head || j.sheet.Head != head {
		t.Errorf("%v: the journal ends at %v, the mirror at %v", err, j.sheet.Head, m.head)
	}
	if _, err := k.Post(t.Context(), 0, head, good); !errors.Is(err, ErrPosted) {
		t.Errorf("posted twice: %v", err)
	}
	m.at = m.count + 1
	good.Key = "e"
	if _, err := k.Post(t.Context(), 0, head, good); !errors.Is(err, errBroken) {
		t.Errorf("a mirror that does not write: %v", err)
	}
}

// TestRepairAgain repairs beside somebody who repairs too, and over a journal that fails.
func TestRepairAgain(t *testing.T) {
	three := pauses(t, "a", "b", "c")
	_, j, m, _ := kept(t, three[:1], three)
	j.first = func(r *Record) {
		if err := j.memory.Post(t.Context(), 0, r); err != nil {
			t.Error(err)
		}
	}
	if n, err := Repair(t.Context(), j, m); n != 2 || err != nil || j.sheet.Head != m.head {
		t.Errorf("beside another: %d, %v", n, err)
	}
	_, j, m, _ = kept(t, three[:1], three)
	j.at = j.count + 2
	if n, err := Repair(t.Context(), j, m); n != 1 || !errors.Is(err, errBroken) {
		t.Errorf("over a journal that fails: %d, %v", n, err)
	}
	if n, err := Repair(t.Context(), j, m); n != 1 || err != nil {
		t.Errorf("after that: %d, %v", n, err)
	}
}

// TestReplaceOnlyDiverged puts aside a journal that is another, and none that is only behind.
func TestReplaceOnlyDiverged(t *testing.T) {
	three, fork := pauses(t, "a", "b", "c"), pauses(t, "a", "x")
	_, j, m, _ := kept(t, three[:1], three)
	if _, err := Replace(t.Context(), j, m, false); !errors.Is(err, ErrBehind) || j.sheet.Head.Seq != 1 {
		t.Errorf("one that is behind: %v, it ends at %d", err, j.sheet.Head.Seq)
	}
	_, j, m, _ = kept(t, fork, three)
	for _, dry := range []bool{true, false} {
		undone, err := Replace(t.Context(), j, m, dry)
		keys := make([]string, 0, len(undone))
		for _, r := range undone {
			keys = append(keys, r.Key)
		}
		if err != nil || !slices.Equal(keys, []string{"x"}) || (j.sheet.Head == m.head) == dry {
			t.Errorf("dry %t: %v undone, %v, the journal ends at %d", dry, keys, err, j.sheet.Head.Seq)
		}
	}
}
