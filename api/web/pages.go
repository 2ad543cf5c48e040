package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gbtpool/gbtpool"
	"github.com/gbtpool/gbtpool/api/oas"
)

// Defaults of Config.
const (
	defaultDeadline   = 5 * time.Second
	defaultStaleAfter = 60 * time.Second
)

// Check is one thing that has to be right for the pool to work, and whether it is.
type Check struct {
	Name  string
	OK    bool
	Error string // what is wrong and what to change, empty if OK
	Note  string // what to know although it is right
}

// Config configures Pages.
type Config struct {
	// Views are the handlers of the REST API. Required.
	Views oas.StrictServerInterface
	// Template tells what is being mined: the answer of getCurrentTemplate. An error says why there
	// is none; one that is not a *ProblemError is logged, and not shown. Required.
	Template func(context.Context) (*oas.Template, error)
	// Ready tells what /readyz tells, for the page for operators. Optional.
	Ready func(context.Context) []Check
	// SignIn takes the token that answerLogin gave out, and returns a context with which Views
	// answer the owner, and the owner's address. An error means that the token is not good any
	// more. Without it nobody can log in.
	SignIn func(ctx context.Context, token string) (context.Context, string, error)
	// Private keeps all pages but those on logging in and on the API to who is logged in: it is for
	// pools where reading takes a token.
	Private bool
	// Secure tells whether a request came over TLS, also behind a proxy. Left out, it looks at
	// the connection alone.
	Secure func(*http.Request) bool

	// Name and Version are the pool's and the program's. Required.
	Name, Version string
	// Deadline is how long a page waits for its parts; 0 for five seconds.
	Deadline time.Duration
	// StaleAfter is how old news may be before a page says so; 0 for a minute.
	StaleAfter time.Duration
	// Log and Now are required.
	Log *slog.Logger
	Now func() time.Time
}

func (c *Config) validate() error {
	var errs []error
	for _, field := range []struct {
		missing bool
		name    string
	}{
		{c.Views == nil, "Views"}, {c.Template == nil, "Template"}, {c.Name == "", "Name"},
		{c.Version == "", "Version"}, {c.Log == nil, "Log"}, {c.Now == nil, "Now"},
	} {
		if field.missing {
			errs = append(errs, errors.New("web: "+field.name+" is required"))
		}
	}
	if c.Private && c.SignIn == nil {
		errs = append(errs, errors.New("web: Private requires SignIn: nobody could read"))
	}
	if c.Deadline < 0 || c.StaleAfter < 0 {
		errs = append(errs, errors.New("web: Deadline and StaleAfter must not be negative"))
	}
	return errors.Join(errs...)
}

// Pages serves the dashboard. All methods are safe for concurrent use.
type Pages struct {
	cfg    Config
	views  views
	assets *assets
	// plain and masked are the pages' templates; masked shorten addresses.
	plain, masked map[string]*template.Template
	contract      *contractDoc
	origin        *http.CrossOriginProtection
}

// New prepares everything that pages are made with: templates, assets in their compressed forms,
// and the contract that /docs shows.
func New(cfg Config) (*Pages, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = defaultDeadline
	}
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = defaultStaleAfter
	}
	if cfg.Secure == nil {
		cfg.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	p := &Pages{cfg: cfg, views: views{api: cfg.Views}, origin: http.NewCrossOriginProtection()}
	var err error
	if p.assets, err = newAssets(); err != nil {
		return nil, err
	}
	if p.plain, err = p.parse(); err != nil {
		return nil, err
	}
	if p.masked, err = masked(p.plain); err != nil {
		return nil, err
	}
	if p.contract, err = readContract(gbtpool.Contract()); err != nil {
		return nil, err
	}
	return p, nil
}

// Handler returns the pages as a handler of their own, with a page for what there is not.
func (p *Pages) Handler() http.Handler {
	r := chi.NewRouter()
	p.Mount(r)
	r.NotFound(p.NotFound)
	r.MethodNotAllowed(p.NotFound)
	return r
}

// Mount adds the pages' routes to a router. HEAD is served wherever GET is.
func (p *Pages) Mount(r chi.Router) {
	for path, h := range map[string]http.HandlerFunc{
		"/":                            p.readers(p.home),
		"/connect":                     p.readers(p.connect),
		"/accounts":                    p.readers(p.accounts),
		"/accounts/{address}":          p.readers(p.account),
		"/accounts/{address}/settings": p.settings,
		"/blocks":                      p.readers(p.blocks),
		"/blocks/{hash}":               p.readers(p.block),
		"/payouts":                     p.readers(p.payouts),
		"/payouts/{id}":                p.readers(p.payout),
		"/template":                    p.readers(p.template),
		"/operator":                    p.readers(p.operator),
		"/docs":                        p.docs,
		"/login":                       p.login,
	} {
		r.Method(http.MethodGet, path, p.guarded(h))
		r.Method(http.MethodHead, path, p.guarded(h))
	}
	for path, h := range map[string]http.HandlerFunc{
		"/template":                    p.readers(p.compareTemplate),
		"/login":                       p.logIn,
		"/logout":                      p.logOut,
		"/preferences":                 p.preferences,
		"/accounts/{address}/settings": p.saveSettings,
	} {
		r.Method(http.MethodPost, path, p.guarded(p.sameOrigin(h)))
	}
	for path, h := range map[string]http.HandlerFunc{
		"/assets/{name}": p.assets.serve,
		"/openapi.yaml":  p.openapi,
	} {
		r.Method(http.MethodGet, path, h)
		r.Method(http.MethodHead, path, h)
	}
}

// NotFound answers with the page for what there is not.
func (p *Pages) NotFound(w http.ResponseWriter, r *http.Request) {
	p.refuse(w, r, &trouble{Status: http.StatusNotFound, Detail: "There is no such page. The address may have a typing error."})
}

// refuse answers a request that has not come to a page with a trouble.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, t *trouble) {
	p.guarded(func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, t) }).ServeHTTP(w, r)
}

// Problem answers with a problem as a page, for middlewares that refuse a browser's request.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, problem oas.Problem) {
	p.refuse(w, r, &trouble{
		Status: problem.Status, Title: problem.Title, Detail: problem.Detail, Reason: problem.Reason, Until: problem.Until,
	})
}

// guarded gives a page its context, with its deadline and who is logged in, and turns a panic into
// the page for errors.
func (p *Pages) guarded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), p.cfg.Deadline)
		defer cancel()
		r = r.WithContext(p.signedIn(ctx, r))
		defer p.recovered(w, r)
		next(w, r)
	})
}

// readers keeps a page to who may read.
func (p *Pages) readers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.mayRead(r.Context()) {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next(w, r)
	}
}

// mayRead reports whether a request may be told what the pool does.
func (p *Pages) mayRead(ctx context.Context) bool { return !p.cfg.Private || ownerOf(ctx) != "" }

// recovered is deferred. It answers with the page for errors if what it is deferred for panics.
func (p *Pages) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // net/http's own way to hang up
	}
	p.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.String("path", r.URL.Path), slog.Any("panic", v))
	p.fail(w, r, &trouble{Status: http.StatusInternalServerError})
}

// sameOrigin refuses forms that another site's page sends.
func (p *Pages) sameOrigin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := p.origin.Check(r); err != nil {
			p.fail(w, r, &trouble{
				Status: http.StatusForbidden, Detail: "This form was sent by a page of another site. Open the page here and send it again.",
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			p.fail(w, r, &trouble{Status: http.StatusBadRequest, Detail: "The form is too large or cannot be read."})
			return
		}
		next(w, r)
	}
}

// maxForm is how large a form may be: 20,000 txids and the line ends between them.
const maxForm = 2 << 20
