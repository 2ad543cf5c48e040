package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// maxName bounds names that a key is made of, in bytes.
const maxName = 128

// checkName refuses what no key should be made of. Names come from within the program; some have text in them that
// came from outside.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: %s has %d bytes, want 1 to %d", shares.ErrMalformed, what, len(name), maxName)
	}
	return nil
}

// asking is the call of a script on keys of the pool as a whole. It refuses if another ledger, or none, is there by
// now: what is written beside a ledger is lost with it, and not mixed with another's.
func (l *Ledger) asking(script *redis.Script, names []string, args []any) (invocation, error) {
	o, err := l.opened()
	if err != nil {
		return invocation{}, err
	}
	return invocation{script: script, keys: append([]string{l.keys.pool("genesis")}, names...), args: append([]any{o.Ledger}, args...)}, nil
}

// ask runs a script on keys of the pool.
func (l *Ledger) ask(ctx context.Context, script *redis.Script, names []string, args ...any) (any, error) {
	call, err := l.asking(script, names, args)
	if err != nil {
		return nil, err
	}
	return l.call(ctx, call.script, call.keys, call.args...)
}

// firmly is ask for what must not be lost: it returns when that is as durable as Redis makes shares. After an error
// it may be written or not.
func (l *Ledger) firmly(ctx context.Context, script *redis.Script, names []string, args ...any) (any, error) {
	call, err := l.asking(script, names, args)
	if err != nil {
		return nil, err
	}
	results, err := l.durably(ctx, []invocation{call})
	v, own := results[0].Result()
	if own != nil {
		return nil, translate(own)
	}
	return v, err
}

// yes reads the reply of a script that says 1 or 0.
func yes(v any, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, ok := v.(int64)
	if !ok || n != 0 && n != 1 {
		return false, fmt.Errorf("%v: %w", v, errReply)
	}
	return n == 1, nil
}
