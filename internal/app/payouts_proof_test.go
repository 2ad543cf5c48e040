package app_test

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// proven fails unless each block that is credited proves what it counts for the miners, and that it counts
// nothing for a stranger; and unless what it counts for the miners is all.
func (p *pool) proven(t *testing.T) {
	t.Helper()
	blocks, err := payouts.Blocks(t.Context(), p.Cashier().Store)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, b := range blocks {
		if b.State.Stage != payouts.BlockCredited {
			continue
		}
		hash, err := chainhash.NewHashFromStr(b.Hash)
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for account, may := range map[string]bool{miner: true, otherMiner: true, "stranger": false} {
			proof, err := p.Cashier().Proofs.Of(t.Context(), *hash, account)
			if err == nil {
				err = proof.Verify()
			}
			if err != nil {
				t.Fatalf("block %s, %s: %v", b.Hash, account, err)
			}
			if proof.Counted() {
				sum += proof.Proof.Credit
				shown++
			}
			if proof.Counted() && !may || proof.Root != *b.State.Tree {
				t.Errorf("block %s, %s: %+v", b.Hash, account, proof)
			}
		}
		if sum != b.State.Tree.Credit {
			t.Errorf("block %s counts %d sat for the miners, of %d sat", b.Hash, sum, b.State.Tree.Credit)
		}
	}
	if shown < 2 {
		t.Errorf("%d credits are proven", shown)
	}
}
