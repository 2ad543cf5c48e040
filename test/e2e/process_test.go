package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gbtpool-e2e-*")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "gbtpool")
	build := exec.CommandContext(context.Background(), "go", "build", "-race", "-o", binary, "../../cmd/gbtpool")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		panic(err)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := os.RemoveAll(dir); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// binary is the gbtpool under test.
var binary string

// process is a running gbtpool.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan error
	mu   sync.Mutex
	out  strings.Builder // held by mu: what it printed, stdout and stderr
}

// run starts gbtpool. It is killed when the test ends, and what it printed goes into the log of a
// test that fails.
func run(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(context.Background(), binary, args...), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	go func() {
		err := p.cmd.Wait()
		<-read // what it printed last is there once it has ended
		p.done <- err
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-read
		_ = pipe.Close()
		if t.Failed() {
			t.Logf("gbtpool %s printed:\n%s", strings.Join(args, " "), p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// signal sends a signal and waits for the process to end; it returns how long that took and the
// exit code.
func (p *process) signal(sig os.Signal) (took time.Duration, code int) {
	p.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	code = p.wait(30 * time.Second)
	return time.Since(begin), code
}

// wait waits for the process to end by itself and returns its exit code.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("gbtpool did not end within %s", limit)
		return -1
	}
}

// await waits until the output contains text.
func (p *process) await(text string, limit time.Duration) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("the output %q", text), limit, func() bool { return strings.Contains(p.output(), text) })
}

// await asks again and again until ok says yes.
func await(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// payout returns a payout address on a chain.
func payout(t *testing.T, chain *chaincfg.Params) string {
	t.Helper()
	addr, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), chain)
	if err != nil {
		t.Fatal(err)
	}
	return addr.EncodeAddress()
}

// gateway is a gbtpool serve.
type gateway struct {
	*process
	url  string
	node *btcdnode.Node
}

// configure writes a configuration for the nodes, with lines added at its end, and returns its
// path and the address that it listens on.
func configure(t *testing.T, lines string, nodes ...*btcdnode.Node) (path, listen string) {
	t.Helper()
	dir := t.TempDir()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "chain: %s\npayout_address: %s\nlisten: %s\ndata_dir: %s\n",
		nodes[0].Params().Name, payout(t, nodes[0].Params()), listen, filepath.Join(dir, "data"))
	fmt.Fprintf(&text, "min_share_difficulty: 1e-9\nshare_difficulty: 1e-9\nnode_poll: 100ms\n%s", lines)
	if !strings.Contains(lines, "redis:") {
		text.WriteString("ephemeral: true\n")
	}
	text.WriteString("nodes:\n")
	for i, n := range nodes {
		password := filepath.Join(dir, fmt.Sprintf("password%d", i))
		if err := os.WriteFile(password, []byte(n.Password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "  - name: btcd%d\n    url: %s\n    user: %s\n    password_file: %s\n", i, n.URL, n.User, password)
		if n.CAFile != "" {
			fmt.Fprintf(&text, "    ca_file: %s\n", n.CAFile)
		}
	}
	path = filepath.Join(dir, "gbtpool.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, listen
}

// serve starts gbtpool serve and waits until it is ready.
func serve(t *testing.T, lines string, nodes ...*btcdnode.Node) *gateway {
	t.Helper()
	path, listen := configure(t, lines, nodes...)
	g := &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: nodes[0]}
	g.awaitReady(true)
	return g
}

// awaitReady waits until /readyz says that the gateway is ready, or that it is not.
func (g *gateway) awaitReady(want bool) {
	g.t.Helper()
	await(g.t, fmt.Sprintf("ready to be %t", want), 90*time.Second, func() bool {
		if g.ended(0) {
			g.t.Fatal("the gateway has ended")
		}
		status, _ := g.get("/readyz")
		return status != 0 && (status == http.StatusOK) == want
	})
}

// get returns the status and the body of a page; 0 if there is no answer.
func (g *gateway) get(path string) (status int, body string) {
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.do(req)
}

func (g *gateway) do(req *http.Request) (status int, body string) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return 0, ""
	}
	text, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return 0, ""
	}
	return res.StatusCode, string(text)
}

// rpc calls a method as curl would and decodes the answer's result.
func (g *gateway) rpc(result any, method string, params ...any) {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{"method": method, "params": params})
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.SetBasicAuth(payout(g.t, g.node.Params()), "x")
	status, text := g.do(req)
	var reply struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(text), &reply); err != nil || status != http.StatusOK {
		g.t.Fatalf("%s: status %d: %s (%v)", method, status, text, err)
	}
	if err := json.Unmarshal(reply.Result, result); err != nil {
		g.t.Fatal(err)
	}
}

// connect returns a client of the gateway.
func (g *gateway) connect() *client.Client {
	g.t.Helper()
	c, err := client.New(client.Config{URL: g.url, User: payout(g.t, g.node.Params()) + ".rig", Password: "x"})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

// mine mines through the gateway until ok says that it is enough, and returns the verdicts.
func (g *gateway) mine(what string, ok func() bool) map[gbt.Reason]int {
	g.t.Helper()
	var mu sync.Mutex
	verdicts := make(map[gbt.Reason]int)
	m, err := client.NewMiner(client.MinerConfig{
		Client: g.connect(), Threads: 1, HashRate: 20_000,
		Events: func(e client.Event) {
			if e.Kind == client.Verdict {
				mu.Lock()
				defer mu.Unlock()
				verdicts[e.Reason]++
			}
		},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	// The last verdict may come after what it was about has been seen on the chain.
	defer cancel()
	await(g.t, what, 2*time.Minute, ok)
	cancel()
	if err := <-done; err != nil {
		g.t.Error(err)
	}
	return verdicts
}

// ended reports whether the process ends within limit.
func (p *process) ended(limit time.Duration) bool {
	select {
	case err := <-p.done:
		p.done <- err
		return true
	case <-time.After(limit):
		return false
	}
}
