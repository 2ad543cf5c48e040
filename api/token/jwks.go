package token

import (
	"encoding/base64"
	jsonv1 "encoding/json"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
)

// maxSet bounds the text of a JWK Set, in bytes.
const maxSet = 256 << 10

// maxKeys bounds the keys of a JWK Set.
const maxKeys = 64

// parseSet reads a JWK Set (RFC 7517, section 5). Keys that are not taken are left out, and told of as
// faults; keys for something else than signatures are left out.
func parseSet(raw []byte) (keys []*Key, faults []error, err error) {
	rows, err := decodeSet(raw)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows.Keys {
		k, err := parseKey(row)
		switch {
		case errors.Is(err, errOtherUse):
		case err != nil:
			faults = append(faults, err)
		default:
			keys = append(keys, k)
		}
	}
	return keys, faults, nil
}

// decodeSet decodes a JWK Set as it is written. No member may be there twice. Errors never quote it, as it
// may hold secrets.
func decodeSet(raw []byte) (jwkset.JWKSMarshal, error) {
	var rows jwkset.JWKSMarshal
	if len(raw) > maxSet {
		return rows, fmt.Errorf("it is larger than %d bytes", maxSet)
	}
	if err := json.Unmarshal(raw, &rows); err != nil || rows.Keys == nil {
		return rows, errors.New("it is not a JWK Set: JSON with a list of keys, as in RFC 7517")
	}
	if len(rows.Keys) > maxKeys {
		return rows, fmt.Errorf("it has %d keys, more than %d", len(rows.Keys), maxKeys)
	}
	return rows, nil
}

// encodeSet writes a JWK Set for people to read.
func encodeSet(rows jwkset.JWKSMarshal) ([]byte, error) {
	raw, err := jsonv1.MarshalIndent(rows, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keys: %w", err)
	}
	return append(raw, '\n'), nil
}

// row writes a key as a JWK; private says whether with what signs.
func (k *Key) row(private bool) (jwkset.JWKMarshal, error) {
	raw, ops := k.verify, []jwkset.KEYOPS{jwkset.KeyOpsVerify}
	if private && k.sign != nil {
		raw, ops = k.sign, []jwkset.KEYOPS{jwkset.KeyOpsSign, jwkset.KeyOpsVerify}
	}
	if secret, ok := raw.([]byte); ok {
		return jwkset.JWKMarshal{
			KTY: jwkset.KtyOct, USE: jwkset.UseSig, KEYOPS: ops, ALG: jwkset.AlgHS256, KID: k.id, K: base64.RawURLEncoding.EncodeToString(secret),
		}, nil
	}
	jwk, err := jwkset.NewJWKFromKey(raw, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: private},
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(k.algorithm), KID: k.id, KEYOPS: ops, USE: jwkset.UseSig},
	})
	if err != nil {
		return jwkset.JWKMarshal{}, fmt.Errorf("encode key %q: %w", k.id, err)
	}
	return jwk.Marshal(), nil
}

// PublicJWKS writes what others verify tokens with, as a JWK Set: no private part and no shared secret.
func PublicJWKS(keys *Set) ([]byte, error) {
	rows := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for k := range keys.All() {
		if k.algorithm == HS256 {
			continue
		}
		row, err := k.row(false)
		if err != nil {
			return nil, err
		}
		rows.Keys = append(rows.Keys, row)
	}
	return encodeSet(rows)
}
