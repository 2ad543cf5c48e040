package devnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb" // the only database that btcd has
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/mining"
	"github.com/btcsuite/btcd/txscript/v2"
)

const (
	// cacheSize is how many signatures and hashes are remembered so that templates, proposals and
	// blocks do not check the same transactions again.
	cacheSize = 50_000
	// utxoCache is the size of the chain's cache of unspent outputs in bytes.
	utxoCache = 32 << 20
	// reservedWeight is what templates leave for the coinbase, as Bitcoin Core's do.
	reservedWeight = 8000
)

// Config configures a Chain. Its zero value is regtest as everybody knows it.
type Config struct {
	// Name tells the node from others; default "devnet".
	Name string
	// Bits is the proof of work of every block in compact form; default regtest's 207fffff, which
	// every second hash meets. It never changes.
	Bits uint32
	// TemplateEvery is how long a template lasts at least while only the mempool changes; default
	// 1 s.
	TemplateEvery time.Duration
	// MaxWeight is the most that a template fills of a block, in weight units; default all but
	// 8000. Less makes full templates cheap.
	MaxWeight uint32
	// FeeRate is what it says for an estimate of fee rates, in satoshis per 1000 virtual bytes; the
	// default is none.
	FeeRate int64
	// Dir is where the block files go, in a folder of their own that Close removes; default the
	// system's folder for temporary files.
	Dir string
}

// Chain is a node inside this process. It is safe for concurrent use.
type Chain struct {
	cfg       Config
	params    *chaincfg.Params
	dir       string
	db        database.DB
	chain     *blockchain.BlockChain
	pool      *mempool.TxPool
	generator *mining.BlkTmplGenerator
	time      blockchain.MedianTimeSource

	// mu orders what changes the chain or the mempool and what makes templates of both.
	mu sync.Mutex
	// changed is closed and replaced whenever the chain or the mempool changes; version counts
	// those changes. Held by mu, like the last template.
	changed chan struct{}
	version uint64
	last    template
	closed  bool
	// empties counts the blocks made by Reorganize. Held by mu.
	empties int64
}

// New makes a chain that has its genesis block. Close it after use.
func New(cfg Config) (*Chain, error) {
	if cfg.Name == "" {
		cfg.Name = "devnet"
	}
	if cfg.TemplateEvery == 0 {
		cfg.TemplateEvery = time.Second
	}
	if cfg.MaxWeight == 0 {
		cfg.MaxWeight = blockchain.MaxBlockWeight - reservedWeight
	}
	if cfg.TemplateEvery < 0 || cfg.FeeRate < 0 || cfg.MaxWeight > blockchain.MaxBlockWeight-reservedWeight {
		return nil, fmt.Errorf("devnet: TemplateEvery and FeeRate must not be negative and MaxWeight at most %d",
			blockchain.MaxBlockWeight-reservedWeight)
	}
	params, err := newParams(cfg.Bits)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(cfg.Dir, "gbtpool-devnet-*")
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	c := &Chain{cfg: cfg, params: params, dir: dir, time: blockchain.NewMedianTime(), changed: make(chan struct{})}
	if err := c.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("devnet: %w", err), c.Close())
	}
	return c, nil
}

// open puts btcd's parts together.
func (c *Chain) open() error {
	var err error
	if c.db, err = database.Create("ffldb", filepath.Join(c.dir, "blocks"), c.params.Net); err != nil {
		return err
	}
	signatures, hashes := txscript.NewSigCache(cacheSize), txscript.NewHashCache(cacheSize)
	c.chain, err = blockchain.New(&blockchain.Config{
		DB: c.db, ChainParams: c.params, TimeSource: c.time, UtxoCacheMaxSize: utxoCache,
		SigCache: signatures, HashCache: hashes,
	})
	if err != nil {
		return err
	}
	c.chain.Subscribe(c.follow)
	c.pool = mempool.New(&mempool.Config{
		Policy: mempool.Policy{
			DisableRelayPriority: true, AcceptNonStd: true, MaxOrphanTxs: 100, MaxOrphanTxSize: 100_000,
			MaxSigOpCostPerTx: blockchain.MaxBlockSigOpsCost / 4, MinRelayTxFee: mempool.DefaultMinRelayTxFee,
			MaxTxVersion: 2,
		},
		ChainParams:    c.params,
		FetchUtxoView:  c.chain.FetchUtxoView,
		BestHeight:     func() int32 { return c.chain.BestSnapshot().Height },
		MedianTimePast: func() time.Time { return c.chain.BestSnapshot().MedianTime },
		CalcSequenceLock: func(tx *btcutil.Tx, view *blockchain.UtxoViewpoint) (*blockchain.SequenceLock, error) {
			return c.chain.CalcSequenceLock(tx, view, true)
		},
		IsDeploymentActive: c.chain.IsDeploymentActive,
		SigCache:           signatures, HashCache: hashes,
	})
	c.generator = mining.NewBlkTmplGenerator(&mining.Policy{
		BlockMaxWeight: c.cfg.MaxWeight, TxMinFreeFee: mempool.DefaultMinRelayTxFee,
	}, c.params, c.pool, c.chain, c.time, signatures, hashes)
	return nil
}

// Close stops the chain and removes its files. Long polls end with an error that matches ErrClosed,
// and so do later calls that need the files.
func (c *Chain) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.changed)
	var err error
	if c.db != nil {
		err = c.db.Close()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Params returns the chain's parameters: regtest's but for the proof of work. Nobody may modify
// them.
func (c *Chain) Params() *chaincfg.Params { return c.params }

// follow keeps the mempool in step with the chain, as btcd's sync manager does. The chain calls it
// from within ProcessBlock and the like, so mu is held.
func (c *Chain) follow(n *blockchain.Notification) {
	block, ok := n.Data.(*btcutil.Block)
	if !ok {
		return
	}
	switch n.Type {
	case blockchain.NTBlockConnected:
		for _, tx := range block.Transactions()[1:] {
			c.pool.RemoveTransaction(tx, false)
			c.pool.RemoveDoubleSpends(tx)
			c.pool.RemoveOrphan(tx)
			c.pool.ProcessOrphans(tx)
		}
	case blockchain.NTBlockDisconnected:
		for _, tx := range block.Transactions()[1:] {
			if _, _, err := c.pool.MaybeAcceptTransaction(tx, false, false); err != nil {
				// No longer valid on the new chain, and neither is what spends it.
				c.pool.RemoveTransaction(tx, true)
			}
		}
		c.pool.RemoveTransaction(block.Transactions()[0], true) // what spends its coinbase
	case blockchain.NTBlockAccepted:
	}
}

// touch notes that the chain or the mempool has changed and wakes long polls. The caller holds mu.
func (c *Chain) touch() {
	c.version++
	if !c.closed {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// newParams returns regtest's parameters with another proof of work. Deployments are copied too:
// their starters and enders remember a chain's clock, so chains must not share them. Nobody votes
// on the dummy deployments, so that templates have nothing but the rules that they name.
func newParams(bits uint32) (*chaincfg.Params, error) {
	never := time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
	params := chaincfg.RegressionNetParams
	if bits != 0 {
		params.PowLimit = blockchain.CompactToBig(bits)
		params.PowLimitBits = bits
		if params.PowLimit.Sign() <= 0 || params.PowLimit.Cmp(chaincfg.RegressionNetParams.PowLimit) > 0 {
			return nil, fmt.Errorf("devnet: bits %08x are not those of a proof of work", bits)
		}
	}
	params.PoWNoRetargeting = true
	params.ReduceMinDifficulty = false
	for i := range params.Deployments {
		d := &params.Deployments[i]
		start := time.Time{} // from the beginning
		if d.AlwaysActiveHeight == 0 {
			start = never
		}
		d.DeploymentStarter = chaincfg.NewMedianTimeDeploymentStarter(start)
		d.DeploymentEnder = chaincfg.NewMedianTimeDeploymentEnder(time.Time{})
	}
	return &params, nil
}
