package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// ListsConfig configures Lists. All is required.
type ListsConfig struct {
	// Ledger is beside which the lists lie.
	Ledger *Ledger
	// Keep is for how long a list is kept after it was last committed: until blocks that pay by it are in
	// the journal.
	Keep time.Duration
}

// Lists keeps whom coinbases pay, for all gateways of a pool. It implements payouts.ListStore.
type Lists struct {
	*Ledger
	keep time.Duration
}

// NewLists makes Lists.
func NewLists(cfg ListsConfig) (*Lists, error) {
	if cfg.Ledger == nil || cfg.Keep <= 0 {
		return nil, errors.New("lists: Ledger and Keep are required")
	}
	return &Lists{cfg.Ledger, cfg.Keep}, nil
}

// Commit implements payouts.ListStore.
func (l *Lists) Commit(ctx context.Context, previous chainhash.Hash, text []byte) ([]byte, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	names := []string{l.keys.pool("genesis"), l.list(previous)}
	results, err := l.durably(ctx, []invocation{{script: l.scripts.list, keys: names, args: []any{o.Ledger, text, l.keep.Milliseconds()}}})
	v, callErr := results[0].Result()
	if callErr != nil {
		return nil, fmt.Errorf("list: %w", translate(callErr))
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	there, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("list: %v: %w", v, errReply)
	}
	return []byte(there), nil
}

// List implements payouts.ListStore.
func (l *Lists) List(ctx context.Context, previous chainhash.Hash) ([]byte, error) {
	if _, err := l.opened(); err != nil {
		return nil, err
	}
	text, err := l.redis.Get(ctx, l.list(previous)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("list on %s: %w", previous, payouts.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", translate(err))
	}
	return text, nil
}

// list is the key of the list on a block.
func (l *Lists) list(previous chainhash.Hash) string { return l.keys.pool("list:" + previous.String()) }

// Clock returns the time by which shares are ordered. On a cluster it is that of the server whose clock is
// furthest behind.
func (l *Ledger) Clock(ctx context.Context) (time.Time, error) {
	cluster, ok := l.redis.(*redis.ClusterClient)
	if !ok {
		now, err := l.redis.Time(ctx).Result()
		return now, translate(err)
	}
	var mutex sync.Mutex
	var first time.Time
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		now, err := node.Time(ctx).Result()
		mutex.Lock()
		defer mutex.Unlock()
		if first.IsZero() || now.Before(first) {
			first = now
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("clocks: %w", translate(err))
	}
	return first, nil
}
