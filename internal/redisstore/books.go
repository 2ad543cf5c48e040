package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// Window implements shares.Books.
func (l *Ledger) Window(ctx context.Context, block chainhash.Hash, size shares.Weight) (shares.Window, error) {
	o, err := l.opened()
	if err != nil {
		return shares.Window{}, err
	}
	from, err := l.cuts(ctx, o, block)
	if err != nil {
		return shares.Window{}, err
	}
	w, err := l.windowFrom(ctx, o, from, size)
	if err != nil {
		return shares.Window{}, err
	}
	w.Block = block
	return w, nil
}

// WindowAt implements shares.Books.
func (l *Ledger) WindowAt(ctx context.Context, end shares.Position, size shares.Weight) (shares.Window, error) {
	o, err := l.opened()
	if err != nil {
		return shares.Window{}, err
	}
	from, err := l.places(ctx, o, func(k part) (string, string) { return k.state(), "last" })
	if err != nil {
		return shares.Window{}, err
	}
	end.Seq = min(end.Seq, math.MaxInt64-1) // what reads goes by the next place
	for p := range from {
		if from[p] = earlier(from[p], lastIn(end, p)); from[p].Millis <= 0 {
			from[p] = shares.Position{} // before all
		}
	}
	return l.windowFrom(ctx, o, from, size)
}

// windowFrom counts a window back from a place in each partition, the share there included.
func (l *Ledger) windowFrom(ctx context.Context, o *opened, from []shares.Position, size shares.Weight) (shares.Window, error) {
	counter := shares.NewCounter(size)
	m, err := l.newMerge(ctx, o, from)
	for err == nil && !counter.Full() {
		var next counted
		var ok bool
		if next, ok, err = m.next(ctx); err != nil {
			break
		}
		if !ok {
			break // all there is: less than the size, unless older detail was folded away
		}
		counter.Add(next.at, next.account, next.weight)
	}
	w := counter.Window()
	if err == nil {
		err = l.complete(ctx, o, &w)
	}
	if err != nil {
		return shares.Window{}, fmt.Errorf("window of %d: %w", size, err)
	}
	w.Unit = o.Unit
	return w, nil
}

// complete fails if anything was folded that belongs into a window: partitions are folded to different
// places, so what one has may be older than what another one has no more.
func (l *Ledger) complete(ctx context.Context, o *opened, w *shares.Window) error {
	full := w.Total == w.Size
	if full && w.Shares == 0 {
		return nil
	}
	// Only now, so that what was folded while the window was read is seen.
	trimmed, err := l.places(ctx, o, func(k part) (string, string) { return k.state(), "trimmed" })
	if err != nil {
		return err
	}
	for p, at := range trimmed {
		if at != (shares.Position{}) && (!full || at.Compare(w.Oldest) >= 0) {
			return fmt.Errorf("partition %d: %w: ask for less", p, shares.ErrFolded)
		}
	}
	return nil
}

// cuts returns the last place in each partition that is not after a block; now, if there is none. It
// completes cuts that are missing because a gateway died.
func (l *Ledger) cuts(ctx context.Context, o *opened, block chainhash.Hash) ([]shares.Position, error) {
	if block == (chainhash.Hash{}) {
		return l.places(ctx, o, func(k part) (string, string) { return k.state(), "last" })
	}
	b, err := l.block(ctx, o, block)
	if err != nil {
		return nil, err
	}
	if err := l.cutElsewhere(ctx, o, block, b.Partition); err != nil {
		return nil, fmt.Errorf("block %s: %w", block, err)
	}
	out, err := l.places(ctx, o, func(k part) (string, string) { return k.block(block.String()), "cut" })
	if err != nil {
		return nil, err
	}
	// A cut may come long after the block, from whoever read it first. What came between is in the block's
	// round, because the sums of that moment are all there is, but the window goes by place.
	for p := range out {
		out[p] = earlier(out[p], lastIn(b.Position, p))
	}
	out[b.Partition] = b.Position
	return out, nil
}

// lastIn returns the last possible place in a partition that does not come after another place.
func lastIn(end shares.Position, partition int) shares.Position {
	at := end
	at.Partition = partition
	if partition > end.Partition {
		at.Seq-- // where both are the same, the higher partition comes later
	}
	return at
}

// cutElsewhere ends the round for a block in all partitions but its own, where recording it has done so.
func (l *Ledger) cutElsewhere(ctx context.Context, o *opened, block chainhash.Hash, own int) error {
	hash := block.String()
	g, ctx := errgroup.WithContext(ctx)
	for p, k := range o.parts {
		if p == own {
			continue
		}
		g.Go(func() error {
			return l.do(ctx, l.scripts.cut, []string{k.state(), k.block(hash), k.frozen(hash), k.blocks(), k.round()}, o.Ledger, hash)
		})
	}
	return g.Wait()
}

// places reads one place of each partition; the zero place where there is none.
func (l *Ledger) places(ctx context.Context, o *opened, where func(part) (key, field string)) ([]shares.Position, error) {
	cmds := make([]*redis.StringCmd, len(o.parts))
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range o.parts {
			key, field := where(k)
			cmds[i] = p.HGet(ctx, key, field)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("places: %w", translate(err))
	}
	out := make([]shares.Position, len(o.parts))
	for i, cmd := range cmds {
		text, err := cmd.Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("places: %w", translate(err))
		}
		if out[i], err = parsePlace(text); err != nil {
			return nil, err
		}
		out[i].Partition = i
	}
	return out, nil
}

// Round implements shares.Books.
func (l *Ledger) Round(ctx context.Context, block chainhash.Hash) (shares.Round, error) {
	o, err := l.opened()
	if err != nil {
		return shares.Round{}, err
	}
	now := block == (chainhash.Hash{})
	if !now {
		b, err := l.block(ctx, o, block)
		if err != nil {
			return shares.Round{}, err
		}
		if b.released {
			return shares.Round{}, fmt.Errorf("block %s: %w: it was released", block, shares.ErrFolded)
		}
		if err := l.cutElsewhere(ctx, o, block, b.Partition); err != nil {
			return shares.Round{}, fmt.Errorf("block %s: %w", block, err)
		}
	}
	sums := make(map[string]shares.Weight)
	var count int64
	for _, k := range o.parts {
		of, key, round := k.state(), "rshares", k.round()
		if !now {
			of, round = k.block(block.String()), k.frozen(block.String())
		}
		var n *redis.StringCmd
		var weights *redis.MapStringStringCmd
		_, err := l.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			n, weights = p.HGet(ctx, of, key), p.HGetAll(ctx, round)
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return shares.Round{}, fmt.Errorf("round: %w", translate(err))
		}
		if n.Err() == nil {
			some, err := n.Int64()
			if err != nil {
				return shares.Round{}, fmt.Errorf("round: %w", err)
			}
			count += some
		}
		for account, text := range weights.Val() {
			w, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return shares.Round{}, fmt.Errorf("round: %s: %w", account, err)
			}
			if w > 0 {
				sums[account] = shares.Weight(w)
			}
		}
	}
	return shares.NewRound(block, o.Unit, count, sums)
}

// found is a found block as its own partition has it.
type found struct {
	shares.Block
	released bool
}

// block reads a found block from the partition of its finder. ErrUnknown if there is none.
func (l *Ledger) block(ctx context.Context, o *opened, hash chainhash.Hash) (found, error) {
	cmds := make([]*redis.MapStringStringCmd, len(o.parts))
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range o.parts {
			cmds[i] = p.HGetAll(ctx, k.block(hash.String()))
		}
		return nil
	})
	if err != nil {
		return found{}, fmt.Errorf("block %s: %w", hash, translate(err))
	}
	for p, cmd := range cmds {
		if _, own := cmd.Val()["id"]; own {
			return foundOf(hash, p, cmd.Val())
		}
	}
	return found{}, fmt.Errorf("block %s: %w", hash, shares.ErrUnknown)
}

// foundOf reads a found block.
func foundOf(hash chainhash.Hash, partition int, values map[string]string) (found, error) {
	f := textFields(values)
	at, err := parsePlace(f.text("id"))
	at.Partition = partition
	target, targetErr := gbt.TargetFromBits(uint32(f.number("target")))
	b := shares.Block{Entry: shares.Entry{Position: at, Share: shares.Share{
		Hash: hash, Account: f.text("account"), Worker: f.text("worker"), Target: target,
		Weight: shares.Weight(f.number("weight")), Unit: shares.Unit(f.number("unit")),
		Height: int32(f.number("height")), Time: time.UnixMilli(f.number("time")).UTC(),
		Found: &shares.Found{
			Bits: uint32(f.number("bits")), Value: f.number("value"), Paid: f.number("paid"), Window: shares.Weight(f.number("window")),
		},
	}}}
	copy(b.PreviousBlock[:], f.text("previous"))
	if err := errors.Join(err, targetErr, f.err); err != nil {
		return found{}, fmt.Errorf("block %s: %w", hash, err)
	}
	b.Released = values["released"] != ""
	return found{Block: b, released: b.Released}, nil
}

// textFields reads a hash.
func textFields(values map[string]string) *fields {
	f := &fields{values: make(map[string]any, len(values))}
	for k, v := range values {
		f.values[k] = v
	}
	return f
}

// Blocks implements shares.Books.
func (l *Ledger) Blocks(ctx context.Context, limit int) ([]shares.Block, error) {
	o, err := l.opened()
	if err != nil {
		return nil, err
	}
	all, err := l.found(ctx, o)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b found) int { return b.Compare(a.Position) })
	out := make([]shares.Block, 0, min(limit, len(all)))
	for _, f := range all[:min(limit, len(all))] {
		out = append(out, f.Block)
	}
	return out, l.sumRounds(ctx, o, out)
}

// found reads all found blocks.
func (l *Ledger) found(ctx context.Context, o *opened) ([]found, error) {
	var all []found
	for p, k := range o.parts {
		hashes, err := l.redis.LRange(ctx, k.blocks(), 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("blocks: %w", translate(err))
		}
		cmds := make([]*redis.MapStringStringCmd, len(hashes))
		_, err = l.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, text := range hashes {
				cmds[i] = pipe.HGetAll(ctx, k.block(text))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("blocks: %w", translate(err))
		}
		for i, text := range hashes {
			values := cmds[i].Val()
			if _, own := values["id"]; !own {
				continue
			}
			hash, err := chainhash.NewHashFromStr(text)
			if err != nil {
				return nil, fmt.Errorf("block %q: %w", text, err)
			}
			b, err := foundOf(*hash, p, values)
			if err != nil {
				return nil, err
			}
			all = append(all, b)
		}
	}
	return all, nil
}

// sumRounds sums the rounds of blocks up over the partitions that have frozen them, and sets whether all have.
func (l *Ledger) sumRounds(ctx context.Context, o *opened, blocks []shares.Block) error {
	for i := range blocks {
		blocks[i].Frozen = true
	}
	for _, k := range o.parts {
		cmds := make([]*redis.SliceCmd, len(blocks))
		_, err := l.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i := range blocks {
				cmds[i] = pipe.HMGet(ctx, k.block(blocks[i].Hash.String()), "rshares", "rtotal")
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("rounds of blocks: %w", translate(err))
		}
		for i, cmd := range cmds {
			b, values := &blocks[i], cmd.Val()
			if values[0] == nil {
				b.Frozen = false
				continue
			}
			f := fields{values: map[string]any{"rshares": values[0], "rtotal": values[1]}}
			b.Shares += f.number("rshares")
			b.Round += shares.Weight(f.number("rtotal"))
			if f.err != nil {
				return fmt.Errorf("block %s: %w", b.Hash, f.err)
			}
		}
	}
	return nil
}
