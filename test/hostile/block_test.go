package hostile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// work is an answer of getblocktemplate, as far as blocks are made of it.
type work struct {
	Version      int32             `json:"version"`
	Previous     string            `json:"previousblockhash"`
	Bits         string            `json:"bits"`
	Height       int32             `json:"height"`
	CurTime      int64             `json:"curtime"`
	MinTime      int64             `json:"mintime"`
	MaxTime      int64             `json:"maxtime"`
	Target       gbt.Target        `json:"target"`
	FullTarget   gbt.Target        `json:"fulltarget"`
	WorkID       string            `json:"workid"`
	LongPollID   string            `json:"longpollid"`
	Mutable      []string          `json:"mutable"`
	Expires      int64             `json:"expires"`
	Rules        []string          `json:"rules"`
	CoinbaseAux  map[string]string `json:"coinbaseaux"`
	SizeLimit    int64             `json:"sizelimit"`
	SubmitOld    *bool             `json:"submitold"`
	ServerList   []gbt.Server      `json:"serverlist"`
	LongPollURI  string            `json:"longpolluri"`
	Capabilities []string          `json:"capabilities"`
	NonceRange   string            `json:"noncerange"`
	CoinbaseTxn  struct {
		Data string `json:"data"`
	} `json:"coinbasetxn"`
	Transactions []struct {
		Data     string `json:"data"`
		TxID     string `json:"txid"`
		Hash     string `json:"hash"`
		Fee      int64  `json:"fee"`
		Depends  []int  `json:"depends"`
		Required bool   `json:"required"`
	} `json:"transactions"`
}

// miner is what a client that can do everything lists.
func everything() []string {
	return []string{
		"coinbasetxn", "workid", "longpoll", "proposal", "serverlist", "time", "coinbase/append", "coinbase", "transactions",
		"transactions/add", "prevblock", "generation", "version/force", "submit/hash", "submit/coinbase", "submit/truncate",
		"share/coinbase", "share/merkle", "share/truncate",
	}
}

// fetch asks for work as a client that knows segwit and lists capabilities.
func (g *gateway) fetch(user string, capabilities ...string) *work {
	g.t.Helper()
	return g.fetchWith(user, map[string]any{"capabilities": capabilities, "rules": []string{"segwit"}})
}

func (g *gateway) fetchWith(user string, request map[string]any) *work {
	g.t.Helper()
	a := g.call(user, "getblocktemplate", request)
	if a.Error != nil {
		g.t.Fatalf("getblocktemplate: %+v", a.Error)
	}
	w := new(work)
	if err := json.Unmarshal(a.Result, w); err != nil {
		g.t.Fatal(err)
	}
	return w
}

// block is what a miner makes of work. Tests change it before it is mined.
type block struct {
	t        *testing.T
	header   wire.BlockHeader
	coinbase *wire.MsgTx
	txs      []*wire.MsgTx
	workID   string
	// target is met by the mined header, misses is not unless it is zero.
	target, misses gbt.Target
	// count is what the block claims to hold; 0 stands for the truth.
	count uint64
	// keepRoot leaves the merkle root alone.
	keepRoot bool
}

// blockOf assembles work as an honest client does that adds the witness commitment itself if the
// coinbase has none.
func blockOf(t *testing.T, w *work) *block {
	t.Helper()
	previous, err := chainhash.NewHashFromStr(w.Previous)
	check(t, err)
	var bits uint32
	for _, b := range unhex(t, w.Bits) {
		bits = bits<<8 | uint32(b)
	}
	b := &block{
		t: t, workID: w.WorkID, target: w.Target, misses: w.FullTarget,
		header: wire.BlockHeader{Version: w.Version, PrevBlock: *previous, Bits: bits, Timestamp: time.Unix(w.CurTime, 0)},
	}
	b.coinbase = parse(t, unhex(t, w.CoinbaseTxn.Data))
	for _, tx := range w.Transactions {
		b.txs = append(b.txs, parse(t, unhex(t, tx.Data)))
	}
	if !gbt.IsWitnessCommitment(b.coinbase.TxOut[len(b.coinbase.TxOut)-1].PkScript) {
		b.commit()
	}
	return b
}

// commit appends the commitment to the block's witnesses, if it needs one.
func (b *block) commit() {
	wtxids, witness := make([]chainhash.Hash, len(b.txs)), false
	for i, tx := range b.txs {
		wtxids[i] = tx.WitnessHash()
		witness = witness || tx.HasWitness()
	}
	if witness {
		b.coinbase.AddTxOut(wire.NewTxOut(0, gbt.WitnessCommitment(wtxids)))
	}
}

// recommit replaces the commitment after the transactions have changed.
func (b *block) recommit() {
	outs := b.coinbase.TxOut
	for len(outs) > 0 && gbt.IsWitnessCommitment(outs[len(outs)-1].PkScript) {
		outs = outs[:len(outs)-1]
	}
	b.coinbase.TxOut = outs
	b.commit()
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	check(t, err)
	return raw
}

func parse(t *testing.T, raw []byte) *wire.MsgTx {
	t.Helper()
	tx := new(wire.MsgTx)
	check(t, tx.Deserialize(bytes.NewReader(raw)))
	return tx
}

func serialize(t *testing.T, tx *wire.MsgTx) []byte {
	t.Helper()
	var out bytes.Buffer
	check(t, tx.Serialize(&out))
	return out.Bytes()
}

func (b *block) branch() []chainhash.Hash {
	txids := make([]chainhash.Hash, len(b.txs))
	for i, tx := range b.txs {
		txids[i] = tx.TxHash()
	}
	return gbt.MerkleBranch(txids)
}

// mine finishes the header and looks for a nonce.
func (b *block) mine() *block {
	b.t.Helper()
	if !b.keepRoot {
		b.header.MerkleRoot = gbt.MerkleRoot(b.coinbase.TxHash(), b.branch())
	}
	for ; ; b.header.Nonce++ {
		hash := b.header.BlockHash()
		if b.target.MetBy(hash) && (b.misses == gbt.Target{} || !b.misses.MetBy(hash)) {
			return b
		}
	}
}

// asBlock makes mine look for a hash that meets the network target too.
func (b *block) asBlock(w *work) *block {
	b.target, b.misses = w.FullTarget, gbt.Target{}
	return b
}

func (b *block) head() []byte {
	b.t.Helper()
	var out bytes.Buffer
	check(b.t, b.header.Serialize(&out))
	return out.Bytes()
}

// begin is the header, the count and the coinbase: submit/coinbase.
func (b *block) begin() []byte {
	b.t.Helper()
	out := bytes.NewBuffer(b.head())
	count := b.count
	if count == 0 {
		count = uint64(len(b.txs)) + 1
	}
	check(b.t, wire.WriteVarInt(out, 0, count))
	out.Write(serialize(b.t, b.coinbase))
	return out.Bytes()
}

// whole is the block in full.
func (b *block) whole() []byte {
	b.t.Helper()
	out := b.begin()
	for _, tx := range b.txs {
		out = append(out, serialize(b.t, tx)...)
	}
	return out
}

// merkle is the block as share/merkle.
func (b *block) merkle() []byte {
	b.t.Helper()
	out := b.begin()
	for _, link := range b.branch() {
		out = append(out, link[:]...)
	}
	return out
}

// submit sends raw with the block's workid and returns the verdict.
func (g *gateway) submit(user string, b *block, raw []byte) gbt.Reason {
	g.t.Helper()
	a := g.submitRaw(user, b, hex.EncodeToString(raw))
	return a.reason(g.t)
}

func (g *gateway) submitRaw(user string, b *block, data string) *answer {
	g.t.Helper()
	if b.workID == "" {
		return g.call(user, "submitblock", data)
	}
	return g.call(user, "submitblock", data, map[string]string{"workid": b.workID})
}

// propose proposes the block and returns the answer.
func (g *gateway) propose(user string, b *block) *answer {
	g.t.Helper()
	if !b.keepRoot {
		b.header.MerkleRoot = gbt.MerkleRoot(b.coinbase.TxHash(), b.branch())
	}
	return g.call(user, "getblocktemplate", map[string]any{
		"mode": "proposal", "data": hex.EncodeToString(b.whole()), "workid": b.workID,
	})
}

// delta is the answer to a proposal that became declared work.
type delta struct {
	WorkID       string     `json:"workid"`
	RejectReason gbt.Reason `json:"reject-reason"`
	CoinbaseTxn  *struct {
		Data string `json:"data"`
	} `json:"coinbasetxn"`
}

// declare proposes alice's block, which has to become declared work, and gives it the new workid.
func (g *gateway) declare(b *block) *delta {
	g.t.Helper()
	a := g.propose(alice, b)
	d := new(delta)
	if a.Error != nil || json.Unmarshal(a.Result, d) != nil || d.WorkID == "" {
		g.t.Fatalf("proposal: %s %+v (%s)", a.Result, a.Error, a.header.Get("X-Reject-Detail"))
	}
	b.workID = d.WorkID
	return d
}

// drop leaves transactions out whose position drop picks, and what depends on them, and claims as much
// less.
func (b *block) drop(w *work, pick func(i int) bool) {
	gone := make([]bool, len(w.Transactions))
	b.txs = nil
	for i, tx := range w.Transactions {
		gone[i] = pick(i)
		for _, parent := range tx.Depends {
			gone[i] = gone[i] || gone[parent-1]
		}
		if gone[i] {
			b.coinbase.TxOut[0].Value -= tx.Fee
			continue
		}
		b.txs = append(b.txs, parse(b.t, unhex(b.t, tx.Data)))
	}
	b.recommit()
}
