package rest

import (
	"context"
	"maps"

	"github.com/gbtpool/gbtpool/shares"
)

// names says how accounts are named to whoever asks.
type names struct {
	caller   Caller
	profiles map[string]shares.Profile
	// blind is true if it is not known who hides: then nobody is named.
	blind bool
}

// names reads how some accounts are named.
func (v *Views) names(ctx context.Context, accounts ...string) (*names, error) {
	profiles, err := v.cfg.Profiles.Profiles(ctx, accounts)
	if err != nil {
		return nil, err
	}
	return &names{caller: v.cfg.Caller(ctx), profiles: profiles}, nil
}

// shows reports whether an account may be named.
func (n *names) shows(account string) bool {
	if n.caller.sees(account) {
		return true
	}
	return !n.blind && !n.profiles[account].Hidden
}

// display returns an account's display name; nil if it has none.
func (n *names) display(account string) *string { return textOf(n.profiles[account].DisplayName) }

// cut is a page of a list of accounts: from one index up to another, and how those between are named.
type cut struct {
	*names
	from, to int
}

// cutOf cuts a page out of a list of count accounts: from an index on, of up to limit that may be named. It begins
// behind one that may be, and ends with one or with the list: else a cursor would name who hides, and whoever makes
// up cursors would have the sums of a page to himself, one account at a time.
func (v *Views) cutOf(ctx context.Context, count, from, limit int, account func(i int) string) (cut, error) {
	c := cut{&names{caller: v.cfg.Caller(ctx), profiles: make(map[string]shares.Profile)}, from, min(from+limit, count)}
	look := func(i, j int) error {
		some := make([]string, 0, j-i)
		for ; i < j; i++ {
			some = append(some, account(i))
		}
		profiles, err := v.cfg.Profiles.Profiles(ctx, some)
		maps.Copy(c.profiles, profiles)
		return err
	}
	for low, step := from, 1; c.from == low && low > 0; step = min(2*step, maxLimit) {
		low = max(0, low-step)
		if err := look(low, c.from); err != nil {
			return c, err
		}
		for c.from > low && !c.shows(account(c.from-1)) {
			c.from--
		}
	}
	if err := look(c.from, c.to); err != nil {
		return c, err
	}
	for known := c.to; c.to > c.from && c.to < count && !c.shows(account(c.to-1)); c.to++ {
		if c.to == known {
			known = min(known+maxLimit, count)
			if err := look(c.to, known); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}
