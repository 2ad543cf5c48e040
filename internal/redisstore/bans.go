package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// maxBans is the most bans in force at a time: every gateway has all of them at hand.
const maxBans = 10_000

// BansConfig configures Bans. All is required.
type BansConfig struct {
	// Ledger is beside which the bans lie.
	Ledger *Ledger
}

// Bans keeps who is kept out of the pool, for all its gateways. Memory: at most maxBans in force; those that are over
// are forgotten when the next one comes.
type Bans struct{ *Ledger }

// NewBans makes Bans.
func NewBans(cfg BansConfig) (*Bans, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("bans: Ledger is required")
	}
	return &Bans{cfg.Ledger}, nil
}

// banText is how a ban is kept, behind its end and its beginning.
type banText struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
}

// Ban puts a ban in force. It makes no ban shorter: one that ends no later than the subject's present one changes
// nothing, and one that ends later replaces its reason and who decided it, but not its beginning. Who wants a ban
// shorter lifts it first, so that no rule of the program does so behind an operator's back. One that is over already
// changes nothing. It is as durable as shares are. Errors: shares.ErrMalformed, shares.ErrFull.
func (b *Bans) Ban(ctx context.Context, ban shares.Ban) error {
	if err := ban.Check(); err != nil {
		return err
	}
	text, err := json.Marshal(banText{ban.Reason, ban.By})
	if err != nil {
		return fmt.Errorf("ban of %s: %w", ban.Subject, err)
	}
	until := int64(0)
	if !ban.Until.IsZero() {
		until = ban.Until.UnixMilli()
	}
	v, err := b.firmly(ctx, b.scripts.ban, b.banKeys(), string(ban.Subject), until, ban.Since.UnixMilli(), text, maxBans)
	switch n, ok := v.(int64); {
	case err != nil:
		return fmt.Errorf("ban of %s: %w", ban.Subject, err)
	case !ok:
		return fmt.Errorf("ban of %s: %v: %w", ban.Subject, v, errReply)
	case n < 0:
		return fmt.Errorf("ban of %s: %w", ban.Subject, shares.ErrFull)
	}
	return nil
}

// Lift ends a subject's ban, and reports whether one was in force. It is as durable as shares are.
func (b *Bans) Lift(ctx context.Context, subject shares.Subject) (bool, error) {
	was, err := yes(b.firmly(ctx, b.scripts.lift, b.banKeys(), string(subject)))
	if err != nil {
		return false, fmt.Errorf("ban of %s: %w", subject, err)
	}
	return was, nil
}

// Bans returns the bans in force, the newest first.
func (b *Bans) Bans(ctx context.Context) ([]shares.Ban, error) {
	if _, err := b.opened(); err != nil {
		return nil, err
	}
	values, err := b.redis.HGetAll(ctx, b.keys.pool("bans")).Result()
	if err != nil {
		return nil, fmt.Errorf("bans: %w", translate(err))
	}
	out, now := make([]shares.Ban, 0, len(values)), b.cfg.Now()
	for subject, text := range values {
		ban, err := readBan(text)
		if err != nil {
			return nil, fmt.Errorf("ban of %s: %w: %w", subject, errReply, err)
		}
		if ban.Subject = shares.Subject(subject); ban.InForce(now) {
			out = append(out, ban)
		}
	}
	slices.SortFunc(out, func(a, b shares.Ban) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Subject, b.Subject))
	})
	return out, nil
}

// readBan reads a ban as it is kept: its end and its beginning in milliseconds, and its text.
func readBan(text string) (shares.Ban, error) {
	end, rest, _ := strings.Cut(text, " ")
	begin, rest, _ := strings.Cut(rest, " ")
	until, err1 := strconv.ParseInt(end, 10, 64)
	since, err2 := strconv.ParseInt(begin, 10, 64)
	var kept banText
	if err := errors.Join(err1, err2, json.Unmarshal([]byte(rest), &kept)); err != nil {
		return shares.Ban{}, err
	}
	ban := shares.Ban{Reason: kept.Reason, By: kept.By, Since: time.UnixMilli(since).UTC()}
	if until != 0 {
		ban.Until = time.UnixMilli(until).UTC()
	}
	return ban, nil
}

// banKeys are those of the bans by subject, and of when those end that do.
func (b *Bans) banKeys() []string { return []string{b.keys.pool("bans"), b.keys.pool("bans:ends")} }
