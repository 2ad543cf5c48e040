package api

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	if !slices.Contains(tmpl.Capabilities, "proposal") {
		t.Error("proposals are not advertised")
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

func number(n int64) *int64 { return &n }

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
		{"limits", `[{"nonces":4294967296,"sizelimit":900000,"sigoplimit":-4000}]`,
			gbt.TemplateRequest{Nonces: 1 << 32, SizeLimit: number(900000), SigopLimit: number(-4000)}},
		{"limits of zero", `[{"sizelimit":0,"sigoplimit":0}]`, gbt.TemplateRequest{SizeLimit: number(0), SigopLimit: number(0)}},
		{"limits left to the server", `[{"sizelimit":true,"sigoplimit":false}]`, gbt.TemplateRequest{}},
		{"extremes", `[{"nonces":9223372036854775807,"sizelimit":-9223372036854775808,"sigoplimit":9223372036854775807}]`,
			gbt.TemplateRequest{Nonces: math.MaxInt64, SizeLimit: number(math.MinInt64), SigopLimit: number(math.MaxInt64)}},
		{"more nulls", `[{"nonces":null,"sizelimit":null,"sigoplimit":null,"workid":null,"data":null,"maxversion":null,"capabilities":null}]`,
			gbt.TemplateRequest{}},
		{"of another mode", `[{"workid":"w","data":5}]`, gbt.TemplateRequest{}},
		{"twice", `[{"maxversion":4,"mode":"template","maxversion":"x","mode":"proposal"}]`, gbt.TemplateRequest{MaxVersion: 4}},
		{"empty lists", `[{"capabilities":[],"rules":[]}]`, gbt.TemplateRequest{}},
		{"another event", `[{"longpollid":"gone"}]`, gbt.TemplateRequest{LongPollID: "gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.do(`{"method":"getblocktemplate","params":`+tt.params+`,"id":0}`, "User-Agent: "+strings.Repeat("a", 200)).template(t)
			tt.want.Worker, tt.want.UserAgent = "rig1", strings.Repeat("a", maxUserAgent)+"..."
			if diff := cmp.Diff(tt.want, p.desk.last(), cmpopts.EquateEmpty()); diff != "" {
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
		{`{"rules":[null]}`, "rules: JSON value of type null is not of expected type string", codeMisc},
		{`{"maxversion":-1}`, "maxversion: -1 is too low, want 0 or more", codeParameter},
		{`{"nonces":0}`, "nonces: 0 is too low, want 1 or more", codeParameter},
		{`{"nonces":-5}`, "nonces: -5 is too low, want 1 or more", codeParameter},
		{`{"nonces":"5"}`, "nonces: JSON value of type string is not of expected type number", codeMisc},
		{`{"nonces":true}`, "nonces: JSON value of type bool is not of expected type number", codeMisc},
		{`{"nonces":1e400}`, "nonces: JSON integer out of range", codeMisc},
		{`{"sizelimit":"1000"}`, "sizelimit: JSON value of type string is not of expected type number or bool", codeMisc},
		{`{"sizelimit":1.5}`, "sizelimit: JSON integer out of range", codeMisc},
		{`{"sizelimit":9223372036854775808}`, "sizelimit: JSON integer out of range", codeMisc},
		{`{"sigoplimit":[1]}`, "sigoplimit: JSON value of type array is not of expected type number or bool", codeMisc},
		{`{"workid":5}`, "workid: JSON value of type number is not of expected type string", codeMisc},
		{`{"target":""}`, "target: invalid target: want up to 64 hexadecimal digits", codeParameter},
		{`{"nonces":"first","sizelimit":"second"}`, "nonces: JSON value of type string is not of expected type number", codeMisc},
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

// TestForcedRules: a client that does not name a rule that it has to know is told what to send.
func TestForcedRules(t *testing.T) {
	p := newPool(t).serve()
	p.publish(2, func(template map[string]any) { template["rules"] = []string{"!segwit", "!signet"} })
	const request = `"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":0}`
	const want = `getblocktemplate must be called with the signet rule set (call with {"rules": ["segwit", "signet"]})`
	for version, status := range map[string]int{"1.0": 500, "2.0": 200} {
		got := p.do(`{"jsonrpc":"` + version + `",` + request)
		if _, e := got.rpc(t); got.status != status || e == nil || e.Code != codeParameter || e.Message != want {
			t.Errorf("%s: got %d %s", version, got.status, got.body)
		}
	}
	p.do(`{"method":"getblocktemplate","params":[{"rules":["!segwit","!signet"]}],"id":0}`).template(t)
}

// FuzzTemplateRequest: whatever the argument of getblocktemplate is, it is read or refused in
// JSON-RPC, in bounds, and the same way each time.
func FuzzTemplateRequest(f *testing.F) {
	for _, raw := range clientRequests("00ff") {
		if _, arg, ok := strings.Cut(raw, `"getblocktemplate", "params": [`); ok {
			f.Add(arg[:strings.LastIndex(arg, "]")])
		}
	}
	for _, seed := range []string{
		`{"rules":["segwit"]}`, `null`, `[]`, `5`, `{"mode":"proposal","data":"00ff","workid":"w"}`, `{"mode":"proposal","data":""}`,
		`{"capabilities":["coinbasetxn","transactions/add","submit/hash","share/merkle"],"rules":["!segwit","csv"],"mode":"template"}`,
		`{"sizelimit":-1000,"sigoplimit":false,"nonces":16777216,"target":"00ff","longpollid":5,"workid":"\ud800"}`,
		`{"mode":"template","mode":"proposal","data":"\u0030"}`, `{"sizelimit":1e2}`, `{"a":{"mode":"x"},"":[{}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		msg, err := decodeMessage([]byte(`{"method":"getblocktemplate","params":[` + arg + `]}`))
		if err != nil || !msg.found {
			return
		}
		args, err := msg.call.arguments("template_request")
		if err != nil {
			return // more than one argument
		}
		current := func() string { return "current" }
		req, err := decodeTemplateRequest(args[0], current)
		var e *rpcError
		switch {
		case errors.As(err, &e):
			if !slices.Contains([]int{codeMisc, codeType, codeParameter, codeParse}, e.Code) || e.Message == "" || e.status != 0 {
				t.Fatalf("%+v", e)
			}
			return
		case err != nil:
			t.Fatalf("an error that is not of JSON-RPC: %v", err)
		}
		if req.Nonces < 0 || req.MaxVersion < 0 || len(req.Capabilities) > maxListed || len(req.Rules) > maxListed {
			t.Fatalf("out of bounds: %+v", req)
		}
		if (req.proposal && !cmp.Equal(req.TemplateRequest, gbt.TemplateRequest{})) || (!req.proposal && req.data != "") {
			t.Fatalf("two modes at a time: %+v", req)
		}
		if once, err := decodeTemplateRequest(args[0], current); err != nil || !cmp.Equal(once, req, cmp.AllowUnexported(templateRequest{})) {
			t.Fatalf("%+v became %+v, %v", req, once, err)
		}
	})
}
