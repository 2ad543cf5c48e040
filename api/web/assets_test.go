package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// firstLoad is the most that the first page that somebody opens may take, with all that it is made
// with, in bytes on the wire.
const firstLoad = 150_000

var assetPath = regexp.MustCompile(`"((?:/assets/|\./)[a-z]+\.[0-9a-f]{12}\.[a-z]+)"`)

// load gets a page and all that it needs, and returns how much was sent.
func load(t *testing.T, h http.Handler, path string) int {
	t.Helper()
	first := get(t, h, path, session)
	total, seen := first.sent, make(map[string]bool)
	todo := assetPath.FindAllStringSubmatch(first.body, -1)
	for len(todo) > 0 {
		name := strings.Replace(todo[0][1], "./", "/assets/", 1)
		todo = todo[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		got := get(t, h, name)
		if got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || got.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d, %v", name, got.status, got.header)
		}
		total += got.sent
		if strings.HasSuffix(name, ".js") {
			todo = append(todo, assetPath.FindAllStringSubmatch(got.body, -1)...)
		}
	}
	if len(seen) < 6 {
		t.Errorf("%s needs %d files only: the test has missed some", path, len(seen))
	}
	return total
}

func TestFirstLoad(t *testing.T) {
	h := handler(t, fixtures.Busy())
	for _, path := range []string{"/", account, "/blocks", "/template", "/operator", "/docs", "/connect", "/payouts/94"} {
		n := load(t, h, path)
		t.Logf("%s: %d bytes", path, n)
		if n > firstLoad {
			t.Errorf("%s takes %d bytes, more than %d", path, n, firstLoad)
		}
	}
}

func TestAssets(t *testing.T) {
	h := handler(t, fixtures.Busy())
	page := get(t, h, "/").body
	name := assetPath.FindString(page)
	name = strings.Trim(name, `"`)
	r := httptest.NewRequest(http.MethodGet, name, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r) // a client without gzip
	if w.Code != 200 || w.Header().Get("Content-Encoding") != "" || w.Body.String() != get(t, h, name).body {
		t.Errorf("%s without gzip: %d, %v", name, w.Code, w.Header())
	}
	r.Header.Set("Accept-Encoding", "br, gzip;q=0")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip is sent to who refuses it")
	}
	for _, path := range []string{"/assets/app.js", "/assets/style.000000000000.css", "/assets/uplot.LICENSE.txt", "/assets/..%2fdoc.go"} {
		if got := get(t, h, path); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestContractFile(t *testing.T) {
	h := handler(t, fixtures.Busy())
	got := get(t, h, "/openapi.yaml")
	if got.body != gbtpool.Contract() || got.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d: %v", got.status, got.header)
	}
	r := httptest.NewRequest(http.MethodGet, "/openapi.yaml", nil)
	r.Header.Set("If-None-Match", got.header.Get("ETag"))
	if again := send(t, h, r); again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("again: %d", again.status)
	}
}

// TestRoutes: the contract has every page, and every page of the contract is there.
func TestRoutes(t *testing.T) {
	contract, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		t.Fatal(err)
	}
	pool := fixtures.Busy()
	h := handler(t, pool)
	elsewhere := []string{"/healthz", "/readyz", "/metrics", "/assets/{name}"}
	examples := strings.NewReplacer("{address}", fixtures.Miner, "{hash}", pool.Blocks[0].Hash, "{id}", "97")
	pages := 0
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			if !slices.Contains(op.Tags, "operation") || slices.Contains(elsewhere, path) {
				continue
			}
			pages++
			r := httptest.NewRequest(method, examples.Replace(path), strings.NewReader(""))
			r.Header.Set("Cookie", session)
			if method == http.MethodPost {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if got := send(t, h, r); got.status == http.StatusNotFound && path != "/login" || got.status == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, got.status)
			}
		}
	}
	if pages < 19 {
		t.Errorf("the contract has %d pages only", pages)
	}
}

// TestDocs: the page of the contract has every operation, parameter and schema.
func TestDocs(t *testing.T) {
	contract, err := openapi3.NewLoader().LoadFromData([]byte(gbtpool.Contract()))
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, handler(t, fixtures.Busy()), "/docs").body
	for path, item := range contract.Paths.Map() {
		for _, op := range item.Operations() {
			if !strings.Contains(page, `id="`+op.OperationID+`"`) || !strings.Contains(page, "<code>"+path+"</code>") {
				t.Errorf("%s is not there", op.OperationID)
			}
		}
	}
	for name, s := range contract.Components.Schemas {
		if !strings.Contains(page, `id="schema-`+name+`"`) {
			t.Errorf("the schema %s is not there", name)
		}
		for field := range s.Value.Properties {
			if !strings.Contains(page, "<code>"+field+"</code>") {
				t.Errorf("%s.%s is not there", name, field)
			}
		}
	}
	for _, line := range []string{
		`curl -s &#39;http://example.com/api/v1/history/hash_rate?span=1d&#39;`,
		`curl -s -H &#34;Authorization: Bearer $TOKEN&#34; &#39;http://example.com/api/v1/accounts/bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080/settings&#39;`,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("it has no %s", line)
		}
	}
}
