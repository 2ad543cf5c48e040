package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is how a key signs, in the names of RFC 7518 and RFC 8037.
type Algorithm string

const (
	// EdDSA is a signature with Ed25519, the default.
	EdDSA Algorithm = "EdDSA"
	// ES256 is ECDSA on P-256 with SHA-256.
	ES256 Algorithm = "ES256"
	// HS256 is HMAC with SHA-256: whoever can verify can sign.
	HS256 Algorithm = "HS256"
)

// leastSecret is the least size of an HS256 key, in bytes (RFC 7518, section 3.2).
const leastSecret = sha256.Size

// maxKeyID bounds the id of a key, in bytes.
const maxKeyID = 128

// Key is a key that is for one algorithm. It is immutable.
type Key struct {
	id        string
	algorithm Algorithm
	// verify and sign are what the algorithm takes; sign is nil if the key only verifies.
	verify, sign any
	// print tells keys of one id apart.
	print [sha256.Size]byte
}

// ID is the key's id (kid).
func (k *Key) ID() string { return k.id }

// Algorithm is the one that the key is for (alg).
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// Signs reports whether the key can sign, and not only verify.
func (k *Key) Signs() bool { return k.sign != nil }

// secret reports whether somebody who sees the key can sign with it.
func (k *Key) secret() bool { return k.sign != nil || k.algorithm == HS256 }

// method is the algorithm, for the library.
func (k *Key) method() jwt.SigningMethod { return jwt.GetSigningMethod(string(k.algorithm)) }

// errOtherUse says that a key is for something else than signatures: no fault, but nothing for tokens.
var errOtherUse = errors.New("it is not for signatures")

// parseKey makes a key of a JWK. What it says of certificates is left aside: nothing here trusts any.
func parseKey(m jwkset.JWKMarshal) (*Key, error) {
	if m.KID == "" || len(m.KID) > maxKeyID || !printable(m.KID) {
		return nil, fmt.Errorf("kid: want 1 to %d printable characters", maxKeyID)
	}
	if m.USE != "" && m.USE != jwkset.UseSig {
		return nil, fmt.Errorf("key %q: use is %q: %w", m.KID, m.USE, errOtherUse)
	}
	signs := len(m.KEYOPS) == 0 || slices.Contains(m.KEYOPS, jwkset.KeyOpsSign)
	if len(m.KEYOPS) > 0 && !signs && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return nil, fmt.Errorf("key %q: key_ops has neither sign nor verify: %w", m.KID, errOtherUse)
	}
	want, ok := map[Algorithm]struct {
		kty jwkset.KTY
		crv jwkset.CRV
	}{EdDSA: {jwkset.KtyOKP, jwkset.CrvEd25519}, ES256: {jwkset.KtyEC, jwkset.CrvP256}, HS256: {jwkset.KtyOct, ""}}[Algorithm(m.ALG)]
	switch {
	case m.ALG == "":
		return nil, fmt.Errorf("key %q: alg is missing; it has to say which algorithm the key is for", m.KID)
	case !ok:
		return nil, fmt.Errorf("key %q: the algorithm %q is not taken; those that are: EdDSA with Ed25519, ES256, and HS256 in files", m.KID, m.ALG)
	case m.KTY != want.kty || m.CRV != want.crv:
		return nil, fmt.Errorf("key %q: alg is %q, but kty is %q and crv %q", m.KID, m.ALG, m.KTY, m.CRV)
	}
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{StrictPadding: true})
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", m.KID, err)
	}
	k, err := newKey(m.KID, jwk.Key())
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", m.KID, err)
	}
	if !signs {
		k.sign = nil
	}
	return k, nil
}

// newKey makes a key of what a library calls one.
func newKey(id string, raw any) (*Key, error) {
	k := &Key{id: id}
	switch raw := raw.(type) {
	case ed25519.PublicKey:
		k.algorithm, k.verify = EdDSA, raw
	case ed25519.PrivateKey:
		// The library keeps both halves as they are written: whoever signs with halves of two keys
		// gives the private one away.
		if !raw.Equal(ed25519.NewKeyFromSeed(raw.Seed())) {
			return nil, errors.New("d and x are not of one key")
		}
		k.algorithm, k.verify, k.sign = EdDSA, raw.Public(), raw
	case *ecdsa.PublicKey:
		k.algorithm, k.verify = ES256, raw
	case *ecdsa.PrivateKey:
		k.algorithm, k.verify, k.sign = ES256, &raw.PublicKey, raw
	case []byte:
		if len(raw) < leastSecret {
			return nil, fmt.Errorf("the secret has %d bytes, want at least %d", len(raw), leastSecret)
		}
		k.algorithm, k.verify, k.sign = HS256, raw, raw
	default:
		return nil, fmt.Errorf("a key of the type %T is not taken", raw)
	}
	h := sha256.New()
	h.Write([]byte(k.algorithm + " "))
	switch pub := k.verify.(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, errors.New("the curve is not P-256")
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, err
		}
		h.Write(point)
	case ed25519.PublicKey:
		h.Write(pub)
	case []byte:
		h.Write(pub)
	}
	k.print = [sha256.Size]byte(h.Sum(nil))
	return k, nil
}

// Set is some keys, each with an id of its own. It is immutable.
type Set struct {
	keys []*Key
	byID map[string]*Key
}

// newSet makes a set; two keys of one id are an error.
func newSet(keys []*Key) (*Set, error) {
	s := &Set{keys: keys, byID: make(map[string]*Key, len(keys))}
	for _, k := range keys {
		if _, twice := s.byID[k.id]; twice {
			return nil, fmt.Errorf("key %q is there twice", k.id)
		}
		s.byID[k.id] = k
	}
	return s, nil
}

// Key returns a key by its id; nil if there is none.
func (s *Set) Key(id string) *Key { return s.byID[id] }

// Len returns how many keys there are.
func (s *Set) Len() int { return len(s.keys) }

// All goes through the keys, in the order of the source.
func (s *Set) All() iter.Seq[*Key] { return slices.Values(s.keys) }
