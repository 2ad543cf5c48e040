package gbt

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/v2"
)

// mainnetBlock returns block 413567 of the main chain and the template that a node would have
// given for it.
func mainnetBlock(t *testing.T) (raw []byte, block *btcutil.Block, in templateJSON) {
	t.Helper()
	raw, err := os.ReadFile("testdata/mainnet-block-413567.raw")
	if err != nil {
		t.Fatal(err)
	}
	if block, err = btcutil.NewBlockFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	header := block.MsgBlock().Header
	var value int64
	for _, o := range block.Transactions()[0].MsgTx().TxOut {
		value += o.Value
	}
	in = templateJSON{
		Version: header.Version, PreviousBlockHash: header.PrevBlock.String(), Bits: hex.EncodeToString(bitsOf(header.Bits)),
		CurTime: header.Timestamp.Unix(), MinTime: header.Timestamp.Unix() - 3600, Height: 413567, CoinbaseValue: &value,
		// The block is full to the last byte, and our coinbase is larger than the one it had.
		WeightLimit: 4_010_000, SizeLimit: 4_010_000, SigopLimit: 80_000,
	}
	for _, tx := range block.Transactions()[1:] {
		in.Transactions = append(in.Transactions, transactionJSON{Data: hex.EncodeToString(serialize(t, tx.MsgTx())), TxID: tx.Hash().String()})
	}
	return raw, block, in
}

func bitsOf(bits uint32) []byte {
	return []byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}
}

func TestMainnetBlockRoot(t *testing.T) {
	_, block, in := mainnetBlock(t)
	template, err := ParseTemplate(in.raw(t))
	if err != nil {
		t.Fatal(err)
	}
	if template.WitnessCommitment != nil {
		t.Error("a commitment for a block from before segwit")
	}
	root := MerkleRoot(*block.Transactions()[0].Hash(), template.Branch)
	if want := block.MsgBlock().Header.MerkleRoot; root != want {
		t.Errorf("merkle root %s, want the header's %s", root, want)
	}
}

// TestMainnetBlockProofOfWork puts a real header through the judge's gate at the real network
// target. Whose work it was does not matter to the offer.
func TestMainnetBlockProofOfWork(t *testing.T) {
	raw, block, in := mainnetBlock(t)
	hardest := func(_ *FeedConfig, issuer *IssuerConfig, judge *JudgeConfig) {
		network, err := TargetFromBits(block.MsgBlock().Header.Bits)
		if err != nil {
			t.Fatal(err)
		}
		issuer.Share, issuer.Easiest, issuer.Hardest, judge.Easiest = network, network, network, network
	}
	p := newPool(t, hardest)
	p.now = time.Unix(in.CurTime, 0)
	p.news(in)

	v := p.judge.Judge(t.Context(), Submission{Account: testAccount(1), Data: hex.EncodeToString(raw)})
	if !v.Block || v.Hash != *block.Hash() || v.BlockReason != "" || v.BlockErr != nil {
		t.Errorf("verdict %+v, want a block", v)
	}
	if v.Reason != BadCbPrefix {
		t.Errorf("reason %q, want %q: the work is not ours", v.Reason, BadCbPrefix)
	}
	if offers := p.net.offers(); len(offers) != 1 || !bytes.Equal(offers[0], raw) {
		t.Errorf("%d blocks offered, want the real one, byte for byte", len(offers))
	}

	const nonce = 76 // its offset in the header
	for bit := range 32 {
		flipped := bytes.Clone(raw)
		flipped[nonce+bit/8] ^= 1 << (bit % 8)
		v := p.judge.Judge(t.Context(), Submission{Account: testAccount(1), Data: hex.EncodeToString(flipped)})
		if v.Block || v.Reason != HighHash || len(p.net.offers()) != 0 {
			t.Errorf("nonce bit %d flipped: verdict %+v, want %q and no offer", bit, v, HighHash)
		}
	}
}
