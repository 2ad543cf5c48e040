package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// finding is what axe-core says of a page.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// findings are axe-core's, unless the tab looks at pages that have been looked at.
func (b *tab) findings() []finding {
	if b.again {
		return nil
	}
	return axe(b)
}

// axe looks for what keeps people from using a page.
func axe(b *tab) []finding {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		b.t.Fatalf("the browser tests need axe-core: run npm ci in test/browser (%v)", err)
	}
	// The source goes in through the debugger, which the page's Content-Security-Policy is not asked.
	b.do(chromedp.Evaluate[chromedp.Void](string(source)))
	text := eval[string](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations))`)
	var out []finding
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// sight is a page in a state.
type sight struct {
	name, path string
	status     int // what the server answers; 0 for 200
	cookie     string
}

// block returns the path of a block of a pool.
func block(p *fixtures.Pool, i int) string { return "/blocks/" + p.Blocks[i].Hash }

// state is a pool and the pages to look at.
type state struct {
	name   string
	pool   *fixtures.Pool
	sights []sight
}

func states() []state {
	busy, degraded := fixtures.Busy(), fixtures.Degraded()
	account := "/accounts/" + fixtures.Miner
	limited := fixtures.Busy()
	limited.Problems = map[string]oas.Problem{
		"GetAccount": {Status: http.StatusTooManyRequests, Title: "Too Many Requests", Detail: "You may ask 120 times a minute."},
		"ListBlocks": {Status: http.StatusInternalServerError, Title: "Internal Server Error"},
	}
	return []state{
		{"busy", busy, []sight{
			{name: "home", path: "/"}, {name: "connect", path: "/connect"}, {name: "connect-filled", path: "/connect?address=" + fixtures.Miner},
			{name: "connect-invalid", path: "/connect?address=no"}, {name: "accounts", path: "/accounts"}, {name: "accounts-invalid", path: "/accounts?address=no"},
			{name: "account", path: account}, {name: "account-private", path: account, cookie: "gbtpool_privacy=1"},
			{name: "account-owner", path: account, cookie: "gbtpool_session=" + fixtures.Token},
			{name: "account-unknown", path: "/accounts/" + fixtures.Unknown}, {name: "account-hidden", path: "/accounts/" + fixtures.Private},
			{name: "account-banned", path: "/accounts/" + fixtures.Banned}, {name: "account-invalid", path: "/accounts/nonsense0123456", status: 404},
			{name: "settings", path: account + "/settings", cookie: "gbtpool_session=" + fixtures.Token},
			{name: "blocks", path: "/blocks"}, {name: "block-immature", path: block(busy, 0)}, {name: "block-credited", path: block(busy, 1)},
			{name: "block-orphaned", path: block(busy, 3)}, {name: "block-proof", path: block(busy, 1) + "?address=" + fixtures.Miner},
			{name: "block-no-proof", path: block(busy, 1) + "?address=" + fixtures.Unknown}, {name: "payouts", path: "/payouts"},
			{name: "payout-planned", path: "/payouts/97"}, {name: "payout-final", path: "/payouts/94"}, {name: "payout-returned", path: "/payouts/93"},
			{name: "template", path: "/template"}, {name: "operator", path: "/operator"}, {name: "docs", path: "/docs"},
			{name: "login", path: "/login"}, {name: "not-found", path: "/nothing", status: 404},
		}},
		{"idle", fixtures.Idle(), []sight{{name: "home", path: "/"}, {name: "accounts", path: "/accounts"}, {name: "blocks", path: "/blocks"}, {name: "payouts", path: "/payouts"}, {name: "operator", path: "/operator"}}},
		{"syncing", fixtures.Syncing(), []sight{{name: "home", path: "/"}, {name: "template", path: "/template"}, {name: "operator", path: "/operator"}}},
		{"no-node", fixtures.NoNode(), []sight{{name: "home", path: "/"}}},
		{"ledger-away", fixtures.LedgerAway(), []sight{{name: "home", path: "/"}, {name: "accounts", path: "/accounts"}, {name: "account", path: account, status: 503}, {name: "operator", path: "/operator"}}},
		{"degraded", degraded, []sight{{name: "home", path: "/"}, {name: "operator", path: "/operator"}}},
		{"huge", fixtures.Huge(), []sight{{name: "home", path: "/"}}},
		{"hostile", fixtures.Hostile(), []sight{{name: "home", path: "/"}, {name: "account", path: account}, {name: "accounts", path: "/accounts"}}},
		{"limited", limited, []sight{{name: "account", path: account, status: 429}, {name: "blocks", path: "/blocks"}}},
	}
}

// TestPages looks at each page in each state: narrow and light, then wide and dark.
func TestPages(t *testing.T) {
	for _, st := range states() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, st.pool)
			b := open(t, look{360, "light"})
			for _, sight := range st.sights {
				b.cookies(s.url, sight.cookie)
				for _, l := range []look{{360, "light"}, {1280, "dark"}} {
					b.as(l)
					b.inspect(s, sight, fmt.Sprintf("%s-%s-%s", st.name, sight.name, l))
				}
			}
		})
	}
}

// inspect looks at a page, and fails at what is wrong with it.
func (b *tab) inspect(s *site, want sight, name string) {
	b.t.Helper()
	b.heard()
	answer := run(b, chromedp.NavigateResponse(s.url+want.path))
	status := int(answer.Status)
	if status != max(want.status, 200) {
		b.t.Errorf("%s: status %d", name, status)
	}
	b.await(`document.readyState === "complete" && document.documentElement.classList.contains("js")`)
	if wide := eval[string](b, overflowing); wide != "" {
		b.t.Errorf("%s is wider than the window: %s", name, wide)
	}
	for _, f := range b.findings() {
		if f.Impact == "serious" || f.Impact == "critical" {
			for _, n := range f.Nodes {
				b.t.Errorf("%s: %s (%s): %s\n%s\n%s", name, f.ID, f.Impact, f.Help, n.HTML, n.FailureSummary)
			}
		}
	}
	b.screenshot(name)
	console, requests := b.heard()
	for _, line := range console {
		// The browser says so itself of a page whose status is an error.
		if status < 400 || !strings.HasPrefix(line, "Failed to load resource") {
			b.t.Errorf("%s: the console has %q", name, line)
		}
	}
	for _, r := range requests {
		if !strings.HasPrefix(r, s.url+"/") {
			b.t.Errorf("%s asks %s", name, r)
		}
	}
}

// overflowing names what makes a page wider than its window.
const overflowing = `(() => {
	const root = document.documentElement;
	if (root.scrollWidth <= root.clientWidth) return "";
	const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(".scroll, .vh, svg"));
	return root.scrollWidth + " px: " + wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" ");
})()`

// cookies gives the tab a cookie, and takes those away that it has.
func (b *tab) cookies(at, pair string) {
	b.t.Helper()
	call(b, network.ClearBrowserCookies, cdp.Empty{})
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return
	}
	u, err := url.Parse(at)
	if err != nil {
		b.t.Fatal(err)
	}
	call(b, network.SetCookie, network.SetCookieParams{Name: name, Value: value, Domain: u.Hostname(), Path: "/"})
}

// TestLooks takes the widths and themes that TestPages leaves out, of the pages with most on them.
func TestLooks(t *testing.T) {
	t.Parallel()
	pool := fixtures.Busy()
	s := serve(t, pool)
	b := open(t, look{768, "light"})
	b.again = true
	for _, l := range []look{{360, "dark"}, {768, "light"}, {768, "dark"}, {1280, "light"}, {1920, "light"}, {1920, "dark"}} {
		b.as(l)
		for _, sight := range []sight{{name: "home", path: "/"}, {name: "account", path: "/accounts/" + fixtures.Miner}, {name: "template", path: "/template"}, {name: "operator", path: "/operator"}} {
			b.inspect(s, sight, fmt.Sprintf("busy-%s-%s", sight.name, l))
		}
	}
}
