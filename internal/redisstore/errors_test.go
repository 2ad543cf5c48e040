package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// answer is an error as Redis sends it.
type answer string

func (a answer) Error() string { return string(a) }

// RedisError marks it as one that came from Redis.
func (answer) RedisError() {}

func TestTranslateSaysWhatIsWrong(t *testing.T) {
	const place = "LEDGER user_script:40: "
	for _, tt := range []struct {
		err  error
		want string
	}{
		{answer("LOADING Redis is loading the dataset in memory"), "loading its data set"},
		{answer("READONLY You can't write against a read only replica."), "read-only replica"},
		{answer(place + "READONLY You can't write against a read only replica."), "read-only replica"},
		{answer("READONLY You can't write against a read only replica. script: 5e, on @user_script:40."), "read-only replica"},
		{answer("ERR Error running script (call to f_5e): @user_script:1: -READONLY You can't write against a read only replica."), "read-only replica"},
		{answer("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."), "busy with a script"},
		{answer("OOM command not allowed when used memory > 'maxmemory'."), "raise maxmemory"},
		{answer(place + "OOM command not allowed when used memory > 'maxmemory'."), "raise maxmemory"},
		{answer("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), "write to its disk"},
		{answer(place + "MISCONF Errors writing to the AOF file: No space left on device"), "write to its disk"},
		{answer("CLUSTERDOWN Hash slot not served"), "slots are not served"},
		{answer("TRYAGAIN Multiple keys request during rehashing of slot"), "moving slots"},
		{answer("ASK 5 127.0.0.1:7000"), "moving slots"},
		{answer("MOVED 5 127.0.0.1:7000"), "another node"},
		{answer("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), "master is down"},
		{answer(place + "NOREPLICAS Not enough good replicas to write."), "too few redis replicas"},
		{answer("NOAUTH HELLO must be called with the client already authenticated"), "redis_password_file"},
		{fmt.Errorf("redis: all sentinels specified in configuration are unreachable: %w", answer("NOAUTH Authentication required.")), "redis_password_file"},
		{answer("WRONGPASS invalid username-password pair or user is disabled."), "refuses the user and password"},
		{answer("NOPERM this user has no permissions to run the 'evalsha' command"), "grant"},
		{answer("LEDGER ERR The user executing the script can't run this command or subcommand"), "grant"},
		{answer("DENIED Redis is running in protected mode because protected mode is enabled"), "protected-mode"},
		{answer("ERR max number of clients reached"), "raise maxclients"},
		{context.DeadlineExceeded, "redis_slow"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "redis_slow"},
		{io.EOF, "ended the connection"},
		{io.ErrUnexpectedEOF, "ended the connection"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "ended the connection"},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, "ended the connection"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused"},
		{&net.DNSError{Err: "no such host", Name: "redis.example"}, "no such host"},
		{context.Canceled, "canceled"},
		{redis.ErrClosed, "closed"},
		{redis.ErrPoolTimeout, "pool timeout"},
		{errors.New("redis: all sentinels specified in configuration are unreachable"), "sentinels"},
	} {
		for _, err := range []error{tt.err, fmt.Errorf("some call: %w", tt.err)} {
			got := translate(err)
			if !errors.Is(got, shares.ErrAway) || !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) || errors.Is(got, shares.ErrForeign) {
				t.Errorf("%v becomes %v, want ErrAway that says %q", err, got, tt.want)
			}
		}
	}
}

func TestTranslateRefusals(t *testing.T) {
	for text, want := range map[string]error{
		"FOREIGN there is ledger a":            shares.ErrForeign,
		"OLD heights up to 5 are forgotten":    shares.ErrTooOld,
		"OVERFLOW the round weighs 9 already":  shares.ErrWeight,
		"FENCED upkeep is done by another":     shares.ErrFenced,
		"BACK the share at 1-0 is not here":    shares.ErrWentBack,
		"FOREIGN it belongs to BUSY READONLY ": shares.ErrForeign,
	} {
		_, detail, _ := strings.Cut(text, " ")
		got := translate(answer("LEDGER " + text))
		if !errors.Is(got, want) || !strings.HasSuffix(got.Error(), detail) {
			t.Errorf("%q becomes %v, want %v", text, got, want)
		}
		if away := errors.Is(got, shares.ErrAway); away != errors.Is(want, shares.ErrForeign) {
			t.Errorf("%q is ErrAway: %t", text, away)
		}
	}
}

// TestTranslateLeavesAlone has errors of our own making come out as they are.
func TestTranslateLeavesAlone(t *testing.T) {
	if err := translate(nil); err != nil {
		t.Errorf("nil becomes %v", err)
	}
	for _, err := range []error{
		redis.Nil,
		answer("LEDGER ERR user_script:12: attempt to index a nil value"),
		answer("LEDGER UNHEARD of"),
		answer("WRONGTYPE Operation against a key holding the wrong kind of value"),
		answer("ERR a key called BUSYBODY or READONLYX"),
		errors.New("anything"),
	} {
		if got := translate(err); got != err { //nolint:errorlint // the very same
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
