package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
)

const (
	// soakTime is how long parts of the pool are killed and blocks replaced; GBTPOOL_SOAK says otherwise.
	soakTime = 90 * time.Second
	// soakGateways, soakNodes and soakMiners are how many there are.
	soakGateways, soakNodes, soakMiners = 2, 3, 5
	// soakFinal is how deep a payment is final, and soakThreshold what an account has to have to be paid.
	soakFinal, soakThreshold = 6, 1_000_000
	// soakPace is how long each miner waits after a share, on average: each of them is a block.
	soakPace = 4 * time.Second
	// soakReport is how often it is told how far things are.
	soakReport = 10 * time.Second
)

// soak is a pool of which everything is killed, on a chain whose end is replaced again and again.
type soak struct {
	// bank reads the journal and the first node's chain.
	*bank
	dice  *rand.Rand
	nodes []*btcdnode.Node
	// rival is a node that no gateway knows: it finds blocks on its own, and comes back with them.
	rival    *btcdnode.Node
	gateways []*gateway
	paths    []string
	// back is when what is dead is started again, by its name.
	back map[string]time.Time
	// kills counts them by name, reorgs those that happened, and deepest is the deepest.
	kills           map[string]int
	reorgs, deepest int
	// found counts the blocks that miners were told are good.
	found  atomic.Int64
	report time.Time
	// united is when all nodes last had one best block, and healed counts those that were restarted since
	// they did not come to that by themselves.
	united time.Time
	healed int
}

// TestSoak has a pool mine and pay while its gateways, its Redis and its nodes are killed at random moments
// and the end of the chain is replaced, up to more blocks than payments are final after. Then it lets the
// pool come to rest, and compares what the chain says with the journal, to the satoshi.
func TestSoak(t *testing.T) {
	limit, seed := soakTime, rand.Uint64()
	var err error
	if text := os.Getenv("GBTPOOL_SOAK"); text != "" {
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatalf("GBTPOOL_SOAK: %v", err)
		}
	}
	if text := os.Getenv("GBTPOOL_SOAK_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("GBTPOOL_SOAK_SEED: %v", err)
		}
	}
	t.Logf("for %s; GBTPOOL_SOAK_SEED=%d makes the same choices", limit, seed)
	s := newSoak(t, seed)
	ctx, stop := context.WithCancel(t.Context())
	var miners sync.WaitGroup
	for i, account := range s.miners {
		pace := rand.New(rand.NewPCG(seed, uint64(i)+1))
		miners.Go(func() { s.dig(ctx, account, i, pace) })
	}
	defer miners.Wait()
	defer stop()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		s.revive(false)
		s.network(1 + s.dice.IntN(6))
		s.trouble()
		s.heal(soakPatience)
		s.tell(false)
		time.Sleep(time.Duration(s.dice.IntN(800)) * time.Millisecond) // the moment is random, nothing waits for it
	}
	stop()
	miners.Wait()
	s.revive(true)
	s.rest()
	for i := range s.gateways {
		if _, code := s.gateways[i].signal(syscall.SIGTERM); code != 0 {
			t.Errorf("gateway %d ends with %d", i, code)
		}
	}
	s.tell(true)
	s.compare()
}

// newSoak starts everything.
func newSoak(t *testing.T, seed uint64) *soak {
	t.Helper()
	s := &soak{
		bank: newBank(t, "p2wpkh", map[string]string{
			"payout_interval": "3s", "payout_confirmations": strconv.Itoa(soakFinal), "payout_threshold": strconv.Itoa(soakThreshold),
			"redis_slow": "500ms", "node_lost": "5s", "fee_bump_after": "4",
		}),
		dice: rand.New(rand.NewPCG(seed, 0)),
		back: make(map[string]time.Time), kills: make(map[string]int), united: time.Now(),
	}
	s.miners = nil
	for i := range soakMiners {
		s.miners = append(s.miners, accountOf(t, byte(i+1)))
	}
	s.nodes = []*btcdnode.Node{s.node}
	for range soakNodes - 1 {
		s.nodes = append(s.nodes, btcdnode.New(t, btcdnode.Config{}))
	}
	s.rival = btcdnode.New(t, btcdnode.Config{})
	for i, n := range s.nodes {
		for _, other := range s.nodes[:i] {
			n.Connect(other)
		}
		s.rival.Connect(n)
	}
	s.command(0, "payouts", "deposit", "123456") // which is in no coin: it is the operator's word
	for i := range soakGateways {
		s.gateways = append(s.gateways, nil)
		s.paths = append(s.paths, s.configFor(i))
		s.serve(i)
	}
	for _, g := range s.gateways {
		g.awaitReady(true)
	}
	return s
}

// configFor writes the configuration of a gateway, each of which prefers another node.
func (s *soak) configFor(i int) string {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	settings := maps.Clone(s.settings)
	settings["listen"], settings["gateway_name"] = l.Addr().String(), fmt.Sprintf("soak%d", i)
	settings["data_dir"], settings["work_key_file"] = filepath.Join(s.dir, settings["gateway_name"]), filepath.Join(s.dir, "work.key")
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s: %s\n", name, settings[name])
	}
	text.WriteString("nodes:\n")
	for k := range s.nodes {
		n := s.nodes[(i+k)%len(s.nodes)]
		fmt.Fprintf(&text, "  - name: btcd%d\n    url: %s\n    user: %s\n    password_file: %s\n", (i+k)%len(s.nodes), n.URL, n.User, filepath.Join(s.dir, "password"))
	}
	path := filepath.Join(s.dir, settings["gateway_name"]+".yaml")
	err = errors.Join(l.Close(), os.WriteFile(path, []byte(text.String()), 0o600),
		os.WriteFile(settings["work_key_file"], []byte(strings.Repeat("0f", 32)), 0o600))
	if err != nil {
		s.t.Fatal(err)
	}
	s.settings["listen"] = settings["listen"] // a command's own
	return path
}

// serve starts a gateway, and waits for nothing.
func (s *soak) serve(i int) {
	s.t.Helper()
	_, listen, _ := strings.Cut(readFile(s.t, s.paths[i]), "\nlisten: ")
	listen, _, _ = strings.Cut(listen, "\n")
	s.gateways[i] = &gateway{process: run(s.t, "serve", "--log-level", "warn", "--config", s.paths[i]), url: "http://" + listen, node: s.nodes[i]}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dig mines at whichever gateway answers until ctx ends.
func (s *soak) dig(ctx context.Context, account string, first int, pace *rand.Rand) {
	var at []*client.Client
	for i := range s.urls() {
		c, err := client.New(client.Config{URL: s.urls()[(first+i)%soakGateways], User: account + ".rig", Password: "x"})
		if err != nil {
			s.t.Error(err)
			return
		}
		defer c.Close()
		at = append(at, c)
	}
	for next := 0; ctx.Err() == nil; next++ {
		wait := time.Duration(pace.Int64N(int64(2 * soakPace)))
		if err := s.share(ctx, at[next%len(at)]); err != nil {
			wait = 100 * time.Millisecond // it is dead, or the block was somebody else's
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// share finds one share and submits it.
func (s *soak) share(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t, err := c.Template(ctx, client.Request{}, nil)
	if err != nil {
		return err
	}
	a, err := client.NewAssembler(t, client.Options{})
	if err != nil {
		return err
	}
	block, err := a.Block(0, time.Now())
	if err != nil {
		return err
	}
	for !t.Target.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	reason, err := c.Submit(ctx, block)
	if err == nil && reason == "" {
		s.found.Add(1)
	}
	return err
}
