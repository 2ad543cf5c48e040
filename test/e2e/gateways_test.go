package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// offered is what matters of a template to who compares two.
type offered struct {
	LongPollID   string `json:"longpollid"`
	Height       int64  `json:"height"`
	Transactions []struct {
		Data string `json:"data"`
	} `json:"transactions"`
}

// fleet is several gateways of one pool. Each prefers a node of its own; blocks go to all.
type fleet struct {
	t        *testing.T
	store    *redisserver.Server
	gateways []*gateway
	paths    []string
}

func newFleet(t *testing.T, nodes ...*btcdnode.Node) *fleet {
	t.Helper()
	store := redisserver.New(t, redisserver.Config{})
	key := filepath.Join(t.TempDir(), "work.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, store: store}
	for i, node := range nodes {
		ordered := append(slices.Clone(nodes[i:]), nodes[:i]...)
		path, listen := configure(t, fmt.Sprintf("redis: %s\ngateway_name: gateway%d\nwork_key_file: %s\n", store.URL(), i, key), ordered...)
		f.paths = append(f.paths, path)
		f.gateways = append(f.gateways, &gateway{url: "http://" + listen, node: node})
	}
	if p := run(t, "ledger", "init", "--config", f.paths[0]); p.wait(time.Minute) != 0 {
		t.Fatalf("ledger init:\n%s", p.output())
	}
	for i := range f.gateways {
		f.start(i)
	}
	return f
}

// start starts a gateway and waits until it is ready.
func (f *fleet) start(i int) {
	f.t.Helper()
	f.gateways[i].process = run(f.t, "serve", "--config", f.paths[i])
	f.gateways[i].awaitReady(true)
}

// agree waits until all gateways give out one template, and returns it.
func (f *fleet) agree(height int64) offered {
	f.t.Helper()
	var first offered
	await(f.t, fmt.Sprintf("one template of height %d at all gateways", height), 30*time.Second, func() bool {
		for i, g := range f.gateways {
			var got offered
			g.rpc(&got, "getblocktemplate", map[string]any{"rules": []string{"segwit"}})
			if i == 0 {
				first = got
			}
			if !cmp.Equal(first, got) || got.Height != height {
				return false
			}
		}
		return true
	})
	return first
}

// work gets work from a gateway and makes a share of it.
func (f *fleet) work(i int) (*client.Template, *client.Block) {
	f.t.Helper()
	template, err := f.gateways[i].connect().Template(f.t.Context(), client.Request{}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	assembler, err := client.NewAssembler(template, client.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	for number := uint32(0); ; number++ {
		block, err := assembler.Block(number, time.Now())
		if err != nil {
			f.t.Fatal(err)
		}
		if template.Target.MetBy(block.Header.BlockHash()) {
			return template, block
		}
	}
}

// submit submits a block to a gateway and fails unless it rules as wanted.
func (f *fleet) submit(i int, block *client.Block, want gbt.Reason) {
	f.t.Helper()
	reason, err := f.gateways[i].connect().Submit(f.t.Context(), block)
	if err != nil || reason != want {
		f.t.Fatalf("gateway %d rules %q, %v, want %q", i, reason, err, want)
	}
}

// balance listens where clients find the pool, and sends each connection to a gateway that is there.
func (f *fleet) balance() (url string) {
	f.t.Helper()
	l, err := new(net.ListenConfig).Listen(f.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for next := 0; ; next++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { f.forward(conn, next) })
		}
	})
	f.t.Cleanup(func() {
		_ = l.Close() // it was only listened on
		running.Wait()
	})
	return "http://" + l.Addr().String()
}

// forward connects a client with a gateway until one of them hangs up.
func (f *fleet) forward(conn net.Conn, first int) {
	defer conn.Close() //nolint:errcheck // whoever is left sees it
	for i := range f.gateways {
		g := f.gateways[(first+i)%len(f.gateways)]
		upstream, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			continue
		}
		var there sync.WaitGroup
		there.Go(func() {
			_, _ = io.Copy(upstream, conn) // ends when either side hangs up
			_ = upstream.Close()
		})
		_, _ = io.Copy(conn, upstream)
		_ = conn.Close()
		there.Wait()
		return
	}
}

// TestGateways has two gateways of one pool, which follow different nodes, give out one template under one
// number and judge each other's work.
func TestGateways(t *testing.T) {
	a, b := btcdnode.New(t, btcdnode.Config{}), btcdnode.New(t, btcdnode.Config{})
	a.Connect(b)
	b.AwaitBestBlock(a.Generate(3)[2])
	f := newFleet(t, a, b)
	// Both want the same port for operators by default: one goes without, says so, and serves miners.
	const without = "operators are not served: set admin_listen"
	if !strings.Contains(f.gateways[0].output()+f.gateways[1].output(), without) {
		t.Error("nobody says that a port is taken")
	}
	first := f.agree(4)
	b.AwaitBestBlock(a.Generate(1)[0])
	if second := f.agree(5); first.LongPollID == second.LongPollID {
		t.Fatal("a new block has the old long poll id")
	}
	_, block := f.work(0)
	f.submit(1, block, "")
	f.submit(0, block, gbt.Duplicate)
	f.agree(6)
	_, block = f.work(1)
	f.submit(0, block, "")
	f.submit(1, block, gbt.Duplicate)
	f.audit(2)
}

// audit fails unless the ledger is sound and has so many shares.
func (f *fleet) audit(shares int) {
	f.t.Helper()
	p := run(f.t, "ledger", "audit", "--config", f.paths[0])
	want := fmt.Sprintf("all sums agree with %d shares", shares)
	if code := p.wait(time.Minute); code != 0 || !strings.Contains(p.output(), want) {
		f.t.Fatalf("ledger audit ends with %d, want %q:\n%s", code, want, p.output())
	}
}

// TestDeclaredAtAnotherGateway declares work at one gateway and mines it at the other.
func TestDeclaredAtAnotherGateway(t *testing.T) {
	n := btcdnode.New(t, btcdnode.Config{})
	n.Generate(120)
	n.Spend()
	left := n.Spend()
	f := newFleet(t, n, n)
	f.agree(121)
	declared := f.gateways[0].declareWithout(left)
	f.gateways[1].mineDeclared(declared)
	if n.BestBlock() == declared.PreviousBlock {
		t.Error("the block is not the best one")
	}
	f.audit(1)
}

// TestRollingRestart restarts one gateway after the other: work that was issued before is good
// afterwards, and a long poll goes on at another gateway as if nothing had happened.
func TestRollingRestart(t *testing.T) {
	a, b := btcdnode.New(t, btcdnode.Config{}), btcdnode.New(t, btcdnode.Config{})
	a.Connect(b)
	b.AwaitBestBlock(a.Generate(3)[2])
	f := newFleet(t, a, b)
	height := int64(4)
	for i := range f.gateways {
		other := 1 - i
		f.agree(height)
		template, mine := f.work(i)
		held := make(chan error, 1)
		go func() {
			_, err := f.gateways[i].connect().Template(t.Context(), client.Request{LongPollID: template.LongPollID}, template)
			held <- err
		}()
		if _, code := f.gateways[i].signal(syscall.SIGTERM); code != 0 {
			t.Fatalf("gateway %d ends with %d", i, code)
		}
		if err := <-held; err == nil {
			t.Fatal("a long poll was answered with a template because its gateway stopped")
		}
		poll := make(chan error, 1)
		go func() {
			next, err := f.gateways[other].connect().Template(t.Context(), client.Request{LongPollID: template.LongPollID}, template)
			if err == nil && next.LongPollID == template.LongPollID {
				err = errors.New("it is the same template again")
			}
			poll <- err
		}()
		f.start(i)
		select {
		case err := <-poll:
			t.Fatalf("a long poll that reconnected was answered without news: %v", err)
		default:
		}
		f.submit(i, mine, "") // a block, which is news
		if err := <-poll; err != nil {
			t.Fatalf("the long poll: %v", err)
		}
		height++
	}
	f.audit(len(f.gateways))
}

// TestRollingRestartUnderLoad restarts gateways behind a load balancer while clients submit: no share
// that was acknowledged is lost or counted twice, and no work is disowned.
func TestRollingRestartUnderLoad(t *testing.T) {
	a, b := btcdnode.New(t, btcdnode.Config{}), btcdnode.New(t, btcdnode.Config{})
	a.Connect(b)
	b.AwaitBestBlock(a.Generate(3)[2])
	f := newFleet(t, a, b)
	url := f.balance()
	m := newMemory()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range crashClients {
		account := accountOf(t, byte(i))
		clients.Go(func() { m.load(ctx, t, url, account) })
	}
	defer clients.Wait()
	defer stop()
	for round := range 4 {
		before := m.count()
		await(t, "shares to be taken", time.Minute, func() bool { return m.count() > before+5 })
		i := round % len(f.gateways)
		if _, code := f.gateways[i].signal(syscall.SIGTERM); code != 0 {
			t.Fatalf("gateway %d ends with %d", i, code)
		}
		f.start(i)
	}
	stop()
	clients.Wait()
	m.compare(t, f.store)
	if n := m.refused(gbt.UnknownWork); n > 0 {
		t.Errorf("%d shares were of work that nobody knew", n)
	}
}
