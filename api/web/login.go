package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool/api/oas"
)

// loginBody is what the page for logging in shows: first a form for the address, then the message
// to sign and a form for the signature.
type loginBody struct {
	Address   string
	Challenge *oas.LoginChallenge
	Signature string // what was not accepted
	Trouble   *trouble
}

func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	p.showLogin(w, r, loginBody{Address: r.URL.Query().Get("address")})
}

func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request, body loginBody) {
	ctx := r.Context()
	pg := &page{Title: "Log in", Nav: "accounts", Body: body, Pool: p.askPool(ctx).wait(ctx), Still: true, Private: true}
	if body.Trouble != nil && body.Trouble.Status >= 400 {
		pg.Status = body.Trouble.Status
	}
	p.render(w, r, "login", pg)
}

// logIn takes an address or the answer to a challenge. A challenge is good for one answer, so that
// a wrong one is followed by another.
func (p *Pages) logIn(w http.ResponseWriter, r *http.Request) {
	if p.cfg.SignIn == nil {
		p.fail(w, r, &trouble{Status: http.StatusNotFound, Detail: "This pool has no log-in."})
		return
	}
	ctx := r.Context()
	address := strings.TrimSpace(r.PostForm.Get("address"))
	body := loginBody{Address: address}
	if challenge := r.PostForm.Get("challenge"); challenge != "" {
		// Programs break long lines, and people copy the breaks.
		signature := strings.Join(strings.Fields(r.PostForm.Get("signature")), "")
		got := p.answered(ctx, challenge, signature)
		if got.OK() {
			p.setCookie(w, r, cookieSession, got.V.Token, got.V.ExpiresAt.Sub(p.cfg.Now()))
			http.Redirect(w, r, "/accounts/"+url.PathEscape(got.V.Address), http.StatusSeeOther)
			return
		}
		body.Trouble, body.Signature = got.Trouble, signature
	}
	got := part[oas.LoginChallenge]{Trouble: &trouble{Status: http.StatusBadRequest, Title: "No address", Detail: "An address has 14 to 90 letters and digits, and nothing else."}}
	if addressForm().MatchString(address) {
		got = ask(ctx, p, "login", with1(p.views.challenge, address)).wait(ctx)
	}
	if !got.OK() {
		if body.Trouble == nil {
			body.Trouble = got.Trouble
		}
		p.showLogin(w, r, body)
		return
	}
	body.Challenge = &got.V
	p.showLogin(w, r, body)
}

// maxSignature is how long a signature may be: the contract's bound.
const maxSignature = 2000

// answered gives the answer to a challenge, if it can be one.
func (p *Pages) answered(ctx context.Context, challenge, signature string) part[oas.LoginToken] {
	if !cursorForm().MatchString(challenge) || signature == "" || len(signature) > maxSignature {
		return part[oas.LoginToken]{Trouble: &trouble{Status: http.StatusBadRequest, Title: "No signature", Detail: "A signature is text in base64 of up to 2000 characters."}}
	}
	return ask(ctx, p, "login", with2(p.views.answer, challenge, signature)).wait(ctx)
}

// logOut forgets the token. It stays good until it expires; the cookie was the only place that had
// it.
func (p *Pages) logOut(w http.ResponseWriter, r *http.Request) {
	p.setCookie(w, r, cookieSession, "", 0)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// settingsBody is what the page of an account's settings shows.
type settingsBody struct {
	Address  string
	Settings part[oas.AccountSettings]
	Pool     oas.Fees
	Saved    bool
	Error    string // what is wrong with what was sent
}

// owned returns the account of a request, which is the reader's. If it is not, it answers, and ok is
// false.
func (p *Pages) owned(w http.ResponseWriter, r *http.Request) (address string, ok bool) {
	address = chi.URLParam(r, "address")
	switch ownerOf(r.Context()) {
	case address:
		return address, true
	case "":
		http.Redirect(w, r, "/login?"+url.Values{"address": {address}}.Encode(), http.StatusSeeOther)
	default:
		p.fail(w, r, &trouble{Status: http.StatusForbidden, Detail: "You are logged in with another address. Log out, and log in with this one."})
	}
	return "", false
}

func (p *Pages) settings(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	address, ok := p.owned(w, r)
	if !ok {
		return
	}
	got := ask(ctx, p, "settings", with1(p.views.settings, address)).wait(ctx)
	p.showSettings(w, r, settingsBody{Address: address, Settings: got, Saved: r.URL.Query().Has("saved")})
}

func (p *Pages) showSettings(w http.ResponseWriter, r *http.Request, body settingsBody) {
	ctx := r.Context()
	pool, fees := p.askPool(ctx), ask(ctx, p, "fees", p.views.fees)
	body.Pool = fees.wait(ctx).V
	pg := &page{Title: "Settings", Nav: "accounts", Body: body, Pool: pool.wait(ctx), Still: true, Private: true}
	if body.Error != "" {
		pg.Status = http.StatusBadRequest
	}
	p.render(w, r, "settings", pg)
}

// maxNameLength is that of a display name, in bytes.
const maxNameLength = 64

// saveSettings changes an account's settings.
func (p *Pages) saveSettings(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	address, ok := p.owned(w, r)
	if !ok {
		return
	}
	s := oas.AccountSettings{DisplayName: strings.TrimSpace(r.PostForm.Get("display_name")), Hidden: r.PostForm.Get("hidden") != ""}
	body := settingsBody{Address: address}
	digits := strings.NewReplacer(",", "", " ", "", "_", "").Replace(r.PostForm.Get("threshold_sat"))
	if digits != "" {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > 21e14 {
			body.Error = "The threshold is a whole number of satoshis, or empty for the pool's."
		}
		s.ThresholdSat = n
	}
	if len(s.DisplayName) > maxNameLength {
		body.Error = "The display name has more than 64 bytes."
	}
	body.Settings = part[oas.AccountSettings]{V: s}
	if body.Error == "" {
		got := ask(ctx, p, "settings", with2(p.views.setSettings, address, s)).wait(ctx)
		if got.OK() {
			http.Redirect(w, r, "/accounts/"+url.PathEscape(address)+"/settings?saved=1", http.StatusSeeOther)
			return
		}
		body.Error = got.Trouble.Text()
	}
	p.showSettings(w, r, body)
}
