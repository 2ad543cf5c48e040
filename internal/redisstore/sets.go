package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// SetsConfig configures Sets. All is required.
type SetsConfig struct {
	// Ledger is beside which the records lie.
	Ledger *Ledger
	// Keep is for how long the records of a block are kept after the last one, if no new block comes: at
	// least as long as declared work may be submitted.
	Keep time.Duration
}

// Sets keeps what declared work needs, for all gateways of a pool. It implements gbt.SetStore.
type Sets struct {
	*Ledger
	keep time.Duration
}

// NewSets makes Sets.
func NewSets(cfg SetsConfig) (*Sets, error) {
	if cfg.Ledger == nil || cfg.Keep <= 0 {
		return nil, errors.New("sets: Ledger and Keep are required")
	}
	return &Sets{cfg.Ledger, cfg.Keep}, nil
}

// Append implements gbt.SetStore. A record is as durable as Redis makes it.
func (s *Sets) Append(ctx context.Context, previous chainhash.Hash, record []byte) error {
	o, err := s.opened()
	if err != nil {
		return err
	}
	names := []string{s.keys.pool("genesis"), s.keys.pool("declared"), s.records(previous.String())}
	if err := s.do(ctx, s.scripts.declare, names, o.Ledger, previous.String(), record, s.keep.Milliseconds()); err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	return nil
}

// Records implements gbt.SetStore.
func (s *Sets) Records(ctx context.Context, previous chainhash.Hash, from int) ([][]byte, error) {
	if _, err := s.opened(); err != nil {
		return nil, err
	}
	list, err := s.redis.LRange(ctx, s.records(previous.String()), int64(from), -1).Result()
	if err != nil {
		return nil, fmt.Errorf("declared work: %w", translate(err))
	}
	out := make([][]byte, len(list))
	for i, record := range list {
		out[i] = []byte(record)
	}
	return out, nil
}

// Keep implements gbt.SetStore.
func (s *Sets) Keep(ctx context.Context, previous ...chainhash.Hash) error {
	o, err := s.opened()
	if err != nil {
		return err
	}
	blocks, err := s.redis.SMembers(ctx, s.keys.pool("declared")).Result()
	if err != nil {
		return fmt.Errorf("declared work: %w", translate(err))
	}
	names, args := []string{s.keys.pool("genesis"), s.keys.pool("declared")}, []any{o.Ledger}
	for _, block := range blocks {
		if !slices.ContainsFunc(previous, func(hash chainhash.Hash) bool { return hash.String() == block }) {
			names, args = append(names, s.records(block)), append(args, block)
		}
	}
	if len(args) == 1 {
		return nil
	}
	if err := s.do(ctx, s.scripts.forget, names, args...); err != nil {
		return fmt.Errorf("declared work: %w", err)
	}
	return nil
}

// records is the key of the records on a block.
func (s *Sets) records(block string) string { return s.keys.pool("declared:" + block) }
