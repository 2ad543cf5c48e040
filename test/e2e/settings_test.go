package e2e

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestTemplateSettings compares a gateway as it is with one that is told to compress nothing and to make no template of
// its own: what the one does the other never does meanwhile.
func TestTemplateSettings(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(101)
	coin := n.Coin()
	var outs []*wire.TxOut // so many that it pays to compress the template
	for range 200 {
		outs = append(outs, wire.NewTxOut(10_000, coin.Script))
	}
	n.Send(n.Draft(coin, 100_000, outs...))
	usual := serve(t, "admin_listen: \"\"\n", n)
	plain := serve(t, "admin_listen: \"\"\ncompress: false\nearly_template: false\n", n)
	packed := func(g *gateway) bool {
		body := `{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":1}`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(payout(t, n.Params()), "x")
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("status %s, %v", res.Status, err)
		}
		return res.Header.Get("Content-Encoding") == "gzip"
	}
	await(t, "a compressed template", 30*time.Second, func() bool {
		if packed(plain) {
			t.Fatal("a gateway that is told not to compresses")
		}
		return packed(usual)
	})
	// Whatever comes of an early template is counted, where one is thought of.
	thought := regexp.MustCompile(`(?m)^gbtpool_early_templates_total\{.*\} (\d+)$`)
	count := func(g *gateway) (sum int) {
		_, text := g.get("/metrics")
		for _, found := range thought.FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	await(t, "an early template to be thought of", 30*time.Second, func() bool {
		best := n.Generate(1)[0]
		for _, g := range []*gateway{usual, plain} {
			await(t, "work on the block", 30*time.Second, func() bool {
				var work struct{ PreviousBlockHash string }
				g.rpc(&work, "getblocktemplate", map[string]any{"rules": []string{"segwit"}})
				return work.PreviousBlockHash == best.String()
			})
		}
		if count(plain) > 0 {
			t.Fatal("a gateway that is told not to thinks of early templates")
		}
		return count(usual) > 0
	})
}
