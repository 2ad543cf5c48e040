package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// maxAnswer is the most that a node's answer takes unpacked, in bytes.
const maxAnswer = 64 << 20

// lifeSigns is how many times a gateway says that it is still there before it would count as silent.
const lifeSigns = 4

// BoardConfig configures a Board. All is required.
type BoardConfig struct {
	// Ledger is where the pool's templates lie beside its shares.
	Ledger *Ledger
	// Keep is for how long a template is kept after it was last in force: as long as work on it may be
	// submitted.
	Keep time.Duration
	// Silence is for how long a gateway that says nothing any more keeps others from replacing its
	// template: longer than it takes to restart, shorter than anybody minds a template that grows old.
	Silence time.Duration
}

// Board is where the gateways of a pool share templates. It implements gbt.Board.
type Board struct {
	*Ledger
	keep, silence time.Duration
	packer        *zstd.Encoder
	opener        *zstd.Decoder
}

// NewBoard makes a Board.
func NewBoard(cfg BoardConfig) (*Board, error) {
	if cfg.Ledger == nil || cfg.Keep <= 0 || cfg.Silence <= 0 {
		return nil, errors.New("board: Ledger, Keep and Silence are required")
	}
	// Miners wait for what is packed here, so it is packed as fast as can be.
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	opener, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	return &Board{Ledger: cfg.Ledger, keep: cfg.Keep, silence: cfg.Silence, packer: packer, opener: opener}, nil
}

// Posted implements gbt.Board. While this gateway's own template is in force it says that the gateway is
// still there.
func (b *Board) Posted(ctx context.Context, previous chainhash.Hash, have uint64) (*gbt.Posted, error) {
	o, err := b.opened()
	if err != nil {
		return nil, err
	}
	v, err := b.call(ctx, b.scripts.posted, []string{b.keys.pool("genesis"), b.head(previous)}, o.Ledger)
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	list, ok := v.([]any)
	if !ok || len(list) != 0 && len(list) != 4 {
		return nil, fmt.Errorf("board: %v: %w", v, errReply)
	}
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // gbt.Board has it so
	}
	p, err := posted(list, previous)
	gateway, ok1 := list[2].(string)
	silent, ok2 := list[3].(int64)
	if err != nil || !ok1 || !ok2 {
		return nil, fmt.Errorf("board: %v: %w", v, errors.Join(errReply, err))
	}
	age := time.Duration(silent) * time.Millisecond
	switch {
	case gateway == b.cfg.Gateway:
		if age >= b.silence/lifeSigns {
			_, err = b.post(ctx, o.Ledger, p)
		}
		return nil, err
	case age >= b.silence:
		return nil, nil //nolint:nilnil // gbt.Board has it so
	case p.Seq == have:
		return p, nil
	}
	return b.whole(ctx, p)
}

// Post implements gbt.Board.
func (b *Board) Post(ctx context.Context, t *gbt.Posted) (*gbt.Posted, error) {
	o, err := b.opened()
	if err != nil {
		return nil, err
	}
	packed := t.Packed
	if packed == nil {
		packed = b.Pack(t.Answer)
	}
	up, err := b.post(ctx, o.Ledger, t, "node", t.Node, "received", t.Received.UnixMilli(), "answer", packed)
	if err == nil && up == nil {
		err = errReply
	}
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	if up.Mark == t.Mark {
		return up, nil
	}
	return b.whole(ctx, up)
}

// post runs the script; without fields it only keeps longer what is there. nil if nothing is.
func (b *Board) post(ctx context.Context, ledger string, t *gbt.Posted, fields ...any) (*gbt.Posted, error) {
	names := []string{b.keys.pool("genesis"), b.keys.pool("templates"), b.head(t.PreviousBlock), b.template(t.PreviousBlock, t.Mark)}
	early := ""
	if t.Early {
		early = markText(t.Mark)
	}
	args := append([]any{ledger, b.cfg.Gateway, markText(t.Mark), t.Seq, b.silence.Milliseconds(), b.keep.Milliseconds(), early}, fields...)
	v, err := b.call(ctx, b.scripts.post, names, args...)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != 0 && len(list) != 2 {
		return nil, fmt.Errorf("%v: %w", v, errReply)
	}
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // said above
	}
	return posted(list, t.PreviousBlock)
}

// whole returns a template that is in force with its answer.
func (b *Board) whole(ctx context.Context, p *gbt.Posted) (*gbt.Posted, error) {
	got, err := b.Find(ctx, p.PreviousBlock, p.Mark)
	if err != nil {
		return nil, err
	}
	got.Seq = max(got.Seq, p.Seq)
	return got, nil
}

// Pack implements gbt.Board.
func (b *Board) Pack(answer []byte) []byte {
	// Hexadecimal digits and what is around them take less than a third.
	return b.packer.EncodeAll(answer, make([]byte, 0, len(answer)/3))
}

// Find implements gbt.Board.
func (b *Board) Find(ctx context.Context, previous chainhash.Hash, mark uint32) (*gbt.Posted, error) {
	values, err := b.redis.HGetAll(ctx, b.template(previous, mark)).Result()
	if err != nil {
		return nil, fmt.Errorf("board: %w", translate(err))
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("template %08x on %s: %w", mark, previous, gbt.ErrNotPosted)
	}
	f := textFields(values)
	p := &gbt.Posted{
		Seq: uint64(f.number("seq")), PreviousBlock: previous, Mark: mark,
		Node: f.text("node"), Received: time.UnixMilli(f.number("received")).UTC(),
	}
	packed := f.text("answer")
	if f.err != nil {
		return nil, fmt.Errorf("template %08x on %s: %w", mark, previous, f.err)
	}
	if p.Answer, err = b.opener.DecodeAll([]byte(packed), nil); err != nil {
		return nil, fmt.Errorf("template %08x on %s: %w", mark, previous, err)
	}
	return p, nil
}

// posted reads the number and the mark that a script returns first.
func posted(list []any, previous chainhash.Hash) (*gbt.Posted, error) {
	number, ok1 := list[0].(string)
	mark, ok2 := list[1].(string)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%v: %w", list, errReply)
	}
	seq, err1 := strconv.ParseUint(number, 10, 64)
	m, err2 := strconv.ParseUint(mark, 16, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &gbt.Posted{Seq: seq, PreviousBlock: previous, Mark: uint32(m)}, nil
}

// head is the key of what is in force on a block, and template that of a template on it.
func (b *Board) head(previous chainhash.Hash) string {
	return b.keys.pool("template:" + previous.String())
}

func (b *Board) template(previous chainhash.Hash, mark uint32) string {
	return b.head(previous) + ":" + markText(mark)
}

func markText(mark uint32) string { return fmt.Sprintf("%08x", mark) }
