package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/payouts"
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
	if at := strings.Index(text, refusal); at >= 0 {
		if means := refused(text[at+len(refusal):]); means != nil {
			return means
		}
	}
	for _, a := range ailments() {
		if says(text, a.code) {
			return fmt.Errorf("%w: %s: %w", shares.ErrAway, a.why, err)
		}
	}
	var of net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &of) && of.Timeout():
		return fmt.Errorf("%w: redis did not answer in time (redis_slow): %w", shares.ErrAway, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: redis ended the connection, because it stops or has maxclients already: %w", shares.ErrAway, err)
	case gone(err):
		return fmt.Errorf("%w: %w", shares.ErrAway, err)
	default:
		return err
	}
}

// ailment is a code by which Redis says that it does not answer or write for now, and what that means.
type ailment struct{ code, why string }

func ailments() []ailment {
	const grant = "redis does not let this user do that: grant the ledger's user @all on its keys"
	return []ailment{
		{"LOADING", "redis is loading its data set"},
		{"READONLY", "this redis is a read-only replica: after a failover the new master is elsewhere"},
		{"BUSY", "redis is busy with a script"},
		{"OOM", "redis has no memory left: raise maxmemory"},
		{"MISCONF", "redis cannot write to its disk"},
		{"CLUSTERDOWN", "the redis cluster is down: slots are not served"},
		{"TRYAGAIN", "the redis cluster is moving slots"},
		{"ASK", "the redis cluster is moving slots"},
		{"MOVED", "redis says that the slot is on another node"},
		{"MASTERDOWN", "the redis master is down"},
		{"NOREPLICAS", "too few redis replicas are in step"},
		{"NOAUTH", "redis wants a password: set redis_password_file"},
		{"WRONGPASS", "redis refuses the user and password: see redis_password_file"},
		{"NOPERM", grant},
		{"The user executing the script can't run this command or subcommand", grant},
		{"DENIED", "redis takes connections from its own host only: set bind, and a password or protected-mode no"},
		{"max number of clients reached", "redis has no room for more connections: raise maxclients"},
	}
}

// says reports whether a text has a code as words of its own. It stands first in what Redis answers, but
// what a script met has where in the script it was before it, and some versions put a minus there.
func says(text, code string) bool {
	return strings.Contains(" "+strings.ReplaceAll(text, "-", " ")+" ", " "+code+" ")
}

// gone reports whether an error is of the connection, not of Redis.
func gone(err error) bool {
	var of net.Error
	return errors.As(err, &of) || errors.Is(err, context.Canceled) ||
		errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) ||
		errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "redis: all sentinels specified in configuration are unreachable")
}

// refusal stands before what a script of ours has refused.
const refusal = "LEDGER "

// refused translates what a script refused, by its first word; nil if it only says what Redis answered
// it.
func refused(text string) error {
	for word, means := range map[string]error{
		"FOREIGN": shares.ErrForeign, "OLD": shares.ErrTooOld, "OVERFLOW": shares.ErrWeight, "FENCED": shares.ErrFenced,
		"BACK":   shares.ErrWentBack,
		"POSTED": payouts.ErrPosted, "OUTDATED": payouts.ErrMoved, "OVERDRAWN": payouts.ErrOverdrawn, "AMOUNT": payouts.ErrAmount,
	} {
		if rest, ok := strings.CutPrefix(text, word+" "); ok {
			return fmt.Errorf("%w: %s", means, rest)
		}
	}
	return nil
}
