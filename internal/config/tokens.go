package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/api/token"
)

// Tokens is which tokens let people in. Its tags are read by kong.
type Tokens struct {
	TokenIssuer     string        `default:"gbtpool" help:"Who issues tokens (iss) and, without public_url, whom addresses sign in to: the pool's host or URL."`
	TokenAudience   string        `default:"gbtpool" help:"Whom tokens are for (aud): this pool."`
	TokenKeysFile   string        `placeholder:"FILE" type:"path" help:"JWK Set with the keys that the pool signs tokens with, mode 0600, the same on all gateways of a pool (default token.keys in the data folder, made when missing)."`
	TokenJWKS       string        `name:"token-jwks" placeholder:"FILE|URL" help:"JWK Set of somebody else whose tokens are taken, too: EdDSA and ES256 keys, HS256 ones only from a file."`
	TokenJWKSIssuer string        `name:"token-jwks-issuer" placeholder:"TEXT" help:"Who issues those tokens (iss); by default it is as token_issuer."`
	TokenLeeway     time.Duration `default:"5s" help:"By how much the clocks of those who issue tokens may differ."`
}

// mostLeeway bounds token_leeway: a clock that is off by more is to be set.
const mostLeeway = 5 * time.Minute

// mostIssuer is how long token_issuer may be: it is in the text that hardware wallets sign.
const mostIssuer = 48

// TokenSettings is what Tokens configures, checked and converted.
type TokenSettings struct {
	Issuer, Audience string
	// KeysFile has the pool's own keys. MakeKeys says that it is made when it is missing.
	KeysFile string
	MakeKeys bool
	// JWKSFile or JWKSURL is where somebody else's keys are, and JWKSIssuer who that is; all are empty if
	// nobody else's are taken.
	JWKSFile, JWKSURL, JWKSIssuer string
	Leeway                        time.Duration
}

// Settings checks the configuration and converts it; dataDir is where the pool's own keys are by default. The
// error joins all faults; each names the setting to change.
func (t *Tokens) Settings(dataDir string) (TokenSettings, error) {
	s := TokenSettings{
		Issuer: t.TokenIssuer, Audience: t.TokenAudience, Leeway: t.TokenLeeway,
		KeysFile: t.TokenKeysFile, MakeKeys: t.TokenKeysFile == "",
	}
	var faults []error
	if !plainText(s.Issuer) || len(s.Issuer) > mostIssuer {
		faults = append(faults, fmt.Errorf("token_issuer: %q: want 1 to %d printable ASCII characters without spaces", s.Issuer, mostIssuer))
	}
	if !plainText(s.Audience) {
		faults = append(faults, fmt.Errorf("token_audience: %q: want printable ASCII without spaces", s.Audience))
	}
	if s.KeysFile == "" {
		s.KeysFile = filepath.Join(dataDir, "token.keys")
	}
	if strings.Contains(t.TokenJWKS, "://") {
		s.JWKSURL = t.TokenJWKS
		if err := token.CheckURL(s.JWKSURL); err != nil {
			faults = append(faults, fmt.Errorf("token_jwks: %w", err))
		}
	} else {
		s.JWKSFile = t.TokenJWKS
	}
	if t.TokenJWKS != "" {
		if s.JWKSIssuer = t.TokenJWKSIssuer; s.JWKSIssuer == "" {
			s.JWKSIssuer = s.Issuer
		}
	} else if t.TokenJWKSIssuer != "" {
		faults = append(faults, errors.New("token_jwks_issuer: name the keys of that issuer by token_jwks"))
	}
	if s.Leeway < 0 || s.Leeway > mostLeeway {
		faults = append(faults, fmt.Errorf("token_leeway: %s is not from 0s to %s", s.Leeway, mostLeeway))
	}
	return s, errors.Join(faults...)
}

// plainText reports whether text is some printable ASCII without spaces.
func plainText(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
