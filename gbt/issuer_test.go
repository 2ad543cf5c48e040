package gbt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// answer is a getblocktemplate result as a client reads it.
type answer struct {
	Capabilities, Mutable, Rules []string
	CoinbaseTxn                  struct {
		Data, TxID, Hash string
		Depends          []int
		Fee              *int64
		Sigops           int64
		Required         bool
	}
	Transactions []struct {
		Data, TxID, Hash string
		Depends          []int
		Fee              *int64
		Sigops, Weight   int64
		Required         bool
	}
	WorkID, Target, FullTarget, Bits, LongPollID, NonceRange, PreviousBlockHash string
	SubmitOld                                                                   *bool
	Height                                                                      int32
	Version, CurTime, MinTime, MaxTime, Expires                                 int64
	SigopLimit, SizeLimit, WeightLimit                                          int64
	VBAvailable                                                                 map[string]int
	VBRequired                                                                  uint32
	CoinbaseAux                                                                 map[string]string
	CoinbaseValue                                                               *int64
	Commitment                                                                  string `json:"default_witness_commitment"`
}

// result joins the two pieces of an answer and reads them.
func result(tb testing.TB, w *Work) (answer, []byte) {
	tb.Helper()
	head, tail := w.Result()
	raw := append(bytes.Clone(head), tail...)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var a answer
	if err := dec.Decode(&a); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	if dec.More() {
		tb.Fatalf("more than one value in %s", raw)
	}
	return a, raw
}

// TestIssueGolden holds a whole answer still, byte for byte.
func TestIssueGolden(t *testing.T) {
	p := newPool(t)
	p.issuer.nonce.Store(41)
	p.serve(easyBits)
	p.now = p.now.Add(7 * time.Second)
	w, err := p.issuer.Issue(testAccount(1), TemplateRequest{Rules: []string{"segwit"}, LongPollID: "anything"})
	if err != nil {
		t.Fatal(err)
	}
	_, raw := result(t, w)
	var got bytes.Buffer
	if err := json.Indent(&got, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	const file = "testdata/work.golden.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the answer has changed (rewrite with -update if it should): %s", diff)
	}
}

// TestIssueCoinbaseTxn checks what BIP 22 says of the transaction's members, and that the client's
// view of the work is that of the judge.
func TestIssueCoinbaseTxn(t *testing.T) {
	p := newPool(t)
	p.serve(easyBits)
	w := p.issue(testAccount(1), "segwit")
	a, _ := result(t, w)
	tx := a.CoinbaseTxn
	if tx.Data != hex.EncodeToString(w.Coinbase) || tx.TxID != tx.Hash || tx.TxID != chainhash.DoubleHashH(w.Coinbase).String() {
		t.Errorf("coinbasetxn %+v of %x", tx, w.Coinbase)
	}
	if tx.Fee == nil || *tx.Fee != -15_000 {
		t.Errorf("fee %v, want the negative of the fees", tx.Fee)
	}
	if !tx.Required || tx.Depends == nil || len(tx.Depends) != 0 || tx.Sigops != 0 {
		t.Errorf("coinbasetxn %+v", tx)
	}
	if a.CoinbaseValue != nil {
		t.Error("both coinbasetxn and coinbasevalue")
	}
	raw, err := hex.DecodeString(tx.Data)
	if err != nil {
		t.Fatal(err)
	}
	checkForClients(t, raw, 500)
	if len(a.CoinbaseAux) != 0 || a.CoinbaseAux == nil {
		t.Errorf("coinbaseaux %v: clients append what is in it", a.CoinbaseAux)
	}

	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Transactions[1].Fee = nil
	p = newPool(t)
	p.news(in)
	a, _ = result(t, p.issue(testAccount(1), "segwit"))
	if a.CoinbaseTxn.Fee != nil || a.Transactions[1].Fee != nil || a.Transactions[0].Fee == nil {
		t.Error("an unknown fee is not left out")
	}
}

// TestIssueTransactions serves what the node sent, in order.
func TestIssueTransactions(t *testing.T) {
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Transactions[3].Required = true
	in.VBAvailable, in.VBRequired = map[string]int{"testdummy": 28}, 2
	p.news(in)
	a, _ := result(t, p.issue(testAccount(1), "segwit"))
	if len(a.Transactions) != 5 {
		t.Fatalf("%d transactions, want 5", len(a.Transactions))
	}
	for i, tx := range a.Transactions {
		w := in.Transactions[i]
		if tx.Data != w.Data || tx.TxID != w.TxID || tx.Hash != w.Hash || tx.Fee == nil || *tx.Fee != *w.Fee ||
			tx.Sigops != w.Sigops || tx.Weight != w.Weight || tx.Required != w.Required || !cmp.Equal(tx.Depends, w.Depends) {
			t.Errorf("transaction %d: got %+v, want %+v", i, tx, w)
		}
	}
	if a.Version != int64(in.Version) || a.PreviousBlockHash != in.PreviousBlockHash || a.Bits != easyBits || a.Height != 500 ||
		a.MinTime != in.MinTime || a.SigopLimit != 80_000 || a.SizeLimit != 4_000_000 || a.WeightLimit != 4_000_000 ||
		a.NonceRange != "00000000ffffffff" || a.VBRequired != 2 || !cmp.Equal(a.VBAvailable, in.VBAvailable) ||
		a.FullTarget != "7fffff"+strings.Repeat("0", 58) {
		t.Errorf("got %+v", a)
	}
	if diff := cmp.Diff([]string{"time", "time/increment", "time/decrement", "coinbase/append", "submit/coinbase", "version/force"}, a.Mutable); diff != "" {
		t.Error(diff)
	}
}

// TestIssueUnique makes work for one account from many sides at once.
func TestIssueUnique(t *testing.T) {
	p := newPool(t)
	p.serve(hardBits)
	const sides, each = 10, 1000
	works := make([][]*Work, sides)
	var wg sync.WaitGroup
	for side := range sides {
		wg.Go(func() {
			for range each {
				w, err := p.issuer.Issue(testAccount(1), TemplateRequest{Rules: []string{"segwit"}})
				if err != nil {
					t.Error(err)
					return
				}
				works[side] = append(works[side], w)
			}
		})
	}
	wg.Wait()
	txids, ids := make(map[chainhash.Hash]bool), make(map[string]bool)
	for _, side := range works {
		for _, w := range side {
			txids[chainhash.DoubleHashH(w.Coinbase)], ids[w.ID] = true, true
		}
	}
	if len(txids) != sides*each || len(ids) != sides*each {
		t.Errorf("%d coinbases and %d workids for %d answers", len(txids), len(ids), sides*each)
	}
}

// TestIssueUniqueOverProcesses starts two gateways in the same second.
func TestIssueUniqueOverProcesses(t *testing.T) {
	a, b := newPool(t), newPool(t)
	a.serve(easyBits)
	b.serve(easyBits)
	if a, b := a.issue(testAccount(1), "segwit"), b.issue(testAccount(1), "segwit"); a.ID == b.ID {
		t.Errorf("both issue %s", a.ID)
	}
}

func TestIssueTarget(t *testing.T) {
	share, easiest, hardest := leadingZeros(4), leadingZeros(2), leadingZeros(16)
	fine := leadingZeros(8)
	fine[20] = 0x55 // more digits than the compact form has
	tests := []struct {
		name string
		bits string
		req  TemplateRequest
		want Target
	}{
		{"nothing asked for", hardBits, TemplateRequest{}, share},
		{"a target", hardBits, TemplateRequest{Target: leadingZeros(8)}, leadingZeros(8)},
		{"rounded down", hardBits, TemplateRequest{Target: fine}, leadingZeros(8)},
		{"too easy", hardBits, TemplateRequest{Target: leadingZeros(0)}, easiest},
		{"too hard", hardBits, TemplateRequest{Target: leadingZeros(30)}, hardest},
		{"a difficulty", hardBits, TemplateRequest{Difficulty: 0x1p-22}, targetOf(t, 0x1p-22)},
		{"a difficulty that is too low", hardBits, TemplateRequest{Difficulty: 0x1p-31}, easiest},
		{"a difficulty that is too high", hardBits, TemplateRequest{Difficulty: 1e6}, hardest},
		{"a difficulty of nonsense", hardBits, TemplateRequest{Difficulty: -1}, share},
		{"both", hardBits, TemplateRequest{Target: leadingZeros(8), Difficulty: 0x1p-20}, leadingZeros(8)},
		{"the network is easier", easyBits, TemplateRequest{}, leadingZeros(1)},
		{"the network is easier than asked for", easyBits, TemplateRequest{Target: hardest}, leadingZeros(1)},
		{"the network is harder than the share target by a little", "2007ffff", TemplateRequest{}, share},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t)
			p.serve(tt.bits)
			w, err := p.issuer.Issue(testAccount(1), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := result(t, w)
			if w.Target != tt.want || a.Target != tt.want.String() {
				t.Errorf("target %s, served as %s, want %s", w.Target, a.Target, tt.want)
			}
			if w.Target.Cmp(w.Template.NetworkTarget) < 0 {
				t.Error("a block would be no share")
			}
			if w.Target.Round() != w.Target {
				t.Errorf("target %s does not fit the token", w.Target)
			}
			tok := token(decodeToken(t, w.ID))
			terms, ok := p.issuer.sealer.open(tok, tipOf(1), testAccount(1))
			if !ok || terms.target != w.Target || terms.full != p.feed.state.Load().template.Value {
				t.Errorf("the token says %+v", terms)
			}
		})
	}
}

func targetOf(t *testing.T, difficulty float64) Target {
	t.Helper()
	target, err := TargetFromDifficulty(difficulty)
	if err != nil {
		t.Fatal(err)
	}
	return target.Round()
}

// TestIssueSegwit serves clients that know segwit and clients that do not (BIP 145).
func TestIssueSegwit(t *testing.T) {
	plain := []txSpec{{fee: 1}, {fee: 2, parents: []int{0}}}
	tests := []struct {
		name      string
		specs     []txSpec
		nodeRules []string
		rules     []string // the client's
		want      []string
		left      []int // positions of the transactions served
		committed bool
	}{
		{"with witnesses", mixedSpecs(), []string{"csv", "!segwit"}, []string{"segwit"}, []string{"csv", "!segwit"}, []int{0, 1, 2, 3, 4}, true},
		{"with witnesses, to an old client", mixedSpecs(), []string{"csv", "!segwit", "taproot"}, nil, []string{"csv", "segwit", "taproot"}, []int{1, 2}, false},
		{"with witnesses, to a client with other rules", mixedSpecs(), []string{"!segwit"}, []string{"csv"}, []string{"segwit"}, []int{1, 2}, false},
		{"without, to an old client", plain, []string{"csv", "!segwit"}, nil, []string{"csv", "segwit"}, []int{0, 1}, false},
		{"without", plain, []string{"csv", "!segwit"}, []string{"segwit"}, []string{"csv", "segwit"}, []int{0, 1}, false},
		{"a node that prefixes nothing", mixedSpecs(), []string{"segwit"}, []string{"segwit"}, []string{"!segwit"}, []int{0, 1, 2, 3, 4}, true},
		{"a node without rules", mixedSpecs(), nil, []string{"segwit"}, []string{"!segwit"}, []int{0, 1, 2, 3, 4}, true},
		{"a node without rules or witnesses", plain, nil, nil, []string{}, []int{0, 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t)
			in := makeTemplate(t, tipOf(1), easyBits, tt.specs)
			in.Rules, in.VBAvailable = tt.nodeRules, nil
			p.news(in)
			w := p.issue(testAccount(1), tt.rules...)
			a, _ := result(t, w)
			if diff := cmp.Diff(tt.want, a.Rules); diff != "" {
				t.Error(diff)
			}
			if a.VBAvailable == nil {
				t.Error("rules without vbavailable: clients want both")
			}
			fees := int64(0)
			var got []string
			for _, tx := range a.Transactions {
				got = append(got, tx.TxID)
				fees += *tx.Fee
			}
			var want []string
			for _, i := range tt.left {
				want = append(want, in.Transactions[i].TxID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if (a.Commitment != "") != tt.committed {
				t.Errorf("default_witness_commitment %q", a.Commitment)
			}
			tx, err := btcutil.NewTxFromBytes(w.Coinbase)
			if err != nil {
				t.Fatal(err)
			}
			outputs := tx.MsgTx().TxOut
			if got := IsWitnessCommitment(outputs[len(outputs)-1].PkScript); got != tt.committed {
				t.Errorf("the coinbase commits to witnesses: %t", got)
			}
			if outputs[0].Value != subsidy+fees || *a.CoinbaseTxn.Fee != -fees {
				t.Errorf("the coinbase claims %d with fees of %d", outputs[0].Value, fees)
			}
		})
	}
}

// TestIssueWitnessFreeWithoutFees cannot make that form if it does not know what to claim.
func TestIssueWitnessFreeWithoutFees(t *testing.T) {
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Transactions[0].Fee = nil
	p.news(in)
	p.issue(testAccount(1), "segwit")
	if _, err := p.issuer.Issue(testAccount(1), TemplateRequest{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

func TestIssueSubmitOld(t *testing.T) {
	p := newPool(t)
	p.serve(easyBits)
	here := p.issue(testAccount(1)).Template.LongPollID()
	tests := map[string]*bool{
		"": nil, here: ptr(true), tipOf(1).String() + "1": ptr(true),
		tipOf(2).String() + "1": ptr(false), "garbage": ptr(false), tipOf(1).String(): ptr(false),
	}
	for id, want := range tests {
		w, err := p.issuer.Issue(testAccount(1), TemplateRequest{LongPollID: id})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := result(t, w)
		if diff := cmp.Diff(want, a.SubmitOld); diff != "" {
			t.Errorf("%q: %s", id, diff)
		}
	}
}

func TestIssueTimes(t *testing.T) {
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), easyBits, nil)
	in.CurTime = startTime - 30 // the node's clock is slow
	in.MinTime = startTime - 20
	p.news(in)
	for after, want := range map[time.Duration]int64{
		0: startTime - 20, 15 * time.Second: startTime - 5, time.Hour: startTime + 3580, -time.Hour: startTime - 20,
	} {
		p.now = time.Unix(startTime, 0).Add(after)
		a, _ := result(t, p.issue(testAccount(1)))
		if a.CurTime != want {
			t.Errorf("after %s: curtime %d, want %d", after, a.CurTime, want)
		}
		if a.MaxTime != p.now.Unix()+7200 || a.MinTime != startTime-20 {
			t.Errorf("after %s: mintime %d, maxtime %d", after, a.MinTime, a.MaxTime)
		}
		if a.Expires != 600 {
			t.Errorf("expires %d", a.Expires)
		}
	}
}

func TestIssueWithoutTemplate(t *testing.T) {
	p := newPool(t)
	if w, err := p.issuer.Issue(testAccount(1), TemplateRequest{}); w != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("work %v, %v, want ErrUnavailable", w, err)
	}
	p.serve(easyBits)
	p.feed.take(t.Context(), News{Tip: tipOf(2)})
	if w, err := p.issuer.Issue(testAccount(1), TemplateRequest{}); w != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("work %v, %v, want none on the old tip", w, err)
	}
}

// TestWorkBlock makes the block that a node is asked about.
func TestWorkBlock(t *testing.T) {
	p := newPool(t)
	p.serve(easyBits)
	for _, rules := range [][]string{{"segwit"}, nil} {
		w := p.issue(testAccount(1), rules...)
		raw, err := w.Block()
		if err != nil {
			t.Fatal(err)
		}
		block, err := btcutil.NewBlockFromBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		header := &block.MsgBlock().Header
		for !w.Template.NetworkTarget.MetBy(header.BlockHash()) {
			header.Nonce++
		}
		var mined bytes.Buffer
		if err := block.MsgBlock().Serialize(&mined); err != nil {
			t.Fatal(err)
		}
		if err := checkBlock(mined.Bytes()); err != nil {
			t.Errorf("rules %v: %v", rules, err)
		}
		if header.PrevBlock != tipOf(1) || header.Timestamp.Unix() != w.CurTime || len(block.Transactions()) != len(w.Template.Transactions)+1 {
			t.Errorf("rules %v: got %+v", rules, header)
		}
	}
	if _, err := (&Work{Template: p.issue(testAccount(1)).Template}).Block(); err == nil {
		t.Error("a block without a coinbase")
	}
}

func TestIssuerConfig(t *testing.T) {
	p := newPool(t)
	good := p.issuer.cfg
	for name, change := range map[string]func(*IssuerConfig){
		"no feed":                   func(c *IssuerConfig) { c.Feed = nil },
		"no clock":                  func(c *IssuerConfig) { c.Now = nil },
		"short key":                 func(c *IssuerConfig) { c.Key = make([]byte, MinKey-1) },
		"no time":                   func(c *IssuerConfig) { c.Expires = time.Millisecond },
		"no targets":                func(c *IssuerConfig) { c.Share, c.Easiest, c.Hardest = Target{}, Target{}, Target{} },
		"share harder than hardest": func(c *IssuerConfig) { c.Share = leadingZeros(17) },
		"share easier than easiest": func(c *IssuerConfig) { c.Share = leadingZeros(1) },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewIssuer(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
