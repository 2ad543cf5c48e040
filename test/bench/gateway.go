package main

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
	"path/filepath"
	"strings"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/test/redisserver"
)

// gateway is a gbtpool serve, with all of its settings as they are by default but for those in settings.
type gateway struct {
	*child
	addr string
	// login is somebody's who may mine, with the password.
	login string
}

// chain is the one that all is measured on. Its blocks may be as hard or as easy as the node's template says.
func chain() *chaincfg.Params { return &chaincfg.RegressionNetParams }

// settings are what all cases need: no limit stands in the way of as many clients as there are from one address,
// who ask and submit as fast as they can, and almost every hash is a share.
const settings = `chain: regtest
max_conns: 100000
max_conns_addr: 100000
calls_per_minute: 0
api_per_minute: 0
ban_after: 0
shares_per_minute: 0
share_difficulty: 2.4e-10
min_share_difficulty: 2.4e-10
`

// redis starts a Redis for the ledger.
func (l *lab) redis(ctx context.Context, fsync string) *redisserver.Server {
	// Its append-only file is not rewritten while something is measured.
	lines := []string{"appendfsync " + fsync, "auto-aof-rewrite-percentage 0"}
	return redisserver.New(l.keeper(ctx), redisserver.Config{Args: lines}) //nolint:contextcheck // the keeper has it
}

// gatewayConfig says what a gateway runs on.
type gatewayConfig struct {
	node *fakeNode
	// redis is nil for a ledger in memory, which is not for measuring shares.
	redis *redisserver.Server
	// name is its name among the gateways of one Redis, and first says that it is the first of them.
	name  string
	first bool
	// lines are further settings.
	lines string
}

// gateway starts a gateway and waits until it has work.
func (l *lab) gateway(ctx context.Context, cfg gatewayConfig) (*gateway, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	// Nobody operates it but who takes profiles.
	admin := ""
	if l.profile != "" {
		if admin, err = freeAddr(ctx); err != nil {
			return nil, err
		}
	}
	user, err := account(0)
	if err != nil {
		return nil, err
	}
	payTo, _, _ := strings.Cut(user, ".")
	data := l.path("data")
	password, err := l.file("password", []byte("password\n"))
	if err != nil {
		return nil, err
	}
	key := filepath.Join(l.dir, "work.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		return nil, err
	}
	text := settings + cfg.lines + fmt.Sprintf("admin_listen: %q\npayout_address: %s\nlisten: %s\ndata_dir: %s\nwork_key_file: %s\ngateway_name: bench%s\n",
		admin, payTo, addr, data, key, cfg.name)
	if cfg.redis == nil {
		text += "ephemeral: true\n"
	} else {
		text += fmt.Sprintf("redis: %s\n", cfg.redis.URL())
	}
	text += fmt.Sprintf("nodes:\n  - name: node\n    url: %s\n    user: bench\n    password_file: %s\n", cfg.node.url, password)
	if cfg.node.zmq != nil {
		text += fmt.Sprintf("    zmq: %s\n", cfg.node.zmq.Address())
	}
	path, err := l.file("gbtpool.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	if cfg.redis != nil && cfg.first {
		if _, err := output(ctx, "", l.build.gateway, "ledger", "init", "--config", path); err != nil {
			return nil, err
		}
	}
	g := &gateway{addr: addr, login: loginOf(user)}
	if g.child, err = l.spawn(ctx, l.build.gateway, "serve", "--log-level", "warn", "--config", path); err != nil {
		return nil, err
	}
	err = g.until(ctx, "a gateway that is ready", func() bool {
		res, err := get(ctx, "http://"+addr+"/readyz")
		return err == nil && res == http.StatusOK
	})
	if err == nil && admin != "" {
		err = l.profiled(ctx, admin, path)
	}
	return g, err
}

// get asks for a page and returns its status.
func get(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// freeAddr returns an address that nobody listens on.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// account returns the user name of a miner with an account of its own.
func account(number int) (string, error) {
	var hash [20]byte
	hash[0], hash[1], hash[2] = byte(number), byte(number>>8), byte(number>>16)
	a, err := address.NewAddressWitnessPubKeyHash(hash[:], chain())
	if err != nil {
		return "", err
	}
	return a.EncodeAddress() + ".rig", nil
}

// loginOf returns what a miner logs in with. Nobody looks at the password.
func loginOf(user string) string { return user + ":x" }

// captured is an answer as it came.
type captured struct {
	body     []byte
	encoding string // Content-Encoding; empty for identity
}

// capture asks a server once, as the cases do, and returns the answer.
func capture(ctx context.Context, addr, login, encoding string, body []byte) (captured, error) {
	got, _, err := captureFirst(ctx, addr, login, encoding, body)
	return got, err
}

// captureFirst is capture, and says when the answer's first byte had come.
func captureFirst(ctx context.Context, addr, login, encoding string, body []byte) (sent captured, first time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", bytes.NewReader(body))
	if err != nil {
		return sent, first, err
	}
	user, password, _ := strings.Cut(login, ":")
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", encoding)
	// The default client would take gzip apart.
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return sent, first, err
	}
	in := bufio.NewReader(res.Body)
	_, err = in.Peek(1)
	first = time.Now()
	if errors.Is(err, io.EOF) {
		err = nil // the status tells more
	}
	got, readErr := io.ReadAll(in)
	if err := errors.Join(err, readErr, res.Body.Close()); err != nil {
		return sent, first, err
	}
	if res.StatusCode != http.StatusOK {
		return sent, first, fmt.Errorf("answered %s: %.200s", res.Status, got)
	}
	return captured{got, res.Header.Get("Content-Encoding")}, first, nil
}

// askTemplate returns the body of a request for a template, or of a long poll that waits for another than id names.
func askTemplate(id string) []byte {
	argument := map[string]any{
		"capabilities": []string{"coinbasetxn", "longpoll", "workid", "coinbase/append", "time", "submit/coinbase"},
		"rules":        []string{"segwit"},
	}
	if id != "" {
		argument["longpollid"] = id
	}
	body, err := json.Marshal(map[string]any{"id": 1, "method": "getblocktemplate", "params": []any{argument}})
	if err != nil {
		panic(err) // there is nothing in it that cannot be written
	}
	return body
}
