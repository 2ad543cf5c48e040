package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// maxChallenge bounds the text of a challenge, in bytes.
const maxChallenge = 4096

// ChallengesConfig configures Challenges. All is required.
type ChallengesConfig struct {
	// Ledger is beside which the challenges lie.
	Ledger *Ledger
}

// Challenges keeps texts that somebody is to sign or to show again, each for one use and for a while, so that any
// gateway of the pool can tell whether one was given out and is still unused. Memory: a challenge is forgotten when
// its time is over.
type Challenges struct{ *Ledger }

// NewChallenges makes Challenges.
func NewChallenges(cfg ChallengesConfig) (*Challenges, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("challenges: Ledger is required")
	}
	return &Challenges{cfg.Ledger}, nil
}

// Put keeps a text under an id for a time. An id that holds another text is shares.ErrTaken; one that holds the same text is
// of a call whose answer was lost, and left as it is. Ids and texts that are too long are shares.ErrMalformed.
func (c *Challenges) Put(ctx context.Context, id, text string, ttl time.Duration) error {
	if err := checkName("the id of a challenge", id); err != nil {
		return err
	}
	if len(text) > maxChallenge {
		return fmt.Errorf("%w: a challenge of %d bytes", shares.ErrMalformed, len(text))
	}
	if ttl < time.Millisecond {
		return fmt.Errorf("%w: a challenge for %s", shares.ErrMalformed, ttl)
	}
	put, err := yes(c.ask(ctx, c.scripts.challenge, []string{c.challenge(id)}, text, ttl.Milliseconds()))
	switch {
	case err != nil:
		return fmt.Errorf("challenge: %w", err)
	case !put:
		return fmt.Errorf("challenge: %w", shares.ErrTaken)
	}
	return nil
}

// Take returns the text that was put under an id and forgets it: of any number of callers one gets it. ok is false
// if there is none, not any more, or not in time. After an error it may be gone.
func (c *Challenges) Take(ctx context.Context, id string) (text string, ok bool, err error) {
	if _, err := c.opened(); err != nil {
		return "", false, err
	}
	if len(id) > maxName {
		return "", false, nil // nothing can have been put there
	}
	text, err = c.redis.GetDel(ctx, c.challenge(id)).Result()
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("challenge: %w", translate(err))
	}
	return text, true, nil
}

// challenge is the key of a challenge.
func (c *Challenges) challenge(id string) string { return c.keys.pool("challenge:" + id) }
