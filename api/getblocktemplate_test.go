package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
)

// template is what tests look at in a result.
type template struct {
	Capabilities []string
	LongPollID   string
	WorkID       string
	Target       string
	Height       int
	SubmitOld    *bool
	Transactions []json.RawMessage
	CoinbaseTxn  struct{ Data string }
}

func (a answer) template(t *testing.T) template {
	t.Helper()
	result, e := a.rpc(t)
	if a.status != 200 || e != nil {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	var tmpl template
	if err := json.Unmarshal(result, &tmpl); err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestGetBlockTemplate(t *testing.T) {
	p := newPool(t).serve()
	const body = `{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":0}`
	first, second := p.do(body), p.do(body)
	tmpl := first.template(t)
	if tmpl.Height != 102 || len(tmpl.Transactions) != 8 || tmpl.LongPollID != p.pollID() || tmpl.SubmitOld != nil {
		t.Errorf("unexpected template: %+v", tmpl)
	}
	if slices.Contains(tmpl.Capabilities, "proposal") {
		t.Error("proposals are advertised")
	}
	if other := second.template(t); other.WorkID == tmpl.WorkID || other.CoinbaseTxn.Data == tmpl.CoinbaseTxn.Data {
		t.Error("two miners got the same work")
	}
	if first.header.Get("Content-Length") == "" {
		t.Error("no Content-Length, though the size is known")
	}
	if !strings.HasSuffix(first.body, "}\n") {
		t.Errorf("the reply ends with %q", first.body[len(first.body)-5:])
	}
}

// TestTemplateRequests: what clients ask for arrives where work is made.
func TestTemplateRequests(t *testing.T) {
	p := newPool(t).serve()
	target := strings.Repeat("0", 8) + strings.Repeat("f", 56)
	parsed, err := gbt.ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, params string
		want         gbt.TemplateRequest
	}{
		{"nothing", `[]`, gbt.TemplateRequest{}},
		{"null", `[null]`, gbt.TemplateRequest{}},
		{"by name", `{"template_request":{"maxversion":4}}`, gbt.TemplateRequest{MaxVersion: 4}},
		{"template mode", `[{"mode":"template"}]`, gbt.TemplateRequest{}},
		{"nulls", `[{"mode":null,"rules":null,"longpollid":null,"target":null}]`, gbt.TemplateRequest{}},
		{"all", `[{"capabilities":["coinbasetxn","workid"],"rules":["csv","!segwit"],"maxversion":1073741823,"target":"` + target + `","unknown":{}}]`,
			gbt.TemplateRequest{
				Capabilities: []string{"coinbasetxn", "workid"}, Rules: []string{"csv", "segwit"}, MaxVersion: 1073741823, Target: parsed,
			}},
		{"another event", `[{"longpollid":"gone"}]`, gbt.TemplateRequest{LongPollID: "gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.do(`{"method":"getblocktemplate","params":`+tt.params+`,"id":0}`, "User-Agent: "+strings.Repeat("a", 200)).template(t)
			tt.want.UserAgent = strings.Repeat("a", maxUserAgent) + "..."
			if diff := cmp.Diff(tt.want, p.desk.last()); diff != "" {
				t.Error(diff)
			}
		})
	}
	p.do(`{"method":"getblocktemplate","id":0}`, basic(user, "x,d=512")).template(t)
	if got := p.desk.last().Difficulty; got != 512 {
		t.Errorf("d=512 in the password asks for %g", got)
	}
}

func TestBadTemplateRequests(t *testing.T) {
	p := newPool(t).serve()
	many := `"` + strings.Repeat(`a","`, maxListed) + `a"`
	for _, tt := range []struct {
		request, message string
		code             int
	}{
		{`{"mode":"x"}`, "Invalid mode", codeParameter},
		{`{"mode":5}`, "Invalid mode", codeParameter},
		{`{"mode":"proposal","data":"00"}`, `Invalid mode: block proposals are not supported here, only mode "template"`, codeParameter},
		{`{"rules":"segwit"}`, "rules: JSON value of type string is not of expected type array", codeMisc},
		{`{"rules":[5]}`, "rules: JSON value of type number is not of expected type string", codeMisc},
		{`{"rules":[` + many + `]}`, "rules: more than 100 entries", codeParameter},
		{`{"capabilities":{}}`, "capabilities: JSON value of type object is not of expected type array", codeMisc},
		{`{"maxversion":"4"}`, "maxversion: JSON value of type string is not of expected type number", codeMisc},
		{`{"maxversion":1.5}`, "maxversion: JSON integer out of range", codeMisc},
		{`{"longpollid":"` + strings.Repeat("x", readSize) + `"}`, "a long poll may not be larger than 65536 bytes", codeParameter},
		{`{"target":true}`, "target: JSON value of type bool is not of expected type string", codeMisc},
		{`{"target":"xy"}`, "target: invalid target: encoding/hex: invalid byte: U+0078 'x'", codeParameter},
	} {
		got := p.do(`{"method":"getblocktemplate","params":[` + tt.request + `],"id":0}`)
		_, e := got.rpc(t)
		if got.status != 500 || e == nil || e.Code != tt.code || e.Message != tt.message {
			t.Errorf("%.60s: got %d %s", tt.request, got.status, got.body)
		}
	}
}
