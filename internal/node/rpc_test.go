package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/node/bitcoindtest"
)

const recording = "testdata/bitcoind-regtest.jsonl"

// recorded starts the recorded bitcoind and a client for it.
func recorded(t *testing.T) (*bitcoindtest.Server, *RPC) {
	t.Helper()
	s := bitcoindtest.New(t, recording)
	return s, client(t, RPCConfig{Name: "core", URL: s.URL, User: bitcoindtest.User, Password: "password"})
}

func client(t *testing.T, cfg RPCConfig) *RPC {
	t.Helper()
	r, err := NewRPC(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func hashOf(t *testing.T, s string) chainhash.Hash {
	t.Helper()
	h, err := parseHash(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRecordedAnswers sends every recorded request and wants the recorded result, byte for byte,
// or the recorded error.
func TestRecordedAnswers(t *testing.T) {
	records, err := bitcoindtest.Load(recording)
	if err != nil {
		t.Fatal(err)
	}
	s, r := recorded(t)
	calls := 0
	for _, record := range records {
		if record.Request == nil {
			continue
		}
		calls++
		t.Run(record.Name, func(t *testing.T) {
			s.From(record.Name)
			params := make([]any, len(record.Request.Params))
			for i, p := range record.Request.Params {
				params[i] = p
			}
			got, err := r.send(t.Context(), record.Request.Method, params...)
			var want struct {
				Result json.RawMessage
				Error  *RPCError
			}
			if err := json.Unmarshal(record.Response, &want); err != nil {
				t.Fatal(err)
			}
			if want.Error == nil {
				if err != nil || !bytes.Equal(got, want.Result) {
					t.Fatalf("got %s, %v, want %s", clip(got), err, clip(want.Result))
				}
				return
			}
			var refused *RPCError
			if !errors.As(err, &refused) {
				t.Fatalf("got %s, %v, want error %v", clip(got), err, want.Error)
			}
			if diff := cmp.Diff(want.Error, refused); diff != "" {
				t.Fatal(diff)
			}
		})
	}
	if calls < 70 {
		t.Fatalf("only %d calls are recorded", calls)
	}
}

func TestRecordedErrors(t *testing.T) {
	s, r := recorded(t)
	for _, test := range []struct {
		name string
		want error
	}{
		{"gbt before the node has a peer", ErrNotConnected},
		{"gbt in initial block download", ErrInitialDownload},
	} {
		s.From(test.name)
		if _, err := r.Template(t.Context(), ""); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := r.Header(t.Context(), chainhash.Hash{}); !errors.Is(err, ErrUnknownBlock) {
		t.Errorf("unknown header: got %v, want ErrUnknownBlock", err)
	}
	if err := r.call(t.Context(), nil, "nosuchmethod"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unknown method: got %v, want ErrUnsupported", err)
	}
	if _, err := r.SubmitBlock(t.Context(), gbt.NewRawBlock(recordedBlock(t, "submit cut short"))); !errors.Is(err, ErrUndecodable) {
		t.Errorf("cut block: got %v, want ErrUndecodable", err)
	}
	if _, err := r.post(t.Context(), &login{bitcoindtest.User, "password"}, &body{before: []byte("{bad json")}); rpcCode(err) != -32700 {
		t.Errorf("bad JSON: got %v, want error -32700", err)
	}
	if _, err := r.post(t.Context(), &login{bitcoindtest.User, "wrong"}, &body{before: []byte("{}")}); !errors.Is(err, ErrAuth) {
		t.Errorf("wrong password: got %v, want ErrAuth", err)
	}
}

func rpcCode(err error) int {
	var refused *RPCError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return 0
}

func TestRecordedInfo(t *testing.T) {
	_, r := recorded(t)
	got, err := r.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Info{
		Kind: Knots, Version: "/Satoshi:0.21.1/Knots:20210629/", Chain: "regtest", Height: 102, Headers: 102,
		Best:     hashOf(t, "5ddb75e2944e7ebdacfaf73f3f23d0b3b9db5213be706f74e86bb8872af0ffac"),
		Progress: 1, Peers: 1, NetworkHashPS: 4.090404204880984e-07,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	best, err := r.BestBlock(t.Context())
	if err != nil || best != want.Best {
		t.Errorf("BestBlock: got %v, %v, want %v", best, err, want.Best)
	}
}

func TestRecordedHeader(t *testing.T) {
	s, r := recorded(t)
	ours := hashOf(t, "5ddb75e2944e7ebdacfaf73f3f23d0b3b9db5213be706f74e86bb8872af0ffac")
	got, err := r.Header(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		Hash: ours, Previous: hashOf(t, "53eaa41750bb8b7bb3faee85f8c3dbb219abed851e1d38aa570e86e808c3b4c9"),
		Height: 102, Bits: 0x207fffff, Time: time.Unix(1795416820, 0), MedianTime: time.Unix(1795416819, 0), Confirmations: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	gone := hashOf(t, "401c51965e90ff034b9bc31f358266378bf8a3f76d3f99d7eba745d874de4dd8")
	for name, confirmations := range map[string]int64{
		"header of a block that was reorganised away": -1,
		"header back in the chain":                    1,
	} {
		s.From(name)
		if got, err := r.Header(t.Context(), gone); err != nil || got.Confirmations != confirmations {
			t.Errorf("%s: got %d, %v, want %d", name, got.Confirmations, err, confirmations)
		}
	}
}

func TestRecordedTemplates(t *testing.T) {
	s, r := recorded(t)
	for name, longPollID := range map[string]string{
		"gbt empty mempool": "",
		"gbt with chained legacy and segwit transactions": "",
		"long poll answered by the new block":             "53eaa41750bb8b7bb3faee85f8c3dbb219abed851e1d38aa570e86e808c3b4c9112",
	} {
		s.From(name)
		raw, err := r.Template(t.Context(), longPollID)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := gbt.ParseTemplate(raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// recordedBlock returns the block that a recorded request carries.
func recordedBlock(t *testing.T, name string) []byte {
	t.Helper()
	records, err := bitcoindtest.Load(recording)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Name != name {
			continue
		}
		var text string
		if r.Request.Method == "getblocktemplate" {
			var q templateRequest
			if err := json.Unmarshal(r.Request.Params[0], &q); err != nil {
				t.Fatal(err)
			}
			text = q.Data
		} else if err := json.Unmarshal(r.Request.Params[0], &text); err != nil {
			t.Fatal(err)
		}
		block, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	t.Fatalf("no record is named %q", name)
	return nil
}

func TestRecordedVerdicts(t *testing.T) {
	s, r := recorded(t)
	for name, want := range map[string]gbt.Reason{
		"proposal valid":                    "",
		"proposal pays too much":            "bad-cb-amount",
		"proposal without commitment":       "unexpected-witness",
		"proposal of an empty block":        "",
		"proposal with other bits":          gbt.BadDiffbits,
		"proposal with a wrong merkle root": gbt.BadTxnmrklroot,
		"proposal from the future":          gbt.TimeTooNew,
		"proposal from the past":            gbt.TimeTooOld,
		"proposal on another block":         NotBestPrev,
		"proposal with a transaction twice": "bad-witness-merkle-match",
		"proposal with missing inputs":      "bad-txns-inputs-missingorspent",
		"submit above the target":           gbt.HighHash,
		"submit pays too much":              "bad-cb-amount",
		"submit pays too much again":        "duplicate-invalid",
		"submit on an unknown block":        PrevUnknown,
		"submit with a wrong merkle root":   gbt.BadTxnmrklroot,
		"submit valid":                      "",
		"submit valid again":                gbt.Duplicate,
	} {
		t.Run(name, func(t *testing.T) {
			block := recordedBlock(t, name)
			s.From(name)
			ask := func(ctx context.Context, block []byte) (gbt.Reason, error) {
				return r.SubmitBlock(ctx, gbt.NewRawBlock(block))
			}
			if name[:len("proposal")] == "proposal" {
				ask = r.Propose
			}
			got, err := ask(t.Context(), block)
			if err != nil || got != want {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

// TestSubmitSettles checks what becomes of a block that the node does not judge by itself.
func TestSubmitSettles(t *testing.T) {
	const already = "rejected: already have block 00"
	header := func(confirmations string) string {
		return `{"confirmations":` + confirmations + `,"height":1,"bits":"207fffff","time":1}`
	}
	const unknown, broken = `-5`, `-1`
	for _, test := range []struct {
		name, said, header string
		want               gbt.Reason
	}{
		{"accepted", `null`, header("1"), ""},
		{"accepted, then nothing heard", `null`, broken, ""},
		{"an orphan of btcd", `null`, unknown, PrevUnknown},
		{"a side branch of btcd", `null`, header("-1"), Inconclusive},
		{"inconclusive, on a side branch", `"inconclusive"`, header("-1"), Inconclusive},
		{"inconclusive, then best", `"inconclusive"`, header("2"), ""},
		{"inconclusive, then nothing heard", `"inconclusive"`, broken, Inconclusive},
		{"known and best", `"duplicate-inconclusive"`, header("1"), gbt.Duplicate},
		{"known on a side branch", `"duplicate-inconclusive"`, header("-1"), Inconclusive},
		{"btcd has it", `"` + already + `"`, header("3"), gbt.Duplicate},
		{"btcd has it aside or holds it for invalid", `"` + already + `"`, header("-1"), Inconclusive},
		{"Core has it", `"duplicate"`, broken, gbt.Duplicate},
		{"refused", `"high-hash"`, broken, gbt.HighHash},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := scripted(t, func(method string, _ []any) string {
				if method == "submitblock" {
					return `{"result":` + test.said + `,"error":null,"id":1}`
				}
				if test.header == unknown || test.header == broken {
					return `{"result":null,"error":{"code":` + test.header + `,"message":"no"},"id":1}`
				}
				return `{"result":` + test.header + `,"error":null,"id":1}`
			})
			got, err := r.SubmitBlock(t.Context(), gbt.NewRawBlock(make([]byte, headerSize)))
			if err != nil || got != test.want {
				t.Fatalf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	var got []any
	answer := func(_ string, params []any) string {
		got = params
		return `{"result":{},"error":null,"id":1}`
	}
	r := scripted(t, answer)
	capabilities := []any{"coinbasevalue", "longpoll", "proposal", "workid"}
	for _, test := range []struct {
		chain, id string
		want      map[string]any
	}{
		{"main", "", map[string]any{"rules": []any{"segwit"}, "capabilities": capabilities}},
		{"signet", "x1", map[string]any{"rules": []any{"segwit", "signet"}, "capabilities": capabilities, "longpollid": "x1"}},
	} {
		r.cfg.Chain = test.chain
		if _, err := r.Template(t.Context(), test.id); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{test.want}, got); diff != "" {
			t.Errorf("%s: %s", test.chain, diff)
		}
	}
}

// TestLargeTemplate gets what a node sends for a full block and more, byte for byte, and reuses the
// connection.
func TestLargeTemplate(t *testing.T) {
	template := `{"transactions":[{"data":"` + strings.Repeat("0123456789abcdef", 1<<19) + `"}]}`
	peers := make(map[string]bool)
	r := served(t, func(w http.ResponseWriter, q *http.Request) {
		peers[q.RemoteAddr] = true
		if _, err := io.WriteString(w, `{"result":`+template+`,"error":null,"id":1}`+"\n"); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		if got, err := r.Template(t.Context(), ""); err != nil || string(got) != template {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(template))
		}
	}
	if len(peers) != 1 {
		t.Errorf("%d connections for calls one after another, want 1", len(peers))
	}
}

// TestRPCContexts checks that calls end with their context and say why.
func TestRPCContexts(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	r := served(t, func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := r.Template(ctx, "a long poll")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled long poll: got %v", err)
	}
	r.cfg.Timeout = 20 * time.Millisecond
	for name, call := range map[string]func() error{
		"BestBlock": func() error { _, err := r.BestBlock(t.Context()); return err },
		"Template":  func() error { _, err := r.Template(t.Context(), ""); return err },
		"Submit":    func() error { _, err := r.SubmitBlock(t.Context(), gbt.NewRawBlock(nil)); return err },
	} {
		if err := call(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s of a hanging node: got %v, want a deadline", name, err)
		}
	}
}
