package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// actTries is how often an act is put behind another one that came first.
	actTries = 100
	// actsAtATime is how many acts are read at a time, and the most that Acts returns.
	actsAtATime = 1000
)

// ActsConfig configures Acts. All is required.
type ActsConfig struct {
	// Ledger is beside which the acts lie.
	Ledger *Ledger
}

// Acts is the record of what operators and tokens of the administration did. It only ever grows, and each act has the
// hash of the one before, so that Verify finds what was changed, left out or put between. It cannot find that all was
// written anew from some act on, or that the newest ones are gone: for that the hash of an act has to be noted
// elsewhere, such as in the log. Memory: an act takes some 400 bytes, at most 6 KiB, and people do only so much.
type Acts struct{ *Ledger }

// NewActs makes Acts.
func NewActs(cfg ActsConfig) (*Acts, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("acts: Ledger is required")
	}
	return &Acts{cfg.Ledger}, nil
}

// actText is how an act is kept. Its hash is of this text, and not in it.
type actText struct {
	Seq      uint64 `json:"seq"`
	Previous string `json:"previous,omitempty"`
	Time     int64  `json:"time"` // Unix milliseconds
	By       string `json:"by"`
	From     string `json:"from,omitempty"`
	What     string `json:"what"`
	Subject  string `json:"subject,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
}

// actHead is the newest act: its number, 0 if there is none, and its hash.
type actHead struct {
	seq  uint64
	hash string
}

// Append writes an act down behind all others and returns it with its number and hashes. Its time is now if it is
// zero. It is as durable as shares are. After an error the act may be there or not, and appended again it may be there
// twice: of what matters, better twice than not. One that is not sound is shares.ErrMalformed.
func (a *Acts) Append(ctx context.Context, act shares.Act) (shares.Act, error) {
	if act.Time.IsZero() {
		act.Time = a.cfg.Now()
	}
	act.Time = act.Time.UTC().Truncate(time.Millisecond)
	if err := act.Check(); err != nil {
		return shares.Act{}, err
	}
	// Redis has no SHA-256 for scripts, so the act is made for a head, and made again if that is another one.
	var head actHead
	for range actTries {
		act.Seq, act.Previous = head.seq+1, head.hash
		text, err := json.Marshal(actText{act.Seq, act.Previous, act.Time.UnixMilli(), act.By, act.From, act.What, act.Subject, act.Detail, act.Outcome})
		if err != nil {
			return shares.Act{}, fmt.Errorf("act: %w", err)
		}
		act.Hash = hashOf(text)
		now, err := readHead(a.firmly(ctx, a.scripts.act, []string{a.keys.pool("acts:head"), a.keys.pool("acts")}, head.seq, head.hash, act.Hash, text))
		if err != nil {
			return shares.Act{}, fmt.Errorf("act: %w", err)
		}
		if now == (actHead{act.Seq, act.Hash}) {
			return act, nil
		}
		head = now
	}
	return shares.Act{}, fmt.Errorf("act: others were faster %d times: %w", actTries, shares.ErrAway)
}

// Acts returns the acts with numbers below before, the newest first, at most limit of them and a thousand. With a
// before of 0 it begins with the newest there is.
func (a *Acts) Acts(ctx context.Context, before uint64, limit int) ([]shares.Act, error) {
	head, err := a.head(ctx)
	if err != nil || limit < 1 {
		return nil, err
	}
	if before == 0 || before > head.seq {
		before = head.seq + 1
	}
	first := before - min(before, uint64(min(limit, actsAtATime))) // of the first that is returned, or the one before 1
	first = max(first, 1)
	if first == before {
		return nil, nil
	}
	out, err := a.read(ctx, first, before-first)
	slices.Reverse(out)
	return out, err
}

// Verify reads all acts and fails with shares.ErrTampered if one is not as it was written.
func (a *Acts) Verify(ctx context.Context) error {
	// What is appended meanwhile is behind this head.
	head, err := a.head(ctx)
	if err != nil {
		return err
	}
	hash := ""
	for first := uint64(1); first <= head.seq; first += actsAtATime {
		acts, err := a.read(ctx, first, min(actsAtATime, head.seq+1-first))
		if err != nil {
			return err
		}
		for i, act := range acts {
			if act.Seq != first+uint64(i) || act.Previous != hash {
				return fmt.Errorf("%w: act %d does not follow the one before it", shares.ErrTampered, first+uint64(i))
			}
			hash = act.Hash
		}
	}
	if hash != head.hash {
		return fmt.Errorf("%w: act %d is not the one that was the newest", shares.ErrTampered, head.seq)
	}
	many, err := a.redis.LLen(ctx, a.keys.pool("acts")).Result()
	if err != nil {
		return fmt.Errorf("acts: %w", translate(err))
	}
	if uint64(many) < head.seq {
		return fmt.Errorf("%w: there are %d of %d acts", shares.ErrTampered, many, head.seq)
	}
	return nil
}

// read reads some acts from a number on, all of which must be there.
func (a *Acts) read(ctx context.Context, first, many uint64) ([]shares.Act, error) {
	list, err := a.redis.LRange(ctx, a.keys.pool("acts"), int64(first-1), int64(first+many-2)).Result()
	if err != nil {
		return nil, fmt.Errorf("acts: %w", translate(err))
	}
	if uint64(len(list)) != many {
		return nil, fmt.Errorf("%w: of acts %d to %d there are %d", shares.ErrTampered, first, first+many-1, len(list))
	}
	out := make([]shares.Act, len(list))
	for i, text := range list {
		var kept actText
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return nil, fmt.Errorf("%w: act %d: %w", shares.ErrTampered, first+uint64(i), err)
		}
		out[i] = shares.Act{
			Seq: kept.Seq, Time: time.UnixMilli(kept.Time).UTC(), By: kept.By, From: kept.From, What: kept.What, Subject: kept.Subject,
			Detail: kept.Detail, Outcome: kept.Outcome, Previous: kept.Previous, Hash: hashOf([]byte(text)),
		}
	}
	return out, nil
}

// head reads the newest act's number and hash.
func (a *Acts) head(ctx context.Context) (actHead, error) {
	if _, err := a.opened(); err != nil {
		return actHead{}, err
	}
	values, err := a.redis.HMGet(ctx, a.keys.pool("acts:head"), "seq", "hash").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return actHead{}, fmt.Errorf("acts: %w", translate(err))
	}
	head, err := readHead(values, nil)
	if err != nil {
		return actHead{}, fmt.Errorf("acts: %w", err)
	}
	return head, nil
}

// readHead reads a number and a hash, either both there or none.
func readHead(v any, err error) (actHead, error) {
	if err != nil {
		return actHead{}, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return actHead{}, fmt.Errorf("%v: %w", v, errReply)
	}
	if list[0] == nil && list[1] == nil {
		return actHead{}, nil
	}
	number, ok1 := list[0].(string)
	hash, ok2 := list[1].(string)
	seq, err := strconv.ParseUint(number, 10, 64)
	if !ok1 || !ok2 || err != nil {
		return actHead{}, fmt.Errorf("%v: %w", v, errReply)
	}
	return actHead{seq, hash}, nil
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
