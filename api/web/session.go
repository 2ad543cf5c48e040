package web

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Names of cookies.
const (
	cookieSession = "gbtpool_session" // the owner's token
	cookieTheme   = "gbtpool_theme"
	cookiePrivacy = "gbtpool_privacy"
)

// prefs is how a reader wants pages to look.
type prefs struct {
	Theme   string // light, dark, or empty for what the system says
	Privacy bool   // addresses are shortened
}

func readPrefs(r *http.Request) prefs {
	var out prefs
	if c, err := r.Cookie(cookieTheme); err == nil && (c.Value == "light" || c.Value == "dark") {
		out.Theme = c.Value
	}
	if c, err := r.Cookie(cookiePrivacy); err == nil {
		out.Privacy = c.Value == "1"
	}
	return out
}

// preferences keeps what a reader wants in cookies, and returns to where the reader was.
func (p *Pages) preferences(w http.ResponseWriter, r *http.Request) {
	const year = 365 * 24 * time.Hour
	if theme := r.PostForm.Get("theme"); theme != "" {
		age := year
		if theme != "light" && theme != "dark" {
			theme, age = "", 0
		}
		p.setCookie(w, r, cookieTheme, theme, age)
	}
	if privacy := r.PostForm.Get("privacy"); privacy != "" {
		age := year
		if privacy != "1" {
			privacy, age = "", 0
		}
		p.setCookie(w, r, cookiePrivacy, privacy, age)
	}
	http.Redirect(w, r, localPath(r.PostForm.Get("return")), http.StatusSeeOther) //nolint:gosec // G710: localPath lets no other site through
}

// localPath returns a path of this server that a form asked for, the first page for all else.
func localPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// setCookie sets a cookie that no script and no other site gets. An age of 0 removes it.
func (p *Pages) setCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration) {
	c := &http.Cookie{ //nolint:gosec // G124: Secure is what the connection is; a pool in a barn has no TLS
		Name: name, Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: p.cfg.Secure(r),
	}
	if age <= 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// ownerKey is where a request's context has the address of who is logged in.
type ownerKey struct{}

// ownerOf returns the address of who is logged in, empty if nobody is.
func ownerOf(ctx context.Context) string {
	address, ok := ctx.Value(ownerKey{}).(string)
	if !ok {
		return ""
	}
	return address
}

// signedIn returns a context with which Views answer whoever is logged in. Without a good token it
// is the context that came in.
func (p *Pages) signedIn(ctx context.Context, r *http.Request) context.Context {
	if p.cfg.SignIn == nil {
		return ctx
	}
	c, err := r.Cookie(cookieSession)
	if err != nil || c.Value == "" {
		return ctx
	}
	known, address, err := p.cfg.SignIn(ctx, c.Value)
	if err != nil {
		return ctx // expired, or never any good
	}
	return context.WithValue(known, ownerKey{}, address)
}
