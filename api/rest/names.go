package rest

import (
	"context"

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
