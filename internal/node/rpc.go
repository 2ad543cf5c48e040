package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// RPCConfig says how to reach a full node's JSON-RPC.
type RPCConfig struct {
	// Name tells the node from others; the default is the URL's host and port.
	Name string
	// URL is http://HOST:PORT or https://HOST:PORT, without user and password.
	URL string
	// User and Password are the node's rpcuser and rpcpassword.
	User, Password string
	// CookieFile is the node's .cookie, used instead of User and Password. The node writes it anew
	// at each start, so it may be missing now and is read again when the node refuses it.
	CookieFile string
	// CAFile holds PEM certificates to trust instead of the system's, such as btcd's rpc.cert.
	CAFile string
	// Chain is the chain in use as Info names it. On signet it adds the rule that Core demands.
	Chain string
	// Timeout bounds each call but long polls; the default is 30 s.
	Timeout time.Duration
	// MaxAnswer is the largest answer accepted, in bytes; the default is 64 MiB. A template of a
	// full block takes about 4 MB.
	MaxAnswer int64
}

// RPC is a full node over JSON-RPC: Bitcoin Core, Knots or btcd. It implements Node and is safe
// for concurrent use.
type RPC struct {
	cfg    RPCConfig
	url    string
	client *http.Client
	cookie atomic.Pointer[login]
	calls  atomic.Uint64
	// current is whether the node's last answer to getblocktemplate showed that it has caught up
	// with the network; needed for nodes that say so nowhere else.
	current atomic.Bool
}

// NewRPC makes an RPC. It does not connect, so the node may be down.
func NewRPC(cfg RPCConfig) (*RPC, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		// The parser's error quotes the URL, which may hold a password.
		return nil, errors.New("node: the RPC URL cannot be parsed: want http://HOST:PORT or https://HOST:PORT")
	case u.User != nil:
		return nil, fmt.Errorf("node %s: leave user and password out of the RPC URL and set them apart", u.Host)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("node: the RPC URL must be http://HOST:PORT or https://HOST:PORT")
	case cfg.CookieFile != "" && cfg.User+cfg.Password != "":
		return nil, fmt.Errorf("node %s: set either a cookie file or a user and password", u.Host)
	case cfg.CAFile != "" && u.Scheme != "https":
		return nil, fmt.Errorf("node %s: a CA file needs an https URL", u.Host)
	case cfg.Timeout < 0 || cfg.MaxAnswer < 0:
		return nil, fmt.Errorf("node %s: Timeout and MaxAnswer must not be negative", u.Host)
	}
	if cfg.Name == "" {
		cfg.Name = u.Host
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxAnswer == 0 {
		cfg.MaxAnswer = 64 << 20
	}
	client, err := newClient(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", cfg.Name, err)
	}
	return &RPC{cfg: cfg, url: u.String(), client: client}, nil
}

// Close drops idle connections. Calls in flight go on.
func (r *RPC) Close() { r.client.CloseIdleConnections() }

// Name implements Node.
func (r *RPC) Name() string { return r.cfg.Name }

// BestBlock implements Chain.
func (r *RPC) BestBlock(ctx context.Context) (chainhash.Hash, error) {
	var text string
	if err := r.call(ctx, &text, "getbestblockhash"); err != nil {
		return chainhash.Hash{}, err
	}
	hash, err := parseHash(text)
	if err != nil {
		return chainhash.Hash{}, r.fail("getbestblockhash", err)
	}
	return hash, nil
}

// templateRequest is the request object of getblocktemplate (BIP 22, BIP 23, BIP 9, BIP 145).
type templateRequest struct {
	Mode         string   `json:"mode,omitempty"`
	Data         string   `json:"data,omitempty"`
	Capabilities []string `json:"capabilities,omitempty"`
	Rules        []string `json:"rules"`
	LongPollID   string   `json:"longpollid,omitempty"`
}

// rules lists what the client side understands: Core refuses to answer without segwit (BIP 145),
// and on signet without signet (BIP 325).
func (r *RPC) rules() []string {
	if r.cfg.Chain == "signet" {
		return []string{"segwit", "signet"}
	}
	return []string{"segwit"}
}

// Template implements Miner.
func (r *RPC) Template(ctx context.Context, longPollID string) (json.RawMessage, error) {
	if longPollID == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.cfg.Timeout, r.slow())
		defer cancel()
	}
	raw, err := r.send(ctx, "getblocktemplate", templateRequest{
		// Not coinbasetxn: btcd would answer with a coinbase of its own.
		Capabilities: []string{"coinbasevalue", "longpoll", "proposal", "workid"},
		Rules:        r.rules(),
		LongPollID:   longPollID,
	})
	switch {
	case errors.Is(err, ErrInitialDownload):
		r.current.Store(false)
	case err == nil && (len(raw) == 0 || raw[0] != '{'):
		err = r.fail("getblocktemplate", fmt.Errorf("%w: the template is not an object but %s", ErrMalformed, clip(raw)))
	case err == nil:
		r.current.Store(true)
	}
	if err != nil {
		return nil, err
	}
	return raw, nil
}

// Propose implements Miner. A block on another than the best block is refused by every kind of
// node in Core's words, "inconclusive-not-best-prevblk".
func (r *RPC) Propose(ctx context.Context, block []byte) (gbt.Reason, error) {
	var result json.RawMessage
	err := r.call(ctx, &result, "getblocktemplate", templateRequest{
		Mode: "proposal", Data: hex.EncodeToString(block), Rules: r.rules(),
	})
	if err != nil {
		return "", err
	}
	reason, err := decodeReason(result)
	if err != nil {
		return "", r.fail("getblocktemplate", err)
	}
	return proposalReason(reason), nil
}

// call sends a request within the configured timeout and decodes its result.
func (r *RPC) call(ctx context.Context, result any, method string, params ...any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.Timeout, r.slow())
	defer cancel()
	raw, err := r.send(ctx, method, params...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	return nil
}

// slow is the cause of a call's timeout.
func (r *RPC) slow() error {
	return fmt.Errorf("no answer within %s, the node hangs or is overloaded: %w", r.cfg.Timeout, context.DeadlineExceeded)
}

// fail says which node and which call an error comes from.
func (r *RPC) fail(method string, err error) error {
	return fmt.Errorf("node %s: %s: %w", r.cfg.Name, method, err)
}
