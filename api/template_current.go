package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/oas"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
)

// pathCurrentTemplate is where what is being mined is shown.
const pathCurrentTemplate = "/api/v1/template/current"

// templateText is the public part of an answer, which everybody gets on one template.
type templateText struct {
	seq  uint64 // of the template
	body []byte // JSON
}

// serveCurrentTemplate serves GET and HEAD /api/v1/template/current: a templateDoc, with the
// account's own view in it if the request has Basic credentials as miners send them, or a token of an
// account. Without a template the answer is a problem with status 503, with credentials that are none 401.
//
// The answer has an ETag, which changes with the template and what is the account's own, so that
// who asks again with If-None-Match is told 304 until there is news.
func (s *Server) serveCurrentTemplate(w http.ResponseWriter, r *http.Request) {
	who, ok := s.identify(r)
	known := r.Header.Get("Authorization") != ""
	if claims, read := token.FromContext(r.Context()); read {
		known = claims.Account != ""
		who = caller{userAgent: who.userAgent}
		who.account, who.worker, who.err = gbt.ParseUser(userOf(claims), s.cfg.Chain)
	}
	switch {
	case known && !ok:
		writeProblem(w, http.StatusUnauthorized,
			"the Authorization header is no HTTP Basic: use your payout address as the user name with any password, or send none")
		return
	case known && who.err != nil:
		writeProblem(w, http.StatusUnauthorized, who.refusal())
		return
	case known && who.passwordErr != nil:
		writeProblem(w, http.StatusUnauthorized, asRPCError(who.passwordErr).Message)
		return
	}
	text, err := s.currentTemplate()
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	body, cache := text.body, "no-cache"
	if known {
		cache = "private, no-cache"
		if body, err = s.withAccount(body, &who); err != nil {
			s.writeError(w, r, err)
			return
		}
	}
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", cache)
	h.Set("Vary", "Authorization")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// currentTemplate returns the public part for the template in force, made once for each. The error
// matches gbt.ErrUnavailable if there is none.
func (s *Server) currentTemplate() (*templateText, error) {
	// The previous one first: if another comes into force meanwhile, it is still older.
	previous, ok := s.cfg.Desk.Previous()
	if !ok {
		previous = nil
	}
	t, err := s.cfg.Desk.Current()
	if err != nil {
		return nil, err
	}
	if text := s.current.Load(); text != nil && text.seq == t.Seq {
		return text, nil
	}
	body, err := json.Marshal(newTemplateDoc(t, previous, s.cfg.Chain))
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	text := &templateText{seq: t.Seq, body: append(body, '\n')}
	s.current.Store(text)
	return text, nil
}

// withAccount adds an account's own view to the public part.
func (s *Server) withAccount(public []byte, who *caller) ([]byte, error) {
	t, err := s.cfg.Desk.Current()
	if err != nil {
		return nil, err
	}
	work, err := s.cfg.Desk.Issue(who.account, gbt.TemplateRequest{
		Capabilities: mutations(), Rules: ruleNames(t), Worker: who.worker, Difficulty: who.difficulty, UserAgent: who.userAgent,
	})
	if err != nil {
		return nil, err
	}
	view, err := json.Marshal(newAccountDoc(work, who, s.cfg.Chain))
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	body := make([]byte, 0, len(public)+len(view)+len(`,"account":`))
	body = append(body, bytes.TrimSuffix(public, []byte("}\n"))...)
	body = append(body, `,"account":`...)
	body = append(body, view...)
	return append(body, "}\n"...), nil
}

// ruleNames returns the names of all rules of a template, as a client names those that it knows.
func ruleNames(t *gbt.Template) []string {
	names := append(make([]string, 0, 1+len(t.Rules)), "segwit") // which not every node names
	for _, rule := range t.Rules {
		names = append(names, strings.TrimPrefix(rule, "!"))
	}
	return names
}

// mutations lists what a client can ask to be allowed (BIP 23, Mutations and Submission
// Abbreviation), but for version/reduce, which is the mark of a program that cannot do some of it.
func mutations() []string {
	return []string{
		"coinbase", "coinbase/append", "generation", "time", "time/increment", "time/decrement",
		"transactions", "transactions/add", "prevblock", "version/force",
		"submit/hash", "submit/coinbase", "submit/truncate", "share/coinbase", "share/merkle", "share/truncate",
	}
}

// Template returns what is being mined as GET /api/v1/template/current tells everybody. The error matches
// gbt.ErrUnavailable if there is none.
func (s *Server) Template(context.Context) (*oas.Template, error) {
	text, err := s.currentTemplate()
	if err != nil {
		return nil, err
	}
	out := new(oas.Template)
	if err := json.Unmarshal(text.body, out); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return out, nil
}
