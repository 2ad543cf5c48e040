package token

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// SigningKey has the key that new tokens are signed with. A File does.
type SigningKey interface {
	Current() (*Key, error)
}

// SignerConfig says how tokens are made.
type SignerConfig struct {
	// Issuer and Audience are what iss and aud say.
	Issuer, Audience string
	// Keys has the key to sign with.
	Keys SigningKey
	Now  func() time.Time
}

// MaxTTL is the longest that a token is made for. What is good for ever is forgotten, and found.
const MaxTTL = 5 * 366 * 24 * time.Hour

// Signer makes tokens. It is safe for concurrent use.
type Signer struct{ cfg SignerConfig }

// NewSigner returns a Signer.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || cfg.Keys == nil || cfg.Now == nil {
		return nil, errors.New("token: Issuer, Audience, Keys and Now are required")
	}
	return &Signer{cfg}, nil
}

// Grant is what a new token is for.
type Grant struct {
	// Account is whose token it is: a payout address, or empty for an operator.
	Account string
	// Worker is the one worker that it is for; empty for any.
	Worker string
	// Name is what people call it.
	Name string
	// Scopes is what it is good for: at least one.
	Scopes []Scope
	// TTL is for how long it holds, in whole seconds: from 1 second to MaxTTL.
	TTL time.Duration
}

// Sign makes a token, with an id that no other has, from now on.
func (s *Signer) Sign(g Grant) (string, *Claims, error) {
	if g.TTL < time.Second || g.TTL > MaxTTL {
		return "", nil, fmt.Errorf("token: it cannot hold for %s: want 1s to %s", g.TTL, MaxTTL)
	}
	if len(g.Scopes) == 0 {
		return "", nil, errors.New("token: it would be good for nothing: name a scope")
	}
	for _, scope := range g.Scopes {
		if !scope.Known() {
			return "", nil, fmt.Errorf("token: there is no scope %q; those that there are: %s", scope, joinScopes(Scopes()))
		}
	}
	key, err := s.cfg.Keys.Current()
	if err != nil {
		return "", nil, err
	}
	now := s.cfg.Now().Truncate(time.Second)
	issued, expires := float64(now.Unix()), float64(now.Add(g.TTL).Unix())
	w := &wire{
		Issuer: s.cfg.Issuer, Audience: jwt.ClaimStrings{s.cfg.Audience}, Subject: &g.Account, ID: rand.Text(),
		IssuedAt: &issued, Expires: &expires, Scope: joinScopes(g.Scopes), Worker: g.Worker, Name: g.Name,
	}
	// What is made here has to be taken here.
	if err := w.Validate(); err != nil {
		return "", nil, fmt.Errorf("token: %w", err)
	}
	t := jwt.NewWithClaims(key.method(), w)
	t.Header["kid"] = key.ID()
	raw, err := t.SignedString(key.sign)
	if err != nil {
		return "", nil, fmt.Errorf("token: sign: %w", err)
	}
	claims := w.claims(key)
	return raw, &claims, nil
}
