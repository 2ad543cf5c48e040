package bip322

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// legacyMagic begins what Bitcoin Core's signmessage hashes.
	legacyMagic = "Bitcoin Signed Message:\n"
	// legacySize is the size of a signature from which the public key can be recovered: a code, R and S.
	legacySize = 65
	// legacyLeast and legacyMost bound the code: 27, more by the point's parity and overflow, and by 4 if the
	// public key is compressed. Higher ones, which some wallets use for witness addresses, are not P2PKH's.
	legacyLeast, legacyMost, legacyMostOfAny = 27, 34, 42
)

// legacyHash is what signmessage signs: the hash of magic and message, each with its length.
func legacyHash(message string) ([]byte, error) {
	var buf bytes.Buffer
	for _, part := range []string{legacyMagic, message} {
		if err := wire.WriteVarString(&buf, 0, part); err != nil {
			return nil, fmt.Errorf("bip322: %w", err)
		}
	}
	return chainhash.DoubleHashB(buf.Bytes()), nil
}

// verifyLegacy checks a signature by a P2PKH address.
func verifyLegacy(signer *address.AddressPubKeyHash, message, signature string) error {
	raw, err := decodeText(signature)
	if err != nil {
		return err
	}
	if len(raw) != legacySize || raw[0] < legacyLeast || raw[0] > legacyMost {
		return fmt.Errorf("%w: for P2PKH, want the %d bytes that signmessage makes", ErrFormat, legacySize)
	}
	var s btcec.ModNScalar
	if overflow := s.SetByteSlice(raw[1+32:]); overflow || s.IsOverHalfOrder() {
		return fmt.Errorf("%w: its S is not the low one of the two that there are", ErrFormat)
	}
	hash, err := legacyHash(message)
	if err != nil {
		return err
	}
	key, compressed, err := ecdsa.RecoverCompact(raw, hash)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if !bytes.Equal(address.Hash160(serialize(key, compressed)), signer.Hash160()[:]) {
		return fmt.Errorf("%w: it is another key's", ErrSignature)
	}
	return nil
}

// signLegacy signs as signmessage does.
func signLegacy(key *btcec.PrivateKey, signer *address.AddressPubKeyHash, message string) (string, error) {
	hash, err := legacyHash(message)
	if err != nil {
		return "", err
	}
	for _, compressed := range []bool{true, false} {
		if bytes.Equal(address.Hash160(serialize(key.PubKey(), compressed)), signer.Hash160()[:]) {
			return base64.StdEncoding.EncodeToString(ecdsa.SignCompact(key, hash, compressed)), nil
		}
	}
	return "", ErrKey
}

// serialize returns a public key in one of its two encodings.
func serialize(key *btcec.PublicKey, compressed bool) []byte {
	if compressed {
		return key.SerializeCompressed()
	}
	return key.SerializeUncompressed()
}
