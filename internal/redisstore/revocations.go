package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// skew is how far the clocks of a gateway and of Redis may be apart without a token that was revoked being good
// again on the one while Redis has forgotten it already.
const skew = 10 * time.Minute

// RevocationsConfig configures Revocations. All is required.
type RevocationsConfig struct {
	// Ledger is beside which the entries lie.
	Ledger *Ledger
}

// Revocations keeps which tokens are good no more, for all gateways of a pool. Memory: an entry goes when its token
// would have expired.
type Revocations struct{ *Ledger }

// NewRevocations makes Revocations.
func NewRevocations(cfg RevocationsConfig) (*Revocations, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("revocations: Ledger is required")
	}
	return &Revocations{cfg.Ledger}, nil
}

// Revoke notes that a token is good no more, until it expires. It is as durable as shares are. Of two calls the later
// time stands. An id without text or too long, and no time, are shares.ErrMalformed.
func (r *Revocations) Revoke(ctx context.Context, id string, until time.Time) error {
	if err := checkName("the id of a token", id); err != nil {
		return err
	}
	if until.UnixMilli() <= 0 {
		return fmt.Errorf("%w: a token that expires at %s", shares.ErrMalformed, until)
	}
	args := []any{until.UnixMilli(), until.Add(skew).UnixMilli()}
	if _, err := yes(r.firmly(ctx, r.scripts.revoke, []string{r.revoked(id)}, args...)); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	return nil
}

// Revoked reports whether a token is good no more. After an error it is not known.
func (r *Revocations) Revoked(ctx context.Context, id string) (bool, error) {
	if err := checkName("the id of a token", id); err != nil {
		return false, err
	}
	there, err := yes(r.ask(ctx, r.scripts.revoked, []string{r.revoked(id)}))
	if err != nil {
		return false, fmt.Errorf("revocation: %w", err)
	}
	return there, nil
}

// revoked is the key of an entry.
func (r *Revocations) revoked(id string) string { return r.keys.pool("revoked:" + id) }
