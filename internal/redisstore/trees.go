package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// chunkLeaves is how many leaves of a tree are kept in one piece: about 300 kB, which hold nobody up.
	chunkLeaves = 8192
	// maxChunk is the most bytes that a piece takes unpacked. Names are at most a few hundred bytes long.
	maxChunk = 16 << 20
	// treeSize is the field that says of how many pieces a tree is. It is written last.
	treeSize = "pieces"
)

// TreesConfig configures Trees. All is required.
type TreesConfig struct {
	// Ledger is beside which the trees lie, in the same Redis as the journal.
	Ledger *Ledger
}

// Trees keeps the leaves of blocks' trees. It implements payouts.TreeStore.
type Trees struct {
	*Ledger
	packer *zstd.Encoder
	opener *zstd.Decoder
}

// NewTrees makes Trees.
func NewTrees(cfg TreesConfig) (*Trees, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("trees: Ledger is required")
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("trees: %w", err)
	}
	opener, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk))
	if err != nil {
		return nil, fmt.Errorf("trees: %w", err)
	}
	return &Trees{cfg.Ledger, packer, opener}, nil
}

// Put implements payouts.TreeStore. It writes the pieces one by one and then how many they are, with the script of
// notes: that sets fields all or nothing, and in the right ledger only. Pieces are the same whoever writes them,
// because the root is of the leaves. A record of the journal that is written later is on disk only if they are,
// because one server has both.
func (t *Trees) Put(ctx context.Context, root payouts.Digest, leaves []payouts.Leaf) error {
	o, err := t.opened()
	if err != nil {
		return err
	}
	put := func(field, value string) error {
		names, args := withSets([]string{t.keys.pool("genesis")}, []any{o.Ledger}, []payouts.Set{{Table: root.String(), Field: field, Value: value}}, t.tree)
		results, err := t.durably(ctx, []invocation{{script: t.scripts.note, keys: names, args: args}})
		if own := results[0].Err(); own != nil {
			err = translate(own)
		}
		if err != nil {
			return fmt.Errorf("tree: %w", err)
		}
		return nil
	}
	pieces := 0
	for ; len(leaves) > 0; pieces++ {
		some := leaves[:min(len(leaves), chunkLeaves)]
		leaves = leaves[len(some):]
		if err := put(strconv.Itoa(pieces), string(t.packer.EncodeAll(packLeaves(some), nil))); err != nil {
			return err
		}
	}
	return put(treeSize, strconv.Itoa(pieces))
}

// Has implements payouts.TreeStore.
func (t *Trees) Has(ctx context.Context, root payouts.Digest) (bool, error) {
	if _, err := t.opened(); err != nil {
		return false, err
	}
	has, err := t.redis.HExists(ctx, t.tree(root.String()), treeSize).Result()
	if err != nil {
		return false, fmt.Errorf("tree: %w", translate(err))
	}
	return has, nil
}

// Leaves implements payouts.TreeStore. If what is there is damaged it fails with payouts.ErrTreeLost.
func (t *Trees) Leaves(ctx context.Context, root payouts.Digest) ([]payouts.Leaf, error) {
	if _, err := t.opened(); err != nil {
		return nil, err
	}
	text, err := t.piece(ctx, root, treeSize)
	if err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w: %w", root, payouts.ErrTreeLost, err)
	}
	fields, err := t.redis.HLen(ctx, t.tree(root.String())).Result()
	if err != nil {
		return nil, fmt.Errorf("tree: %w", translate(err))
	}
	pieces := int(size)
	if int64(pieces) >= fields {
		return nil, fmt.Errorf("tree %s, %d pieces in %d fields: %w", root, pieces, fields, payouts.ErrNotFound)
	}
	var leaves []payouts.Leaf
	if pieces > 1 {
		leaves = make([]payouts.Leaf, 0, pieces*chunkLeaves)
	}
	for i := range pieces {
		packed, err := t.piece(ctx, root, strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		text, err := t.opener.DecodeAll([]byte(packed), nil)
		if err == nil {
			leaves, err = unpackLeaves(leaves, string(text))
		}
		if err != nil {
			return nil, fmt.Errorf("tree %s, piece %d: %w: %w", root, i, payouts.ErrTreeLost, err)
		}
	}
	return leaves, nil
}

// piece reads a field of a tree.
func (t *Trees) piece(ctx context.Context, root payouts.Digest, field string) (string, error) {
	text, err := t.redis.HGet(ctx, t.tree(root.String()), field).Result()
	if errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("tree %s, %s: %w", root, field, payouts.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("tree: %w", translate(err))
	}
	return text, nil
}

// tree is the key of a tree.
func (t *Trees) tree(root string) string { return t.keys.pool("tree:" + root) }

// packLeaves writes leaves one after the other: how long the name is, the name, weight and credit. Numbers are
// varints.
func packLeaves(leaves []payouts.Leaf) []byte {
	out := make([]byte, 0, 64*len(leaves))
	for _, l := range leaves {
		out = append(binary.AppendUvarint(out, uint64(len(l.Account))), l.Account...)
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(l.Weight)), uint64(l.Credit))
	}
	return out
}

// unpackLeaves appends leaves that packLeaves has written. Their names are parts of the text.
func unpackLeaves(leaves []payouts.Leaf, text string) ([]payouts.Leaf, error) {
	number := func() (uint64, error) {
		n, size := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
		if size <= 0 {
			return 0, fmt.Errorf("a leaf ends early: %w", payouts.ErrTreeLost)
		}
		text = text[size:]
		return n, nil
	}
	for len(text) > 0 {
		length, err := number()
		if err != nil || length > uint64(len(text)) {
			return nil, fmt.Errorf("a name ends early: %w", payouts.ErrTreeLost)
		}
		l := payouts.Leaf{Account: text[:length]}
		text = text[length:]
		weight, err1 := number()
		credit, err2 := number()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		l.Weight, l.Credit = shares.Weight(weight), int64(credit)
		leaves = append(leaves, l)
	}
	return leaves, nil
}
