package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// ProfilesConfig configures Profiles. All is required.
type ProfilesConfig struct {
	// Ledger is beside which the profiles lie.
	Ledger *Ledger
}

// Profiles keeps what owners have set about their accounts. Memory: some 150 bytes an account that anybody has set
// something of; who may, and how often, is the door's to say.
type Profiles struct{ *Ledger }

// NewProfiles makes Profiles.
func NewProfiles(cfg ProfilesConfig) (*Profiles, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("profiles: Ledger is required")
	}
	return &Profiles{cfg.Ledger}, nil
}

// profileText is how a profile is kept.
type profileText struct {
	Name    string `json:"name,omitempty"`
	Hidden  bool   `json:"hidden,omitempty"`
	Updated int64  `json:"updated"` // Unix milliseconds
}

// Profile returns the profile of an account, the zero one if nothing was ever set.
func (p *Profiles) Profile(ctx context.Context, account string) (shares.Profile, error) {
	all, err := p.Profiles(ctx, []string{account})
	return all[account], err
}

// Profiles returns those of accounts that were ever set, in one round trip.
func (p *Profiles) Profiles(ctx context.Context, accounts []string) (map[string]shares.Profile, error) {
	if _, err := p.opened(); err != nil {
		return nil, err
	}
	out := make(map[string]shares.Profile, len(accounts))
	if len(accounts) == 0 {
		return out, nil
	}
	values, err := p.redis.HMGet(ctx, p.keys.pool("profiles"), accounts...).Result()
	if err != nil {
		return nil, fmt.Errorf("profiles: %w", translate(err))
	}
	for i, account := range accounts {
		text, there := values[i].(string)
		if !there {
			continue
		}
		var kept profileText
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return nil, fmt.Errorf("profile of %s: %w: %w", account, errReply, err)
		}
		out[account] = shares.Profile{DisplayName: kept.Name, Hidden: kept.Hidden, Updated: time.UnixMilli(kept.Updated).UTC()}
	}
	return out, nil
}

// SetProfile replaces the profile of an account; the last call stands. It is as durable as shares are. One that is
// not sound is shares.ErrMalformed. Updated is set to now if it is zero.
func (p *Profiles) SetProfile(ctx context.Context, account string, profile shares.Profile) error {
	if err := errors.Join(shares.CheckAccount(account), profile.Check()); err != nil {
		return err
	}
	if profile.Updated.IsZero() {
		profile.Updated = p.cfg.Now()
	}
	text, err := json.Marshal(profileText{profile.DisplayName, profile.Hidden, profile.Updated.UnixMilli()})
	if err != nil {
		return fmt.Errorf("profile of %s: %w", account, err)
	}
	// The script takes the number of the table among its keys, the field and the text.
	if _, err := p.firmly(ctx, p.scripts.note, []string{p.keys.pool("profiles")}, 2, account, text); err != nil {
		return fmt.Errorf("profile of %s: %w", account, err)
	}
	return nil
}
