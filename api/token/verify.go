package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// Source is where keys come from. It is safe for concurrent use.
type Source interface {
	// Keys returns the keys that there are now; never nil.
	Keys() *Set
	// Learn looks for new keys, because a token names one that is not there. It bounds itself how often it
	// does, as anybody can make it look.
	Learn(ctx context.Context) error
}

// Config says whose tokens a Verifier takes.
type Config struct {
	// Issuer and Audience are what iss and aud have to say.
	Issuer, Audience string
	// Leeway is by how much clocks may differ; see DefaultLeeway.
	Leeway time.Duration
	// Sources are where keys come from; an earlier one goes before a later one.
	Sources []Source
	// Revocations tells which tokens were taken back; nil if none ever is.
	Revocations Revocations
	// Cached is how many verified tokens are kept, and how many answers about revocation; the default is
	// 16384.
	Cached int
	Now    func() time.Time
	Log    *slog.Logger
}

// DefaultLeeway is by how much clocks that are set by NTP differ at most.
const DefaultLeeway = 5 * time.Second

// MaxToken is the size of the longest token that is looked at, in bytes.
const MaxToken = 4096

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	cfg       Config
	parser    *jwt.Parser
	validator *jwt.Validator
	revoked   revocations
	// verified has what was verified, by the SHA-256 of the token's text.
	verified *cache[[sha256.Size]byte, verified]
}

// verified is a token whose signature is right.
type verified struct {
	wire   *wire
	key    *Key
	claims Claims
}

// NewVerifier returns a Verifier.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || len(cfg.Sources) == 0 || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("token: Issuer, Audience, Sources, Now and Log are required")
	}
	if cfg.Leeway < 0 {
		return nil, errors.New("token: Leeway must not be negative")
	}
	if cfg.Cached == 0 {
		cfg.Cached = 16384
	}
	options := []jwt.ParserOption{
		jwt.WithStrictDecoding(),
		jwt.WithValidMethods([]string{string(EdDSA), string(ES256), string(HS256)}),
		jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(cfg.Leeway), jwt.WithTimeFunc(cfg.Now),
	}
	return &Verifier{
		cfg: cfg, parser: jwt.NewParser(options...), validator: jwt.NewValidator(options...),
		revoked: revocations{
			from: cfg.Revocations, now: cfg.Now, log: cfg.Log, answers: newCache[string, answer](cfg.Cached),
		},
		verified: newCache[[sha256.Size]byte, verified](cfg.Cached),
	}, nil
}

// Verify returns what a token says, if it is right. The error is an *Error, of any kind but ErrScope and
// ErrUnavailable: what the token is good for, the claims' Require tells. A key that is not known is looked for
// once more, for at most some seconds.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Claims, error) {
	if len(raw) > MaxToken {
		return nil, refuse(ErrMalformed, fmt.Errorf("it has %d bytes, more than %d", len(raw), MaxToken))
	}
	sum := sha256.Sum256([]byte(raw))
	known, ok := v.verified.get(sum)
	if ok && v.holds(known.key) {
		// Only time has passed since.
		if err := v.validator.Validate(known.wire); err != nil {
			return nil, fromParser(err)
		}
	} else {
		var err error
		if known, err = v.parse(ctx, raw); err != nil {
			return nil, fromParser(err)
		}
		v.verified.put(sum, known)
	}
	claims := known.claims // the caller's own
	switch v.revoked.rule(ctx, claims.ID) {
	case revoked:
		return nil, refuse(ErrRevoked, nil)
	case unknown:
		claims.open = true
	case notRevoked:
	}
	return &claims, nil
}

// parse verifies a token that is not known.
func (v *Verifier) parse(ctx context.Context, raw string) (verified, error) {
	h, err := parseHeader(raw)
	if err != nil {
		return verified{}, err
	}
	key, err := v.find(ctx, h)
	if err != nil {
		return verified{}, err
	}
	if h.Algorithm != string(key.Algorithm()) {
		return verified{}, refuse(ErrAlgorithm, fmt.Errorf("alg is %q, the key is for %s", clip(h.Algorithm), key.Algorithm()))
	}
	w := new(wire)
	_, err = v.parser.ParseWithClaims(raw, w, func(t *jwt.Token) (any, error) {
		// The library has read the header for itself.
		if t.Method.Alg() != string(key.Algorithm()) {
			return nil, refuse(ErrAlgorithm, nil)
		}
		return key.verify, nil
	})
	if err != nil {
		return verified{}, err
	}
	return verified{w, key, w.claims(key)}, nil
}

// find returns the key that a token names. One that names none is of the only key that there is.
func (v *Verifier) find(ctx context.Context, h header) (*Key, error) {
	if h.KeyID == nil {
		var only []*Key
		for _, s := range v.cfg.Sources {
			only = slices.AppendSeq(only, s.Keys().All())
		}
		if len(only) != 1 {
			return nil, refuse(ErrKey, fmt.Errorf("kid is missing, and there are %d keys", len(only)))
		}
		return only[0], nil
	}
	if len(*h.KeyID) > maxKeyID || !printable(*h.KeyID) {
		return nil, refuse(ErrKey, errors.New("no key has such an id"))
	}
	if key := v.key(*h.KeyID); key != nil {
		return key, nil
	}
	var faults []error
	for _, s := range v.cfg.Sources {
		if err := s.Learn(ctx); err != nil {
			faults = append(faults, err)
		}
		if key := s.Keys().Key(*h.KeyID); key != nil {
			return key, nil
		}
	}
	return nil, refuse(ErrKey, errors.Join(append([]error{fmt.Errorf("kid is %q", *h.KeyID)}, faults...)...))
}

// key returns the key of an id, of the first source that has one.
func (v *Verifier) key(id string) *Key {
	for _, s := range v.cfg.Sources {
		if k := s.Keys().Key(id); k != nil {
			return k
		}
	}
	return nil
}

// holds reports whether a key is still the one of its id.
func (v *Verifier) holds(k *Key) bool {
	now := v.key(k.ID())
	return now != nil && now.print == k.print
}

// header is a token's header (RFC 7515, section 4).
type header struct {
	Algorithm string                    `json:"alg"`
	KeyID     *string                   `json:"kid"`
	Type      string                    `json:"typ"`
	Others    map[string]jsontext.Value `json:",embed"`
}

// parseHeader reads a header strictly: each parameter once, and none that wants the token to be understood in
// another way, or brings the key.
func parseHeader(raw string) (header, error) {
	var h header
	first, _, ok := strings.Cut(raw, ".")
	if !ok {
		return h, refuse(ErrMalformed, errors.New("it has no parts"))
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return h, refuse(ErrMalformed, err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, refuse(ErrMalformed, err)
	}
	for _, p := range []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip", "cty"} {
		if _, there := h.Others[p]; there {
			return h, refuse(ErrMalformed, fmt.Errorf("its header has %s", p))
		}
	}
	// Of other kinds of JWT, some are made of what others say (RFC 8725, section 3.11).
	switch typ := strings.TrimPrefix(strings.ToLower(h.Type), "application/"); typ {
	case "", "jwt", "at+jwt":
	default:
		return h, refuse(ErrMalformed, fmt.Errorf("typ is %q: it is no access token", clip(h.Type)))
	}
	switch Algorithm(h.Algorithm) {
	case EdDSA, ES256, HS256:
		return h, nil
	default:
		return h, refuse(ErrAlgorithm, fmt.Errorf("alg is %q", clip(h.Algorithm)))
	}
}

// clip shortens text that came from outside.
func clip(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
