package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
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

// Issuer is somebody whose tokens are taken.
type Issuer struct {
	// Name is what iss has to say in tokens that are signed with these keys.
	Name string
	Keys Source
}

// Config says whose tokens a Verifier takes.
type Config struct {
	// Issuers are those whose tokens are taken. If two have keys of one id, the earlier one's counts.
	Issuers []Issuer
	// Audience is what aud has to name.
	Audience string
	// Leeway is by how much clocks may differ; see DefaultLeeway.
	Leeway time.Duration
	// Revocations tells which tokens were taken back; nil if none ever is.
	Revocations Revocations
	// Cached is how many verified tokens are kept, and how many answers about revocation; the default is
	// 16384.
	Cached int
	// Refused, if set, hears of each token that is refused, and why: one of Reasons.
	Refused func(reason string)
	Now     func() time.Time
	Log     *slog.Logger
}

// DefaultLeeway is by how much clocks that are set by NTP differ at most.
const DefaultLeeway = 5 * time.Second

// MaxToken is the size of the longest token that is looked at, in bytes.
const MaxToken = 4096

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	issuers []*trusted
	revoked revocations
	// verified has what was verified, by the SHA-256 of the token's text.
	verified *cache[[sha256.Size]byte, verified]
}

// trusted is an issuer, and what checks its tokens.
type trusted struct {
	Issuer
	parser    *jwt.Parser
	validator *jwt.Validator
}

// verified is a token whose signature is right.
type verified struct {
	wire   *wire
	key    *Key
	by     *trusted
	claims Claims
}

// NewVerifier returns a Verifier.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Audience == "" || len(cfg.Issuers) == 0 || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("token: Audience, Issuers, Now and Log are required")
	}
	if cfg.Leeway < 0 {
		return nil, errors.New("token: Leeway must not be negative")
	}
	if cfg.Cached == 0 {
		cfg.Cached = 16384
	}
	v := &Verifier{
		cfg: cfg,
		revoked: revocations{
			from: cfg.Revocations, now: cfg.Now, log: cfg.Log, answers: newCache[string, answer](cfg.Cached),
		},
		verified: newCache[[sha256.Size]byte, verified](cfg.Cached),
	}
	for _, by := range cfg.Issuers {
		if by.Name == "" || by.Keys == nil {
			return nil, errors.New("token: an issuer has to have a name and keys")
		}
		options := []jwt.ParserOption{
			jwt.WithStrictDecoding(),
			jwt.WithValidMethods([]string{string(EdDSA), string(ES256), string(HS256)}),
			jwt.WithIssuer(by.Name), jwt.WithAudience(cfg.Audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
			jwt.WithLeeway(cfg.Leeway), jwt.WithTimeFunc(cfg.Now),
		}
		v.issuers = append(v.issuers, &trusted{by, jwt.NewParser(options...), jwt.NewValidator(options...)})
	}
	return v, nil
}

// Verify returns what a token says, if it is right. The error is an *Error, of any kind but ErrScope and
// ErrUnavailable: what the token is good for, the claims' Require tells. A key that is not known is looked for
// once more, for at most some seconds.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Claims, error) {
	claims, e := v.verify(ctx, raw)
	if e == nil {
		return claims, nil
	}
	if v.cfg.Refused != nil {
		v.cfg.Refused(e.reason())
	}
	return nil, e
}

func (v *Verifier) verify(ctx context.Context, raw string) (*Claims, *Error) {
	if len(raw) > MaxToken {
		return nil, refuse(ErrMalformed, fmt.Errorf("it has %d bytes, more than %d", len(raw), MaxToken))
	}
	sum := sha256.Sum256([]byte(raw))
	known, ok := v.verified.get(sum)
	if ok && v.holds(known) {
		// Only time has passed since.
		if err := known.by.validator.Validate(known.wire); err != nil {
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
	key, by, err := v.find(ctx, h)
	if err != nil {
		return verified{}, err
	}
	if h.Algorithm != string(key.Algorithm()) {
		return verified{}, refuse(ErrAlgorithm, fmt.Errorf("alg is %q, the key is for %s", clip(h.Algorithm), key.Algorithm()))
	}
	w := new(wire)
	_, err = by.parser.ParseWithClaims(raw, w, func(t *jwt.Token) (any, error) {
		// The library has read the header for itself.
		if t.Method.Alg() != string(key.Algorithm()) {
			return nil, refuse(ErrAlgorithm, nil)
		}
		return key.verify, nil
	})
	if err != nil {
		return verified{}, err
	}
	return verified{w, key, by, w.claims(key)}, nil
}

// find returns the key that a token names, and whose it is. A token that names none is of the only key that
// there is.
func (v *Verifier) find(ctx context.Context, h header) (*Key, *trusted, error) {
	if h.KeyID == nil {
		return v.only()
	}
	if len(*h.KeyID) > maxKeyID || !printable(*h.KeyID) {
		return nil, nil, refuse(ErrKey, errors.New("no key has such an id"))
	}
	if key, by := v.key(*h.KeyID); key != nil {
		return key, by, nil
	}
	faults := []error{fmt.Errorf("kid is %q", *h.KeyID)}
	for _, by := range v.issuers {
		if err := by.Keys.Learn(ctx); err != nil {
			faults = append(faults, err)
		}
	}
	if key, by := v.key(*h.KeyID); key != nil {
		return key, by, nil
	}
	return nil, nil, refuse(ErrKey, errors.Join(faults...))
}

// only returns the key if there is just one.
func (v *Verifier) only() (*Key, *trusted, error) {
	var key *Key
	var whose *trusted
	count := 0
	for _, by := range v.issuers {
		for k := range by.Keys.Keys().All() {
			key, whose = k, by
			count++
		}
	}
	if count != 1 {
		return nil, nil, refuse(ErrKey, fmt.Errorf("kid is missing, and there are %d keys", count))
	}
	return key, whose, nil
}

// key returns the key of an id, of the first issuer that has one; nil if none has.
func (v *Verifier) key(id string) (*Key, *trusted) {
	for _, by := range v.issuers {
		if k := by.Keys.Keys().Key(id); k != nil {
			return k, by
		}
	}
	return nil, nil
}

// holds reports whether the key of a token is still the one of its id.
func (v *Verifier) holds(known verified) bool {
	now, by := v.key(known.key.ID())
	return now != nil && by == known.by && now.print == known.key.print
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
