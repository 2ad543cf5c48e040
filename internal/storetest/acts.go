package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// Acts is the record of what those did who may do more than others.
type Acts interface {
	Append(ctx context.Context, act shares.Act) (shares.Act, error)
	Acts(ctx context.Context, before uint64, limit int) ([]shares.Act, error)
	Verify(ctx context.Context) error
}

// ActsContract checks that acts are kept in one order, whoever appends them, and follow one another.
func ActsContract(t *testing.T, open func(testing.TB) (one, other Acts)) {
	t.Helper()
	t.Run("in order", func(t *testing.T) { actsInOrder(t, open) })
	t.Run("crowd", func(t *testing.T) { actsOfCrowd(t, open) })
	t.Run("refusals", func(t *testing.T) {
		one, _ := open(t)
		for what, act := range map[string]shares.Act{
			"nobody's":   {What: "act"},
			"nothing":    {By: "carol"},
			"two lines":  {By: "carol", What: "act", Subject: "a\nb"},
			"not UTF-8":  {By: "carol", What: "act", From: "\xff"},
			"too much":   {By: "carol", What: "act", Detail: strings.Repeat("x", 1001)},
			"a long one": {By: "carol", What: strings.Repeat("x", 201)},
		} {
			_, err := one.Append(t.Context(), act)
			want(t, what, err, shares.ErrMalformed)
		}
		acts(t, one, 0, 10)
		verified(t, one)
	})
}

func actsOfCrowd(t *testing.T, open func(testing.TB) (one, other Acts)) {
	t.Helper()
	one, other := open(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 10 {
				if _, err := []Acts{one, other}[i%2].Append(t.Context(), shares.Act{By: fmt.Sprint("token", i), What: fmt.Sprint("act", n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	verified(t, one)
	list, err := one.Acts(t.Context(), 0, 1000)
	if err != nil || len(list) != 80 {
		t.Fatalf("%d acts, %v", len(list), err)
	}
	next := make(map[string]int)
	for i := range list {
		act := list[len(list)-1-i]
		if act.Seq != uint64(i+1) || act.What != fmt.Sprint("act", next[act.By]) || time.Since(act.Time).Abs() > time.Minute {
			t.Fatalf("act %d is %+v", i+1, act)
		}
		next[act.By]++
	}
}

func actsInOrder(t *testing.T, open func(testing.TB) (one, other Acts)) {
	t.Helper()
	one, other := open(t)
	acts(t, one, 0, 10)
	var all []shares.Act // the newest first
	for n := range 25 {
		act := shares.Act{
			Time: time.UnixMilli(int64(1_700_000_000_000 + n)).UTC(), By: "carol", From: "192.0.2.1", What: "ban.lift",
			Subject: fmt.Sprint("account", n), Detail: `{"why": "ü <&>"}`, Outcome: "done",
		}
		kept, err := []Acts{one, other}[n%2].Append(t.Context(), act)
		if err != nil {
			t.Fatal(err)
		}
		act.Seq, act.Hash = uint64(n+1), kept.Hash
		if n > 0 {
			act.Previous = all[0].Hash
		}
		same(t, "the act that was appended", kept, act)
		if len(act.Hash) != 64 {
			t.Fatalf("its hash is %q", act.Hash)
		}
		all = append([]shares.Act{kept}, all...)
	}
	acts(t, other, 0, 100, all...)
	acts(t, other, 0, 25, all...)
	acts(t, one, 0, 3, all[:3]...)
	acts(t, one, 23, 3, all[3:6]...)
	acts(t, one, 3, 5, all[23:]...)
	acts(t, one, 2, 5, all[24:]...)
	acts(t, one, 1, 5)
	acts(t, one, 1000, 1, all[0])
	acts(t, one, 0, 0)
	verified(t, one)
}

func acts(t *testing.T, a Acts, before uint64, limit int, want ...shares.Act) {
	t.Helper()
	got, err := a.Acts(t.Context(), before, limit)
	if err != nil {
		t.Fatal(err)
	}
	same(t, fmt.Sprintf("%d acts before %d", limit, before), got, want)
}

func verified(t *testing.T, a Acts) {
	t.Helper()
	if err := a.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
