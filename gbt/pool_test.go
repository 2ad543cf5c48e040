package gbt

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A pool for the tests of this package, and a miner for it.

const (
	testTag     = "/test/"
	testExpires = 10 * time.Minute
	testGrace   = 5 * time.Second
	testKey     = "a key of more than 16 bytes"
)

// pool is a Feed, an Issuer and a Judge around a network that only takes notes. News is fed to it
// by hand, so nothing of it runs beside the test.
type pool struct {
	t      testing.TB
	now    time.Time
	net    *fakeNetwork
	feed   *Feed
	issuer *Issuer
	judge  *Judge
	log    bytes.Buffer
}

// poolOption changes how a pool is built.
type poolOption func(*FeedConfig, *IssuerConfig, *JudgeConfig)

func newPool(tb testing.TB, options ...poolOption) *pool {
	tb.Helper()
	p := &pool{t: tb, now: time.Unix(startTime, 0), net: &fakeNetwork{}}
	clock := func() time.Time { return p.now }
	feed := FeedConfig{
		Source: silentSource{}, Coinbaser: PayTo(poolScript()), Tag: testTag, Now: clock,
		Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	// One hash in 16 is a share, one in 4 passes the judge's first gate.
	share, easiest := leadingZeros(4), leadingZeros(2)
	issuer := IssuerConfig{
		Key: []byte(testKey), Share: share, Easiest: easiest, Hardest: leadingZeros(16), Expires: testExpires, Now: clock,
	}
	judge := JudgeConfig{
		Network: p.net, Key: []byte(testKey), Easiest: easiest, Expires: testExpires, Grace: testGrace,
		BlockWait: time.Minute, Floor: 9000, Memory: 1 << 20, Now: clock, Log: feed.Log,
	}
	for _, option := range options {
		option(&feed, &issuer, &judge)
	}
	var err error
	if p.feed, err = NewFeed(feed); err != nil {
		tb.Fatal(err)
	}
	issuer.Feed, judge.Feed = p.feed, p.feed
	if p.issuer, err = NewIssuer(issuer); err != nil {
		tb.Fatal(err)
	}
	if p.judge, err = NewJudge(judge); err != nil {
		tb.Fatal(err)
	}
	return p
}

// leadingZeros returns the highest target that the compact form can express whose numbers begin
// with n zero bits.
func leadingZeros(n uint) Target {
	highest := new(big.Int).Lsh(big.NewInt(1), 256-n)
	return targetFromBig(highest.Sub(highest, big.NewInt(1))).Round()
}

// poolScript is where the test pools' coinbases pay to.
func poolScript() []byte { return append([]byte{txscript.OP_0, 20}, make([]byte, 20)...) }

// testAccount returns the nth account of the tests.
func testAccount(n byte) Account {
	addr, err := address.NewAddressWitnessPubKeyHash(bytes.Repeat([]byte{n}, 20), &chaincfg.RegressionNetParams)
	if err != nil {
		panic(err) // 20 bytes always make one
	}
	account, _, err := ParseUser(addr.EncodeAddress(), &chaincfg.RegressionNetParams)
	if err != nil {
		panic(err)
	}
	return account
}

// news hands the feed a template as the node's answer on the tip that it names.
func (p *pool) news(in templateJSON) {
	p.t.Helper()
	tip, err := chainhash.NewHashFromStr(in.PreviousBlockHash)
	if err != nil {
		p.t.Fatal(err)
	}
	p.feed.take(p.t.Context(), News{Node: "node", Tip: *tip, Template: in.raw(p.t), Received: p.now})
}

// serve is news of a mixed block on tip 1.
func (p *pool) serve(bits string) {
	p.t.Helper()
	p.news(makeTemplate(p.t, tipOf(1), bits, mixedSpecs()))
	if _, err := p.feed.Current(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pool) issue(account Account, rules ...string) *Work {
	p.t.Helper()
	w, err := p.issuer.Issue(account, TemplateRequest{Rules: rules})
	if err != nil {
		p.t.Fatal(err)
	}
	return w
}

// judged submits a draft and returns the ruling.
func (p *pool) judged(d *draft) Verdict {
	p.t.Helper()
	return p.judge.Judge(p.t.Context(), d.submission(p.t))
}

// draft is a block that a miner makes of work, before it is mined.
type draft struct {
	account Account
	workID  string
	header  wire.BlockHeader
	// coinbase is sent with its witness if it has one. coinbaseRaw, if set, goes in its place.
	coinbase    *wire.MsgTx
	coinbaseRaw []byte
	txs         [][]byte
	// count is the number of transactions that the block claims; 0 stands for the true one.
	count uint64
	// abbreviated leaves the transactions out (BIP 23, submit/coinbase).
	abbreviated bool
	// root stays in the header; nil stands for that of the transactions.
	root *chainhash.Hash
	// target is what the hash must meet and misses what it must not; zero stands for nothing.
	target, misses Target
	// encode turns the block into text; nil stands for hexadecimal.
	encode func([]byte) string
}

// draftOf returns the block that an honest client makes of w.
func draftOf(tb testing.TB, account Account, w *Work) *draft {
	tb.Helper()
	d := &draft{
		account: account, workID: w.ID, coinbase: new(wire.MsgTx), target: w.Target,
		header: wire.BlockHeader{
			Version: w.Template.Version, PrevBlock: w.Template.PreviousBlock, Bits: w.Template.Bits,
			Timestamp: time.Unix(w.CurTime, 0),
		},
	}
	if err := d.coinbase.Deserialize(bytes.NewReader(w.Coinbase)); err != nil {
		tb.Fatal(err)
	}
	for _, tx := range w.Template.Transactions {
		d.txs = append(d.txs, tx.Raw)
	}
	return d
}

// appendScript appends bytes to the coinbase's scriptSig.
func (d *draft) appendScript(b ...byte) {
	script := &d.coinbase.TxIn[0].SignatureScript
	*script = append(slices.Clone(*script), b...)
}

// submission mines the block and encodes it.
func (d *draft) submission(tb testing.TB) Submission {
	tb.Helper()
	coinbase, id := d.coinbaseRaw, chainhash.DoubleHashH(d.coinbaseRaw)
	if coinbase == nil {
		coinbase, id = serialize(tb, d.coinbase), d.coinbase.TxHash()
	}
	switch {
	case d.root != nil:
		d.header.MerkleRoot = *d.root
	default:
		txids := make([]chainhash.Hash, len(d.txs))
		for i, raw := range d.txs {
			tx, err := btcutil.NewTxFromBytes(raw)
			if err != nil {
				tb.Fatal(err)
			}
			txids[i] = *tx.Hash()
		}
		d.header.MerkleRoot = MerkleRoot(id, MerkleBranch(txids))
	}
	d.mine()
	var block bytes.Buffer
	if err := d.header.Serialize(&block); err != nil {
		tb.Fatal(err)
	}
	count := d.count
	if count == 0 {
		count = uint64(len(d.txs)) + 1
	}
	if err := wire.WriteVarInt(&block, 0, count); err != nil {
		tb.Fatal(err)
	}
	block.Write(coinbase)
	if !d.abbreviated {
		for _, raw := range d.txs {
			block.Write(raw)
		}
	}
	encode := d.encode
	if encode == nil {
		encode = hex.EncodeToString
	}
	return Submission{
		Account: d.account, Worker: "worker", Data: encode(block.Bytes()), WorkID: d.workID,
		Received: time.Unix(startTime, 5), UserAgent: "test/1",
	}
}

// mine looks for a nonce whose hash meets target and misses the one to miss.
func (d *draft) mine() {
	for ; ; d.header.Nonce++ {
		hash := d.header.BlockHash()
		if (d.target == Target{} || d.target.MetBy(hash)) && (d.misses == Target{} || !d.misses.MetBy(hash)) {
			return
		}
	}
}
