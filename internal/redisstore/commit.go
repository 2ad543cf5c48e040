package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// maxGroup is the most shares that one pipeline carries.
	maxGroup = 512
	// maxTurns is how many groups are on their way to one server at a time. Whoever reads waits until Redis is done
	// with what of them it has read: up to 32 KiB of each, some 40 shares, which take it some 70 microseconds each. More
	// would not be recorded sooner: one waits at Redis while another is answered, and the longer groups wait here, the
	// larger they get.
	maxTurns = 4
)

// pending is a share on its way into the ledger.
type pending struct {
	call      invocation
	share     *shares.Share
	partition int
	// receipt and err are set before done is closed.
	receipt shares.Receipt
	err     error
	done    chan struct{}
}

func (w *pending) answer(receipt shares.Receipt, err error) {
	w.receipt, w.err = receipt, err
	close(w.done)
}

// commit takes the shares of one partition in groups: while one pipeline is on its way the next
// group gathers, so that many miners share a round trip and a sync of Redis's disk. Each group names the
// newest share that is known to be there, because Redis may be another one, or an older one, by now.
func (l *Ledger) commit(ctx context.Context, queue chan *pending) {
	var mark shares.Position
	for {
		var group []*pending
		select {
		case first := <-queue:
			group = append(group, first)
		case <-ctx.Done():
			return
		}
		over, err := l.turn(ctx)
		if err != nil {
			group[0].answer(shares.Receipt{}, err)
			turnAway(queue, err)
			continue
		}
		for more := true; more && len(group) < maxGroup; {
			select {
			case w := <-queue:
				group = append(group, w)
			default:
				more = false
			}
		}
		mark = l.commitGroup(ctx, group, mark)
		over()
		if err := group[0].err; errors.Is(err, shares.ErrAway) && !slices.ContainsFunc(group, func(w *pending) bool { return !errors.Is(w.err, shares.ErrAway) }) {
			// Nobody else needs to wait as long for the same.
			turnAway(queue, err)
		}
	}
}

// turn waits until a group may be sent, for no longer than the group itself may take. Whoever has it calls over when
// the group is answered. There are no turns on a cluster, whose servers share the partitions, nor where groups wait for
// Redis's disk, which may take a second while Redis itself is idle.
func (l *Ledger) turn(ctx context.Context) (over func(), err error) {
	if _, cluster := l.redis.(*redis.ClusterClient); cluster || l.waitAOF.Load() {
		return func() {}, nil
	}
	late := time.NewTimer(l.Client.cfg.Slow)
	defer late.Stop()
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-late.C:
		return nil, fmt.Errorf("%w: redis did not answer those before in time (redis_slow)", shares.ErrAway)
	case <-ctx.Done():
		return nil, errStopping
	}
}

// turnAway answers all that wait with an error.
func turnAway(queue chan *pending, err error) {
	for {
		select {
		case w := <-queue:
			w.answer(shares.Receipt{}, err)
		default:
			return
		}
	}
}

// markAt is where a recording call has its mark.
const markAt = 12

// commitGroup records a group in one pipeline and answers each share. It takes the place of a share that
// has to be there and returns that of the next group; the zero place stands for none.
func (l *Ledger) commitGroup(ctx context.Context, group []*pending, mark shares.Position) shares.Position {
	// A group that is on its way is not called back when the gateway stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Client.cfg.Slow)
	defer cancel()
	calls := make([]invocation, len(group))
	for i, w := range group {
		calls[i] = w.call
		if mark != (shares.Position{}) {
			calls[i].args[markAt] = mark.String()
		}
	}
	results, err := l.durably(ctx, calls)
	for i, w := range group {
		if err != nil && results[i].Err() == nil {
			w.answer(shares.Receipt{}, err)
			continue
		}
		r, recordErr := receipt(w, results[i])
		switch {
		case errors.Is(recordErr, shares.ErrWentBack):
			mark = shares.Position{} // whoever recorded knows now, and decides how to go on
		case r.Compare(mark) > 0:
			mark = r.Position
		}
		w.answer(r, recordErr)
	}
	return mark
}

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

// receipt reads what recording a share returned: whether it is new, and its place.
func receipt(w *pending, result *redis.Cmd) (shares.Receipt, error) {
	v, err := result.Result()
	if err != nil {
		return shares.Receipt{}, translate(err)
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return shares.Receipt{}, fmt.Errorf("recording a share returned %v: %w", v, errReply)
	}
	isNew, ok1 := list[0].(int64)
	place, ok2 := list[1].(string)
	at, err := parsePlace(place)
	if !ok1 || !ok2 || err != nil {
		return shares.Receipt{}, fmt.Errorf("recording a share returned %v: %w", v, errors.Join(errReply, err))
	}
	at.Partition = w.partition
	r := shares.Receipt{Position: at, Hash: w.share.Hash}
	if isNew == 0 {
		return r, shares.ErrDuplicate
	}
	return r, nil
}

// parsePlace reads a stream ID.
func parsePlace(text string) (shares.Position, error) {
	millis, seq, ok := strings.Cut(text, "-")
	if !ok {
		return shares.Position{}, fmt.Errorf("%q is no place: %w", text, errReply)
	}
	m, err1 := strconv.ParseInt(millis, 10, 64)
	s, err2 := strconv.ParseInt(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return shares.Position{}, fmt.Errorf("%q is no place: %w", text, err)
	}
	return shares.Position{Millis: m, Seq: s}, nil
}
