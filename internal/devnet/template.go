package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/mining"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// ErrClosed ends calls on a chain that is closed.
var ErrClosed = errors.New("devnet: the chain is closed")

// template is a block template and what it was made of.
type template struct {
	block   *mining.BlockTemplate // nil before the first
	version uint64                // the Chain's when it was made
	made    time.Time
	minTime int64 // Unix seconds: after the median of the blocks before (BIP 113)
}

// id names the template: the best block and a number, as Bitcoin Core does it.
func (t *template) id() string {
	return fmt.Sprintf("%s%d", t.block.Block.Header.PrevBlock, t.version)
}

// Template implements node.Miner.
func (c *Chain) Template(ctx context.Context, longPollID string) (json.RawMessage, error) {
	for {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		c.mu.Lock()
		t, err := c.current()
		changed, outdated := c.changed, t.version != c.version
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if t.id() != longPollID {
			return c.render(&t)
		}
		if err := wait(ctx, changed, outdated, time.Until(t.made.Add(c.cfg.TemplateEvery))); err != nil {
			return nil, err
		}
	}
}

// wait returns when changed is closed or, if the template is outdated already, when it has lasted
// as long as it should.
func wait(ctx context.Context, changed <-chan struct{}, outdated bool, left time.Duration) error {
	var due <-chan time.Time
	if outdated {
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-due:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("devnet: %w", ctx.Err())
	}
}

// current returns the template in force: a new one if the best block is another, or if the mempool
// has changed and the last one has lasted long enough. The caller holds mu.
func (c *Chain) current() (template, error) {
	if c.closed {
		return template{}, ErrClosed
	}
	best := c.chain.BestSnapshot().Hash
	fresh := c.last.block != nil && c.last.block.Block.Header.PrevBlock == best &&
		(c.last.version == c.version || time.Since(c.last.made) < c.cfg.TemplateEvery)
	if fresh {
		return c.last, nil
	}
	block, err := c.generator.NewBlockTemplate(nil)
	if err != nil {
		return template{}, fmt.Errorf("devnet: template: %w", err)
	}
	c.last = template{
		block: block, version: c.version, made: time.Now(),
		minTime: mining.MinimumMedianTime(c.chain.BestSnapshot()).Unix(),
	}
	return c.last, nil
}

// render returns a template as Bitcoin Core sends one.
func (c *Chain) render(t *template) (json.RawMessage, error) {
	header := &t.block.Block.Header
	target, err := gbt.TargetFromBits(header.Bits)
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	txs, wtxids, err := transactions(t.block)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(map[string]any{
		"capabilities":               []string{"proposal"},
		"version":                    header.Version,
		"rules":                      []string{"csv", "!segwit", "taproot"},
		"vbavailable":                map[string]int{},
		"vbrequired":                 0,
		"previousblockhash":          header.PrevBlock.String(),
		"transactions":               txs,
		"coinbaseaux":                map[string]string{},
		"coinbasevalue":              blockchain.CalcBlockSubsidy(t.block.Height, c.params) - t.block.Fees[0],
		"longpollid":                 t.id(),
		"target":                     target.String(),
		"mintime":                    t.minTime,
		"mutable":                    []string{"time", "transactions", "prevblock"},
		"noncerange":                 "00000000ffffffff",
		"sigoplimit":                 blockchain.MaxBlockSigOpsCost,
		"sizelimit":                  blockchain.MaxBlockWeight,
		"weightlimit":                blockchain.MaxBlockWeight,
		"curtime":                    max(t.minTime, time.Now().Unix()),
		"bits":                       fmt.Sprintf("%08x", header.Bits),
		"height":                     t.block.Height,
		"default_witness_commitment": hex.EncodeToString(gbt.WitnessCommitment(wtxids)),
	})
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	return raw, nil
}

// transactions returns the elements of "transactions" and their wtxids.
func transactions(t *mining.BlockTemplate) ([]map[string]any, []chainhash.Hash, error) {
	all := t.Block.Transactions
	txs := make([]map[string]any, 0, len(all))
	wtxids := make([]chainhash.Hash, 0, len(all))
	position := make(map[chainhash.Hash]int, len(all))
	for i, tx := range all[1:] {
		var data bytes.Buffer
		if err := tx.Serialize(&data); err != nil {
			return nil, nil, fmt.Errorf("devnet: %w", err)
		}
		txid := tx.TxHash()
		position[txid] = i + 1 // counted from 1, the coinbase not among them
		wtxids = append(wtxids, tx.WitnessHash())
		txs = append(txs, map[string]any{
			"data": hex.EncodeToString(data.Bytes()), "txid": txid.String(), "hash": tx.WitnessHash().String(),
			"depends": depends(tx, position), "fee": t.Fees[i+1], "sigops": t.SigOpCosts[i+1],
			"weight": blockchain.GetTransactionWeight(btcutil.NewTx(tx)),
		})
	}
	return txs, wtxids, nil
}

// depends lists the positions of the transactions that tx spends, each once, in order.
func depends(tx *wire.MsgTx, position map[chainhash.Hash]int) []int {
	list := []int{}
	for _, in := range tx.TxIn {
		if at, ok := position[in.PreviousOutPoint.Hash]; ok {
			list = append(list, at)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
