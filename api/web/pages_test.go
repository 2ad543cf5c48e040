package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// view is a page in a state, and what it has to say.
type view struct {
	name   string
	pool   *fixtures.Pool
	path   string
	cookie string
	status int
	says   []string
	golden bool
}

func views() []view {
	busy, away, sync := fixtures.Busy(), fixtures.LedgerAway(), fixtures.Syncing()
	banned := fixtures.Busy()
	reason, until := "too many invalid shares", fixtures.Now().Add(time.Hour)
	banned.Problems = map[string]oas.Problem{"GetAccount": {Status: 403, Title: "Forbidden", Detail: "You are shut out.", Reason: &reason, Until: &until}}
	limited := fixtures.Busy()
	limited.Problems = map[string]oas.Problem{"GetAccount": {Status: 429, Title: "Too Many Requests"}, "GetBlock": {Status: 500}}
	block := func(i int) string { return "/blocks/" + busy.Blocks[i].Hash }
	return []view{
		{"home", busy, "/", "", 200, []string{"http://pool.example:9332", "12.4", "PH/s", "923,417", "63.4 %", "108.3 %", "3.16774212", "orphaned", "1 %"}, true},
		{"home-idle", fixtures.Idle(), "/", "", 200, []string{"Nobody is mining yet", "minerd -a sha256d", "No block found yet", "No payout yet", "No figures for this time yet"}, true},
		{"home-syncing", sync, "/", "", 200, []string{"No work yet", "63.2 %", "611,204", "Miners get work once it is done"}, true},
		{"home-no-node", fixtures.NoNode(), "/", "", 200, []string{"No work yet", "is bitcoind running"}, false},
		{"home-ledger-away", away, "/", "", 200, []string{"Read only.", "Shares go to the spool", "923,417", "http://example.com"}, true},
		{"home-degraded", fixtures.Degraded(), "/", "", 200, []string{"Alarm.", "payouts are stopped", "Warning.", "Note.", "stale"}, false},
		{"home-huge", fixtures.Huge(), "/", "", 200, []string{"4.27", "YH/s", "103 YH/s", "1,204,331"}, false},
		{"connect", busy, "/connect", "", 200, []string{"minerd -a sha256d -o http://pool.example:9332/ -O ADDRESS.rig1:x", "bfgminer -S noauto", "cpuminer-multi", "curl -s -u ADDRESS.rig1:x", "gbtpool mine", "--select max-fee", "every 1 d"}, false},
		{"connect-filled", busy, "/connect?address=" + fixtures.Miner, "", 200, []string{"-O " + fixtures.Miner + ".rig1:x"}, false},
		{"connect-invalid", busy, "/connect?address=%3Cb%3E", "", 200, []string{"&lt;b&gt;", "14 to 90 letters"}, false},
		{"accounts", busy, "/accounts", "", 200, []string{"Hill farm", "3 more do not want to be listed"}, false},
		{"account", busy, account, "", 200, []string{"0.05402118", "1.72 %", "71.2 %", "712,340", "in 6 h 20 min", "stale-prevblk", "The block builds on one", "3 h 12 min ago", "offline", "idle", "/payouts/94"}, true},
		{"account-unknown", busy, "/accounts/" + fixtures.Unknown, "", 200, []string{"No share yet", "about 11 h 55 min", fixtures.Unknown + ".rig1"}, true},
		{"account-hidden", busy, "/accounts/" + fixtures.Private, "", 200, []string{"keeps this account", "Log in"}, false},
		{"account-hidden-owner", busy, account, session, 200, []string{"Settings", "Log out"}, false},
		{"account-banned", busy, "/accounts/" + fixtures.Banned, "", 200, []string{"Shut out.", "500 of its last 500", "2026-11-20 15:00:00 UTC"}, false},
		{"account-invalid", busy, "/accounts/nonsense0123456", "", 404, []string{"Not found", "no address on this chain", "Look up an address"}, true},
		{"banned", banned, account, "", 403, []string{"Shut out for now", "too many invalid shares", "in 1 h"}, false},
		{"limited", limited, account, "", 429, []string{"Too many requests", "Wait a moment"}, false},
		{"error", limited, block(0), "", 500, []string{"Something went wrong", "mining goes on"}, false},
		{"ledger-away", away, account, "", 503, []string{"Not available right now"}, false},
		{"blocks", busy, "/blocks", "", 200, []string{"923,351", "66/101", "orphaned", "luck 108.3 %", "187.3 %"}, false},
		{"block-immature", busy, block(0), "", 200, []string{"66 of 101 confirmations", "Nobody yet", "in the journal once"}, false},
		{"block-credited", busy, block(1), "", 200, []string{"Hill farm", "0.05402118", "gbtpool verify", " ADDRESS<", "kept by the pool", "41 accounts", "3 that hide themselves", "More accounts"}, true},
		{"block-orphaned", busy, block(3), "", 200, []string{"another block took its place", "hidden"}, false},
		{"block-proof", busy, block(1) + "?address=" + fixtures.Miner, "", 200, []string{"work_hashes", " " + fixtures.Miner + "<"}, false},
		{"block-no-proof", busy, block(1) + "?address=" + fixtures.Unknown, "", 200, []string{"no part of this block"}, false},
		{"block-bad-address", busy, block(1) + "?address=%22%3E", "", 200, []string{"letters and digits alone"}, false},
		{"block-no-hash", busy, "/blocks/tip", "", 404, []string{"64 hexadecimal digits"}, false},
		{"account-no-address", busy, "/accounts/%3Cb%3E", "", 404, []string{"14 to 90 letters"}, false},
		{"blocks-no-cursor", busy, "/blocks?cursor=%3Cb%3E", "", 200, []string{"923,351"}, false},
		{"block-unknown", busy, "/blocks/" + strings.Repeat("0", 64), "", 404, []string{"no such block"}, false},
		{"payouts", busy, "/payouts", "", 200, []string{"approval by an operator", "returned", "1.18220114"}, false},
		{"payout", busy, "/payouts/94", "", 200, []string{"final", "1,187", "Header and 4 siblings", "borne by the payees"}, true},
		{"payout-planned", busy, "/payouts/97", "", 200, []string{"Waits for: approval", "once the transaction is in a block"}, false},
		{"payout-no-number", busy, "/payouts/x", "", 404, []string{"numbered from 1"}, false},
		{"template", busy, "/template", "", 200, []string{"Block 923,417", "100 and more", "witness_v1_taproot", "commitment to the witnesses", "drawn together"}, false},
		{"template-syncing", sync, "/template", "", 200, []string{"No node has given a template yet."}, false},
		{"operator", busy, "/operator", "", 200, []string{"not ready", "appendfsync is everysec", "one block behind core for 41 s", "38 accepted", "approval by an operator"}, false},
		{"docs", busy, "/docs", "", 200, []string{"getAccount", "curl -s", "Merkle-sum"}, false},
		{"login", busy, "/login?address=" + fixtures.Miner, "", 200, []string{"Your address", fixtures.Miner}, false},
		{"settings", busy, account + "/settings", session, 200, []string{"2000000", "Hill farm"}, false},
		{"not-found", busy, "/nothing", "", 404, []string{"There is no such page"}, false},
	}
}

// TestPages: each page says in each state what it has to, in valid HTML that keeps to its policy.
func TestPages(t *testing.T) {
	handlers := make(map[*fixtures.Pool]http.Handler)
	for _, v := range views() {
		h, ok := handlers[v.pool]
		if !ok {
			h = handler(t, v.pool)
			handlers[v.pool] = h
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			got := get(t, h, v.path, v.cookie)
			if got.status != v.status {
				t.Errorf("status %d, want %d", got.status, v.status)
			}
			checkHTML(t, v.name, got.body)
			for _, text := range v.says {
				if !strings.Contains(got.body, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("Content-Security-Policy: %q", csp)
			}
			if v.golden {
				golden(t, v.name+".html", lines(got.body))
			}
		})
	}
}

var (
	drawing = regexp.MustCompile(` d="M[^"]*"`)
	figures = regexp.MustCompile(`(?s)<details class="figures" id=.*?</details>`)
	hashed  = regexp.MustCompile(`(/assets/[a-z]+)\.[0-9a-f]{12}\.`)
	content = regexp.MustCompile(`(?s)<body>.*</body>`)
)

// lines returns what a page has in its body, a tag to a line, without what is only to be drawn.
func lines(page string) string {
	s := content.FindString(page)
	s = figures.ReplaceAllString(s, "<details>figures</details>")
	s = drawing.ReplaceAllString(s, ` d="…"`)
	s = hashed.ReplaceAllString(s, "$1.")
	return strings.ReplaceAll(s, "><", ">\n<") + "\n"
}

// TestHostileNames: what others write is text.
func TestHostileNames(t *testing.T) {
	pool := fixtures.Hostile()
	h := handler(t, pool)
	for _, path := range []string{"/", account, "/accounts", "/blocks", "/blocks/" + pool.Blocks[0].Hash, "/blocks/" + pool.Blocks[1].Hash, "/payouts", "/operator", account + "/settings"} {
		got := get(t, h, path, session)
		checkHTML(t, path, got.body)
		if strings.Contains(got.body, "<script>alert") || strings.Contains(got.body, "<img") {
			t.Errorf("%s has a name as HTML", path)
		}
		if !strings.Contains(got.body, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s has no hostile name: the test tests nothing", path)
		}
	}
}

// TestPartsFail: what fails says so in its place, and the rest of the page stands.
func TestPartsFail(t *testing.T) {
	all := []string{"GetPool", "Template", "ListNodes", "GetNetwork", "ListBlocks", "ListPayouts", "GetFees", "GetHistory"}
	pool := fixtures.Busy()
	h := handler(t, pool)
	for _, failing := range all {
		pool.Problems = map[string]oas.Problem{failing: {Status: 503, Title: "Service Unavailable", Detail: "It is being mended."}}
		got := get(t, h, "/")
		checkHTML(t, failing, got.body)
		if got.status != 200 {
			t.Errorf("without %s: status %d", failing, got.status)
		}
		for operation, text := range map[string]string{"GetPool": "187 workers", "Template": `<a href="/template">923,417</a>`, "ListBlocks": "922,740", "ListPayouts": "1.18220114", "GetHistory": "Figures as a table"} {
			if has := strings.Contains(got.body, text); has == (operation == failing) {
				t.Errorf("without %s: it says %q: %v", failing, text, has)
			}
		}
	}
}

// TestSlowPart: a page does not wait for a part beyond its deadline.
func TestSlowPart(t *testing.T) {
	pool := fixtures.Busy()
	end := make(chan struct{})
	defer close(end)
	pool.Hook = func(_ context.Context, operation string) {
		if operation == "ListBlocks" {
			<-end // whatever the context says
		}
	}
	got := get(t, handler(t, pool, func(c *web.Config) { c.Deadline = time.Second }), "/")
	if !strings.Contains(got.body, "No answer in time") || !strings.Contains(got.body, "187 workers") {
		t.Errorf("the page is %s", lines(got.body))
	}
}

// TestPartsAtOnce: no part of a page waits for another.
func TestPartsAtOnce(t *testing.T) {
	pool := fixtures.Busy()
	var mu sync.Mutex
	begun, all := 0, make(chan struct{})
	pool.Hook = func(ctx context.Context, _ string) {
		mu.Lock()
		begun++
		if begun == 9 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-ctx.Done():
		}
	}
	if got := get(t, handler(t, pool), "/"); strings.Contains(got.body, "No answer in time") {
		t.Error("the parts are asked one after the other")
	}
}

// TestPanics: a view that panics takes its part along, not the page, and not the program.
func TestPanics(t *testing.T) {
	pool := fixtures.Busy()
	pool.Hook = func(_ context.Context, operation string) {
		if operation == "ListPayouts" {
			panic("a bug")
		}
	}
	got := get(t, handler(t, pool), "/")
	if got.status != 200 || !strings.Contains(got.body, "Something went wrong") || !strings.Contains(got.body, "187 workers") || strings.Contains(got.body, "a bug") {
		t.Errorf("status %d: %s", got.status, lines(got.body))
	}
}

// TestErrorsStayInside: the text of an error that nobody has written for people is not shown.
func TestErrorsStayInside(t *testing.T) {
	h := handler(t, fixtures.Busy(), func(c *web.Config) {
		c.Template = func(context.Context) (*oas.Template, error) {
			return nil, fmt.Errorf("dial tcp 10.0.0.7:8332: password hunter2")
		}
	})
	for _, path := range []string{"/", "/template", "/operator"} {
		if got := get(t, h, path); strings.Contains(got.body, "hunter2") {
			t.Errorf("%s tells the error", path)
		}
	}
}

// TestPrivacy: a picture of a page does not tell whose it is.
func TestPrivacy(t *testing.T) {
	shown := regexp.MustCompile(`>[^<]*bc1[qp][0-9a-z]{20,}[^<]*<`)
	h := handler(t, fixtures.Busy())
	for _, path := range []string{"/", account, "/accounts", "/blocks", "/payouts/94", "/template", account + "/settings"} {
		got := get(t, h, path, session, "gbtpool_privacy=1")
		_, main, _ := strings.Cut(got.body, "<body>")
		if at := shown.FindString(main); at != "" {
			t.Errorf("%s shows %q", path, at)
		}
		plain := get(t, h, path, session)
		if path == account && !shown.MatchString(plain.body) {
			t.Error("without privacy there is no address: the test tests nothing")
		}
	}
}

// TestHead: HEAD is answered as GET, without the page.
func TestHead(t *testing.T) {
	h := handler(t, fixtures.Busy())
	for _, path := range []string{"/", "/docs", "/openapi.yaml", "/nothing"} {
		want := get(t, h, path)
		got := send(t, h, httptest.NewRequest(http.MethodHead, path, nil))
		if got.status != want.status && path != "/nothing" || got.body != "" || got.header.Get("Content-Type") != want.header.Get("Content-Type") {
			t.Errorf("%s: %d %q", path, got.status, got.header)
		}
	}
}

// TestLists: lists lead on, and back.
func TestLists(t *testing.T) {
	pool := fixtures.Busy()
	for i := range 120 {
		b := pool.Blocks[1]
		b.Hash = fmt.Sprintf("%064d", i)
		pool.Blocks = append(pool.Blocks, b)
	}
	h := handler(t, pool)
	first := get(t, h, "/blocks")
	if !strings.Contains(first.body, `href="/blocks?cursor=rest"`) || strings.Contains(first.body, "First page") {
		t.Error("the first page leads nowhere")
	}
	rest := get(t, h, "/blocks?cursor=rest")
	if !strings.Contains(rest.body, `<a href="/blocks" rel="first">`) || !strings.Contains(rest.body, "That is all.") {
		t.Error("the last page does not lead back")
	}
}

// TestSearch: an address that is looked for is shown, without the worker that a user name has too.
func TestSearch(t *testing.T) {
	h := handler(t, fixtures.Busy())
	for query, want := range map[string]string{fixtures.Miner: account, "+" + fixtures.Miner + ".rig1+": account} {
		if got := get(t, h, "/accounts?address="+query); got.status != http.StatusSeeOther || got.header.Get("Location") != want {
			t.Errorf("%q: %d, %q", query, got.status, got.header.Get("Location"))
		}
	}
	if got := get(t, h, "/accounts?address=../login"); got.status != 200 || !strings.Contains(got.body, "This is no address") {
		t.Errorf("status %d", got.status)
	}
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*web.Config){
		"Views": func(c *web.Config) { c.Views = nil }, "Template": func(c *web.Config) { c.Template = nil },
		"Name": func(c *web.Config) { c.Name = "" }, "Version": func(c *web.Config) { c.Version = "" },
		"Log": func(c *web.Config) { c.Log = nil }, "Now": func(c *web.Config) { c.Now = nil },
		"Deadline": func(c *web.Config) { c.Deadline = -1 },
	} {
		cfg := fixtures.Config(fixtures.Busy())
		change(&cfg)
		if _, err := web.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOptional: a pool without a log-in and without checks has pages all the same.
func TestOptional(t *testing.T) {
	h := handler(t, fixtures.Busy(), func(c *web.Config) { c.SignIn, c.Ready = nil, nil })
	for path, text := range map[string]string{"/": "Connect", "/login": "This pool has no log-in", "/operator": "Nothing is checked"} {
		got := get(t, h, path, session)
		if got.status != 200 || !strings.Contains(got.body, text) {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := post(t, h, "/login", nil); got.status != http.StatusNotFound {
		t.Errorf("status %d", got.status)
	}
	if slices.Contains(strings.Fields(get(t, h, "/").body), `href="/login"`) {
		t.Error("it leads to a log-in")
	}
}

// TestPagePanics: a page that panics is answered with the page for errors.
func TestPagePanics(t *testing.T) {
	h := handler(t, fixtures.Busy(), func(c *web.Config) {
		c.Ready = func(context.Context) []web.Check { return nil }
		secure := 0
		c.Secure = func(*http.Request) bool {
			if secure++; secure == 1 {
				panic("a bug")
			}
			return false
		}
	})
	got := post(t, h, "/preferences", map[string][]string{"theme": {"dark"}})
	if got.status != http.StatusInternalServerError || !strings.Contains(got.body, "Something went wrong") || strings.Contains(got.body, "a bug") {
		t.Errorf("%d: %s", got.status, lines(got.body))
	}
}

// TestProblem: what stands before the pages can refuse a request with a page.
func TestProblem(t *testing.T) {
	pages, err := web.New(fixtures.Config(fixtures.Busy()))
	if err != nil {
		t.Fatal(err)
	}
	reason, until := "floods the pool", fixtures.Now().Add(10*time.Minute)
	for status, text := range map[int]string{http.StatusForbidden: "Shut out for now", http.StatusTooManyRequests: "Too many requests", 7: "Something went wrong"} {
		got := send(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pages.Problem(w, r, oas.Problem{Status: status, Reason: &reason, Until: &until})
		}), httptest.NewRequest(http.MethodGet, "/", nil))
		checkHTML(t, text, got.body)
		if !strings.Contains(got.body, text) || !strings.Contains(got.body, "floods the pool") || !strings.Contains(got.body, "in 10 min") {
			t.Errorf("%d: %s", got.status, lines(got.body))
		}
		if status == http.StatusTooManyRequests && got.header.Get("Retry-After") == "" {
			t.Error("it does not say when to come back")
		}
	}
}
