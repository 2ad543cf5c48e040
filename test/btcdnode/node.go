package btcdnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

const (
	// startLimit and stopLimit are how long a btcd may take on a machine that is busy.
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
	// pollInterval is how often a process is asked whether it has come to something.
	pollInterval = 20 * time.Millisecond
)

// Config says how a btcd runs. Its zero value is regtest without TLS.
type Config struct {
	// Chain is "regtest", the default, or "simnet", where segwit waits for its activation.
	Chain string
	// TLS makes the RPC server speak TLS with a certificate of its own, as btcd does by itself.
	TLS bool
	// Args are further arguments, such as --blockmaxweight=100000.
	Args []string
}

// Node is a btcd process, or its data folder and ports while it is stopped. Its methods end the
// test on failure and are for the test's goroutine alone, Call excepted.
type Node struct {
	// URL is where its JSON-RPC is.
	URL string
	// User and Password are its RPC login.
	User, Password string
	// CAFile holds the certificate of its RPC server; empty without TLS. btcd writes it at the
	// first start.
	CAFile string
	// Peer is HOST:PORT where it listens for peers.
	Peer string

	tb     testing.TB
	cfg    Config
	params *chaincfg.Params
	exe    string
	dir    string
	client *http.Client
	wallet *wallet
	proc   *process
}

// New starts a btcd in a folder of its own and waits until its RPC answers. It is killed when the
// test ends; if the test has failed, the end of its log goes to the test's.
func New(tb testing.TB, cfg Config) *Node {
	tb.Helper()
	n := &Node{User: "user", Password: "pass", tb: tb, cfg: cfg, exe: build(tb), dir: tb.TempDir()}
	switch cfg.Chain {
	case "", "regtest":
		n.cfg.Chain, n.params = "regtest", &chaincfg.RegressionNetParams
	case "simnet":
		n.params = &chaincfg.SimNetParams
	default:
		tb.Fatalf("btcdnode: the chain %q is neither regtest nor simnet", cfg.Chain)
	}
	n.wallet = newWallet(tb, n.params)
	// Empty, so that btcd neither looks for somebody's own nor complains.
	if err := os.WriteFile(n.configFile(), nil, 0o600); err != nil {
		tb.Fatalf("btcdnode: %v", err)
	}
	tb.Cleanup(n.cleanUp)
	for deadline := time.Now().Add(startLimit); ; {
		n.choosePorts()
		err := n.start()
		if err == nil {
			return n
		}
		// Somebody may have taken a port since it was chosen.
		if !errors.Is(err, errPort) || time.Now().After(deadline) {
			tb.Fatalf("btcdnode: %v", err)
		}
	}
}

// build returns the path of btcd's binary, in the version that go.mod names. Go keeps it in its
// build cache, so that it is linked once and test processes do not get in each other's way.
func build(tb testing.TB) string {
	tb.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), "go", "tool", "-n", "github.com/btcsuite/btcd")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("btcdnode: go tool -n github.com/btcsuite/btcd: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Start starts the node again after Stop or Kill, on the same ports. On simnet its chain is as it
// was; on regtest btcd begins anew with the genesis block and gets the chain from its peers.
func (n *Node) Start() {
	n.tb.Helper()
	if n.proc != nil {
		n.tb.Fatal("btcdnode: it is running already")
	}
	for deadline := time.Now().Add(startLimit); ; {
		err := n.start()
		if err == nil {
			return
		}
		if !errors.Is(err, errPort) || time.Now().After(deadline) {
			n.tb.Fatalf("btcdnode: %v", err)
		}
		time.Sleep(pollInterval)
	}
}

// Stop asks the node to end and waits until it has.
func (n *Node) Stop() {
	n.tb.Helper()
	n.signal(syscall.SIGINT)
	if err := n.proc.wait(stopLimit); err != nil {
		n.tb.Fatalf("btcdnode: stop: %v", err)
	}
	n.proc = nil
}

// Kill ends the node as a power cut would, also while it is paused.
func (n *Node) Kill() {
	n.tb.Helper()
	n.signal(syscall.SIGKILL)
	if err := n.proc.wait(stopLimit); err != nil {
		n.tb.Fatalf("btcdnode: kill: %v", err)
	}
	n.proc = nil
}

// Restart stops the node and starts it again.
func (n *Node) Restart() {
	n.tb.Helper()
	n.Stop()
	n.Start()
}

// Pause makes the node hang: connections to it are still accepted by the system, but nobody
// answers.
func (n *Node) Pause() {
	n.tb.Helper()
	n.signal(syscall.SIGSTOP)
	n.Await("the pause", func(context.Context) (bool, error) { return stopped(n.proc.cmd.Process.Pid) })
}

// Resume ends a Pause.
func (n *Node) Resume() {
	n.tb.Helper()
	n.signal(syscall.SIGCONT)
}

// Params returns the parameters of the node's chain, as btcd names it.
func (n *Node) Params() *chaincfg.Params { return n.params }

func (n *Node) signal(sig syscall.Signal) {
	n.tb.Helper()
	if n.proc == nil {
		n.tb.Fatalf("btcdnode: %s: the node is not running", sig)
	}
	if err := n.proc.signal(sig); err != nil {
		n.tb.Fatalf("btcdnode: %s: %v", sig, err)
	}
}

// start starts the process and waits until it answers.
func (n *Node) start() error {
	proc, err := startProcess(n.exe, n.arguments(), n.logFile())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.tb.Context(), startLimit)
	defer cancel()
	for {
		err := n.ready(ctx)
		if err == nil {
			n.proc = proc
			return nil
		}
		select {
		case <-proc.done:
			return n.startFault()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no answer within %s: %w", startLimit, err), proc.signal(syscall.SIGKILL))
		case <-time.After(pollInterval):
		}
	}
}

// ready asks the node for its height; the RPC server is the last thing that btcd starts.
func (n *Node) ready(ctx context.Context) error {
	if n.client == nil {
		client, err := n.newClient()
		if err != nil {
			return err
		}
		n.client = client
	}
	var height int32
	return n.Call(ctx, &height, "getblockcount")
}

var errPort = errors.New("a port is taken")

// startFault says why the process ended before it answered.
func (n *Node) startFault() error {
	text := n.logTail()
	if strings.Contains(text, "address already in use") || strings.Contains(text, "no valid listen address") {
		return fmt.Errorf("%w:\n%s", errPort, text)
	}
	return fmt.Errorf("btcd ended at its start:\n%s", text)
}

func (n *Node) arguments() []string {
	args := []string{
		"--" + n.cfg.Chain,
		"--configfile=" + n.configFile(),
		"--datadir=" + filepath.Join(n.dir, "data"),
		"--logdir=" + filepath.Join(n.dir, "logs"),
		"--rpccert=" + filepath.Join(n.dir, "rpc.cert"),
		"--rpckey=" + filepath.Join(n.dir, "rpc.key"),
		"--rpcuser=" + n.User, "--rpcpass=" + n.Password,
		"--rpclisten=" + n.URL[strings.LastIndex(n.URL, "/")+1:],
		"--listen=" + n.Peer,
		"--miningaddr=" + n.wallet.address,
		// What would get in the way of tests that hold nodes up on purpose.
		"--nobanning", "--nostalldetect", "--nodnsseed",
		"--trickleinterval=100ms",
		// Less to set up at each start.
		"--nocfilters", "--utxocachemaxsize=16",
	}
	if !n.cfg.TLS {
		args = append(args, "--notls")
	}
	return append(args, n.cfg.Args...)
}

// choosePorts chooses two ports that are free now. They lie below those that the system gives to
// connections, which could take them while the node is stopped.
func (n *Node) choosePorts() {
	n.tb.Helper()
	rpc, peer := freePort(n.tb), freePort(n.tb)
	scheme := "http://"
	if n.cfg.TLS {
		scheme = "https://"
		n.CAFile = filepath.Join(n.dir, "rpc.cert")
	}
	n.URL, n.Peer = scheme+rpc, peer
}

func freePort(tb testing.TB) string {
	tb.Helper()
	const first, last = 20000, 32000
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first))) //nolint:gosec // no secret
		var lc net.ListenConfig
		l, err := lc.Listen(tb.Context(), "tcp", addr)
		if err != nil {
			continue // taken
		}
		if err := l.Close(); err != nil {
			tb.Fatalf("btcdnode: %v", err)
		}
		return addr
	}
	tb.Fatal("btcdnode: found no free port")
	return ""
}

func (n *Node) configFile() string { return filepath.Join(n.dir, "btcd.conf") }

func (n *Node) logFile() string { return filepath.Join(n.dir, "btcd.log") }

// logTail returns the end of what the process has printed.
func (n *Node) logTail() string {
	const most = 4000
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func (n *Node) cleanUp() {
	if n.proc != nil {
		n.Kill()
	}
	if n.client != nil {
		n.client.CloseIdleConnections()
	}
	if n.tb.Failed() {
		n.tb.Logf("log of the btcd at %s:\n%s", n.URL, n.logTail())
	}
}
