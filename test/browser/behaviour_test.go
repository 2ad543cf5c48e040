package browser

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/web"
	"github.com/gbtpool/gbtpool/test/browser/fixtures"
)

// TestCopy: a button puts its text on the clipboard, and says that it has.
func TestCopy(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		params := browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: s.url,
			BrowserContextID: chromedp.FromContext(b).BrowserContextID,
		}
		if _, err := chromedp.CallBrowser(b, browser.SetPermission, params); err != nil {
			t.Fatal(err)
		}
	}
	b.do(chromedp.Navigate(s.url+"/connect"), chromedp.Click(chromedp.CSS(`.setup .copy`)))
	b.await(`document.querySelector(".setup .copy .copy-text").textContent === "Copied"`)
	if got := eval[string](b, `navigator.clipboard.readText()`); got != "http://pool.example:9332" {
		t.Errorf("the clipboard has %q", got)
	}
	if got := eval[string](b, `document.getElementById("announce").textContent`); got != "Copied" {
		t.Errorf("announced is %q", got)
	}
	b.quiet(s.url, "connect")
}

// TestNews: an event has the page show what is new, and leaves alone what the reader has opened and
// typed in.
func TestNews(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	b.do(chromedp.Navigate(s.url + "/"))
	<-s.opened
	b.await(`document.getElementById("live").dataset.state === "live"`)
	b.do(chromedp.Click(chromedp.CSS("#hash-rate .figures summary")), chromedp.SendKeys(chromedp.CSS("#q"), "bc1qmine"))
	b.await(`!!document.querySelector("#hash-rate .u-wrap")`)
	eval[bool](b, `(() => { window.before = document.querySelector("#hash-rate canvas"); return true; })()`)

	s.pool.Change(func(p *fixtures.Pool) {
		p.Pool.HashRatesHs.FifteenMinutes = 99.9e15
		p.Pool.Notices = []oas.Notice{{Level: oas.Alarm, Text: "Something is up."}}
		tmpl := *p.Template
		tmpl.Height++
		p.Template = &tmpl
	})
	s.events <- "template"
	b.await(`document.querySelector(".rate .big").textContent.startsWith("99.9")`)
	b.await(`document.getElementById("notices").textContent.includes("Something is up.")`)
	b.await(`document.querySelector(".stat .figure-line").textContent === "923,418"`)
	for name, expression := range map[string]string{
		"the table was closed":             `document.querySelector("#hash-rate .figures").open`,
		"what was typed is gone":           `document.getElementById("q").value === "bc1qmine"`,
		"the chart was drawn anew":         `window.before === document.querySelector("#hash-rate canvas")`,
		"the drawing is over the chart":    `getComputedStyle(document.querySelector("#hash-rate .lines")).display === "none"`,
		"nothing was announced":            `document.getElementById("announce").textContent === "A new template is being mined."`,
		"copy buttons are gone":            `!document.querySelector(".setup .copy").hidden`,
		"the region is not polite":         `document.getElementById("announce").getAttribute("aria-live") === "polite"`,
		"the state is not told in words":   `document.getElementById("live-text").textContent === "live"`,
		"a chart has no words for its eye": `[...document.querySelectorAll("[data-chart]")].every((e) => e.getAttribute("aria-label").includes("latest"))`,
	} {
		if !eval[bool](b, expression) {
			t.Error(name)
		}
	}
	b.quiet(s.url, "home")
}

// TestAnnouncements: people who listen are told of news, but not of all.
func TestAnnouncements(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	b.do(chromedp.Navigate(s.url + "/"))
	<-s.opened
	s.events <- "block"
	b.await(`document.getElementById("announce").textContent === "A block has changed its state."`)
	asked := s.pool.Asked("ListBlocks")
	s.events <- "payout"
	for s.pool.Asked("ListBlocks") == asked { // the page has taken the second one
		b.await(`true`)
	}
	if got := eval[string](b, `document.getElementById("announce").textContent`); got != "A block has changed its state." {
		t.Errorf("less than ten seconds later it announces %q", got)
	}
}

// TestStale: a page says that its figures may be old when nothing comes any more, and takes it back.
func TestStale(t *testing.T) {
	s := serve(t, fixtures.Busy(), func(c *web.Config) { c.StaleAfter = time.Second })
	b := open(t, look{360, "dark"})
	b.do(chromedp.Navigate(s.url + "/"))
	<-s.opened
	b.await(`!document.getElementById("stale-note").hidden && document.getElementById("live").dataset.state === "stale"`)
	for _, f := range axe(b) {
		if f.Impact == "serious" || f.Impact == "critical" {
			t.Errorf("%s: %s %v", f.ID, f.Help, f.Nodes)
		}
	}
	b.screenshot("busy-home-stale-360-dark")
	s.events <- "stats"
	b.await(`document.getElementById("stale-note").hidden`)
}

// TestReconnect: a page whose stream ends comes back, and shows what it has missed.
func TestReconnect(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	b.do(chromedp.Navigate(s.url + "/"))
	<-s.opened
	s.events <- "break"
	b.await(`document.getElementById("live").dataset.state === "waiting"`)
	s.pool.Change(func(p *fixtures.Pool) { p.Pool.HashRatesHs.FifteenMinutes = 77.7e15 })
	<-s.opened
	b.await(`document.querySelector(".rate .big").textContent.startsWith("77.7")`)
	b.await(`document.getElementById("live").dataset.state === "live"`)
}

// TestHidden: a page that nobody looks at asks for nothing.
func TestHidden(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	b.do(chromedp.Navigate(s.url + "/"))
	<-s.opened
	const hide = `(() => {
		Object.defineProperty(document, "hidden", { value: %, configurable: true });
		document.dispatchEvent(new Event("visibilitychange"));
		return true;
	})()`
	eval[bool](b, strings.Replace(hide, "%", "true", 1))
	<-s.closed
	eval[bool](b, strings.Replace(hide, "%", "false", 1))
	<-s.opened
}

// TestSort: a click on a column's name sorts by it, and news do not undo that.
func TestSort(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{1280, "light"})
	b.do(chromedp.Navigate(s.url + "/accounts/" + fixtures.Miner))
	<-s.opened
	const names = `[...document.querySelectorAll("table[data-sortable] tbody th .name")].map((e) => e.textContent).join()`
	b.do(chromedp.Click(chromedp.CSS("table[data-sortable] thead th:nth-child(4) button")))
	if got := eval[string](b, names); got != "barn-2,barn-1,cellar,desk,attic" {
		t.Errorf("by hash rate: %s", got)
	}
	if got := eval[string](b, `document.querySelector("table[data-sortable] th[aria-sort]").getAttribute("aria-sort")`); got != "descending" {
		t.Errorf("aria-sort is %q", got)
	}
	s.pool.Change(func(p *fixtures.Pool) { p.Workers[1].HashRatesHs.OneHour = 500e12 })
	s.events <- "stats"
	b.await(names + `.startsWith("barn-1,barn-2")`)
}

// TestWithoutScript: everything is there, and all forms work.
func TestWithoutScript(t *testing.T) {
	s := serve(t, fixtures.Busy())
	b := open(t, look{360, "light"})
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	visible := func(selectors ...string) {
		t.Helper()
		for _, selector := range selectors {
			b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
		}
	}
	b.do(chromedp.Navigate(s.url + "/"))
	visible(".setup", "#hash-rate svg.lines", "#hash-rate .figures summary", ".chain .link")
	b.screenshot("busy-home-without-script-360-light")
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), fixtures.Miner+".rig1"), chromedp.Click(chromedp.CSS(".connect .search button")))
	visible(".purse", "#workers-title")
	if got := run(b, chromedp.Location()); got != s.url+"/accounts/"+fixtures.Miner {
		t.Errorf("the search leads to %s", got)
	}
	// Privacy and theme are forms too.
	b.do(chromedp.Click(chromedp.CSS(`.prefs button[name=privacy]`)))
	visible(`.prefs button[aria-pressed=true]`)
	if text := run(b, chromedp.Text(chromedp.CSS("main"))); strings.Contains(text, fixtures.Miner) || !strings.Contains(text, "bc1q…f3t4") {
		t.Error("privacy mode shows the address")
	}
	b.do(chromedp.Click(chromedp.CSS(`.prefs button.to-dark`)))
	visible(`html[data-theme=dark] .prefs button.to-light`)
	// Logging in, and settings.
	b.do(chromedp.Navigate(s.url+"/login"), chromedp.SendKeys(chromedp.CSS("#address"), fixtures.Miner), chromedp.Click(chromedp.CSS("main form button")))
	visible("#message")
	b.screenshot("busy-login-challenge-360-dark")
	b.do(chromedp.SendKeys(chromedp.CSS("#signature"), "d3Jvbmc="), chromedp.Click(chromedp.CSS("main form button")))
	visible(".trouble", "#message")
	b.do(chromedp.SendKeys(chromedp.CSS("#signature"), fixtures.Signature), chromedp.Click(chromedp.CSS("main form button")))
	visible(".title-row .button")
	b.do(chromedp.Click(chromedp.CSS(".title-row .button")))
	visible("#threshold")
	b.do(chromedp.SetValue(chromedp.CSS("#threshold"), "3,000,000"), chromedp.Click(chromedp.CSS("main form button")))
	visible(".notice.good")
	s.pool.Change(func(p *fixtures.Pool) {
		if p.Settings.ThresholdSat != 3_000_000 || p.Settings.DisplayName != "Hill farm" {
			t.Errorf("the settings are %+v", p.Settings)
		}
	})
	b.do(chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	visible(`a[href="/login"]`)
	// A selection of one's own.
	b.do(chromedp.Navigate(s.url+"/template"), chromedp.SetValue(chromedp.CSS("#txids"), s.pool.Transactions.Transactions[0].Txid), chromedp.Click(chromedp.CSS("#compare button")))
	visible("#difference")
	if text := run(b, chromedp.Text(chromedp.CSS("#difference"))); !strings.Contains(text, "In both") {
		t.Errorf("the difference is %q", text)
	}
}

// TestHostileNames: names are text, whatever is in them.
func TestHostileNames(t *testing.T) {
	s := serve(t, fixtures.Hostile())
	b := open(t, look{1280, "light"})
	account := "/accounts/" + fixtures.Miner
	for _, path := range []string{"/", account, "/accounts", "/blocks", block(s.pool, 0), block(s.pool, 1), "/payouts", "/operator"} {
		b.do(chromedp.Navigate(s.url + path))
		b.await(`document.documentElement.classList.contains("js")`)
		if n := eval[int](b, `document.querySelectorAll("img, script:not([src])").length`); n != 0 {
			t.Errorf("%s has %d elements that a name has put there", path, n)
		}
		b.quiet(s.url, path)
	}
	<-s.opened
	s.events <- "stats" // the page puts itself together from the server's anew
	asked := s.pool.Asked("ListNodes")
	for s.pool.Asked("ListNodes") == asked {
		b.await(`true`)
	}
	b.await(`document.querySelectorAll("img, script:not([src])").length === 0`)
}

// TestForeignForm: a page of another site cannot send forms with a reader's cookie.
func TestForeignForm(t *testing.T) {
	s := serve(t, fixtures.Busy())
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"/accounts/"+fixtures.Miner+"/settings", strings.NewReader("hidden=1"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", "gbtpool_session="+fixtures.Token)
	r.Header.Set("Origin", "https://evil.example")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden || s.pool.Asked("SetAccountSettings") != 0 {
		t.Errorf("status %d, %d changes", answer.StatusCode, s.pool.Asked("SetAccountSettings"))
	}
}
