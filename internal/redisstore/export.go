package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/ledgerfile"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// exportTries is how often a partition is looked at anew because shares were folded before they
	// were read. Each time there is less left that could be.
	exportTries = 100
	// blocksAhead is how many found blocks are read at a time, with their rounds.
	blocksAhead = 16
)

// Exported is how much of a ledger has been exported.
type Exported struct {
	// Partition is the one that is being written.
	Partition int
	// Shares counts all shares so far and Detail those of them that were written one by one. Expected is
	// how many of those there will be, or somewhat more.
	Shares, Detail, Expected int64
	// Weight is that of all shares so far.
	Weight *big.Int
	// End is the last line, once it is written.
	End ledgerfile.End
}

// Export writes the whole ledger as a ledgerfile, partition by partition. It only reads, and may run while
// shares are recorded and folded: each partition is told as it was at one moment, some time after Export
// began. Memory is bounded by accounts and slices, not shares. progress is called now and then; nil for
// never.
func (l *Ledger) Export(ctx context.Context, out io.Writer, progress func(Exported)) (Exported, error) {
	o, err := l.opened()
	if err != nil {
		return Exported{}, err
	}
	if progress == nil {
		progress = func(Exported) {}
	}
	done := Exported{Weight: new(big.Int)}
	if done.Expected, err = l.detail(ctx, o); err != nil {
		return Exported{}, fmt.Errorf("export: %w", err)
	}
	w, err := ledgerfile.NewWriter(out, &ledgerfile.Header{
		Ledger: o.Ledger, Chain: o.Chain, Unit: o.Unit, Partitions: o.Partitions, Created: o.Created, Exported: l.cfg.Now(),
	})
	if err != nil {
		return Exported{}, err
	}
	for p, k := range o.parts {
		done.Partition = p
		e := &export{Ledger: l, w: w, partition: p, keys: k, done: &done, progress: progress, written: make(map[string]*big.Int)}
		e.at.Partition = p
		if err := e.run(ctx); err != nil {
			return Exported{}, fmt.Errorf("export: partition %d: %w", p, err)
		}
	}
	done.End, err = w.Close()
	return done, err
}

// detail counts the shares that are not folded.
func (l *Ledger) detail(ctx context.Context, o *opened) (int64, error) {
	cmds := make([]*redis.SliceCmd, len(o.parts))
	_, err := l.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range o.parts {
			cmds[i] = p.HMGet(ctx, k.state(), "shares", "folded")
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("state: %w", translate(err))
	}
	var sum int64
	for _, cmd := range cmds {
		for i, v := range cmd.Val() {
			text, ok := v.(string)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("state: %w", err)
			}
			sum += n * int64(1-2*i)
		}
	}
	return sum, nil
}

// exportable is what a partition says at one moment, and what is in order in it.
type exportable struct {
	state, sums, folded, round map[string]string
	// blocks are the hashes of the found blocks, oldest first.
	blocks []string
	// last is the place of the newest share, and trimmed that of the newest one that is folded.
	last, trimmed shares.Position
}

// export writes one partition. It goes through the shares from the oldest to the newest that the newest
// moment knows of. Where shares are gone that it has not come to, because they were folded, it looks at the
// partition anew, writes what was folded since as sums, and goes on behind it: what is written stays right,
// so nothing is ever written twice or taken back.
type export struct {
	*Ledger
	w         *ledgerfile.Writer
	partition int
	keys      part
	done      *Exported
	progress  func(Exported)
	// moment is the newest.
	moment *exportable
	// at is the place up to which all is written. written are the sums by account of that, and count counts
	// its shares, folded those that were written as sums alone.
	at            shares.Position
	written       map[string]*big.Int
	count, folded int64
	// index are the names of the slices that were not read yet, as far as they are known.
	index []string
	// blocks are the next ones, and cut is how many were written.
	blocks []exportBlock
	cut    int
	weight big.Int
}

// exportBlock is a found block in one partition, with its round by account.
type exportBlock struct {
	ledgerfile.Block
	round map[string]string
}

func (e *export) run(ctx context.Context) error {
	if err := e.w.Write(&ledgerfile.Partition{Partition: e.partition}); err != nil {
		return err
	}
	for try := range exportTries {
		var err error
		if e.moment, err = e.look(ctx); err != nil {
			return err
		}
		if try > 0 && e.moment.trimmed.Compare(e.at) <= 0 {
			return fmt.Errorf("the shares after %s are neither there nor folded: %w", e.at, errDamaged)
		}
		if err := e.writeFolded(); err != nil {
			return err
		}
		err = e.writeShares(ctx)
		if err == nil {
			err = e.writeTotals(ctx)
		}
		if !errors.Is(err, shares.ErrFolded) {
			return err
		}
	}
	return errors.New("its shares are folded faster than they can be read: try again when the ledger is less busy")
}

// look reads what the partition says at one moment.
func (e *export) look(ctx context.Context) (*exportable, error) {
	m := new(exportable)
	var cmds []*redis.MapStringStringCmd
	var blocks *redis.StringSliceCmd
	_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range []string{e.keys.state(), e.keys.sums(), e.keys.folded(), e.keys.round()} {
			cmds = append(cmds, p.HGetAll(ctx, key))
		}
		blocks = p.LRange(ctx, e.keys.blocks(), 0, -1)
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	m.state, m.sums, m.folded, m.round, m.blocks = cmds[0].Val(), cmds[1].Val(), cmds[2].Val(), cmds[3].Val(), blocks.Val()
	var lastErr, trimmedErr error
	m.last, lastErr = placeIn(m.state, "last", e.partition)
	m.trimmed, trimmedErr = placeIn(m.state, "trimmed", e.partition)
	return m, errors.Join(lastErr, trimmedErr)
}

// writeFolded writes what is folded of what is not written yet, as sums.
func (e *export) writeFolded() error {
	if e.moment.trimmed.Compare(e.at) <= 0 {
		return nil
	}
	now := make(map[string]*big.Int)
	if err := addSums(now, e.moment.folded); err != nil {
		return err
	}
	count, err := countIn(e.moment.state, "folded")
	if err != nil {
		return err
	}
	f := &ledgerfile.Folded{Through: e.moment.trimmed, Shares: count - e.count}
	if f.Shares < 0 {
		return fmt.Errorf("%d shares are folded, but %d were there before: %w", count, e.count, errDamaged)
	}
	if err := e.w.Write(f); err != nil {
		return err
	}
	for _, account := range slices.Sorted(maps.Keys(union(now, e.written))) {
		s := &ledgerfile.Sum{Kind: ledgerfile.FoldedSum, Partition: e.partition, Account: account, Unit: e.cfg.Unit}
		s.Weight = new(big.Int).Sub(orZero(now[account]), orZero(e.written[account]))
		if s.Weight.Sign() < 0 {
			return fmt.Errorf("the folded shares of %s weigh less than they did before: %w", account, errDamaged)
		}
		if s.Weight.Sign() == 0 {
			continue
		}
		if err := e.w.Write(s); err != nil {
			return err
		}
		add(e.written, account, s.Weight)
		e.done.Weight.Add(e.done.Weight, s.Weight)
	}
	e.at = f.Through
	e.count += f.Shares
	e.folded += f.Shares
	e.done.Shares += f.Shares
	return nil
}

// errDamaged says what to do if the ledger contradicts itself.
var errDamaged = errors.New("the ledger contradicts itself: see what gbtpool ledger audit finds")

// writeShares writes the shares up to the last, each behind the blocks that come before it.
func (e *export) writeShares(ctx context.Context) error {
	for e.at.Compare(e.moment.last) < 0 {
		list, err := e.next(ctx)
		if err != nil || len(list) == 0 {
			return err // shares that are missing although the state knows them: the file shows it
		}
		for i := range list {
			s := &list[i]
			if err := e.writeBlocks(ctx, s.Position); err != nil {
				return err
			}
			if err := e.w.Write(s); err != nil {
				return err
			}
			w := e.weight.SetInt64(int64(s.Weight))
			add(e.written, s.Account, w)
			e.done.Weight.Add(e.done.Weight, w)
			e.at = s.Position
			e.count++
			e.done.Shares++
			e.done.Detail++
		}
		e.progress(*e.done)
	}
	return nil
}

// writeBlocks writes the blocks whose cut comes before a place.
func (e *export) writeBlocks(ctx context.Context, before shares.Position) error {
	for e.cut < len(e.moment.blocks) {
		if len(e.blocks) == 0 {
			if err := e.readBlocks(ctx); err != nil {
				return err
			}
		}
		b := &e.blocks[0]
		if b.Cut.Compare(before) >= 0 {
			return nil
		}
		if err := e.w.Write(&b.Block); err != nil {
			return err
		}
		if err := e.writeSums(ledgerfile.RoundSum, b.Hash, b.round); err != nil {
			return err
		}
		e.blocks = e.blocks[1:]
		e.cut++
	}
	return nil
}

// writeSums writes sums by account.
func (e *export) writeSums(kind ledgerfile.SumKind, block chainhash.Hash, values map[string]string) error {
	sums := make(map[string]*big.Int)
	if err := addSums(sums, values); err != nil {
		return err
	}
	for _, account := range slices.Sorted(maps.Keys(sums)) {
		err := e.w.Write(&ledgerfile.Sum{
			Kind: kind, Partition: e.partition, Block: block, Account: account, Weight: sums[account], Unit: e.cfg.Unit,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeTotals writes the rest of the blocks and what the partition says as a whole.
func (e *export) writeTotals(ctx context.Context) error {
	behind := e.moment.last
	behind.Seq++
	if err := e.writeBlocks(ctx, behind); err != nil {
		return err
	}
	state := e.moment.state
	t := &ledgerfile.Total{Partition: e.partition, Folded: e.folded, Weight: new(big.Int), Unit: e.cfg.Unit, Last: e.moment.last}
	totals := make(map[string]*big.Int)
	sumErr := addSums(totals, fieldsOf(state, "total"))
	t.Weight = orZero(totals["total"])
	var fromErr, countErr, roundErr, weightErr error
	t.RoundFrom, fromErr = placeIn(state, "rfrom", e.partition)
	t.Shares, countErr = countIn(state, "shares")
	t.RoundShares, roundErr = countIn(state, "rshares")
	weight, weightErr := countIn(state, "rtotal")
	t.Round = shares.Weight(weight)
	if err := errors.Join(sumErr, fromErr, countErr, roundErr, weightErr); err != nil {
		return err
	}
	if err := e.writeSums(ledgerfile.AccountSum, chainhash.Hash{}, e.moment.sums); err != nil {
		return err
	}
	if err := e.writeSums(ledgerfile.RoundSum, chainhash.Hash{}, e.moment.round); err != nil {
		return err
	}
	return e.w.Write(t)
}

// fieldsOf returns the two fields of a sum that never ends.
func fieldsOf(values map[string]string, name string) map[string]string {
	out := make(map[string]string)
	for _, field := range []string{name, name + "+"} {
		if v, ok := values[field]; ok {
			out[field] = v
		}
	}
	return out
}

// countIn reads a number of a hash; 0 if there is none.
func countIn(values map[string]string, field string) (int64, error) {
	text, ok := values[field]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return n, nil
}
