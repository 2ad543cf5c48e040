package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/gbtpool/gbtpool/api/accept"
	"github.com/gbtpool/gbtpool/api/oas"
)

//go:embed templates/*.html
var templateFiles embed.FS

// contentSecurityPolicy lets a page have what comes with it from this server, and nothing else.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// page is what the layout and a page's own template are made with.
type page struct {
	Title string // what the page is about, without the pool's name
	Nav   string // the entry of the navigation that it belongs to
	Body  any    // what its own template shows
	// Status is the answer's; 0 for 200.
	Status int
	// Private keeps the page out of every cache.
	Private bool
	// Still pages do not change by themselves.
	Still bool

	// The rest is render's to fill in.

	Name, Version string
	Pool          part[oas.Pool]
	Prefs         prefs
	Path          string // where the reader is, for forms that return there
	Owner         string // who is logged in; empty if nobody
	CanLogIn      bool
	StaleSeconds  int
	At            time.Time
}

// parse reads the templates, for every page a set with the layout in it.
func (p *Pages) parse() (map[string]*template.Template, error) {
	base := template.New("").Funcs(p.funcs())
	base, err := base.ParseFS(templateFiles, "templates/_*.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/[a-z]*.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	sets := make(map[string]*template.Template, len(names))
	for _, name := range names {
		set, err := base.Clone()
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		if _, err := set.ParseFS(templateFiles, name); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		sets[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = set
	}
	return sets, nil
}

// masked returns copies of templates that shorten addresses.
func masked(sets map[string]*template.Template) (map[string]*template.Template, error) {
	out := make(map[string]*template.Template, len(sets))
	for name, set := range sets {
		c, err := set.Clone()
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		out[name] = c.Funcs(template.FuncMap{"addr": mask})
	}
	return out, nil
}

// funcs are what templates can call.
func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"addr":  func(address string) string { return address },
		"asset": p.assets.url,
		"rate":  rate, "work": work, "diff": difficulty, "count": count, "money": money, "coins": coins, "percent": percent, "bp": basisPoints,
		"scaled": scaled, "lasting": lasting, "stamp": stamp, "brief": brief, "tailed": tailed,
		"since":   func(t time.Time) string { return since(p.cfg.Now(), t) },
		"old":     func(t time.Time, seconds int) bool { return p.cfg.Now().Sub(t) > time.Duration(seconds)*time.Second },
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"bar":     func(ratio float64) string { return fmt.Sprintf("%.2f", 100*min(max(ratio, 0), 1)) },
		"dict":    dict,
		"float":   func(n int64) float64 { return float64(n) },
		"ratio":   ratio,
		"ratio32": func(a, b int32) float64 { return ratio(int64(a), int64(b)) },
		"feerate": func(t oas.TemplateTransaction) string { return digits(feeRate(t)) },
		"sum":     func(a, b int64) int64 { return a + b },
		"upper":   strings.ToUpper,
		"over":    over,
	}
}

// ratio returns the quotient of two integers, 0 if there is none.
func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// over is the class of a bar for a ratio that may be above 1.
func over(ratio float64) string {
	if ratio > 1 {
		return "over"
	}
	return ""
}

// dict makes a map of names and values, for templates that need more than one thing.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("web: dict of %d things", len(pairs))
	}
	out := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("web: dict with a name of type %T", pairs[i])
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// askPool asks for what every page has at its top.
func (p *Pages) askPool(ctx context.Context) asked[oas.Pool] {
	return ask(ctx, p, "pool", func(ctx context.Context) (oas.Pool, error) {
		if !p.mayRead(ctx) {
			return oas.Pool{}, &trouble{Status: http.StatusUnauthorized}
		}
		return p.views.pool(ctx)
	})
}

// render answers with a page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, name string, pg *page) {
	pg.Name, pg.Version = p.cfg.Name, p.cfg.Version
	if pg.Pool.OK() && pg.Pool.V.Name != "" {
		pg.Name = pg.Pool.V.Name
	}
	pg.Prefs = readPrefs(r)
	pg.Path = r.URL.RequestURI()
	if r.Method == http.MethodPost {
		pg.Path = r.URL.Path
	}
	pg.Owner = ownerOf(r.Context())
	pg.CanLogIn = p.cfg.SignIn != nil
	pg.StaleSeconds = int(p.cfg.StaleAfter / time.Second)
	pg.At = p.cfg.Now()
	sets := p.plain
	if pg.Prefs.Privacy {
		sets = p.masked
	}
	var body bytes.Buffer
	if err := sets[name].ExecuteTemplate(&body, "layout", pg); err != nil {
		p.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.String("page", name), slog.Any("error", err))
		http.Error(w, "This page could not be made. The pool's log says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "private, no-cache")
	if pg.Private {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Vary", "Accept-Encoding, Cookie")
	content := body.Bytes()
	if accept.Coding(r.Header, "gzip") != "" {
		if packed, err := packPage(content); err == nil {
			h.Set("Content-Encoding", "gzip")
			content = packed
		}
	}
	status := pg.Status
	if status == 0 {
		status = http.StatusOK
	}
	send(w, r, status, content)
}

// packPage compresses a page, fast rather than well.
func packPage(content []byte) ([]byte, error) {
	var buf bytes.Buffer
	if err := compress(&buf, content, gzip.DefaultCompression); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// fail answers with a trouble as a page.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, t *trouble) {
	if t.Status < 400 || t.Status > 599 {
		t.Status = http.StatusInternalServerError
	}
	ctx := r.Context()
	pool := p.askPool(ctx).wait(ctx)
	w.Header().Del("Content-Length")
	if t.Status == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "10")
	}
	p.render(w, r, "error", &page{Title: t.Heading(), Body: t, Status: t.Status, Pool: pool, Still: true, Private: true})
}
