package rest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/payouts"
)

// inclusion returns the proof that a transaction is in a block. Both are named by what they hold, so it does not
// change.
func (v *Views) inclusion(ctx context.Context, block, txid string, height int32) (*oas.Inclusion, error) {
	return v.inclusions.get(ctx, block+"/"+txid, func(ctx context.Context) (*oas.Inclusion, error) {
		hash, err := chainhash.NewHashFromStr(block)
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", block, err)
		}
		id, err := chainhash.NewHashFromStr(txid)
		if err != nil {
			return nil, fmt.Errorf("transaction %q: %w", txid, err)
		}
		msg, err := v.cfg.Chain.Block(ctx, *hash)
		if err != nil {
			return nil, err
		}
		if msg.BlockHash() != *hash {
			return nil, fmt.Errorf("a node answers with block %s for %s: %w", msg.BlockHash(), hash, payouts.ErrUnknownBlock)
		}
		out, err := include(msg, *id)
		if err != nil {
			return nil, err
		}
		out.Height = height
		return out, nil
	})
}

// include makes the proof that a transaction is in a block.
func include(block *wire.MsgBlock, id chainhash.Hash) (*oas.Inclusion, error) {
	index := -1
	level := make([]chainhash.Hash, 0, len(block.Transactions)+1)
	for i, tx := range block.Transactions {
		if level = append(level, tx.TxHash()); level[i] == id {
			index = i
		}
	}
	if index < 0 {
		return nil, problem(http.StatusNotFound, "transaction %s is not in block %s", id, block.BlockHash())
	}
	out := &oas.Inclusion{Txid: id.String(), Block: block.BlockHash().String(), Index: index, Branch: []oas.Hash{}}
	for at := index; len(level) > 1; at /= 2 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		out.Branch = append(out.Branch, level[at^1].String())
		above := make([]chainhash.Hash, 0, len(level)/2+1)
		for i := 0; i < len(level); i += 2 {
			above = append(above, chainhash.DoubleHashH(append(bytes.Clone(level[i][:]), level[i+1][:]...)))
		}
		level = above
	}
	var header bytes.Buffer
	if err := block.Header.Serialize(&header); err != nil {
		return nil, fmt.Errorf("header of %s: %w", block.BlockHash(), err)
	}
	out.Header = hex.EncodeToString(header.Bytes())
	return out, nil
}
