package bip322

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// MaxSignature is more than the text of any signature that is taken has, in bytes.
	MaxSignature = 200
	// MaxMessage is the longest message that is taken, in bytes: what people read before they sign is shorter.
	MaxMessage = 16 << 10
)

const (
	prefixSimple = "smp"
	prefixFull   = "ful"
	prefixFunds  = "pof"
)

// The sizes of a P2WPKH witness's parts, in bytes.
const (
	// leastDER and mostDER bound an ECDSA signature in DER with its sighash type. The shortest that anybody
	// can make has some zeros at the front of R and S.
	leastDER, mostDER = 9, 73
	compressedKey     = 33
)

// decodeText decodes base64 that is written in the one way that there is.
func decodeText(signature string) ([]byte, error) {
	if signature == "" || len(signature) > MaxSignature {
		return nil, fmt.Errorf("%w: its text has %d characters, want 1 to %d", ErrFormat, len(signature), MaxSignature)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	// The decoder passes over line ends.
	if err != nil || strings.ContainsAny(signature, "\r\n") {
		return nil, fmt.Errorf("%w: it is not base64, whole and with nothing around it", ErrFormat)
	}
	return raw, nil
}

// decodeWitness decodes a simple signature: a witness, serialized as in a transaction (BIP 144), with no
// byte too many. Without a prefix it is taken for a simple one, as BIP 322 allows.
func decodeWitness(signature string) (wire.TxWitness, error) {
	text := signature
	if len(text) >= len(prefixSimple) {
		switch text[:len(prefixSimple)] {
		case prefixSimple:
			text = text[len(prefixSimple):]
		case prefixFull, prefixFunds:
			return nil, fmt.Errorf("%w: it is of the %s variant of BIP 322, and only the simple one (%s) is taken", ErrFormat, text[:len(prefixFull)], prefixSimple)
		}
	}
	raw, err := decodeText(text)
	if err != nil {
		return nil, err
	}
	// Everything that is taken has lengths of one byte. So there is one encoding, and a count never makes
	// room for more than there is.
	if len(raw) == legacySize && raw[0] >= legacyLeast && raw[0] <= legacyMostOfAny {
		return nil, fmt.Errorf("%w: it is of signmessage's form, which is for P2PKH addresses; have the wallet sign as in BIP 322", ErrFormat)
	}
	items, rest := int(raw[0]), raw[1:]
	if items < 1 || items > 2 {
		return nil, fmt.Errorf("%w: a witness of a key has 1 or 2 items", ErrFormat)
	}
	witness := make(wire.TxWitness, 0, items)
	for range items {
		if len(rest) == 0 || int(rest[0]) > len(rest)-1 {
			return nil, fmt.Errorf("%w: it ends within the witness", ErrFormat)
		}
		size := int(rest[0])
		witness, rest = append(witness, rest[1:1+size]), rest[1+size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: it goes on for %d bytes after the witness", ErrFormat, len(rest))
	}
	return witness, nil
}

// checkP2WPKH wants a signature with SIGHASH_ALL and a compressed public key (BIP 143).
func checkP2WPKH(w wire.TxWitness) error {
	switch {
	case len(w) != 2 || len(w[0]) < leastDER || len(w[0]) > mostDER || len(w[1]) != compressedKey:
		return fmt.Errorf("%w: the witness of P2WPKH is an ECDSA signature and a compressed public key", ErrFormat)
	case w[0][len(w[0])-1] != byte(txscript.SigHashAll):
		return fmt.Errorf("%w: it does not sign all of the transaction (SIGHASH_ALL)", ErrFormat)
	}
	return nil
}

// checkP2TR wants a Schnorr signature with SIGHASH_DEFAULT, which is 64 bytes, or SIGHASH_ALL (BIP 341).
func checkP2TR(w wire.TxWitness) error {
	if len(w) != 1 {
		return fmt.Errorf("%w: the witness of P2TR that is spent by its key is one signature; script paths and annexes are not taken", ErrFormat)
	}
	switch size := len(w[0]); {
	case size == schnorr.SignatureSize:
		return nil
	case size == schnorr.SignatureSize+1 && w[0][size-1] == byte(txscript.SigHashAll):
		return nil
	default:
		return fmt.Errorf("%w: want a Schnorr signature of 64 bytes, or 65 with SIGHASH_ALL", ErrFormat)
	}
}
