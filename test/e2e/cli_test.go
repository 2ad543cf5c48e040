package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

// TestCheck compares what check says of a good configuration and of bad ones.
func TestCheck(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{TLS: true})
	n.Generate(1)
	path, _ := configure(t, "", n)
	ours, theirs := payout(t, n.Params()), payout(t, &chaincfg.SimNetParams)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) func(string) string {
		return func(text string) string { return strings.Replace(text, from, to, 1) }
	}
	login := regexp.MustCompile(`(?m)^    user: .*\n    password_file: .*$`)
	for name, tt := range map[string]struct {
		change func(string) string
		code   int
		want   []string
	}{
		"good":       {replace("", ""), 0, []string{"✓ node", "btcd0", "leads", "✓ template", "valid as a proposal", "! ledger", "gbtpool ledger init"}},
		"wrong port": {replace(n.URL, "https://127.0.0.1:1"), 1, []string{"✗ node", "rpcport", "✗ template"}},
		"no cookie": {func(text string) string { return login.ReplaceAllString(text, "    cookie_file: /nowhere/.cookie") }, 1,
			[]string{"✗ node", "set nodes: cookie_file"}},
		"wrong user": {replace("user: "+n.User, "user: nobody"), 1, []string{"✗ node", "password_file"}},
		"wrong chain": {replace("chain: regtest\npayout_address: "+ours, "chain: simnet\npayout_address: "+theirs), 1,
			[]string{"✗ node", "set chain: regtest"}},
		"no payout":      {replace("payout_address: "+ours, ""), 1, []string{"payout_address"}},
		"foreign payout": {replace(ours, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), 1, []string{"payout_address", "regtest"}},
		"unknown key":    {replace("chain:", "chian: regtest\nchain:"), 80, []string{`unknown key "chian"`}},
	} {
		t.Run(name, func(t *testing.T) {
			bad := path + "." + strings.ReplaceAll(name, " ", "-")
			if err := os.WriteFile(bad, []byte(tt.change(string(good))), 0o600); err != nil {
				t.Fatal(err)
			}
			p := run(t, "check", "--config", bad, "--wait", "10s")
			if code := p.wait(time.Minute); code != tt.code {
				t.Errorf("exit code is %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(p.output(), want) {
					t.Errorf("the output does not have %q:\n%s", want, p.output())
				}
			}
		})
	}
}

// TestDemo watches a demo find a block, joins it and ends it.
func TestDemo(t *testing.T) {
	p := run(t, "demo", "--listen", "127.0.0.1:0")
	p.await("Operate", 30*time.Second)
	match := regexp.MustCompile(` mine (\S+) --user (\S+)`).FindStringSubmatch(p.output())
	if match == nil {
		t.Fatalf("the demo names no command to join with:\n%s", p.output())
	}
	guest := run(t, "mine", match[1], "--user", match[2], "--threads", "1", "--shares", "1")
	if code := guest.wait(90 * time.Second); code != 0 || !strings.Contains(guest.output(), "accepted") {
		t.Errorf("the guest ended with exit code %d:\n%s", code, guest.output())
	}
	p.await("transactions  pays", 2*time.Minute)
	took, code := p.signal(syscall.SIGINT)
	if code != 0 {
		t.Errorf("the demo ended with exit code %d", code)
	}
	if took > 5*time.Second {
		t.Errorf("the demo took %s to end", took)
	}
	if !strings.Contains(p.output(), "in memory") {
		t.Error("the demo does not say that shares are counted in memory")
	}
}

// TestOutputGoesToStdout pipes a command's output away, as scripts do.
func TestOutputGoesToStdout(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), binary, "ledger", "verify", "../../internal/ledgerfile/testdata/v1.jsonl.zst")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "is sound") {
		t.Errorf("stdout gets %q, %v", out, err)
	}
}

// TestMineRefused looks at what a miner is told whose name is no address on the chain.
func TestMineRefused(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(1)
	g := serve(t, "", n)
	p := run(t, "mine", g.url, "--user", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
	if code := p.wait(30 * time.Second); code != 1 {
		t.Errorf("exit code is %d, want 1", code)
	}
	if !strings.Contains(p.output(), "mainnet") {
		t.Errorf("the miner is not told of the wrong network:\n%s", p.output())
	}
}

// TestRestart submits work to a gateway that has been restarted since it issued it.
func TestRestart(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{Chain: "simnet"})
	n.Generate(1)
	path, listen := configure(t, "", n)
	g := &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: n}
	g.awaitReady(true)
	c := g.connect()
	work, err := c.Template(t.Context(), client.Request{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, code := g.signal(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code is %d", code)
	}
	g.process = run(t, "serve", "--config", path)
	g.awaitReady(true)
	assembler, err := client.NewAssembler(work, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for number := uint32(0); ; number++ {
		block, err := assembler.Block(number, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !work.NetworkTarget.MetBy(block.Header.BlockHash()) {
			continue
		}
		reason, err := c.Submit(t.Context(), block)
		if err != nil || reason != "" {
			t.Fatalf("the verdict on work from before the restart is %q (%v)", reason, err)
		}
		n.AwaitBestBlock(block.Header.BlockHash())
		return
	}
}
