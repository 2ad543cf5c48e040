package btcdnode

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Call calls a method of the node's JSON-RPC and decodes its result, unless result is nil. It is
// safe for concurrent use.
func (n *Node) Call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{} // btcd refuses null
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	req.SetBasicAuth(n.User, n.Password)
	resp, err := n.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read to the end or the error is another
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: HTTP %d: %w", method, resp.StatusCode, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s (%d)", method, answer.Error.Message, answer.Error.Code)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// newClient makes the HTTP client, as soon as btcd has written its certificate.
func (n *Node) newClient() (*http.Client, error) {
	transport := &http.Transport{}
	if n.cfg.TLS {
		cert, err := os.ReadFile(n.CAFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(cert) {
			return nil, errors.New("rpc.cert is not complete")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// Generate has the node mine n blocks with its mempool's transactions, paid to its wallet, and
// returns their hashes.
func (n *Node) Generate(count int) []chainhash.Hash {
	n.tb.Helper()
	var texts []string
	if err := n.Call(n.tb.Context(), &texts, "generate", count); err != nil {
		n.tb.Fatalf("btcdnode: %v", err)
	}
	hashes := make([]chainhash.Hash, len(texts))
	for i, text := range texts {
		if err := chainhash.Decode(&hashes[i], text); err != nil {
			n.tb.Fatalf("btcdnode: generate: %v", err)
		}
	}
	return hashes
}

// BestBlock returns the tip of the node's best chain.
func (n *Node) BestBlock() chainhash.Hash {
	n.tb.Helper()
	hash, err := n.bestBlock(n.tb.Context())
	if err != nil {
		n.tb.Fatalf("btcdnode: %v", err)
	}
	return hash
}

func (n *Node) bestBlock(ctx context.Context) (hash chainhash.Hash, err error) {
	var text string
	if err := n.Call(ctx, &text, "getbestblockhash"); err != nil {
		return hash, err
	}
	return hash, chainhash.Decode(&hash, text)
}

// Connect makes other a peer of the node, again whenever the connection is lost, and waits until
// both know.
func (n *Node) Connect(other *Node) {
	n.tb.Helper()
	if err := n.Call(n.tb.Context(), nil, "addnode", other.Peer, "add"); err != nil {
		n.tb.Fatalf("btcdnode: %v", err)
	}
	for _, each := range []*Node{n, other} {
		each.Await("a peer", func(ctx context.Context) (bool, error) {
			var count int
			err := each.Call(ctx, &count, "getconnectioncount")
			return count > 0, err
		})
	}
}

// Await asks again and again whether something has come true, for as long as a busy machine may
// take. An error ends the test, as time running out does.
func (n *Node) Await(what string, yes func(context.Context) (bool, error)) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(n.tb.Context(), startLimit)
	defer cancel()
	for {
		ok, err := yes(ctx)
		switch {
		case err != nil:
			n.tb.Fatalf("btcdnode: waiting for %s: %v", what, err)
		case ok:
			return
		}
		select {
		case <-ctx.Done():
			n.tb.Fatalf("btcdnode: waited %s for %s", startLimit, what)
		case <-time.After(pollInterval):
		}
	}
}

// AwaitBestBlock waits until hash is the tip of the node's best chain.
func (n *Node) AwaitBestBlock(hash chainhash.Hash) {
	n.tb.Helper()
	n.Await("block "+hash.String(), func(ctx context.Context) (bool, error) {
		best, err := n.bestBlock(ctx)
		return best == hash, err
	})
}
