package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// choice returns a template of which two transactions were left out, with another added, and the
// block of it.
func choice(t *testing.T, change answer) (*Template, *Block) {
	t.Helper()
	a := offerOf(t, newCoinbase([]byte{2, 0xf4, 1}), newFamily().all()...)
	for key, value := range change {
		a[key] = value
	}
	other := newFamily().stranger
	other.TxIn[0].PreviousOutPoint.Index = 9
	node := offerOf(t, nil, other)
	pool := a.parse(t)
	o := Offer{Pool: pool, Node: node.parse(t)}
	o.Node.CoinbaseValue = pool.CoinbaseValue
	chosen, err := o.With(append(pick(pool, 2, 0, 1), o.Node.Transactions...))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := assemble(t, chosen, Options{PayTo: []byte{0x51}, Append: []byte("me")})
	return chosen, b
}

// TestProposalRequest looks at what is sent, for each way that a server may allow to send it.
func TestProposalRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		mutable []string
		hashes  int
	}{
		"in full":     {[]string{"transactions", "submit/coinbase"}, 0},
		"with hashes": {[]string{"transactions", "submit/coinbase", "submit/hash"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, b := choice(t, answer{"mutable": tt.mutable})
			var got call
			c := serve(t, func(w http.ResponseWriter, c call) { got = c; reply(w, nil) })
			r, err := c.Propose(t.Context(), b)
			if err != nil || !r.Accepted() || r.Template != chosen {
				t.Fatalf("the ruling is %+v (%v)", r, err)
			}
			params := got.object(t)
			if got.Method != "getblocktemplate" || params["mode"] != "proposal" || params["workid"] != "issued" {
				t.Errorf("the request is %s %.200s", got.Method, got.Params)
			}
			data, _ := params["data"].(string)
			if n := strings.Count(data, ":"); n != tt.hashes {
				t.Errorf("%d transactions are sent as hashes, want %d", n, tt.hashes)
			}
			for _, tx := range chosen.Origin.Transactions {
				data = strings.Replace(data, ":"+tx.Hash.String(), hex.EncodeToString(tx.Raw), 1)
			}
			whole, err := b.Serialize()
			if err != nil {
				t.Fatal(err)
			}
			if data != hex.EncodeToString(whole) {
				t.Errorf("the block is sent as %s, want %x", data, whole)
			}
		})
	}
	// The server's own template goes without transactions.
	var got call
	c := serve(t, func(w http.ResponseWriter, c call) { got = c; reply(w, nil) })
	b, _ := assemble(t, offerOf(t, newCoinbase([]byte{1, 2}), newFamily().all()...).parse(t), Options{})
	if _, err := c.Propose(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want, err := b.Abbreviated()
	if err != nil {
		t.Fatal(err)
	}
	if got.object(t)["data"] != hex.EncodeToString(want) {
		t.Errorf("the server's own block is proposed as %v", got.object(t)["data"])
	}
}

// TestRulings looks at every kind of answer to a proposal.
func TestRulings(t *testing.T) {
	asked := time.Unix(1700000100, 0)
	delta := newCoinbase([]byte{2, 0xf4, 1, 9})
	delta.TxOut = []*wire.TxOut{wire.NewTxOut(7, []byte{0x51}), wire.NewTxOut(5, []byte{0x52})}
	raw := serialize(t, delta.SerializeNoWitness)
	withCoinbase := `{"workid":"declared","reject-reason":"bad-txns","coinbasetxn":{"data":"` + hex.EncodeToString(raw) + `"}}`
	one := newFamily().parent
	for name, tt := range map[string]struct {
		answer string
		reason gbt.Reason
		want   func(*Template) // changes the template of the proposed block into what is to be mined
	}{
		"acceptable":      {`null`, "", func(*Template) {}},
		"refused":         {`"bad-txns"`, gbt.BadTxns, nil},
		"without a word":  {`""`, gbt.Rejected, nil},
		"control":         {`"\u001b[31mred"`, "[31mred", nil},
		"reason, no more": {`{"reject-reason":"bad-txns-vout-negative"}`, "bad-txns-vout-negative", nil},
		"declared":        {`{"workid":"declared"}`, "", func(t *Template) { t.WorkID, t.Declared = "declared", asked }},
		"no changes":      {`{}`, "", func(*Template) {}},
		"coinbase": {withCoinbase, "", func(t *Template) {
			t.WorkID, t.Declared, t.CoinbaseTxn, t.CoinbaseValue = "declared", asked, raw, 12
		}},
		"terms": {`{"workid":"declared","expires":77,"target":"00ff","curtime":1700000050,"noncerange":"0000000100000002"}`, "", func(t *Template) {
			t.WorkID, t.Declared, t.Expires, t.CurTime, t.NonceFirst, t.NonceLast = "declared", asked, 77*time.Second, 1700000050, 1, 2
			t.Target = gbt.Target{30: 0, 31: 0xff}
		}},
		"transactions": {`{"transactions":[{"data":"` + hex.EncodeToString(serialize(t, one.Serialize)) + `"}]}`, "", func(t *Template) {
			t.Transactions = []Transaction{{Raw: t.Origin.Transactions[0].Raw, TxID: one.TxHash(), Hash: one.TxHash(), Weight: t.Origin.Transactions[0].Weight}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			template, _ := choice(t, nil)
			got, err := template.ruling(json.RawMessage(tt.answer), asked)
			if err != nil {
				t.Fatal(err)
			}
			if got.Reason != tt.reason || got.Accepted() != (tt.want != nil) {
				t.Fatalf("the ruling is %q, want %q", got.Reason, tt.reason)
			}
			if tt.want == nil {
				return
			}
			want, _ := choice(t, nil)
			tt.want(want)
			want.Origin = template.Origin
			if diff := cmp.Diff(want, got.Template); diff != "" {
				t.Errorf("what is to be mined differs (-want +got):\n%s", diff)
			}
			if _, err := NewAssembler(got.Template, Options{Append: []byte("me")}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRulingOwnCoinbase takes changes to a block whose coinbase is the miner's own.
func TestRulingOwnCoinbase(t *testing.T) {
	pool := offerOf(t, nil, newFamily().all()...).parse(t)
	chosen, err := Offer{Pool: pool}.With(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := chosen.ruling(json.RawMessage(`{"workid":"d","expires":5}`), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if got.Template.CoinbaseValue != 1_000_000 || got.Template.CoinbaseTxn != nil || got.Template.Expires != 5*time.Second || len(got.Template.Transactions) != 0 {
		t.Errorf("what is to be mined is %+v", got.Template)
	}
	if got, err = chosen.ruling(json.RawMessage(`{"coinbasevalue":999}`), time.Unix(1, 0)); err != nil || got.Template.CoinbaseValue != 999 {
		t.Errorf("the coinbase claims %d (%v), want what the server says", got.Template.CoinbaseValue, err)
	}
}

// TestNoRuling looks at answers to a proposal that are none.
func TestNoRuling(t *testing.T) {
	template, b := choice(t, nil)
	for _, result := range []string{
		`true`, `5`, `[]`, `{"workid":5}`, `{"coinbasetxn":{"data":"zz"}}`, `{"workid":"d","coinbasetxn":5}`, `{"expires":-1}`, `{"rules":["!quantum"]}`,
	} {
		if got, err := template.ruling(json.RawMessage(result), time.Time{}); err == nil {
			t.Errorf("%s is taken for the ruling %+v", result, got)
		}
	}
	handmade := *template
	handmade.Origin = nil
	if _, err := handmade.ruling(json.RawMessage(`{"expires":5}`), time.Time{}); !errors.Is(err, ErrTemplate) {
		t.Errorf("changes to a template that nobody sent: error is %v, want ErrTemplate", err)
	}
	c := serve(t, func(w http.ResponseWriter, _ call) {
		w.Header().Set("X-Reject-Detail", "6 checks a minute")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"result":null,"error":{"code":-10,"message":"the budget is spent"},"id":1}`))
	})
	var refusal *Error
	if _, err := c.Propose(t.Context(), b); !errors.As(err, &refusal) || refusal.Detail != "6 checks a minute" ||
		!strings.Contains(err.Error(), "the budget is spent: 6 checks a minute") {
		t.Errorf("the error is %v", err)
	}
}

// TestRejectDetail looks at what a server says beside a reason, of proposals and of submissions.
func TestRejectDetail(t *testing.T) {
	_, b := choice(t, nil)
	c := serve(t, func(w http.ResponseWriter, _ call) {
		w.Header().Set("X-Reject-Detail", "transaction 2 spends nothing")
		reply(w, "bad-txns")
	})
	want := "transaction 2 spends nothing"
	r, err := c.Propose(t.Context(), b)
	if err != nil || r.Reason != gbt.BadTxns || r.Detail != want {
		t.Errorf("the ruling on a proposal is %+v (%v)", r, err)
	}
	if r, err = c.submit(t.Context(), b); err != nil || r.Reason != gbt.BadTxns || r.Detail != want {
		t.Errorf("the ruling on a block is %+v (%v)", r, err)
	}
}

// TestForms looks at how blocks and shares are sent.
func TestForms(t *testing.T) {
	all := []string{"submit/coinbase", "submit/hash", "share/coinbase", "share/merkle"}
	now := time.Unix(1700000000, 0)
	origin := &Template{}
	for name, tt := range map[string]struct {
		template    Template
		block, want form // of shares
	}{
		"nothing allowed":           {Template{}, whole, whole},
		"as given":                  {Template{Mutable: all}, abbreviated, abbreviated},
		"as given, shares alone":    {Template{Mutable: all[2:]}, whole, abbreviated},
		"as given, merkle alone":    {Template{Mutable: all[3:]}, whole, merkled},
		"chosen":                    {Template{Mutable: all[:3], Origin: origin}, hashed, hashed},
		"chosen, merkle":            {Template{Mutable: all, Origin: origin}, hashed, merkled},
		"chosen, nothing allowed":   {Template{Origin: origin}, whole, whole},
		"declared":                  {Template{Mutable: all, Origin: origin, Declared: now}, merkled, merkled},
		"declared, no merkle":       {Template{Mutable: all[:3], Origin: origin, Declared: now}, hashed, hashed},
		"declared, nothing allowed": {Template{Origin: origin, Declared: now}, whole, whole},
	} {
		if got := tt.template.submissionForm(false); got != tt.want {
			t.Errorf("%s: shares are sent in form %d, want %d", name, got, tt.want)
		}
		if got := tt.template.submissionForm(true); got != tt.block {
			t.Errorf("%s: blocks are sent in form %d, want %d", name, got, tt.block)
		}
	}
}

// TestMerkled takes a share of declared work of a full block apart.
func TestMerkled(t *testing.T) {
	pool, err := ParseTemplate(fullTemplate(t))
	if err != nil {
		t.Fatal(err)
	}
	pool.Mutable = append(pool.Mutable, "transactions", "share/merkle")
	chosen, err := Offer{Pool: pool}.With(pool.Transactions[:len(pool.Transactions)-10])
	if err != nil {
		t.Fatal(err)
	}
	chosen = chosen.declare("d", time.Unix(1, 0))
	b, whole := assemble(t, chosen, Options{PayTo: make([]byte, 34), Append: make([]byte, 90)})
	raw, err := b.Merkled()
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) >= 1000 {
		t.Errorf("the share has %d bytes, want less than 1000", len(raw))
	}
	coinbase := whole.Transactions()[0].MsgTx()
	count := wire.VarIntSerializeSize(uint64(len(whole.Transactions())))
	start := 80 + count + coinbase.SerializeSizeStripped()
	root := coinbase.TxHash()
	for rest := raw[start:]; len(rest) > 0; rest = rest[32:] {
		root = gbt.MerkleRoot(root, []chainhash.Hash{chainhash.Hash(rest[:32])})
	}
	if root != whole.MsgBlock().Header.MerkleRoot {
		t.Errorf("the branch leads to %s, not to the header's merkle root", root)
	}
	short, err := b.Abbreviated()
	if err != nil {
		t.Fatal(err)
	}
	if string(raw[:start]) != string(short) {
		t.Error("the share does not begin with the header, the count and the coinbase")
	}
}

// TestFullOnce has a server that does not know what an abbreviated block stands for.
func TestFullOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		bits    string
		answers []any // in turn
		want    gbt.Reason
		sent    int
	}{
		"block, known":          {"207fffff", []any{nil}, "", 1},
		"block, unknown":        {"207fffff", []any{"unknown-work", nil}, "", 2},
		"block, bad either way": {"207fffff", []any{"unknown-work", "bad-txns"}, gbt.UnknownWork, 2},
		"block, known twice":    {"207fffff", []any{"duplicate"}, gbt.Duplicate, 1},
		"block, late":           {"207fffff", []any{"stale-prevblk"}, gbt.StalePrevblk, 1},
		"share":                 {"03000001", []any{"unknown-work"}, gbt.UnknownWork, 1},
	} {
		t.Run(name, func(t *testing.T) {
			template, _ := choice(t, answer{"bits": tt.bits, "target": "ff" + strings.Repeat("00", 31)})
			b, _ := assemble(t, template.declare("declared", time.Unix(1, 0)), Options{})
			for !template.NetworkTarget.MetBy(b.Header.BlockHash()) && tt.bits == "207fffff" {
				b.Header.Nonce++
			}
			var sent []call
			c := serve(t, func(w http.ResponseWriter, c call) {
				sent = append(sent, c)
				reply(w, tt.answers[len(sent)-1])
			})
			got, err := c.Submit(t.Context(), b)
			if err != nil || got != tt.want || len(sent) != tt.sent {
				t.Fatalf("the verdict is %q (%v) after %d submissions, want %q after %d", got, err, len(sent), tt.want, tt.sent)
			}
			checkSubmission(t, sent[0], b.Merkled, "declared")
			if len(sent) > 1 {
				checkSubmission(t, sent[1], b.Serialize, "issued")
			}
		})
	}
}

// checkSubmission compares a submission with what it should be.
func checkSubmission(t *testing.T, c call, serialize func() ([]byte, error), workID string) {
	t.Helper()
	want, err := serialize()
	if err != nil {
		t.Fatal(err)
	}
	var data string
	var params struct{ WorkID string }
	if err := errors.Join(json.Unmarshal(c.Params[0], &data), json.Unmarshal(c.Params[1], &params)); err != nil {
		t.Fatal(err)
	}
	if data != hex.EncodeToString(want) || params.WorkID != workID {
		t.Errorf("sent is %s of %q, want %x of %q", data, params.WorkID, want, workID)
	}
}

func FuzzRuling(f *testing.F) {
	for _, seed := range []string{
		`null`, `"bad-txns"`, `{"workid":"d"}`, `{"workid":"d","coinbasetxn":{"data":"00"},"reject-reason":"x"}`, `{"transactions":[]}`,
		`{"transactions":null,"coinbasetxn":null,"coinbasevalue":null}`, `{"height":1,"bits":"1d00ffff","mutable":null}`, `{"coinbasevalue":-1}`, `[]`,
	} {
		f.Add(seed)
	}
	pool := offerOf(f, newCoinbase([]byte{1, 2}), newFamily().all()...).parse(f)
	chosen, err := Offer{Pool: pool}.With(pick(pool, 2, 0))
	if err != nil {
		f.Fatal(err)
	}
	before, err := json.Marshal(chosen)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, result string) {
		r, err := chosen.ruling(json.RawMessage(result), time.Unix(1, 0))
		if after, failed := json.Marshal(chosen); failed != nil || !bytes.Equal(after, before) {
			t.Fatalf("the proposed template was changed to %s (%v)", after, failed)
		}
		if err != nil {
			return
		}
		if r.Accepted() != (r.Template != nil) {
			t.Fatalf("the ruling is %+v", r)
		}
		if !r.Accepted() {
			return
		}
		a, err := NewAssembler(r.Template, Options{PayTo: []byte{0x51}})
		if err != nil {
			return
		}
		b, err := a.Block(0, time.Unix(1700000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []form{whole, hashed, abbreviated, merkled} {
			if _, err := b.encode(f); err != nil {
				t.Fatal(err)
			}
		}
	})
}
