package redisstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// mostRecords is how many records are read at a time, and someBytes how many bytes of them are enough:
	// most are small, and one with 5000 legs is a thousand times larger.
	mostRecords = 256
	someBytes   = 1 << 20
	// scanned is about how many fields of a hash are read at a time. Redis does nothing else meanwhile.
	scanned = 2000
)

// Head implements payouts.Journal. Like Post it fails with shares.ErrForeign in the Redis of another
// ledger, so that what is not the journal never seems to be an empty one.
func (j *Journal) Head(ctx context.Context) (payouts.Head, error) {
	o, err := j.opened()
	if err != nil {
		return payouts.Head{}, err
	}
	var ledger *redis.StringCmd
	var fields *redis.SliceCmd
	_, err = j.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		ledger = p.HGet(ctx, j.keys.pool("genesis"), "ledger")
		fields = p.HMGet(ctx, j.moneyKey("head"), "seq", "hash")
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return payouts.Head{}, fmt.Errorf("journal: %w", translate(err))
	}
	if ledger.Val() != o.Ledger {
		return payouts.Head{}, fmt.Errorf("journal: %w: it is ledger %q, but was %s before", shares.ErrForeign, ledger.Val(), o.Ledger)
	}
	values := fields.Val()
	if len(values) != 2 || values[0] == nil && values[1] == nil {
		return payouts.Head{}, nil
	}
	seq, ok1 := values[0].(string)
	hash, ok2 := values[1].(string)
	if !ok1 || !ok2 {
		return payouts.Head{}, fmt.Errorf("journal: its head is %v: %w", values, errReply)
	}
	var head payouts.Head
	var seqErr error
	head.Seq, seqErr = strconv.ParseUint(seq, 10, 64)
	if err := errors.Join(seqErr, head.Hash.UnmarshalText([]byte(hash))); err != nil {
		return payouts.Head{}, fmt.Errorf("journal: its head is %v: %w", values, err)
	}
	return head, nil
}

// Posted implements payouts.Journal.
func (j *Journal) Posted(ctx context.Context, key string) (*payouts.Record, error) {
	number, err := j.redis.HGet(ctx, j.moneyKey("keys"), key).Result()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("record %s: %w", key, payouts.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", key, translate(err))
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", key, err)
	}
	list, _, err := j.batch(ctx, seq, seq)
	if err != nil {
		return nil, err
	}
	r, _, err := j.decode(list[0], seq)
	if err == nil && r.Key != key {
		err = fmt.Errorf("record %d has key %s, not %s: %w", seq, r.Key, key, payouts.ErrRecord)
	}
	return r, err
}

// Records implements payouts.Journal: up to the head when the iteration began. It fails with
// payouts.ErrRecord if a record is missing, or is not the one that the next one follows.
func (j *Journal) Records(ctx context.Context, from uint64) iter.Seq2[*payouts.Record, error] {
	return func(yield func(*payouts.Record, error) bool) {
		if err := j.records(ctx, max(from, 1), yield); err != nil {
			yield(nil, err)
		}
	}
}

// records is Records, but for the error that ends it.
func (j *Journal) records(ctx context.Context, seq uint64, yield func(*payouts.Record, error) bool) error {
	head, err := j.Head(ctx)
	if err != nil {
		return err
	}
	var at payouts.Head // of the record before, once one was read
	for many := uint64(1); seq <= head.Seq; {
		list, size, err := j.batch(ctx, seq, min(seq+many-1, head.Seq))
		if err != nil {
			return err
		}
		for _, packed := range list {
			r, hash, err := j.decode(packed, seq)
			switch {
			case err != nil:
				return err
			case at.Seq != 0 && r.Previous != at.Hash:
				return fmt.Errorf("record %d does not follow record %d as it is: %w", seq, at.Seq, payouts.ErrRecord)
			case seq == head.Seq && hash != head.Hash:
				return fmt.Errorf("record %d is not the one that was posted: %w", seq, payouts.ErrRecord)
			}
			if !yield(r, nil) {
				return nil
			}
			at = payouts.Head{Seq: seq, Hash: hash}
			seq++
		}
		if many = min(2*many, mostRecords); size > someBytes {
			many = max(many/4, 1)
		}
	}
	return nil
}

// batch reads records as they are stored, and returns how many bytes they have.
func (j *Journal) batch(ctx context.Context, first, last uint64) (list []string, size int, err error) {
	fields := make([]string, 0, last-first+1)
	for seq := first; seq <= last; seq++ {
		fields = append(fields, strconv.FormatUint(seq, 10))
	}
	values, err := j.redis.HMGet(ctx, j.moneyKey("records"), fields...).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("journal: %w", translate(err))
	}
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil, 0, fmt.Errorf("record %s is missing from the journal: %w", fields[i], payouts.ErrRecord)
		}
		list = append(list, text)
		size += len(text)
	}
	return list, size, nil
}

// decode reads a record as it is stored, and returns its hash with it.
func (j *Journal) decode(packed string, seq uint64) (*payouts.Record, payouts.Digest, error) {
	text, err := j.packer.Unpack([]byte(packed))
	if err != nil {
		return nil, payouts.Digest{}, fmt.Errorf("record %d: %w: %w", seq, payouts.ErrRecord, err)
	}
	r, err := payouts.Decode(text)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("it is record %d: %w", r.Seq, payouts.ErrRecord)
	}
	if err != nil {
		return nil, payouts.Digest{}, fmt.Errorf("record %d: %w", seq, err)
	}
	return r, sha256.Sum256(text), nil
}

// Balance implements payouts.Tables.
func (j *Journal) Balance(ctx context.Context, account payouts.Account) (int64, error) {
	amount, err := j.redis.HGet(ctx, j.moneyKey("balances"), string(account)).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("balance of %s: %w", account, translate(err))
	}
	return amount, nil
}

// Balances implements payouts.Tables.
func (j *Journal) Balances(ctx context.Context) iter.Seq2[payouts.Leg, error] {
	return func(yield func(payouts.Leg, error) bool) {
		for f, err := range j.scan(ctx, j.moneyKey("balances")) {
			leg := payouts.Leg{Account: payouts.Account(f.Field)}
			if err == nil {
				leg.Amount, err = strconv.ParseInt(f.Value, 10, 64)
			}
			if err != nil {
				yield(payouts.Leg{}, fmt.Errorf("balances: %w", err))
				return
			}
			if !yield(leg, nil) {
				return
			}
		}
	}
}

// Field implements payouts.Tables.
func (j *Journal) Field(ctx context.Context, table, field string) (string, error) {
	value, err := j.redis.HGet(ctx, j.table(table), field).Result()
	if errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("%s in %s: %w", field, table, payouts.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w", field, table, translate(err))
	}
	return value, nil
}

// Fields implements payouts.Tables.
func (j *Journal) Fields(ctx context.Context, table string) iter.Seq2[payouts.Set, error] {
	return func(yield func(payouts.Set, error) bool) {
		for f, err := range j.scan(ctx, j.table(table)) {
			if err != nil {
				yield(payouts.Set{}, fmt.Errorf("%s: %w", table, err))
				return
			}
			f.Table = table
			if !yield(f, nil) {
				return
			}
		}
	}
}

// scan reads a hash bit by bit. An error ends it.
func (j *Journal) scan(ctx context.Context, key string) iter.Seq2[payouts.Set, error] {
	return func(yield func(payouts.Set, error) bool) {
		for cursor := uint64(0); ; {
			list, next, err := j.redis.HScan(ctx, key, cursor, "", scanned).Result()
			if err == nil && len(list)%2 != 0 {
				err = errReply
			}
			if err != nil {
				yield(payouts.Set{}, translate(err))
				return
			}
			for i := 0; i < len(list); i += 2 {
				if !yield(payouts.Set{Field: list[i], Value: list[i+1]}, nil) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}

// Notes implements payouts.Notes.
func (j *Journal) Notes(ctx context.Context, table string) (map[string]string, error) {
	notes, err := j.redis.HGetAll(ctx, j.notes(table)).Result()
	if err != nil {
		return nil, fmt.Errorf("notes: %w", translate(err))
	}
	return notes, nil
}
