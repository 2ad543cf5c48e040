package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// ErrSetup says that a Redis is not set up to keep a ledger. The text says what to change.
var ErrSetup = errors.New("redis is not set up for a ledger")

// translate turns an error of Redis into the words of shares, once. What the scripts refuse has a
// meaning of its own; what says that Redis is away or does not write for now becomes
// shares.ErrAway, with the reason in the text.
func translate(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if at := strings.Index(text, "LEDGER "); at >= 0 {
		// Errors carry the script's name and line in some versions.
		return refused(text[at+len("LEDGER "):], err)
	}
	for prefix, why := range map[string]string{ //nolint:gosec // the words for passwords are none
		"LOADING":     "redis is loading its data set",
		"READONLY":    "this redis is a read-only replica: after a failover the new master is elsewhere",
		"BUSY":        "redis is busy with a script",
		"OOM":         "redis has no memory left: raise maxmemory",
		"MISCONF":     "redis cannot write to its disk",
		"CLUSTERDOWN": "the redis cluster is down: slots are not served",
		"TRYAGAIN":    "the redis cluster is moving slots",
		"MASTERDOWN":  "the redis master is down",
		"NOREPLICAS":  "too few redis replicas are in step",
		"NOAUTH":      "redis wants a password: set redis_password_file",
		"WRONGPASS":   "redis refuses the user and password: see redis_password_file",
		"NOPERM":      "redis does not let this user do that: grant the ledger's user @all on its keys",
		"MOVED":       "redis says that the slot is on another node",
		"UNKILLABLE":  "redis is busy with a script",
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return fmt.Errorf("%w: %s: %w", shares.ErrAway, why, err)
		}
	}
	if gone(err) {
		return fmt.Errorf("%w: %w", shares.ErrAway, err)
	}
	return err
}

// gone reports whether an error is of the connection or of time, not of Redis.
func gone(err error) bool {
	var of net.Error
	return errors.As(err, &of) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) ||
		errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "redis: all sentinels specified in configuration are unreachable")
}

// refused translates what a script refused, by its first word. Between the mark and that word there
// may be where in the script it was.
func refused(text string, err error) error {
	for word, means := range map[string]error{
		"FOREIGN": shares.ErrForeign, "OLD": shares.ErrTooOld, "OVERFLOW": shares.ErrWeight, "FENCED": shares.ErrFenced,
		"BACK": shares.ErrWentBack,
	} {
		if rest, ok := strings.CutPrefix(text, word+" "); ok {
			return fmt.Errorf("%w: %s", means, rest)
		}
	}
	for prefix := range map[string]struct{}{"OOM": {}, "READONLY": {}, "MISCONF": {}, "NOREPLICAS": {}} {
		if strings.Contains(text, prefix+" ") {
			return fmt.Errorf("%w: %w", shares.ErrAway, err)
		}
	}
	return fmt.Errorf("script: %w", err)
}
