package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// scripts are the verbs, by name.
type scripts struct {
	record, account, cut, refuse, compact, retire, trim, release, begin, genesis, lease, halt, resume, posted, post, declare, forget, list, contact, money, note, discard *redis.Script
	// Those of what the door keeps.
	challenge, revoke, revoked, ban, lift, point, seen, publish, watch, watched, limit, act *redis.Script
}

// newScripts reads the embedded scripts.
func newScripts() (*scripts, error) { return readScripts(sources.ReadFile) }

// readScripts puts the scripts together from files: the library first, then what some share.
func readScripts(read func(string) ([]byte, error)) (*scripts, error) {
	s := new(scripts)
	for _, verb := range []struct {
		script **redis.Script
		parts  string
	}{
		{&s.record, "counted stats cut_round record"},
		{&s.account, "account"},
		{&s.cut, "cut_round cut"},
		{&s.refuse, "counted refuse"},
		{&s.compact, "compact"},
		{&s.retire, "retire"},
		{&s.trim, "trim"},
		{&s.release, "release"},
		{&s.begin, "begin"},
		{&s.genesis, "genesis"},
		{&s.lease, "lease"},
		{&s.halt, "halt"},
		{&s.resume, "resume"},
		{&s.posted, "posted"},
		{&s.post, "post"},
		{&s.declare, "declare"},
		{&s.forget, "forget"},
		{&s.list, "list"},
		{&s.contact, "contact"},
		{&s.discard, "discard"},
		{&s.money, "fields money"},
		{&s.note, "fields note"},
		{&s.challenge, "value challenge"},
		{&s.revoke, "value revoke"},
		{&s.revoked, "revoked"},
		{&s.ban, "bans ban"},
		{&s.lift, "bans lift"},
		{&s.point, "point"},
		{&s.seen, "seen"},
		{&s.publish, "value publish"},
		{&s.watch, "watch"},
		{&s.watched, "watched"},
		{&s.limit, "value limit"},
		{&s.act, "act"},
	} {
		var text strings.Builder
		for _, name := range append([]string{"lib"}, strings.Fields(verb.parts)...) {
			part, err := read("lua/" + name + ".lua")
			if err != nil {
				return nil, fmt.Errorf("script %s: %w", name, err)
			}
			text.Write(part)
		}
		*verb.script = redis.NewScript(text.String())
	}
	return s, nil
}

// invocation is one run of a script.
type invocation struct {
	script *redis.Script
	keys   []string
	args   []any
	// whole is nil, or the whole EVALSHA that keys and args are parts of, with room for its first two words: a pipeline
	// takes it without a copy of each word.
	whole []any
}

// send puts it into a pipeline.
func (c *invocation) send(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	if c.whole == nil {
		return p.EvalSha(ctx, c.script.Hash(), c.keys, c.args...)
	}
	c.whole[0], c.whole[1] = "evalsha", c.script.Hash()
	cmd := redis.NewCmd(ctx, c.whole...)
	cmd.SetFirstKeyPos(firstKey)
	_ = p.Process(ctx, cmd) // a pipeline only notes it
	return cmd
}

// firstKey is where a script's first key stands in the command.
const firstKey = 3

// pipeliner is what runs commands in one go: a client, or one server of a cluster.
type pipeliner interface {
	Pipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error)
}

// run runs scripts in one pipeline and returns what became of each. A server that does not know a
// script is told it in a second one.
func run(ctx context.Context, client pipeliner, calls []invocation) []*redis.Cmd {
	out := make([]*redis.Cmd, len(calls))
	// What fails is in the single results.
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range calls {
			out[i] = calls[i].send(ctx, p)
		}
		return nil
	})
	var unknown []int
	for i, cmd := range out {
		if cmd.Err() != nil && redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return out
	}
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, i := range unknown {
			out[i] = calls[i].script.Eval(ctx, p, calls[i].keys, calls[i].args...)
		}
		return nil
	})
	return out
}

// call runs one script.
func (c *Client) call(ctx context.Context, script *redis.Script, names []string, args ...any) (any, error) {
	v, err := run(ctx, c.redis, []invocation{{script: script, keys: names, args: args}})[0].Result()
	if err != nil {
		return nil, translate(err)
	}
	return v, nil
}

// do runs one script that has nothing to say but whether there was anything to do.
func (c *Client) do(ctx context.Context, script *redis.Script, names []string, args ...any) error {
	_, err := c.call(ctx, script, names, args...)
	return err
}

// errReply says that a script returned what it never should.
var errReply = errors.New("unexpected reply")
