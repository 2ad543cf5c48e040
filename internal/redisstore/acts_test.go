package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/shares"
)

// TestActsFindTampering changes what Redis holds of acts in every way; verifying tells.
func TestActsFindTampering(t *testing.T) {
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	const many = actsAtATime + 300
	whole, err := NewActs(ActsConfig{Ledger: newBench(t, e.URL(), "whole", 1).Ledger})
	if err != nil {
		t.Fatal(err)
	}
	for n := range many {
		if _, err := whole.Append(t.Context(), shares.Act{By: "carol", What: "act " + strconv.Itoa(n)}); err != nil {
			t.Fatal(err)
		}
	}
	texts := whole.redis.LRange(t.Context(), whole.keys.pool("acts"), 0, -1).Val()
	head := whole.redis.HGetAll(t.Context(), whole.keys.pool("acts:head")).Val()
	for name, harm := range map[string]func(ctx context.Context, a *Acts, list []string) error{
		"changed": func(ctx context.Context, a *Acts, list []string) error {
			return a.redis.LSet(ctx, a.keys.pool("acts"), 1200, strings.Replace(list[1200], "carol", "mallory", 1)).Err()
		},
		"spaced": func(ctx context.Context, a *Acts, list []string) error {
			return a.redis.LSet(ctx, a.keys.pool("acts"), 3, " "+list[3]).Err()
		},
		"garbage": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.LSet(ctx, a.keys.pool("acts"), 1200, "x").Err()
		},
		"the newest changed": func(ctx context.Context, a *Acts, list []string) error {
			return a.redis.LSet(ctx, a.keys.pool("acts"), many-1, strings.Replace(list[many-1], "carol", "mallory", 1)).Err()
		},
		"swapped": func(ctx context.Context, a *Acts, list []string) error {
			return errors.Join(a.redis.LSet(ctx, a.keys.pool("acts"), 5, list[6]).Err(), a.redis.LSet(ctx, a.keys.pool("acts"), 6, list[5]).Err())
		},
		"one left out": func(ctx context.Context, a *Acts, list []string) error {
			return a.redis.LRem(ctx, a.keys.pool("acts"), 1, list[1000]).Err()
		},
		"the first left out": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.LPop(ctx, a.keys.pool("acts")).Err()
		},
		"the newest left out": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.RPop(ctx, a.keys.pool("acts")).Err()
		},
		"one put between": func(ctx context.Context, a *Acts, list []string) error {
			return a.redis.LInsertAfter(ctx, a.keys.pool("acts"), list[10], list[10]).Err()
		},
		"all gone": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.Del(ctx, a.keys.pool("acts")).Err()
		},
		"the head changed": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.HSet(ctx, a.keys.pool("acts:head"), "hash", strings.Repeat("ab", 32)).Err()
		},
		"the head ahead": func(ctx context.Context, a *Acts, _ []string) error {
			return a.redis.HSet(ctx, a.keys.pool("acts:head"), "seq", many+1).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, ctx := newBench(t, e.URL(), "tampering "+name, 1), t.Context()
			a, err := NewActs(ActsConfig{Ledger: b.Ledger})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.redis.RPush(ctx, a.keys.pool("acts"), texts).Err(), a.redis.HSet(ctx, a.keys.pool("acts:head"), head).Err()); err != nil {
				t.Fatal(err)
			}
			if err := a.Verify(ctx); err != nil {
				t.Fatal(err)
			}
			if err := harm(ctx, a, texts); err != nil {
				t.Fatal(err)
			}
			if err := a.Verify(ctx); !errors.Is(err, shares.ErrTampered) {
				t.Errorf("error %v, want ErrTampered", err)
			}
		})
	}
}

// TestActOfAnotherPast has no act be put behind one that it was not made for, though that has the same number: Redis
// may be an older one by now, with other acts since.
func TestActOfAnotherPast(t *testing.T) {
	_, b, d := embeddedDoor(t)
	ctx := t.Context()
	first, err := d.Append(ctx, shares.Act{By: "carol", What: "first"})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{d.Acts.keys.pool("acts:head"), d.Acts.keys.pool("acts")}
	head, err := readHead(d.Acts.firmly(ctx, d.Acts.scripts.act, names, 1, strings.Repeat("ab", 32), strings.Repeat("cd", 32), "text"))
	if err != nil || head != (actHead{1, first.Hash}) {
		t.Errorf("the newest act is %+v, %v, want %s", head, err, first.Hash)
	}
	if n := b.redis.LLen(ctx, names[1]).Val(); n != 1 {
		t.Errorf("there are %d acts", n)
	}
	if err := d.Verify(ctx); err != nil {
		t.Error(err)
	}
}
