package gbt

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// libblkmaker is what bfgminer's library lists.
func libblkmaker() []string {
	return []string{
		"coinbasetxn", "workid", "longpoll", "coinbase/append", "time/increment", "version/force", "version/reduce",
		"submit/coinbase", "submit/truncate",
	}
}

// TestProfiles serves each program of the table as it needs, by what it calls itself and what it lists.
func TestProfiles(t *testing.T) {
	p := newPool(t, func(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) {
		issuer.Transactions = true
		issuer.Clients = append([]Profile{{Name: "operator's", Agent: "odd/", Form: FormWitnessFree, Withhold: []string{"transactions"}}}, DefaultProfiles()...)
	})
	p.serve(easyBits)
	cpuminer := []string{"coinbasetxn", "coinbasevalue", "longpoll", "workid"}
	for name, tt := range map[string]struct {
		req       TemplateRequest
		committed bool
		count     int
		stripped  bool
		truncate  bool
		chooses   bool
	}{
		"minerd":         {TemplateRequest{UserAgent: "cpuminer/2.5.1", Capabilities: cpuminer, Rules: []string{"segwit"}}, true, 5, false, false, false},
		"cpuminer-multi": {TemplateRequest{UserAgent: "cpuminer-multi/1.3.7", Capabilities: cpuminer}, true, 5, true, false, false},
		"bfgminer":       {TemplateRequest{UserAgent: "bfgminer/5.5.0", Capabilities: libblkmaker(), Rules: []string{"csv", "segwit"}}, true, 5, false, false, false},
		"BFGMiner":       {TemplateRequest{UserAgent: "BFGMiner/5", Capabilities: []string{"submit/truncate"}, Rules: []string{"segwit"}}, true, 5, false, false, false},
		"libblkmaker":    {TemplateRequest{UserAgent: "other", Capabilities: libblkmaker(), Rules: []string{"segwit"}}, true, 5, false, false, false},
		"gbtpool mine":   {TemplateRequest{UserAgent: "gbtpool-mine", Rules: []string{"segwit"}}, false, 5, false, false, false},
		"chooser":        {TemplateRequest{Capabilities: []string{"transactions/add"}, Rules: []string{"segwit"}}, false, 5, false, false, true},
		"truncater":      {TemplateRequest{Capabilities: []string{"submit/truncate"}, Rules: []string{"segwit"}}, true, 5, false, true, false},
		"unknown":        {TemplateRequest{Rules: []string{"segwit"}}, true, 5, false, false, false},
		"old":            {TemplateRequest{}, false, 2, false, false, false},
		"operator's":     {TemplateRequest{UserAgent: "Odd/1", Capabilities: []string{"transactions"}, Rules: []string{"segwit"}}, false, 2, false, false, false},
	} {
		w, err := p.issuer.Issue(testAccount(1), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := result(t, w)
		coinbase, _, err := splitCoinbase(w.Coinbase)
		if err != nil {
			t.Fatal(err)
		}
		stripped := true
		for i, tx := range w.Template.Transactions {
			if len(a.Transactions[i].Data) != 2*tx.strippedSize() {
				stripped = false
			}
			if a.Transactions[i].TxID != tx.TxID.String() || a.Transactions[i].Hash == "" {
				t.Errorf("%s: transaction %d is %+v", name, i, a.Transactions[i])
			}
		}
		if coinbase.commits() != tt.committed || len(a.Transactions) != tt.count || tt.count == 5 && stripped != tt.stripped ||
			slices.Contains(a.Mutable, "submit/truncate") != tt.truncate || slices.Contains(a.Mutable, "transactions/add") != tt.chooses {
			t.Errorf("%s: commitment %t, %d transactions, stripped %t, mutable %q", name, coinbase.commits(), len(a.Transactions), stripped, a.Mutable)
		}
		if forcedSegwit := slices.Contains(a.Rules, "!segwit"); forcedSegwit != (tt.count == 5 && !tt.stripped) {
			t.Errorf("%s: rules are %q", name, a.Rules)
		}
	}
}

// TestRulesError names the rules that a client has to know and does not.
func TestRulesError(t *testing.T) {
	p := newPool(t)
	in := makeTemplate(t, tipOf(1), easyBits, mixedSpecs())
	in.Rules = []string{"csv", "!segwit", "!signet", "taproot"}
	p.news(in)
	for _, rules := range [][]string{nil, {"segwit"}} {
		_, err := p.issuer.Issue(testAccount(1), TemplateRequest{Rules: rules})
		var e *RulesError
		if !errors.As(err, &e) || !cmp.Equal(e.Missing, []string{"signet"}) || !strings.Contains(err.Error(), `{"rules": ["segwit", "signet"]}`) {
			t.Errorf("with rules %q: %v", rules, err)
		}
	}
	a, _ := result(t, p.issue(testAccount(1), "segwit", "signet"))
	if diff := cmp.Diff(in.Rules, a.Rules); diff != "" {
		t.Error(diff)
	}
}

// TestSilentSigops leaves the sigops out for who cannot count as far.
func TestSilentSigops(t *testing.T) {
	p := newPool(t)
	specs := mixedSpecs()
	specs[0].sigops = 66000
	p.news(makeTemplate(t, tipOf(1), easyBits, specs))
	for agent, silent := range map[string]bool{"bfgminer/5.5.0": true, "other": false} {
		w, err := p.issuer.Issue(testAccount(1), TemplateRequest{UserAgent: agent, Rules: []string{"segwit"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, tail := w.Result(); strings.Contains(string(tail), `"sigops":`) == silent {
			t.Errorf("%s: sigops in the answer: %t", agent, !silent)
		}
	}
}

// TestInnerNodes leaves out what passes for an inner node of the merkle tree, with what depends on it.
func TestInnerNodes(t *testing.T) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{1}, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(1, make([]byte, 4)))
	raw := serialize(t, tx)
	if len(raw) != innerNodeSize {
		t.Fatalf("%d bytes", len(raw))
	}
	in := makeTemplate(t, tipOf(1), easyBits, []txSpec{{fee: 10}, {parents: []int{0}, fee: 20}, {fee: 30}})
	in.Transactions[0] = transactionJSON{Data: hex.EncodeToString(raw), Fee: ptr(int64(10)), Depends: []int{}}
	p := newPool(t)
	p.news(in)
	got, err := p.feed.Current()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Transactions) != 1 || got.Fees != 30 || got.Value != subsidy+30 {
		t.Errorf("%d transactions, fees %d, value %d", len(got.Transactions), got.Fees, got.Value)
	}
}
