package app_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
)

// busy makes a chain with transactions that wait for a block.
func busy(t *testing.T) (*devnet.Chain, *devnet.Traffic) {
	t.Helper()
	chain, err := devnet.New(devnet.Config{Dir: t.TempDir(), TemplateEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	traffic, err := devnet.NewTraffic(devnet.TrafficConfig{Chain: chain, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Generate(t.Context(), 110, traffic.Script()); err != nil {
		t.Fatal(err)
	}
	if _, err := traffic.Fill(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	return chain, traffic
}

// choosing lets miners choose, and keeps what they declare in dir.
func choosing(dir string) app.Choice {
	return app.Choice{Transactions: true, Budget: gbt.DefaultBudget(), Memory: 16 << 20, Dir: dir}
}

// declare chooses transactions, proposes the block and returns the declared work and its set.
func declare(t *testing.T, c *client.Client) (*client.Template, []chainhash.Hash) {
	t.Helper()
	from, err := c.Template(t.Context(), client.Request{Choose: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	offer := client.Offer{Pool: from}
	chosen, err := client.NoOpReturn(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	own, err := offer.With(chosen)
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Transactions) == 0 || len(own.Transactions) >= len(from.Transactions) {
		t.Fatalf("%d transactions of %d are chosen", len(own.Transactions), len(from.Transactions))
	}
	ruling, err := c.Propose(t.Context(), assemble(t, own))
	if err != nil || !ruling.Accepted() || ruling.Template.WorkID == from.WorkID {
		t.Fatalf("proposal: %q %s, %v", ruling.Reason, ruling.Detail, err)
	}
	ids := make([]chainhash.Hash, 0, len(own.Transactions))
	for _, tx := range own.Transactions {
		ids = append(ids, tx.TxID)
	}
	return ruling.Template, ids
}

// assemble makes a block of a template that meets the network's target.
func assemble(t *testing.T, from *client.Template) *client.Block {
	t.Helper()
	a, err := client.NewAssembler(from, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Block(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for !from.NetworkTarget.MetBy(b.Header.BlockHash()) {
		b.Header.Nonce++
	}
	return b
}

// submitMerkled submits a block without its transactions (BIP 23, share/merkle) and returns the
// reason. A client.Client would send all of it if that were refused.
func submitMerkled(t *testing.T, p *pool, block *client.Block) gbt.Reason {
	t.Helper()
	short, err := block.Merkled()
	if err != nil {
		t.Fatal(err)
	}
	if len(short) >= 1024 {
		t.Errorf("the share takes %d bytes", len(short))
	}
	body, err := json.Marshal(map[string]any{
		"id": 1, "method": "submitblock",
		"params": []any{hex.EncodeToString(short), map[string]string{"workid": block.Template().WorkID}},
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(miner+".rig", "x")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Result gbt.Reason      `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := errors.Join(json.NewDecoder(res.Body).Decode(&answer), res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if len(answer.Error) > 0 && string(answer.Error) != "null" {
		t.Fatalf("submitblock: %s", answer.Error)
	}
	return answer.Result
}

// TestDeclaredOverRestart stops the gateway between a declaration and the block that is found of
// it, which is sent without its transactions and arrives on the chain with them.
func TestDeclaredOverRestart(t *testing.T) {
	for _, tc := range []struct {
		name string
		keep bool
		want gbt.Reason
	}{
		{"in files", true, ""},
		{"in memory alone", false, gbt.UnknownWork},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain, _ := busy(t)
			dir := ""
			if tc.keep {
				dir = filepath.Join(t.TempDir(), "data", "declared")
			}
			p := serve(t, chain, choosing(dir))
			work, chosen := declare(t, p.connect(t, "rig"))
			before, err := p.Template()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.stop(); err != nil {
				t.Fatal(err)
			}

			p = serve(t, chain, choosing(dir))
			block := assemble(t, work)
			if reason := submitMerkled(t, p, block); reason != tc.want {
				t.Fatalf("the block is %q, want %q", reason, tc.want)
			}
			best, err := chain.BestBlock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !tc.keep {
				if best != before.PreviousBlock {
					t.Errorf("a block whose transactions nobody has is on the chain: %s", best)
				}
				return
			}
			if best != block.Header.BlockHash() {
				t.Fatalf("the best block is %s, want %s", best, block.Header.BlockHash())
			}
			if pool, err := p.Figures().Pool(t.Context()); err != nil || pool.Blocks != 1 {
				t.Errorf("credited are %+v (%v), want a block", pool, err)
			}
			// What was left out waits on; what was chosen does not.
			waitFor(t, "the next template", func() bool {
				next, err := p.Template()
				return err == nil && next.PreviousBlock == best
			})
			next, err := p.Template()
			if err != nil {
				t.Fatal(err)
			}
			if want := len(before.Transactions) - len(chosen); len(next.Transactions) != want {
				t.Errorf("%d transactions are left, want %d", len(next.Transactions), want)
			}
			for _, tx := range next.Transactions {
				if slices.Contains(chosen, tx.TxID) {
					t.Errorf("transaction %s was mined and waits", tx.TxID)
				}
			}
		})
	}
}

// TestDeclaredAreDropped wants the files of old blocks to go.
func TestDeclaredAreDropped(t *testing.T) {
	chain, traffic := busy(t)
	dir := t.TempDir()
	p := serve(t, chain, choosing(dir))
	c := p.connect(t, "rig")
	declare(t, c)
	old := declaredFiles(t, dir)
	if len(old) != 1 {
		t.Fatalf("%q are kept, want the files of one block", old)
	}
	for range 2 {
		block, err := chain.Generate(t.Context(), 1, traffic.Script())
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the next template", func() bool {
			next, err := p.Template()
			return err == nil && next.PreviousBlock == block[0]
		})
		if _, err := traffic.Fill(t.Context(), 30); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "transactions", func() bool {
			next, err := p.Template()
			return err == nil && len(next.Transactions) >= 30
		})
		declare(t, c)
	}
	if kept := declaredFiles(t, dir); slices.Contains(kept, old[0]) || len(kept) > 2 {
		t.Errorf("%q are kept, want none of %q", kept, old)
	}
}

// declaredFiles lists the files of declared work.
func declaredFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != "lock" {
			names = append(names, entry.Name())
		}
	}
	return names
}

// TestOneFolderEach refuses a second gateway on the same folder, and lets the next one have it.
func TestOneFolderEach(t *testing.T) {
	chain, _ := busy(t)
	dir := t.TempDir()
	p := serve(t, chain, choosing(dir))
	second := configure(t, chain, choosing(dir))
	defer func() {
		if err := second.Listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := app.New(t.Context(), second); err == nil || !strings.Contains(err.Error(), "data_dir") {
		t.Fatalf("a second gateway on one folder: %v, want the setting to change", err)
	}
	// One that cannot be built lets go of the folder.
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	broken := second
	broken.KeepAlive = -1
	if _, err := app.New(t.Context(), broken); err == nil {
		t.Fatal("a gateway with a negative interval is built")
	}
	serve(t, chain, choosing(dir))
}
