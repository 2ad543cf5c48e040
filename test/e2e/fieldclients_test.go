package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/test/btcdnode"
	"github.com/gbtpool/gbtpool/test/fieldclients"
)

// fieldClient is an imitated program.
type fieldClient interface {
	Run(ctx context.Context) error
	State() fieldclients.State
	Close()
}

// fieldClients makes the programs by name, and says how many commitments are in the coinbases of
// their blocks: the cpuminers never add one, bfgminer always does.
func fieldClients() map[string]struct {
	make        func(fieldclients.Config) (fieldClient, error)
	commitments int
} {
	type row = struct {
		make        func(fieldclients.Config) (fieldClient, error)
		commitments int
	}
	return map[string]row{
		"minerd":         {func(c fieldclients.Config) (fieldClient, error) { return fieldclients.NewMinerd(c) }, 1},
		"cpuminer-multi": {func(c fieldclients.Config) (fieldClient, error) { return fieldclients.NewMulti(c) }, 1},
		"bfgminer":       {func(c fieldclients.Config) (fieldClient, error) { return fieldclients.NewBFGMiner(c) }, 2},
		"bfgminer as a proxy": {func(c fieldclients.Config) (fieldClient, error) {
			c.Proxy = true
			return fieldclients.NewBFGMiner(c)
		}, 2},
	}
}

// mineWith has a program mine at the gateway until ok says that it is enough.
func (g *gateway) mineWith(p fieldClient, what string, ok func() bool) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Error(err)
		}
		p.Close()
	}()
	await(g.t, what, 2*time.Minute, ok)
}

// join is the configuration of a program that mines at the gateway.
func (g *gateway) join(worker string) fieldclients.Config {
	return fieldclients.Config{
		URL: g.url, User: payout(g.t, g.node.Params()) + "." + strings.ReplaceAll(worker, " ", "-"), Password: "x", Pause: 200 * time.Millisecond,
	}
}

// minedSince returns the node's blocks after start, the best one first.
func minedSince(t *testing.T, n *btcdnode.Node, start chainhash.Hash) []*wire.MsgBlock {
	t.Helper()
	var out []*wire.MsgBlock
	for b := best(t, n); b.BlockHash() != start; b = blockOf(t, n, b.Header.PrevBlock) {
		out = append(out, b)
	}
	return out
}

// commitments counts the outputs that commit to the witnesses.
func commitments(b *wire.MsgBlock) (n int) {
	for _, o := range b.Transactions[0].TxOut {
		if gbt.IsWitnessCommitment(o.PkScript) {
			n++
		}
	}
	return n
}

// witnesses counts the transactions with a witness beside the coinbase.
func witnesses(b *wire.MsgBlock) (n int) {
	for _, tx := range b.Transactions[1:] {
		if tx.HasWitness() {
			n++
		}
	}
	return n
}

// TestFieldClients has each program mine several blocks that a real node accepts, one of them at
// least with witness transactions of the node's mempool.
func TestFieldClients(t *testing.T) {
	for name, tt := range fieldClients() {
		t.Run(name, func(t *testing.T) {
			n := btcdnode.New(t, btcdnode.Config{Chain: "regtest"})
			n.Generate(110)
			start := n.BestBlock()
			spent := []chainhash.Hash{n.Spend(), n.Spend(), n.Spend()}
			g := serve(t, "", n)
			p, err := tt.make(g.join(name))
			if err != nil {
				t.Fatal(err)
			}
			g.mineWith(p, "four blocks with the node's transactions", func() bool {
				blocks := minedSince(t, n, start)
				return len(blocks) >= 4 && slices.ContainsFunc(blocks, func(b *wire.MsgBlock) bool { return witnesses(b) == len(spent) })
			})
			for _, b := range minedSince(t, n, start) {
				if !ours(b) {
					t.Errorf("block %s is not ours", b.BlockHash())
				}
				// The cpuminers' can only be from coinbasetxn.
				if got := commitments(b); witnesses(b) > 0 && got != tt.commitments {
					t.Errorf("block %s has %d commitments, want %d", b.BlockHash(), got, tt.commitments)
				}
			}
			g.honest(p)
		})
	}
}

// honest fails the test if a program is not as it should be after it mined for a while.
func (g *gateway) honest(p fieldClient) {
	g.t.Helper()
	st := p.State()
	if st.Protocol != fieldclients.GBT || st.Broken != "" || st.Resending != "" || st.Unsigned != "" || st.Accepted == 0 {
		g.t.Errorf("the program is %+v", st)
	}
	for reason := range st.Rejected {
		if reason != "stale-prevblk" {
			g.t.Errorf("shares were rejected: %v", st.Rejected)
		}
	}
}

// TestFieldClientsSurviveKill has each program mine on by itself when its gateway is killed and
// started again.
func TestFieldClientsSurviveKill(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{Chain: "regtest"})
	n.Generate(110)
	for name, tt := range fieldClients() {
		t.Run(name, func(t *testing.T) {
			path, listen := configure(t, "", n)
			g := &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: n}
			g.awaitReady(true)
			p, err := tt.make(g.join(name))
			if err != nil {
				t.Fatal(err)
			}
			start, killed := n.BestBlock(), false
			g.mineWith(p, "blocks before and after the kill", func() bool {
				if len(minedSince(t, n, start)) < 2 {
					return false
				}
				if killed {
					return true
				}
				g.signal(os.Kill)
				g.process = run(t, "serve", "--config", path)
				g.awaitReady(true)
				start, killed = n.BestBlock(), true
				return false
			})
			g.honest(p)
		})
	}
}

// TestFieldClientsPort: the TLS and Stratum that bfgminer tries on the port are closed without a
// word, to it or to the operator.
func TestFieldClientsPort(t *testing.T) {
	g := serve(t, "", btcdnode.New(t, btcdnode.Config{Chain: "regtest"}))
	before := len(g.output())
	for _, first := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", `{"id": 0, "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}` + "\n",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		var heard bytes.Buffer
		if _, err := heard.ReadFrom(conn); heard.Len() > 0 || os.IsTimeout(err) {
			t.Errorf("%q was answered %q, %v", first, heard.String(), err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(g.output()[before:]) {
		if strings.Contains(line, "door") || strings.Contains(line, "TLS") {
			t.Errorf("the gateway said %s", line)
		}
	}
}
