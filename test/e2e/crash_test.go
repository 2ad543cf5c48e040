package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/test/btcdnode"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

const (
	// crashRounds is how often something is killed; GBTPOOL_CRASH_ROUNDS says otherwise.
	crashRounds = 6
	// crashClients is how many clients submit meanwhile.
	crashClients = 8
)

// memory is what clients were told: which shares are credited.
type memory struct {
	mu           sync.Mutex
	acknowledged map[chainhash.Hash]string // held by mu: the account
	reasons      map[gbt.Reason]int        // held by mu
}

func newMemory() *memory {
	return &memory{acknowledged: make(map[chainhash.Hash]string), reasons: make(map[gbt.Reason]int)}
}

// refused returns how many shares were refused for a reason.
func (m *memory) refused(reason gbt.Reason) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reasons[reason]
}

// load submits shares until ctx ends, whatever becomes of the gateway.
func (m *memory) load(ctx context.Context, t *testing.T, url, account string) {
	t.Helper()
	c, err := client.New(client.Config{URL: url, User: account + ".rig", Password: "x"})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for ctx.Err() == nil {
		if err := m.work(ctx, c, account); err != nil {
			select { // something was killed: it is back soon
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// work submits a few shares of one template.
func (m *memory) work(ctx context.Context, c *client.Client, account string) error {
	template, err := c.Template(ctx, client.Request{}, nil)
	if err != nil {
		return err
	}
	assembler, err := client.NewAssembler(template, client.Options{})
	if err != nil {
		return err
	}
	for number := range uint32(8) {
		block, err := assembler.Block(number, time.Now())
		if err != nil {
			return err
		}
		if !template.Target.MetBy(block.Header.BlockHash()) {
			continue
		}
		reason, err := c.Submit(ctx, block)
		if err != nil {
			return err // acknowledged or not: nobody knows
		}
		m.mu.Lock()
		m.reasons[reason]++
		if reason == "" {
			m.acknowledged[block.Header.BlockHash()] = account
		}
		m.mu.Unlock()
	}
	return nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.acknowledged)
}

// TestCrash kills the gateway, Redis or the node at random moments under load. Afterwards every
// acknowledged share is in the ledger, once, for whom it was, and an audit finds nothing.
func TestCrash(t *testing.T) {
	rounds := crashRounds
	if text := os.Getenv("GBTPOOL_CRASH_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	store := redisserver.New(t, redisserver.Config{})
	node := btcdnode.New(t, btcdnode.Config{})
	node.Generate(1)
	path, listen := configure(t, "redis: "+store.URL()+"\nredis_slow: 500ms\ngateway_name: crash\n", node)
	ledger := func(args ...string) string {
		t.Helper()
		p := run(t, append([]string{"ledger"}, append(args, "--config", path)...)...)
		if code := p.wait(time.Minute); code != 0 {
			t.Fatalf("gbtpool ledger %v ends with %d:\n%s", args, code, p.output())
		}
		return p.output()
	}
	ledger("init")
	g := &gateway{process: run(t, "serve", "--config", path), url: "http://" + listen, node: node}
	g.awaitReady(true)
	m := newMemory()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range crashClients {
		account := accountOf(t, byte(i))
		clients.Go(func() { m.load(ctx, t, g.url, account) })
	}
	defer clients.Wait()
	defer stop()
	for round := range rounds {
		time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond) // the moment is random, nothing waits for it
		switch victim := rand.IntN(3); victim {
		case 0:
			g.signal(syscall.SIGKILL)
			g.process = run(t, "serve", "--config", path)
		case 1:
			store.Kill()
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
			store.Start()
		default:
			node.Kill()
			node.Start()
		}
		g.awaitReady(true)
		before := m.count()
		await(t, "shares to be taken after round "+strconv.Itoa(round), time.Minute, func() bool { return m.count() > before })
	}
	stop()
	clients.Wait()
	await(t, "the ledger to take shares", time.Minute, func() bool {
		_, body := g.get("/readyz")
		return strings.Contains(body, `{"name":"ledger","ok":true}`)
	})
	m.compare(t, store)
	if out := ledger("audit"); !strings.Contains(out, "is sound") {
		t.Errorf("the audit says:\n%s", out)
	}
	if out := g.output(); strings.Contains(out, "redis: 20") {
		t.Error("the Redis library prints lines of its own")
	}
	t.Logf("%d shares acknowledged in %d rounds", m.count(), rounds)
}

// accountOf returns an address by number.
func accountOf(t *testing.T, number byte) string {
	t.Helper()
	program := make([]byte, 20)
	program[0] = number
	addr, err := address.NewAddressWitnessPubKeyHash(program, &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	return addr.EncodeAddress()
}

// compare reads the ledger's logs as they are.
func (m *memory) compare(t *testing.T, store *redisserver.Server) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: store.Addr})
	defer c.Close() //nolint:errcheck // nothing is kept in it
	credited := make(map[chainhash.Hash]string)
	logs, err := c.Keys(t.Context(), "*:log").Result()
	if err != nil || len(logs) == 0 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	for _, log := range logs {
		entries, err := c.XRange(t.Context(), log, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			// A share begins with its hash and the block before, and then names the account.
			var hash chainhash.Hash
			text, _ := e.Values["e"].(string)
			copy(hash[:], text)
			if len(text) < 65 || len(text) < 65+int(text[64]) {
				t.Fatalf("an entry of %s is %q", log, e.Values)
			}
			if _, twice := credited[hash]; twice {
				t.Errorf("share %s is credited twice", hash)
			}
			credited[hash] = text[65 : 65+int(text[64])]
		}
	}
	for hash, account := range m.acknowledged {
		if credited[hash] != account {
			t.Errorf("share %s of %s was acknowledged, and is credited to %q", hash, account, credited[hash])
		}
	}
}
