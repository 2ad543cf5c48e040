package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// durably runs calls of one partition and returns when they are as durable as Redis makes them. The
// error says that those without an error of their own may be lost.
func (l *Ledger) durably(ctx context.Context, calls []invocation) ([]*redis.Cmd, error) {
	if !l.waitAOF.Load() {
		return run(ctx, l.redis, calls), nil
	}
	server, err := l.at(ctx, calls[0].keys[0])
	if err != nil {
		return failed(ctx, calls, err), nil
	}
	s := &syncing{Cmdable: server, within: l.Client.cfg.Slow}
	results := run(ctx, s, calls)
	for _, r := range results {
		if cluster, ok := l.redis.(*redis.ClusterClient); ok && redis.HasErrorPrefix(r.Err(), "MOVED") {
			cluster.ReloadState(ctx)
			break
		}
	}
	return results, s.err()
}

// syncing ends each pipeline by waiting until the server has synced it to its append-only file. The
// wait counts the writes of its own connection, so it has to be in the same pipeline.
type syncing struct {
	redis.Cmdable
	within time.Duration
	wait   *redis.Cmd
}

// Pipelined implements pipeliner.
func (s *syncing) Pipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error) {
	return s.Cmdable.Pipelined(ctx, func(p redis.Pipeliner) error {
		if err := fn(p); err != nil {
			return err
		}
		s.wait = p.Do(ctx, "WAITAOF", 1, 0, s.within.Milliseconds())
		return nil
	})
}

// err says whether the last pipeline was synced.
func (s *syncing) err() error {
	v, err := s.wait.Slice()
	if err != nil {
		return fmt.Errorf("waiting for redis's disk: %w", translate(err))
	}
	if local, ok := v[0].(int64); !ok || local < 1 {
		return fmt.Errorf("%w: redis did not sync to its disk within %s", shares.ErrAway, s.within)
	}
	return nil
}

// failed makes results that all failed.
func failed(ctx context.Context, calls []invocation, err error) []*redis.Cmd {
	out := make([]*redis.Cmd, len(calls))
	for i := range out {
		out[i] = redis.NewCmd(ctx)
		out[i].SetErr(err)
	}
	return out
}
