package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// schema is the version of the keys' layout.
	schema = 1
	// MaxPartitions bounds the partitions: a found block touches every one.
	MaxPartitions = 256
	// idSize is the size of a ledger's id, in bytes.
	idSize = 16
)

// Genesis is what a ledger is made with, once.
type Genesis struct {
	// Ledger is the ledger's id, in hexadecimal. A ledger made anew has another.
	Ledger string
	// Chain is the chain's name and Unit what a weight counts in.
	Chain string
	Unit  shares.Unit
	// Partitions is how many parts accounts are spread over: at least as many as the Redis Cluster
	// will ever have masters.
	Partitions int
	// Created is when, in whole seconds.
	Created time.Time
}

// NewLedgerID makes up an id.
func NewLedgerID() (string, error) {
	id := make([]byte, idSize)
	if _, err := rand.Read(id); err != nil {
		return "", fmt.Errorf("ledger id: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// Init makes a ledger. It may be called again with the same id after an error; where there is another
// ledger it fails with shares.ErrForeign.
func (c *Client) Init(ctx context.Context, g Genesis) error {
	if raw, err := hex.DecodeString(g.Ledger); err != nil || len(raw) != idSize {
		return fmt.Errorf("ledger id %q: want %d hexadecimal digits", g.Ledger, 2*idSize)
	}
	if g.Partitions < 1 || g.Partitions > MaxPartitions {
		return fmt.Errorf("a ledger has 1 to %d partitions, not %d", MaxPartitions, g.Partitions)
	}
	// The genesis comes last: where there is one, there are all partitions.
	for p := range g.Partitions {
		if err := c.do(ctx, c.scripts.begin, []string{c.keys.part(p).state()}, g.Ledger); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	err := c.do(ctx, c.scripts.genesis, []string{c.keys.pool("genesis")}, g.Ledger,
		"schema", schema, "chain", g.Chain, "unit", int(g.Unit), "partitions", g.Partitions, "created", g.Created.Unix())
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Genesis returns what the ledger was made with. It fails with shares.ErrForeign if there is none, or
// one that this program cannot read.
func (c *Client) Genesis(ctx context.Context) (Genesis, error) {
	fields, err := c.redis.HGetAll(ctx, c.keys.pool("genesis")).Result()
	if err != nil {
		return Genesis{}, fmt.Errorf("genesis: %w", translate(err))
	}
	if len(fields) == 0 {
		return Genesis{}, fmt.Errorf("%w: there is no genesis with prefix %q: make a ledger with gbtpool ledger init, or bring the right data back",
			shares.ErrForeign, c.cfg.Prefix)
	}
	n := make(map[string]int64)
	for _, field := range []string{"schema", "unit", "partitions", "created"} {
		v, numErr := strconv.ParseInt(fields[field], 10, 64)
		err = errors.Join(err, numErr)
		n[field] = v
	}
	switch {
	case err == nil && n["schema"] != schema:
		err = fmt.Errorf("it has schema %d, this program has %d", n["schema"], schema)
	case err == nil && (n["partitions"] < 1 || n["partitions"] > MaxPartitions || n["unit"] < 0 || n["unit"] > 255):
		err = errors.New("its numbers are out of range")
	}
	if err != nil {
		return Genesis{}, fmt.Errorf("%w: genesis with prefix %q: %w", shares.ErrForeign, c.cfg.Prefix, err)
	}
	return Genesis{
		Ledger: fields["ledger"], Chain: fields["chain"], Unit: shares.Unit(n["unit"]), Partitions: int(n["partitions"]),
		Created: time.Unix(n["created"], 0).UTC(),
	}, nil
}
