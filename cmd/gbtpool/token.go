package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/config"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// tokenCmd is what operators do with the tokens that let people in.
type tokenCmd struct {
	Create  tokenCreateCmd  `cmd:"" help:"Make a token and print it, alone on standard output."`
	Inspect tokenInspectCmd `cmd:"" help:"Verify a token and show what it says; exit 0 if it is right."`
	Revoke  tokenRevokeCmd  `cmd:"" help:"Take a token back, on all gateways within seconds."`
	Keys    tokenKeysCmd    `cmd:"" help:"Show the keys that tokens are signed with; --jwks publishes them."`
	Rotate  tokenRotateCmd  `cmd:"" help:"Sign new tokens with a new key; what older keys have signed stays good until they are removed."`
	Remove  tokenRemoveCmd  `cmd:"" help:"Remove an older key: what it has signed is good for nothing from then on."`
}

// tokenFlags say which tokens there are.
type tokenFlags struct {
	Config      kong.ConfigFlag `short:"c" placeholder:"FILE" help:"YAML file, as for serve."`
	config.Pool `embed:"" group:"config"`

	// kept is where revocations are; nil for Redis.
	kept revoker
}

// revoker keeps which tokens were taken back.
type revoker interface {
	token.Revocations
	// Revoke takes the token of an id back until it would be over anyway.
	Revoke(ctx context.Context, id string, until time.Time) error
}

// revocations opens what keeps revocations for a while.
func (f *tokenFlags) revocations(ctx context.Context, do func(revoker) error) error {
	if f.kept != nil {
		return do(f.kept)
	}
	flags := &ledgerFlags{Pool: f.Pool}
	return flags.with(ctx, func(l *redisstore.Ledger) error {
		r, err := revocationsOf(l)
		if err != nil {
			return err
		}
		return do(r)
	})
}

// keys opens the pool's own keys.
func (f *tokenFlags) keys() (config.TokenSettings, *token.File, error) {
	s, err := f.Settings(f.DataDir)
	if err != nil {
		return s, nil, err
	}
	file, err := openKeys(&s, slog.New(slog.DiscardHandler))
	return s, file, err
}

// verifier returns what verifies tokens as a gateway does. Keys of a URL are fetched once.
func (f *tokenFlags) verifier(ctx context.Context, revocations token.Revocations) (*token.Verifier, error) {
	s, err := f.Settings(f.DataDir)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	t, err := openTokens(&s, log)
	if err != nil {
		return nil, err
	}
	for _, issuer := range t.Issuers[1:] {
		if err := issuer.Keys.Learn(ctx); err != nil {
			return nil, fmt.Errorf("token_jwks: %w", err)
		}
	}
	return token.NewVerifier(token.Config{
		Issuers: t.Issuers, Audience: s.Audience, Leeway: s.Leeway, Revocations: revocations, Now: time.Now, Log: log,
	})
}

// tokenCreateCmd makes a token.
type tokenCreateCmd struct {
	tokenFlags `embed:""`
	Scope      []token.Scope `required:"" placeholder:"SCOPE" help:"What it is good for, with commas between: mine, stats:read, account:write, admin."`
	Account    string        `placeholder:"ADDRESS" help:"Whose it is: ADDRESS, or ADDRESS.worker for one worker. Without it is an operator's, and good for every account."`
	TTL        time.Duration `name:"ttl" default:"720h" help:"For how long it holds."`
	Name       string        `placeholder:"TEXT" help:"What people call it."`
}

// Run implements the command. What is to be known beside the token goes to standard error.
func (c *tokenCreateCmd) Run(_ context.Context, out *screen, errs errScreen) error {
	grant := token.Grant{Scopes: c.Scope, TTL: c.TTL, Name: c.Name}
	if c.Account != "" && slices.Contains(c.Scope, token.Admin) {
		return errors.New("--scope: admin is an operator's: leave out --account, or admin")
	}
	if c.Account != "" {
		chain, err := config.ChainParams(c.Chain)
		if err != nil {
			return err
		}
		account, worker, err := gbt.ParseUser(c.Account, chain)
		if err != nil {
			return fmt.Errorf("account: %w", err)
		}
		grant.Account, grant.Worker = account.Address, worker
	}
	s, keys, err := c.keys()
	if err != nil {
		return err
	}
	signer, err := token.NewSigner(token.SignerConfig{Issuer: s.Issuer, Audience: s.Audience, Keys: keys, Now: time.Now})
	if err != nil {
		return err
	}
	raw, claims, err := signer.Sign(grant)
	if err != nil {
		return err
	}
	out.printf("%s", raw)
	showClaims(errs.screen, claims)
	errs.printf("whoever has it can use it; take it back with `gbtpool token revoke %s`", claims.ID)
	return nil
}

// showClaims shows what a token says.
func showClaims(out *screen, c *token.Claims) {
	row := func(name, value string) {
		if value != "" {
			out.printf("  %-8s %s", name, value)
		}
	}
	row("id", out.paint(bold, c.ID))
	row("name", printableOnly(c.Name))
	if c.Account == "" {
		row("account", out.paint(yellow, "none: an operator's, good for every account"))
	}
	row("account", c.Account)
	row("worker", c.Worker)
	scopes := make([]string, 0, len(c.Scopes()))
	for _, s := range c.Scopes() {
		if !s.Known() {
			s += " (grants nothing)"
		}
		scopes = append(scopes, string(s))
	}
	row("scopes", strings.Join(scopes, " "))
	if !c.Issued.IsZero() {
		row("issued", c.Issued.Format(time.RFC3339))
	}
	row("expires", c.Expires.Format(time.RFC3339)+", "+until(time.Until(c.Expires)))
	row("key", c.KeyID)
}

// until says in how long something is.
func until(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "now"
	case d < time.Hour:
		return "in " + count(int(d/time.Minute), "minute")
	case d < 2*day:
		return "in " + count(int(d/time.Hour), "hour")
	default:
		return "in " + count(int(d/day), "day")
	}
}

// printableOnly shows text that somebody else may have written, without what a terminal would obey.
func printableOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// tokenInspectCmd verifies a token.
type tokenInspectCmd struct {
	tokenFlags `embed:""`
	Token      string `arg:"" help:"The token, or - to read it from standard input, where no list of processes shows it."`

	in io.Reader // standard input if nil
}

// Run implements the command.
func (c *tokenInspectCmd) Run(ctx context.Context, out *screen) error {
	raw, err := readToken(c.Token, c.in)
	if err != nil {
		return err
	}
	if c.Redis == "" && c.kept == nil {
		return c.show(ctx, out, raw, nil, "no redis is named")
	}
	shown := false
	err = c.revocations(ctx, func(r revoker) error {
		shown = true
		return c.show(ctx, out, raw, r, "")
	})
	if !shown && err != nil {
		return c.show(ctx, out, raw, nil, err.Error())
	}
	return err
}

// show verifies a token and shows it. untold says why nobody can tell whether it was revoked.
func (c *tokenInspectCmd) show(ctx context.Context, out *screen, raw string, r token.Revocations, untold string) error {
	var from token.Revocations
	var asked *askedOnce
	if r != nil {
		asked = &askedOnce{from: r}
		from = asked
	}
	verifier, err := c.verifier(ctx, from)
	if err != nil {
		return err
	}
	claims, err := verifier.Verify(ctx, raw)
	if err != nil {
		refused, ok := errors.AsType[*token.Error](err)
		if !ok {
			return err
		}
		out.printf("%s %s", out.paint(red, "✗"), refused.Public())
		if refused.Cause != nil {
			out.printf("  %s", printableOnly(refused.Cause.Error()))
		}
		return errSilent
	}
	if asked != nil && asked.err != nil {
		untold = asked.err.Error()
	}
	out.printf("%s the token is right", out.paint(green, "✓"))
	showClaims(out, claims)
	if untold != "" {
		out.printf("%s whether it was revoked is not known: %s", out.paint(yellow, "!"), untold)
	}
	return nil
}

// askedOnce remembers why Revocations could not tell.
type askedOnce struct {
	from token.Revocations
	err  error
}

// Revoked implements token.Revocations.
func (a *askedOnce) Revoked(ctx context.Context, id string) (bool, error) {
	is, err := a.from.Revoked(ctx, id)
	a.err = err
	return is, err
}

// readToken returns a token that was given, or is read.
func readToken(given string, in io.Reader) (string, error) {
	if given != "-" {
		return strings.TrimSpace(given), nil
	}
	if in == nil {
		in = os.Stdin
	}
	text, err := io.ReadAll(io.LimitReader(in, 2*token.MaxToken))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// tokenRevokeCmd takes a token back.
type tokenRevokeCmd struct {
	tokenFlags `embed:""`
	Token      string `arg:"" help:"The token's id, or the token, or - to read either from standard input."`

	in io.Reader // standard input if nil
}

// Run implements the command. Of a bare id it is not known how long the token would hold, so it is kept for
// as long as any can.
func (c *tokenRevokeCmd) Run(ctx context.Context, out *screen) error {
	id, err := readToken(c.Token, c.in)
	if err != nil {
		return err
	}
	ends := time.Now().Add(token.MaxTTL)
	if strings.Contains(id, ".") {
		verifier, err := c.verifier(ctx, nil)
		if err != nil {
			return err
		}
		claims, err := verifier.Verify(ctx, id)
		if err != nil {
			return fmt.Errorf("it opens nothing as it is: %w", err)
		}
		id, ends = claims.ID, claims.Expires.Add(c.TokenLeeway)
	}
	if id == "" {
		return errors.New("name the token or its id")
	}
	return c.revocations(ctx, func(r revoker) error {
		if err := r.Revoke(ctx, id, ends); err != nil {
			return err
		}
		out.printf("%s %s: gateways refuse it within seconds", out.paint(green, "revoked"), printableOnly(id))
		return nil
	})
}
