package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// coin returns a transaction that spends a coin of its own, with an OP_RETURN output if note is set.
func coin(n byte, note bool) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{n}}, []byte{1, 2}, nil))
	tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	if note {
		tx.AddTxOut(wire.NewTxOut(0, []byte{0x6a}))
	}
	return tx
}

// chosenFrom returns a template of transactions whose fees are 1000, 2000 and so on, with a coinbase
// that claims 50 bitcoin and them. A pool's lets miners choose; a node's leaves the coinbase to them.
func chosenFrom(t *testing.T, node bool, txs ...*wire.MsgTx) string {
	t.Helper()
	list := make([]string, len(txs))
	value := int64(50_0000_0000)
	for i, tx := range txs {
		var raw bytes.Buffer
		if err := tx.Serialize(&raw); err != nil {
			t.Fatal(err)
		}
		fee := int64(i+1) * 1000
		list[i], value = fmt.Sprintf(`{"data":"%x","txid":"%s","fee":%d}`, raw.Bytes(), tx.TxHash(), fee), value+fee
	}
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), []byte{2, 0xf4, 1}, nil))
	coinbase.AddTxOut(wire.NewTxOut(value, []byte{0x51}))
	var raw bytes.Buffer
	if err := coinbase.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	pays := fmt.Sprintf(`"coinbasetxn":{"data":"%x"},"workid":"issued","capabilities":["proposal"]`, raw.Bytes())
	if node {
		pays = fmt.Sprintf(`"coinbasevalue":%d`, value)
	}
	return fmt.Sprintf(`{"version":536870912,"height":500,"bits":"1d00ffff","curtime":1700000000,"mintime":1600000000,"longpollid":"a",
		"mutable":["time","coinbase/append","transactions","submit/hash","share/merkle"],"transactions":[%s],%s,
		"previousblockhash":"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
		"target":"00ffff0000000000000000000000000000000000000000000000000000000000"}`, strings.Join(list, ","), pays)
}

// choosingPool serves a template and answers proposals and submissions.
func choosingPool(t *testing.T, template, ruling, detail string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Method string
			Params []json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
			return
		}
		var params struct{ Mode, LongPollID string }
		_ = json.Unmarshal(in.Params[0], &params) // a submission's is a string
		result := template
		switch {
		case in.Method == "submitblock":
			result = "null"
		case params.Mode == "proposal":
			w.Header().Set("X-Reject-Detail", detail)
			result = ruling
		case params.LongPollID != "":
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprintf(w, `{"result":%s,"error":null,"id":1}`, result)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// script writes a program and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "choose")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMineSelect reads what a miner prints of each policy's choice.
func TestMineSelect(t *testing.T) {
	plain, note, other := coin(1, false), coin(2, true), coin(3, false)
	template := chosenFrom(t, false, plain, note)
	node := choosingPool(t, chosenFrom(t, true, plain, other), "null", "")
	first := plain.TxHash().String()
	const accepted, declared = `accepted your choice: `, `{"workid":"mine"}`
	for name, tt := range map[string]struct {
		choose, node, ruling, detail string
		want                         string
	}{
		"empty":        {"empty", "", declared, "", accepted + `0 transactions, fees 0.00000000 BTC, without 2 of the pool's, pays 0.00003000 BTC less`},
		"no-op-return": {"no-op-return", "", declared, "", accepted + `1 transaction, fees 0.00001000 BTC, without 1 of the pool's, pays 0.00002000 BTC less`},
		"max-fee":      {"", node, declared, "", accepted + `2 transactions, fees 0.00003000 BTC, 1 that the pool has not, without 1 of the pool's`},
		"program":      {script(t, "echo "+first), "", declared, "", accepted + `1 transaction, fees 0.00001000 BTC, without 1 of the pool's, pays 0.00002000 BTC less`},
		"program, of the node": {
			script(t, `grep -o '"txid":"[0-9a-f]*"' | cut -d'"' -f4`), node, declared, "",
			accepted + `2 transactions, fees 0.00003000 BTC, 1 that the pool has not, without 1 of the pool's`,
		},
		"program, as the pool": {script(t, `grep -o '"txid":"[0-9a-f]*"' | cut -d'"' -f4`), "", declared, "", `the same as your choice is the pool's: 2 transactions, fees 0.00003000 BTC`},
		"program fails":        {script(t, "echo out of ideas >&2; exit 3"), "", declared, "", `trouble  no transactions are chosen, .* given: .*choose: exit status 3: out of ideas`},
		"program errs":         {script(t, "echo nonsense"), "", declared, "", `trouble  no transactions are chosen, .* given: .*choose: its output is no choice: line 1 is "nonsense", which is no txid of 64 hexadecimal digits`},
		"refused": {
			"empty", "", `"bad-txns"`, "pays too little",
			`refused  your choice: bad-txns: the pool does not take these transactions, .*\(pays too little\); the pool's is mined as it is given: 2 transactions, fees 0.00003000 BTC`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := mineCmd{URL: choosingPool(t, template, tt.ruling, tt.detail), Threads: 1, HashRate: 4000, Select: tt.choose, Node: tt.node}
			want := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  ` + tt.want + `$`)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			v := &reader{want: want, stop: cancel}
			s := &screen{Writer: v}
			if err := c.Run(ctx, s); err != nil {
				t.Fatal(err)
			}
			if !want.MatchString(v.String()) {
				t.Errorf("there is no %q in\n%s", want, v)
			}
			if declared := strings.Contains(v.String(), "of your own choice)"); declared && !strings.HasPrefix(tt.want, accepted) {
				t.Errorf("shares of declared work are counted in\n%s", v)
			}
		})
	}
}

// reader is a person who ends what writes as soon as a text and the line of a share are there.
type reader struct {
	bytes.Buffer
	want *regexp.Regexp
	stop context.CancelFunc
}

func (r *reader) Write(text []byte) (int, error) {
	n, err := r.Buffer.Write(text)
	if at := r.want.FindStringIndex(r.String()); at != nil && strings.Contains(r.String()[at[1]:], " share\n") {
		r.stop()
	}
	return n, err
}

// TestSelectPolicy looks at what --select may be, and at what is said of the rest.
func TestSelectPolicy(t *testing.T) {
	for name, tt := range map[string]struct {
		choose string
		node   bool
		policy bool
		fault  string
	}{
		"nothing":              {"", false, false, ""},
		"pool":                 {"pool", false, false, ""},
		"empty":                {"empty", false, true, ""},
		"no-op-return":         {"no-op-return", true, true, ""},
		"a node alone":         {"", true, true, ""},
		"max-fee":              {"max-fee", true, true, ""},
		"max-fee, no node":     {"max-fee", false, false, "add --node URL"},
		"pool, node":           {"pool", true, false, "--node is of no use"},
		"a program":            {script(t, ""), false, true, ""},
		"a program by name":    {"cat", false, true, ""},
		"neither":              {"most-fees", false, false, "none of pool, empty, no-op-return and max-fee"},
		"a path to nowhere":    {"./nowhere", false, false, "no such file"},
		"a file, no program":   {"select_test.go", false, false, "none of pool"},
		"a folder, no program": {"/", false, false, "none of pool"},
	} {
		policy, err := selectPolicy(tt.choose, tt.node)
		if (policy != nil) != tt.policy || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: there is a policy: %t, and the error is %v, want %q", name, policy != nil, err, tt.fault)
		}
	}
	t.Chdir(filepath.Dir(script(t, "")))
	if p, err := lookProgram("choose"); err != nil || p != "./choose" {
		t.Errorf("the program in the working folder is %q (%v)", p, err)
	}
}

// TestListed reads lists of txids.
func TestListed(t *testing.T) {
	template, err := client.ParseTemplate([]byte(chosenFrom(t, false, coin(1, false), coin(2, false))))
	if err != nil {
		t.Fatal(err)
	}
	a, b := template.Transactions[0].TxID.String(), template.Transactions[1].TxID.String()
	got, err := listed(b+"\r\n\n  "+a+" ", client.Offer{Pool: template})
	if err != nil || len(got) != 2 || got[0].TxID.String() != b || got[1].TxID.String() != a {
		t.Errorf("the list is read as %v (%v)", got, err)
	}
	if got, err = listed("\n", client.Offer{Pool: template}); err != nil || len(got) != 0 {
		t.Errorf("an empty list is read as %v (%v)", got, err)
	}
	unknown := strings.Repeat("ab", 32)
	for list, want := range map[string]string{
		a + "\nabc\n":           `line 2 is "abc", which is no txid`,
		a[:63] + "x":            "which is no txid",
		a + "00":                "which is no txid",
		a + "\n\n" + unknown:    "line 3: transaction " + unknown + " is not in the template",
		a + " " + b:             "which is no txid",
		strings.Repeat("z", 99): "line 1",
	} {
		if _, err := listed(list, client.Offer{Pool: template}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error of %q is %v, want %q", list, err, want)
		}
	}
}

// TestProgramRequired has the pool require a transaction: of its own template a program has to print
// it, of a node's it need not.
func TestProgramRequired(t *testing.T) {
	required, other := coin(1, false), coin(2, false)
	pool, err := client.ParseTemplate([]byte(strings.Replace(chosenFrom(t, false, required), `"fee"`, `"required":true,"fee"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	node, err := client.ParseTemplate([]byte(chosenFrom(t, true, other)))
	if err != nil {
		t.Fatal(err)
	}
	p := program(script(t, `grep -o '"txid":"[0-9a-f]*"' | cut -d'"' -f4`))
	both := client.Offer{Pool: pool, Node: node}
	got, err := p.choose(t.Context(), both)
	if err != nil || len(got) != 2 || got[0].TxID != required.TxHash() || got[1].TxID != other.TxHash() {
		t.Errorf("of the node's template %v is chosen (%v)", got, err)
	}
	if _, err := both.With(got); err != nil {
		t.Error(err)
	}
	silent := program(script(t, "true"))
	if got, err = silent.choose(t.Context(), client.Offer{Pool: pool}); err != nil || len(got) != 0 {
		t.Errorf("of the pool's template %v is chosen (%v)", got, err)
	}
	if _, err := (client.Offer{Pool: pool}).With(got); err == nil || !strings.Contains(err.Error(), "requires transaction "+required.TxHash().String()) {
		t.Errorf("what is required is left out: error is %v", err)
	}
}

// TestProgram runs programs that behave badly.
func TestProgram(t *testing.T) {
	for name, tt := range map[string]struct{ text, want, fault string }{
		"reads and prints":      {"cat", "{}", ""},
		"reads nothing":         {"echo done", "done\n", ""},
		"fails":                 {"exit 4", "", "exit status 4"},
		"says why":              {`printf 'first\nlast \033[31mword\n\n' >&2; exit 1`, "", "exit status 1: last [31mword"},
		"leaves something":      {"sleep 100 & echo done", "", "WaitDelay expired"},
		"prints without end":    {"yes | head -c 9000000", "", "more than 8388608 bytes"},
		"is killed":             {"kill -9 $$", "", "signal: killed"},
		"complains and is fine": {"echo hm >&2; echo ok", "ok\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := program(script(t, tt.text)).run(t.Context(), []byte("{}"))
			if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("it prints %.100q, and the error is %v, want %q and %q", got, err, tt.want, tt.fault)
			}
		})
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("nobody waits"))
	defer cancel()
	if _, err := program(script(t, "exec sleep 100")).run(ctx, nil); err == nil || err.Error() != "nobody waits" {
		t.Errorf("a program that takes too long: error is %v", err)
	}
	if _, err := program("/nowhere").run(t.Context(), nil); err == nil {
		t.Error("a program that is not there runs")
	}
}

// TestMineFlags looks at settings that do not fit.
func TestMineFlags(t *testing.T) {
	const key = "0014751e76e8199196d454941c45d1b3a323f1433bd6"
	for addr, want := range map[string]string{
		"": "", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4": key, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx": key,
		"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080": key, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH": "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac",
	} {
		if got, err := payoutTo("", addr); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%q pays to %x (%v), want %s", addr, got, err, want)
		}
	}
	if got, err := payoutTo(key, ""); err != nil || hex.EncodeToString(got) != key {
		t.Errorf("the script is %x (%v)", got, err)
	}
	for fault, c := range map[string]mineCmd{
		"is no address": {PayoutAddress: "bc1nobody"}, "in hexadecimal": {PayoutScript: "OP_TRUE"},
		"either --payout-script or": {PayoutScript: "51", PayoutAddress: "x"}, "--node-cookie is of no use": {NodeCookie: "x"},
		"--node: ": {Node: "localhost:8332"}, "add --node": {Select: "max-fee"},
	} {
		c.URL = "http://127.0.0.1:1"
		s, _ := paper(false)
		if err := c.Run(t.Context(), s); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%+v: error is %v, want %q", c, err, fault)
		}
	}
}
