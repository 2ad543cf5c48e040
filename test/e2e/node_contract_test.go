package e2e_test

import (
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/node/nodetest"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestNodeContract holds a real btcd to what the gateway relies on: with segwit and TLS, and
// without both.
func TestNodeContract(t *testing.T) {
	for _, cfg := range []btcdnode.Config{{Chain: "regtest", TLS: true}, {Chain: "simnet"}} {
		t.Run(cfg.Chain, func(t *testing.T) {
			nodetest.Run(t, func(t *testing.T) nodetest.Harness {
				t.Helper()
				btcd := btcdnode.New(t, cfg)
				btcd.Generate(102) // coins for two transactions
				rpc, err := node.NewRPC(node.RPCConfig{
					URL: btcd.URL, User: btcd.User, Password: btcd.Password, CAFile: btcd.CAFile, Chain: cfg.Chain,
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(rpc.Close)
				return nodetest.Harness{Node: rpc, Elsewhere: elsewhere{btcd}}
			})
		})
	}
}

// elsewhere acts on a btcd by its own RPC.
type elsewhere struct{ btcd *btcdnode.Node }

func (e elsewhere) Generate(t *testing.T, n int) []chainhash.Hash {
	t.Helper()
	return e.btcd.Generate(n)
}

func (e elsewhere) Spend(t *testing.T) chainhash.Hash {
	t.Helper()
	return e.btcd.Spend()
}

func (e elsewhere) Submit(t *testing.T, block []byte) {
	t.Helper()
	if err := e.btcd.Call(t.Context(), nil, "submitblock", hex.EncodeToString(block)); err != nil {
		t.Fatal(err)
	}
}
