package door

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/token"
)

// contract is openapi.yaml with what finds its routes.
type contract struct {
	*openapi3.T
	router routers.Router
}

func readContract(t *testing.T) contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return contract{doc, router}
}

// operation is an operation of the contract.
type operation struct {
	*openapi3.Operation
	method, path string
	item         *openapi3.PathItem
}

// admin reports whether it is on the operators' listener.
func (o *operation) admin() bool { return slices.Contains(o.Tags, "admin") }

// operations returns all operations by path.
func (c contract) operations() []operation {
	var out []operation
	for path, item := range c.Paths.Map() {
		for method, op := range item.Operations() {
			out = append(out, operation{op, method, path, item})
		}
	}
	slices.SortFunc(out, func(a, b operation) int {
		return strings.Compare(a.path+" "+a.method, b.path+" "+b.method)
	})
	return out
}

// TestRoutes compares the routes that are served with the contract's paths.
func TestRoutes(t *testing.T) {
	p := start(t, nil)
	var served, promised []string
	for _, h := range p.Handlers() {
		routes, ok := h.(chi.Routes)
		if !ok {
			t.Fatalf("%T has no routes", h)
		}
		err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
			// HEAD goes with GET, and profiles are no part of the contract.
			if method != http.MethodHead && !strings.HasPrefix(route, "/debug/pprof") {
				served = append(served, method+" "+strings.TrimSuffix(route, "/*"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, op := range readContract(t).operations() {
		promised = append(promised, op.method+" "+op.path)
	}
	slices.Sort(served)
	slices.Sort(promised)
	if diff := cmp.Diff(promised, served); diff != "" {
		t.Errorf("openapi.yaml (-) and the routes (+) differ:\n%s", diff)
	}
}

// request makes the request that an operation's examples ask for, with others in the place of some.
func (b *busy) request(t *testing.T, op *operation, body string, instead map[string]string) *http.Request {
	t.Helper()
	path, query := op.path, url.Values{}
	header := http.Header{}
	for _, ref := range append(slices.Clone(op.item.Parameters), op.Parameters...) {
		value, ok := instead[ref.Value.Name]
		if !ok && ref.Value.Example != nil {
			value, ok = textOf(ref.Value.Example), true
		}
		switch {
		case ref.Value.In == openapi3.ParameterInPath && !ok:
			t.Fatalf("%s %s: the parameter %s has no example", op.method, op.path, ref.Value.Name)
		case ref.Value.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+ref.Value.Name+"}", url.PathEscape(value))
		case ref.Value.In == openapi3.ParameterInQuery && ok:
			query.Set(ref.Value.Name, value)
		case ref.Value.In == openapi3.ParameterInHeader && ok:
			header.Set(ref.Value.Name, value)
		}
	}
	base := b.URL()
	if op.admin() {
		base = b.AdminURL()
	}
	r, err := http.NewRequestWithContext(t.Context(), op.method, base+path+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if op.path == "/" && op.method == http.MethodPost {
		r.SetBasicAuth(b.address+".rig1", "x")
	}
	return r
}

// textOf writes an example as it is in a URL.
func textOf(example any) string {
	if list, ok := example.([]any); ok {
		texts := make([]string, len(list))
		for i := range list {
			texts[i] = textOf(list[i])
		}
		return strings.Join(texts, ",")
	}
	return strings.Trim(strings.TrimSpace(jsonOf(example)), `"`)
}

// bodies returns the bodies that an operation has examples of; one empty one if it takes none.
func bodies(t *testing.T, op *operation) []string {
	t.Helper()
	if op.RequestBody == nil {
		return []string{""}
	}
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil {
		return nil // a form, which the pages' own tests fill in
	}
	var out []string
	if media.Example != nil {
		out = append(out, jsonOf(media.Example))
	}
	for _, example := range media.Examples {
		out = append(out, jsonOf(example.Value.Value))
	}
	if len(out) == 0 {
		t.Fatalf("%s %s: the body has no example", op.method, op.path)
	}
	return out
}

// TestExamples sends each example of the contract to a pool that has found, credited and paid a block, with a token
// that is good for all, and holds the answers to the contract. Then it does the same with an account, a block and a
// settlement that there are.
func TestExamples(t *testing.T) {
	c, b := readContract(t), lived(t)
	all := b.grant(t, "", token.ReadStats, token.WriteAccount, token.Admin, token.Mine)
	own := b.grant(t, b.address, token.ReadStats, token.WriteAccount)
	for _, op := range c.operations() {
		for _, body := range bodies(t, &op) {
			for name, instead := range map[string]map[string]string{
				"as it is": nil,
				"of here":  {"address": b.address, "hash": b.block, "id": "1", "worker": "rig1"},
			} {
				t.Run(op.OperationID+"/"+name, func(t *testing.T) {
					r := b.request(t, &op, body, instead)
					switch {
					case op.path == "/":
					case op.admin(), instead == nil:
						r.Header.Set("Authorization", "Bearer "+all)
					default:
						r.Header.Set("Authorization", "Bearer "+own)
					}
					b.conforms(t, c, &op, r, body, instead != nil)
				})
			}
		}
	}
}

// mayFail are operations whose examples cannot come to anything: the challenge of the one and the settlement of the
// other are not open, and what the last asks for there is once.
func mayFail(op *operation) bool {
	return slices.Contains([]string{"answerLogin", "adminApprove", "adminLiftBan", "asset"}, op.OperationID)
}

// streams sends a request that is answered by a stream.
func (b *busy) streams(t *testing.T, r *http.Request) {
	t.Helper()
	res, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // the stream does not end
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// conforms sends a request and holds the answer to the contract.
func (b *busy) conforms(t *testing.T, c contract, op *operation, r *http.Request, body string, there bool) {
	t.Helper()
	if op.OperationID == "streamEvents" {
		b.streams(t, r)
		return
	}
	a := b.do(t, r)
	if there && a.StatusCode >= http.StatusBadRequest && !mayFail(op) || a.StatusCode == http.StatusInternalServerError {
		t.Errorf("%s %s: %d %s", r.Method, r.URL, a.StatusCode, a.body)
	}
	if !strings.Contains(a.Header.Get("Content-Type"), "json") {
		return // pages have tests of their own
	}
	again := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader(body))
	again.Header = r.Header
	route, params, err := c.router.FindRoute(again)
	if err != nil {
		t.Fatal(err)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route},
		Status:                 a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewBufferString(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		t.Errorf("%s %s: %v\n%s", r.Method, r.URL, err, a.body)
	}
}
