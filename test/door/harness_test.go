package door

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/api"
	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/devnet"
	"github.com/gbtpool/gbtpool/internal/node"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/wallet"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool is a running pool.
type pool struct {
	*app.App
	chain *devnet.Chain
	keys  *token.File
	// key is the miner's and address what it mines for.
	key     *btcec.PrivateKey
	address string
	http    *http.Client
}

// listen returns a listener on a free port.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a pool that pays its miners, until the test ends.
func start(t *testing.T, change func(*app.Config)) *pool {
	t.Helper()
	p := &pool{http: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	var err error
	if p.chain, err = devnet.New(devnet.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.chain.Close(); err != nil {
			t.Error(err)
		}
	})
	if p.key, err = btcec.NewPrivateKey(); err != nil {
		t.Fatal(err)
	}
	own, err := address.NewAddressWitnessPubKeyHash(address.Hash160(p.key.PubKey().SerializeCompressed()), p.chain.Params())
	if err != nil {
		t.Fatal(err)
	}
	p.address = own.EncodeAddress()
	path := filepath.Join(t.TempDir(), "token.keys")
	if err := token.MakeFile(path, token.EdDSA, time.Now()); err != nil {
		t.Fatal(err)
	}
	if p.keys, err = token.OpenFile(token.FileConfig{Path: path, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	cfg := p.config(t)
	if change != nil {
		change(&cfg)
	}
	if p.App, err = app.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		p.http.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	settle, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	p.Settled(settle)
	return p
}

// config is what the pool is made of.
func (p *pool) config(t *testing.T) app.Config {
	t.Helper()
	easiest, err := gbt.TargetFromDifficulty(1e-8)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "pool.key")
	if err := wallet.MakeKeyFile(key); err != nil {
		t.Fatal(err)
	}
	nobody := func(context.Context, wire.OutPoint) (payouts.Unspent, error) {
		return payouts.Unspent{}, errors.New("nobody is asked")
	}
	hot, err := wallet.NewHotKey(wallet.HotKeyConfig{Path: key, Chain: p.chain.Params(), Unspent: nobody})
	if err != nil {
		t.Fatal(err)
	}
	script, err := app.AccountScript(p.chain.Params())(hot.Address())
	if err != nil {
		t.Fatal(err)
	}
	return app.Config{
		Chain: p.chain.Params(), Coinbaser: gbt.PayTo(script), Tag: "/test/", WorkKey: make([]byte, 32),
		Watch: node.SetConfig{Chain: "regtest", Nodes: []node.Node{p.chain}, WatchEvery: 50 * time.Millisecond},
		Share: easiest, Easiest: easiest, Hardest: easiest, Expires: time.Minute,
		Ledger: app.Ledger{Redis: redisstore.Config{Prefix: "test", Slow: 5 * time.Second}, Gateway: "test", Multiple: 8, SpoolBytes: 64 << 20},
		Payouts: app.Payouts{
			Terms:    payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100},
			Policy:   payouts.Policy{Threshold: 1000, FeeFloor: 1000, FeeCeiling: 100_000, FeeFallback: 2000, Bearer: payouts.BearerPool},
			Schedule: payouts.Schedule{Every: time.Second}, Pool: [][]byte{script}, Maturity: int32(chaincfg.RegressionNetParams.CoinbaseMaturity), Final: 3, FeeBlocks: 2,
			Wallet: app.Wallet{KeyFile: key}, Every: 50 * time.Millisecond,
		},
		Listener: listen(t), Limits: api.DefaultLimits(), Log: slog.New(slog.DiscardHandler),
		Door: &app.Door{
			Name: "test pool", URL: "http://pool.example", Version: "gbtpool test", Admin: listen(t), BanAfter: 100, BanFor: time.Minute,
			Calls: guard.Rate{Count: 100_000, Per: time.Minute, Burst: 10_000}, Requests: guard.Rate{Count: 100_000, Per: time.Minute, Burst: 10_000},
			Tokens: app.Tokens{
				Issuer: "gbtpool", Audience: "gbtpool", Leeway: token.DefaultLeeway, Keys: p.keys,
				Issuers: []token.Issuer{{Name: "gbtpool", Keys: p.keys}}, Run: []func(context.Context) error{p.keys.Run},
			},
		},
	}
}

// grant makes a token.
func (p *pool) grant(t *testing.T, account string, scopes ...token.Scope) string {
	t.Helper()
	return p.sign(t, "gbtpool", "gbtpool", token.Grant{Account: account, Scopes: scopes, TTL: hour, Name: "test"})
}

// sign makes a token of an issuer for an audience.
func (p *pool) sign(t *testing.T, issuer, audience string, g token.Grant) string {
	t.Helper()
	now := time.Now
	if g.TTL < 0 { // made so long ago that it has expired
		ago := 2*time.Hour - g.TTL
		g.TTL, now = time.Hour, func() time.Time { return time.Now().Add(-ago) }
	}
	signer, err := token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, Keys: p.keys, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := signer.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// answer is an answer with its body read.
type answer struct {
	*http.Response
	body string
}

// do sends a request.
func (p *pool) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := p.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// send sends a request with a token and a body, as far as there are any.
func (p *pool) send(t *testing.T, method, url, bearer, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return p.do(t, r)
}

// mine mines for an account until it has found a block more.
func (p *pool) mine(t *testing.T, user string) {
	t.Helper()
	c, err := client.New(client.Config{URL: p.URL(), User: user, Password: "x", HTTP: p.http})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := client.NewMiner(client.MinerConfig{Client: c, Threads: 1, HashRate: 200})
	if err != nil {
		t.Fatal(err)
	}
	account, _, _ := strings.Cut(user, ".")
	found := func() int64 {
		stats, _, err := p.Figures().Account(t.Context(), account)
		if err != nil && !errors.Is(err, shares.ErrUnknown) {
			t.Fatal(err)
		}
		return stats.Blocks
	}
	before := found()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	wait(t, "a block of "+user, func() bool { return found() > before })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// generate has the rest of the network find blocks.
func (p *pool) generate(t *testing.T, n int) {
	t.Helper()
	if _, err := p.chain.Generate(t.Context(), n, []byte{txscript.OP_TRUE}); err != nil {
		t.Fatal(err)
	}
}

// wait waits until something is so.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
		<-ticker.C
	}
}

// busy is a pool with a block that is credited and paid, which the tests that only look share.
type busy struct {
	*pool
	block string // the credited block's hash
}

// lived runs a pool until a settlement is final.
func lived(t *testing.T) *busy {
	t.Helper()
	p := start(t, nil)
	p.mine(t, p.address+".rig1")
	b := &busy{pool: p}
	p.generate(t, 100)
	wait(t, "a settlement to be final", func() bool {
		list, err := payouts.Settlements(t.Context(), p.Cashier().Store)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 && list[len(list)-1].Status.State == payouts.Final {
			return true
		}
		if len(list) > 0 {
			p.generate(t, 1)
		}
		return false
	})
	blocks, err := payouts.Blocks(t.Context(), p.Cashier().Store)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		if block.State.Stage == payouts.BlockCredited {
			b.block = block.Hash
		}
	}
	if b.block == "" {
		t.Fatal("no block is credited")
	}
	return b
}
