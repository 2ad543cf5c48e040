package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares text with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// shared is a Coinbaser that pays one of each kind of script.
type shared struct{ account gbt.Account }

func (s shared) Payees(context.Context, chainhash.Hash, int32, uint32) (gbt.Payees, error) {
	return s, nil
}

func (shared) Name() [32]byte { return [32]byte{1} }

func (s shared) Outputs(value int64) ([]gbt.Output, error) {
	scripts := []string{
		"0014" + strings.Repeat("11", 20), "76a914" + strings.Repeat("22", 20) + "88ac", "a914" + strings.Repeat("33", 20) + "87",
		hex.EncodeToString([]byte(s.account.Script)), "0020" + strings.Repeat("44", 32), "5120" + strings.Repeat("55", 32),
		"6a0474657374", "51", "2102" + strings.Repeat("66", 32) + "ac", "51024e73", "5302abcd",
	}
	outputs := make([]gbt.Output, len(scripts))
	for i, script := range scripts {
		raw, err := hex.DecodeString(script)
		if err != nil {
			return nil, err
		}
		outputs[i] = gbt.Output{Value: int64(i) * 1000, Script: raw}
		value -= outputs[i].Value
	}
	outputs[0].Value = value
	return outputs, nil
}

// get is a request for what is being mined.
func get(header ...string) string { return requestOf(http.MethodGet, header...) }

func requestOf(method string, header ...string) string {
	return method + " /api/v1/template/current HTTP/1.1\r\n" + strings.Join(append(header, "Host: pool"), "\r\n") + "\r\n\r\n"
}

func (p *pool) get(header ...string) answer {
	p.t.Helper()
	return exchange(p.t, p.dial(), get(header...))
}

// inPaidBubble runs a test on virtual time, which begins at 2000-01-01, with a pool that pays many
// outputs, one of them to the test's user.
func inPaidBubble(t *testing.T, test func(p *pool)) {
	t.Helper()
	account, _, err := gbt.ParseUser(address, &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		p := newPoolPaying(t, shared{account}, func(c *Config) { c.Listener = l })
		p.dial = l.dial
		p.serve()
		test(p)
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
}

// indented is an answer's body for people to read.
func (a answer) indented(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(a.body), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return out.Bytes()
}

// transactions returns those of a node's template.
func transactions(t *testing.T, template map[string]any) []any {
	t.Helper()
	txs, ok := template["transactions"].([]any)
	if !ok {
		t.Fatal("no transactions")
	}
	return txs
}

// without leaves the last n transactions of the node's template out.
func without(t *testing.T, n int) func(map[string]any) {
	t.Helper()
	return func(template map[string]any) {
		txs := transactions(t, template)
		template["transactions"] = txs[:len(txs)-n]
		delete(template, "default_witness_commitment")
	}
}

// publishAt is publish at the next whole second of virtual time.
func (p *pool) publishAt(number byte, edit ...func(map[string]any)) {
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	p.publish(number, edit...)
}

func TestCurrentTemplate(t *testing.T) {
	inPaidBubble(t, func(p *pool) {
		t := p.t
		p.publishAt(2, without(t, 2))
		p.publishAt(3)
		got := p.get()
		if got.status != 200 || got.header.Get("Content-Type") != "application/json" || !strings.HasSuffix(got.body, "}\n") {
			t.Errorf("got %d %v", got.status, got.header)
		}
		if got.header.Get("Cache-Control") != "no-cache" || got.header.Get("Vary") != "Authorization" {
			t.Errorf("got %v", got.header)
		}
		golden(t, "template_current.json", got.indented(t))
	})
}

// TestCurrentTemplateOfAccount: who is known sees the same and what work would be given to it.
func TestCurrentTemplateOfAccount(t *testing.T) {
	inPaidBubble(t, func(p *pool) {
		t := p.t
		p.publishAt(2, func(template map[string]any) {
			template["bits"] = "1c00ffff" // which leaves room for share targets
			delete(template, "target")
		})
		public := p.get()
		got := p.get(basic(user, "d=4"), "User-Agent: curl/8")
		if got.status != 200 || got.header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("got %d %v", got.status, got.header)
		}
		if !strings.HasPrefix(got.body, strings.TrimSuffix(public.body, "}\n")+`,"account":{`) {
			t.Error("the public part is another")
		}
		golden(t, "template_current_account.json", got.indented(t))
		if again := p.get(basic(user, "d=4"), "User-Agent: curl/8", "If-None-Match: "+got.header.Get("ETag")); again.status != 304 {
			t.Errorf("the account's view is not the same again: got %d", again.status)
		}
		other := p.get(basic(user, "d=5"), "If-None-Match: "+got.header.Get("ETag"))
		if other.status != 200 {
			t.Errorf("another share target: got %d", other.status)
		}
	})
}

// currentDoc is what tests look at in an answer.
type currentDoc struct {
	Number          uint64 `json:"number"`
	NewTransactions struct {
		Since *uint64  `json:"since_number"`
		Total int      `json:"total_count"`
		TxIDs []string `json:"txids"`
	} `json:"new_transactions"`
	Fees    *int64 `json:"fees_sat"`
	Subsidy *int64 `json:"subsidy_sat"`
	Count   int    `json:"transaction_count"`
	Account *struct {
		Number  uint64   `json:"number"`
		Output  *int     `json:"output_index"`
		Mutable []string `json:"mutable"`
	} `json:"account"`
}

func (a answer) current(t *testing.T) currentDoc {
	t.Helper()
	var doc currentDoc
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || a.status != 200 {
		t.Fatalf("got %d %s, %v", a.status, a.body, err)
	}
	return doc
}

// TestNewTransactions: new is what the previous template did not have, on whatever block.
func TestNewTransactions(t *testing.T) {
	p := newPool(t).serve()
	first := p.get().current(t)
	if n := first.NewTransactions; n.Since != nil || n.Total != 8 || len(n.TxIDs) != 8 {
		t.Errorf("the first template: %+v", n)
	}
	p.publish(2, without(t, 3))
	second := p.get().current(t)
	if n := second.NewTransactions; n.Since == nil || *n.Since != first.Number || n.Total != 0 || n.TxIDs == nil || second.Count != 5 {
		t.Errorf("fewer: %+v", n)
	}
	p.publish(3)
	third := p.get().current(t)
	if n := third.NewTransactions; n.Since == nil || *n.Since != second.Number || n.Total != 3 || !cmp.Equal(n.TxIDs, first.NewTransactions.TxIDs[5:]) {
		t.Errorf("more: %+v", n)
	}
}

// TestManyNewTransactions: the list has an end, the count has not.
func TestManyNewTransactions(t *testing.T) {
	one := new(gbt.Template)
	one.Transactions = make([]gbt.Transaction, maxNewListed+100)
	for i := range one.Transactions {
		one.Transactions[i].TxID[0], one.Transactions[i].TxID[1] = byte(i), byte(i>>8)
	}
	other := &gbt.Template{Transactions: one.Transactions[:50], Seq: 5}
	got := newTransactions(one, other)
	if got.TotalCount != maxNewListed+50 || len(got.TxIDs) != maxNewListed || *got.SinceNumber != 5 || got.TxIDs[0] != one.Transactions[50].TxID.String() {
		t.Errorf("%d, %d listed", got.TotalCount, len(got.TxIDs))
	}
}

// TestUnknownFees: fees that the node does not tell are null and not 0.
func TestUnknownFees(t *testing.T) {
	p := newPool(t).serve()
	p.publish(2, func(template map[string]any) {
		tx, ok := transactions(t, template)[0].(map[string]any)
		if !ok {
			t.Fatal("no transaction")
		}
		delete(tx, "fee")
	})
	if doc := p.get().current(t); doc.Fees != nil || doc.Subsidy != nil {
		t.Errorf("%+v", doc)
	}
}

// TestNoOutputOfAccount: an account that no output pays is told so.
func TestNoOutputOfAccount(t *testing.T) {
	p := newPool(t).serve()
	doc := p.get(basic(user, "x")).current(t)
	if doc.Account == nil || doc.Account.Output != nil || doc.Account.Number != doc.Number || len(doc.Account.Mutable) == 0 {
		t.Errorf("%+v", doc.Account)
	}
}

// TestCurrentTemplateCached: who has the newest is told so without being sent it, and it is made
// once.
func TestCurrentTemplateCached(t *testing.T) {
	p := newPool(t).serve()
	first := p.get()
	tag := first.header.Get("ETag")
	text := p.current.Load()
	if len(tag) < 10 || text == nil {
		t.Fatalf("ETag is %q", tag)
	}
	for _, header := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if got := p.get("If-None-Match: " + header); got.status != 304 || got.body != "" || got.header.Get("ETag") != tag {
			t.Errorf("%s: got %d %q, ETag %q", header, got.status, got.body, got.header.Get("ETag"))
		}
	}
	if got := p.get(`If-None-Match: "x"`); got.status != 200 || got.body != first.body {
		t.Errorf("got %d", got.status)
	}
	if p.current.Load() != text {
		t.Error("it is made anew for each request")
	}
	p.publish(2)
	if got := p.get("If-None-Match: " + tag); got.status != 200 || got.header.Get("ETag") == tag || got.body == first.body {
		t.Errorf("after a new template: got %d, ETag %q", got.status, got.header.Get("ETag"))
	}
}

// TestCurrentTemplateWhileItChanges: whoever asks while templates follow one another gets one that
// is compared with an older one.
func TestCurrentTemplateWhileItChanges(t *testing.T) {
	p := newPool(t).serve()
	var askers sync.WaitGroup
	changing := make(chan struct{})
	for range 4 {
		askers.Go(func() {
			c := p.dial()
			for last := uint64(0); ; {
				doc := exchange(t, c, get(basic(user, "x"))).current(t)
				if n := doc.NewTransactions; doc.Number < last || n.Since != nil && *n.Since >= doc.Number || doc.Account.Number < doc.Number {
					t.Errorf("%+v after %d", doc, last)
				}
				last = doc.Number
				select {
				case <-changing:
					return
				default:
				}
			}
		})
	}
	for number := byte(2); number < 40; number++ {
		p.publish(number, without(t, int(number)%8))
	}
	close(changing)
	askers.Wait()
}

func TestCurrentTemplateHead(t *testing.T) {
	p := newPool(t).serve()
	full := p.get()
	c := p.dial()
	send(t, c, requestOf(http.MethodHead, "Connection: close"))
	head, body, _ := strings.Cut(readToEnd(t, c), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || body != "" || !strings.Contains(head, full.header.Get("ETag")) ||
		!strings.Contains(head, "Content-Length: "+full.header.Get("Content-Length")) {
		t.Errorf("got %s, body %q", head, body)
	}
}

// problem reads an answer that is a problem.
func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var got problem
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.header.Get("Content-Type") != "application/problem+json" ||
		got.Status != a.status || got.Type != "about:blank" || got.Title != http.StatusText(a.status) {
		t.Fatalf("got %d %v %s, %v", a.status, a.header, a.body, err)
	}
	return got
}

func TestCurrentTemplateProblems(t *testing.T) {
	p := newPool(t).serve()
	for header, detail := range map[string]string{
		"Authorization: Basic !":    "no HTTP Basic",
		"Authorization: Bearer x":   "names no key that is known",
		"Authorization: Basic eA==": "no HTTP Basic", // "x", without a colon
		basic("satoshi", "x"):       `"satoshi" is not an address on regtest`,
		basic("", ""):               "use your payout address as the user name",
		basic(user, "d=nonsense"):   `share difficulty of "nonsense"`,
	} {
		got := p.get(header)
		if e := got.problem(t); got.status != 401 || !strings.Contains(e.Detail, detail) || strings.Contains(e.Detail, "code") {
			t.Errorf("%s: got %d %s", header, got.status, got.body)
		}
		if got.header.Get("WWW-Authenticate") == "" || got.header.Get("ETag") != "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v", header, got.header)
		}
	}
	got := exchange(t, p.dial(), requestOf(http.MethodPost, "Content-Length: 0"))
	if got.problem(t); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d %v", got.status, got.header)
	}
	p.desk.fail(nil, errors.New("with details for the log"))
	got = p.get(basic(user, "x"))
	if e := got.problem(t); got.status != 500 || strings.Contains(e.Detail, "details for") || !strings.Contains(p.log.String(), "with details for the log") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := p.get(); got.status != 200 {
		t.Errorf("the public part suffers: got %d", got.status)
	}
	p.desk.fail(nil, nil)
	p.lose()
	for _, header := range []string{"X: x", basic(user, "x")} {
		got := p.get(header)
		if e := got.problem(t); got.status != 503 || !strings.HasPrefix(e.Detail, "no block template available: ") {
			t.Errorf("without a template: got %d %s", got.status, got.body)
		}
	}
	p.publish(5)
	if got := p.get(); got.status != 200 {
		t.Errorf("with a template again: got %d", got.status)
	}
}

// BenchmarkNewTransactions compares full blocks.
func BenchmarkNewTransactions(b *testing.B) {
	t := &gbt.Template{Transactions: make([]gbt.Transaction, 5000)}
	for i := range t.Transactions {
		t.Transactions[i].TxID[0], t.Transactions[i].TxID[1] = byte(i), byte(i>>8)
	}
	previous := &gbt.Template{Transactions: t.Transactions[:4000]}
	for b.Loop() {
		newTransactions(t, previous)
	}
}
