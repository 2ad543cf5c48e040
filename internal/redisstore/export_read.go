package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/ledgerfile"
	"github.com/gbtpool/gbtpool/shares"
)

// next reads shares that come after what is written, oldest first. There are none after the last of the
// moment. It fails with shares.ErrFolded if some are gone.
func (e *export) next(ctx context.Context) ([]ledgerfile.Share, error) {
	if len(e.index) == 0 {
		list, compacted, err := e.log(ctx)
		if err != nil || compacted.Compare(e.at) <= 0 {
			return list, err
		}
		// The log does not have them all any more: the rest is in slices by now.
		if err := e.readIndex(ctx); err != nil {
			return nil, err
		}
	}
	for len(e.index) > 0 {
		name := e.index[0]
		e.index = e.index[1:]
		_, last, err := parseSliceName(name, e.partition)
		if err != nil {
			return nil, err
		}
		if last.Compare(e.at) <= 0 {
			continue
		}
		s, err := e.slice(ctx, e.keys, name, e.partition)
		if err != nil {
			e.index = nil
			return nil, err
		}
		return e.sliced(s), nil
	}
	return nil, shares.ErrFolded
}

// readIndex reads the names of the slices. It fails with shares.ErrFolded if the first that is needed is gone: then
// there is a gap before the first that is there.
func (e *export) readIndex(ctx context.Context) error {
	var state *redis.SliceCmd
	var index *redis.StringSliceCmd
	_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		state = p.HMGet(ctx, e.keys.state(), "trimmed")
		index = p.LRange(ctx, e.keys.slices(), 0, -1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("slices: %w", translate(err))
	}
	trimmed, err := e.placeOf(state)
	if err != nil {
		return err
	}
	if trimmed.Compare(e.at) > 0 {
		return shares.ErrFolded
	}
	e.index = index.Val()
	return nil
}

// placeOf reads the place that is the only field of a reply; the zero place if there is none.
func (e *export) placeOf(reply *redis.SliceCmd) (shares.Position, error) {
	values := make(map[string]string)
	if text, ok := reply.Val()[0].(string); ok {
		values["place"] = text
	}
	return placeIn(values, "place", e.partition)
}

// log reads shares of the log, and the place up to which they may be missing in it.
func (e *export) log(ctx context.Context) ([]ledgerfile.Share, shares.Position, error) {
	var state *redis.SliceCmd
	var messages *redis.XMessageSliceCmd
	none := shares.Position{Partition: e.partition}
	_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		state = p.HMGet(ctx, e.keys.state(), "compacted")
		messages = p.XRangeN(ctx, e.keys.log(), "("+e.at.String(), e.moment.last.String(), page)
		return nil
	})
	if err != nil {
		return nil, none, fmt.Errorf("log: %w", translate(err))
	}
	list := make([]ledgerfile.Share, 0, len(messages.Val()))
	for _, m := range messages.Val() {
		entry, err := entryOf(m, e.partition)
		if err != nil {
			return nil, none, err
		}
		list = append(list, ledgerfile.Share{Entry: entry})
	}
	compacted, err := e.placeOf(state)
	return list, compacted, err
}

// sliced returns the shares of a slice that are not written yet, up to the last.
func (e *export) sliced(s *slice) []ledgerfile.Share {
	list := make([]ledgerfile.Share, 0, len(s.places))
	for i, at := range s.places {
		if at.Compare(e.at) > 0 && at.Compare(e.moment.last) <= 0 {
			list = append(list, ledgerfile.Share{Entry: shares.Entry{Position: at, Share: shares.Share{
				Account: s.accounts[s.account[i]], Worker: s.workers[s.worker[i]], Weight: s.weights[i], Unit: e.cfg.Unit,
			}}})
		}
	}
	return list
}

// readBlocks reads the next few blocks. What they say stays as it is, until their rounds are released.
func (e *export) readBlocks(ctx context.Context) error {
	hashes := e.moment.blocks[e.cut:min(e.cut+blocksAhead, len(e.moment.blocks))]
	var values, rounds []*redis.MapStringStringCmd
	_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, hash := range hashes {
			values = append(values, p.HGetAll(ctx, e.keys.block(hash)))
			rounds = append(rounds, p.HGetAll(ctx, e.keys.frozen(hash)))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("blocks: %w", translate(err))
	}
	for i, hash := range hashes {
		b, err := e.block(hash, values[i].Val())
		if err != nil {
			return fmt.Errorf("block %s: %w", hash, err)
		}
		e.blocks = append(e.blocks, exportBlock{b, rounds[i].Val()})
	}
	return nil
}

// block reads what a partition knows of a block.
func (e *export) block(text string, values map[string]string) (ledgerfile.Block, error) {
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return ledgerfile.Block{}, err
	}
	var b ledgerfile.Block
	if _, own := values["id"]; own {
		f, err := foundOf(*hash, e.partition, values)
		if err != nil {
			return ledgerfile.Block{}, err
		}
		b.Entry, b.Promoted = f.Entry, values["promoted"] != ""
	} else {
		b.Partition, b.Hash, b.Unit = e.partition, *hash, e.cfg.Unit
	}
	f := textFields(values)
	var fromErr, cutErr error
	b.From, fromErr = placeIn(values, "from", e.partition)
	b.Cut, cutErr = placeIn(values, "cut", e.partition)
	b.Shares, b.Round, b.Released = f.number("rshares"), shares.Weight(f.number("rtotal")), values["released"] != ""
	return b, errors.Join(fromErr, cutErr, f.err)
}
