package bip322

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// kinds are the kinds of address that can be signed for.
func kinds() []string { return []string{"p2pkh", "p2pkh uncompressed", "p2wpkh", "p2tr"} }

// addressOf returns a key's address.
func addressOf(t rapid.TB, key *btcec.PrivateKey, kind string, chain *chaincfg.Params) string {
	t.Helper()
	var addr address.Address
	var err error
	switch kind {
	case "p2pkh":
		addr, err = address.NewAddressPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), chain)
	case "p2pkh uncompressed":
		addr, err = address.NewAddressPubKeyHash(address.Hash160(key.PubKey().SerializeUncompressed()), chain)
	case "p2wpkh":
		addr, err = address.NewAddressWitnessPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), chain)
	case "p2tr":
		addr, err = address.NewAddressTaproot(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(key.PubKey())), chain)
	default:
		t.Fatalf("no kind %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return addr.EncodeAddress()
}

// keyOf draws a private key.
func keyOf(t *rapid.T, label string) *btcec.PrivateKey {
	raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Filter(func(b []byte) bool {
		var s btcec.ModNScalar
		return !s.SetByteSlice(b) && !s.IsZero()
	}).Draw(t, label)
	key, _ := btcec.PrivKeyFromBytes(raw)
	return key
}

// TestRoundTrip signs any message for any kind of address, and then wants any change of the message, of the
// address and of any bit of the signature to be refused.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds()).Draw(t, "kind")
		chain := rapid.SampledFrom([]*chaincfg.Params{&chaincfg.MainNetParams, &chaincfg.RegressionNetParams}).Draw(t, "chain")
		key, other := keyOf(t, "key"), keyOf(t, "other")
		addr, message := addressOf(t, key, kind, chain), rapid.String().Draw(t, "message")
		signature, err := Sign(key, addr, message, chain)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(addr, message, signature, chain); err != nil {
			t.Fatal(err)
		}
		if changed := rapid.String().Draw(t, "changed"); changed != message && Verify(addr, changed, signature, chain) == nil {
			t.Errorf("%q signs %q", signature, changed)
		}
		if otherAddr := addressOf(t, other, kind, chain); otherAddr != addr {
			if Verify(otherAddr, message, signature, chain) == nil {
				t.Errorf("it is by %s, too", otherAddr)
			}
			if _, err := Sign(other, addr, message, chain); !errors.Is(err, ErrKey) {
				t.Errorf("another's key signs: %v", err)
			}
		}
		prefix, text := "", signature
		if rest, ok := strings.CutPrefix(text, prefixSimple); ok {
			prefix, text = prefixSimple, rest
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		bit := rapid.IntRange(0, 8*len(raw)-1).Draw(t, "bit")
		raw[bit/8] ^= 1 << (bit % 8)
		if Verify(addr, message, prefix+base64.StdEncoding.EncodeToString(raw), chain) == nil {
			t.Errorf("bit %d says nothing", bit)
		}
	})
}

// TestOfOtherKinds wants a signature for one kind of a key's addresses not to be one for another.
func TestOfOtherKinds(t *testing.T) {
	key, chain := testKey(), &chaincfg.MainNetParams
	for _, signed := range kinds() {
		signature, err := Sign(key, addressOf(t, key, signed, chain), "message", chain)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range kinds() {
			if err := Verify(addressOf(t, key, asked, chain), "message", signature, chain); (err == nil) != (asked == signed) {
				t.Errorf("signed for %s, asked for %s: %v", signed, asked, err)
			}
		}
	}
}

func testKey() *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	return key
}

// TestLegacy checks a signature that Bitcoin Core's signmessage made (its test/functional/rpc_signmessage.py).
func TestLegacy(t *testing.T) {
	const (
		addr      = "mpLQjfK79b7CCV4VMJWEWAj5Mpx8Up5zxB"
		message   = "This is just a test message"
		signature = "INbVnW4e6PeRmsv2Qgu8NuopvrVjkcxob+sX8OcZG0SALhWybUjzMLPdAsXI46YZGb0KQTRii+wWIQzRpG/U+S0="
	)
	if err := Verify(addr, message, signature, &chaincfg.RegressionNetParams); err != nil {
		t.Error(err)
	}
	if err := Verify(addr, message+".", signature, &chaincfg.RegressionNetParams); !errors.Is(err, ErrSignature) {
		t.Errorf("another message: %v", err)
	}
}

// TestAll takes the Taproot signature with SIGHASH_ALL that drafts of BIP 322 had for a vector.
func TestAll(t *testing.T) {
	const (
		addr      = "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3"
		signature = "AUHd69PrJQEv+oKTfZ8l+WROBHuy9HKrbFCJu7U1iK2iiEy1vMU5EfMtjc+VSHM7aU0SDbak5IUZRVno2P5mjSafAQ=="
	)
	if err := Verify(addr, "Hello World", signature, &chaincfg.MainNetParams); err != nil {
		t.Error(err)
	}
}

// TestRefused takes right signatures and breaks one rule each.
func TestRefused(t *testing.T) {
	key, chain := testKey(), &chaincfg.MainNetParams
	p2pkh, p2wpkh, p2tr := addressOf(t, key, "p2pkh", chain), addressOf(t, key, "p2wpkh", chain), addressOf(t, key, "p2tr", chain)
	tests := map[string]struct {
		addr      string
		signature string
		want      error
	}{
		"base64 without padding":  {p2wpkh, strings.TrimRight(text(witnessOf(t, key, p2wpkh, txscript.SigHashAll)), "="), ErrFormat},
		"base64 of URLs":          {p2tr, base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 66)), ErrFormat},
		"a line end after it":     {p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashDefault)) + "\n", ErrFormat},
		"a space before it":       {p2tr, " " + text(witnessOf(t, key, p2tr, txscript.SigHashDefault)), ErrFormat},
		"stray bits":              {p2tr, strings.Replace(text(witnessOf(t, key, p2tr, txscript.SigHashAll)), "AQ==", "AR==", 1), ErrFormat},
		"a byte after it":         {p2tr, encodeRaw(append(serial(witnessOf(t, key, p2tr, txscript.SigHashDefault)), 0)), ErrFormat},
		"long length":             {p2tr, encodeRaw(append([]byte{1, 0xfd, 64, 0}, witnessOf(t, key, p2tr, txscript.SigHashDefault)[0]...)), ErrFormat},
		"ends early":              {p2tr, encodeRaw([]byte{1, 64, 1}), ErrFormat},
		"ends before an item":     {p2wpkh, encodeRaw([]byte{2, 1, 1}), ErrFormat},
		"many items":              {p2wpkh, encodeRaw([]byte{0xff}), ErrFormat},
		"annex":                   {p2tr, text(append(witnessOf(t, key, p2tr, txscript.SigHashDefault), []byte{0x50})), ErrFormat},
		"default written out":     {p2tr, text(wire.TxWitness{append(witnessOf(t, key, p2tr, txscript.SigHashDefault)[0], 0)}), ErrFormat},
		"p2tr, none":              {p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashNone)), ErrFormat},
		"p2tr, single":            {p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashSingle)), ErrFormat},
		"p2tr, anyone can pay":    {p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashAll|txscript.SigHashAnyOneCanPay)), ErrFormat},
		"p2wpkh, none":            {p2wpkh, text(witnessOf(t, key, p2wpkh, txscript.SigHashNone)), ErrFormat},
		"p2wpkh, anyone can pay":  {p2wpkh, text(witnessOf(t, key, p2wpkh, txscript.SigHashAll|txscript.SigHashAnyOneCanPay)), ErrFormat},
		"p2wpkh, high S":          {p2wpkh, text(highS(t, witnessOf(t, key, p2wpkh, txscript.SigHashAll))), ErrSignature},
		"p2wpkh, no signature":    {p2wpkh, text(wire.TxWitness{nil, key.PubKey().SerializeCompressed()}), ErrFormat},
		"p2wpkh, long key":        {p2wpkh, text(wire.TxWitness{witnessOf(t, key, p2wpkh, txscript.SigHashAll)[0], key.PubKey().SerializeUncompressed()}), ErrFormat},
		"p2wpkh, signed as P2PKH": {p2wpkh, mustSign(t, key, p2pkh), ErrFormat},
		"full":                    {p2wpkh, "ful" + text(witnessOf(t, key, p2wpkh, txscript.SigHashAll)), ErrFormat},
		"proof of funds":          {p2wpkh, "pof" + text(witnessOf(t, key, p2wpkh, txscript.SigHashAll)), ErrFormat},
		"no base64":               {p2wpkh, "smp", ErrFormat},
		"much":                    {p2wpkh, strings.Repeat("A", 1<<20), ErrFormat},
		"p2pkh, high S":           {p2pkh, encodeRaw(legacyHighS(t, mustSign(t, key, p2pkh))), ErrFormat},
		"p2pkh, code of p2sh":     {p2pkh, encodeRaw(recoded(t, mustSign(t, key, p2pkh), 4)), ErrFormat},
		"p2pkh, code of p2wpkh":   {p2pkh, encodeRaw(recoded(t, mustSign(t, key, p2pkh), 8)), ErrFormat},
		"p2pkh, short":            {p2pkh, encodeRaw(make([]byte, 64)), ErrFormat},
		"p2pkh, zero":             {p2pkh, encodeRaw(append([]byte{31}, make([]byte, 64)...)), ErrSignature},
		"p2sh":                    {"37HVPoc7ZsU5C9Z2VKcCkSLzEknYXCzm3s", "AA==", ErrAddress},
		"p2wsh":                   {"bc1qp0ahvfh83088w49k405szqgg4f3pptr7p2g06tdxfjcd40z4lh4q95lsz9", "AA==", ErrAddress},
		"other chain":             {addressOf(t, key, "p2wpkh", &chaincfg.RegressionNetParams), mustSign(t, key, p2wpkh), ErrAddress},
		"no address":              {"miner", mustSign(t, key, p2wpkh), ErrAddress},
	}
	for name, tt := range tests {
		err := Verify(tt.addr, message, tt.signature, chain)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if errors.Is(tt.want, ErrAddress) != (Supports(tt.addr, chain) != nil) {
			t.Errorf("%s: Supports says %v", name, Supports(tt.addr, chain))
		}
	}
	for _, addr := range []string{"37HVPoc7ZsU5C9Z2VKcCkSLzEknYXCzm3s", "bc1qp0ahvfh83088w49k405szqgg4f3pptr7p2g06tdxfjcd40z4lh4q95lsz9"} {
		if err := Supports(addr, chain); err == nil || !strings.Contains(err.Error(), "P2PKH, P2WPKH") {
			t.Errorf("%s: %v does not say what is accepted", addr, err)
		}
	}
	if err := Verify(p2wpkh, message, mustSign(t, key, p2pkh), chain); err == nil || !strings.Contains(err.Error(), "BIP 322") {
		t.Errorf("%v does not say how to sign", err)
	}
	// What the table changes is right before.
	for _, right := range []struct{ addr, signature string }{
		{p2wpkh, text(witnessOf(t, key, p2wpkh, txscript.SigHashAll))},
		{p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashDefault))},
		{p2tr, text(witnessOf(t, key, p2tr, txscript.SigHashAll))},
		{p2pkh, mustSign(t, key, p2pkh)},
	} {
		if err := Verify(right.addr, message, right.signature, chain); err != nil {
			t.Errorf("%s: %v", right.addr, err)
		}
	}
}

func TestLongMessage(t *testing.T) {
	key, chain := testKey(), &chaincfg.MainNetParams
	addr := addressOf(t, key, "p2wpkh", chain)
	if _, err := Sign(key, addr, strings.Repeat("a", MaxMessage+1), chain); err == nil {
		t.Error("any length is signed")
	}
	if Verify(addr, strings.Repeat("a", MaxMessage+1), "AA==", chain) == nil {
		t.Error("any length is verified")
	}
}

// message is what the tests of refusals sign.
const message = "a message"

// witnessOf signs with any sighash type.
func witnessOf(t *testing.T, key *btcec.PrivateKey, addr string, kind txscript.SigHashType) wire.TxWitness {
	t.Helper()
	signer, err := decode(addr, &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVirtual(message, signer)
	if err != nil {
		t.Fatal(err)
	}
	hashes := txscript.NewTxSigHashes(v.toSign, v.coins())
	var w wire.TxWitness
	if txscript.IsPayToTaproot(v.script) {
		w, err = txscript.TaprootWitnessSignature(v.toSign, hashes, 0, 0, v.script, kind, key)
	} else {
		w, err = txscript.WitnessSignature(v.toSign, hashes, 0, 0, v.script, kind, key, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// serial serializes a witness with short items.
func serial(w wire.TxWitness) []byte {
	out := []byte{byte(len(w))}
	for _, item := range w {
		out = append(append(out, byte(len(item))), item...)
	}
	return out
}

func text(w wire.TxWitness) string { return encodeRaw(serial(w)) }

func encodeRaw(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func mustSign(t *testing.T, key *btcec.PrivateKey, addr string) string {
	t.Helper()
	signature, err := Sign(key, addr, message, &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// highS replaces S by the other one that there is. The first bytes of the new DER are written by hand, as no
// library writes them.
func highS(t *testing.T, w wire.TxWitness) wire.TxWitness {
	t.Helper()
	parsed, err := ecdsa.ParseDERSignature(w[0][:len(w[0])-1])
	if err != nil {
		t.Fatal(err)
	}
	r, s := parsed.R(), parsed.S()
	s.Negate()
	rb, sb := r.Bytes(), s.Bytes()
	der := append(derInteger(rb[:]), derInteger(sb[:])...)
	der = append([]byte{0x30, byte(len(der))}, der...)
	return wire.TxWitness{append(der, byte(txscript.SigHashAll)), w[1]}
}

func derInteger(b []byte) []byte {
	b = bytes.TrimLeft(b, "\x00")
	if b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return append([]byte{2, byte(len(b))}, b...)
}

// legacyHighS replaces S of a compact signature, and the parity with it.
func legacyHighS(t *testing.T, signature string) []byte {
	t.Helper()
	raw := recoded(t, signature, 0)
	var s btcec.ModNScalar
	s.SetByteSlice(raw[33:])
	s.Negate()
	b := s.Bytes()
	return append(append([]byte{(raw[0] - 27) ^ 1 + 27}, raw[1:33]...), b[:]...)
}

// recoded adds to a compact signature's code.
func recoded(t *testing.T, signature string, more byte) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	raw[0] += more
	return raw
}

// FuzzVerify wants no text to be taken for a signature but those that the key made, in the encodings that
// there are, and none to need much memory or to panic.
func FuzzVerify(f *testing.F) {
	key, chain := testKey(), &chaincfg.MainNetParams
	var addrs []string
	for _, kind := range kinds() {
		addr := addressOf(f, key, kind, chain)
		addrs = append(addrs, addr)
		signature, err := Sign(key, addr, message, chain)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(signature, message)
		f.Add(strings.TrimPrefix(signature, prefixSimple), message)
		f.Add(signature, "another message")
	}
	for _, seed := range []string{"", "smp", "AA==", "smpAA==", "AkcwRAIg", encodeRaw([]byte{2, 0, 0}), encodeRaw([]byte{1, 65}), encodeRaw(make([]byte, 65))} {
		f.Add(seed, message)
	}
	f.Fuzz(func(t *testing.T, signature, text string) {
		witness, err := decodeWitness(signature)
		if err == nil && encodeRaw(serial(witness)) != strings.TrimPrefix(signature, prefixSimple) {
			t.Errorf("%q is one of two encodings", signature)
		}
		for _, addr := range addrs {
			if Verify(addr, text, signature, chain) != nil {
				continue
			}
			made, err := Sign(key, addr, text, chain)
			if err != nil || text == message && strings.TrimPrefix(made, prefixSimple) != strings.TrimPrefix(signature, prefixSimple) {
				t.Errorf("%q by %s: %q was never signed: %v", text, addr, signature, err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key, chain := testKey(), &chaincfg.MainNetParams
	for _, kind := range kinds() {
		addr := addressOf(b, key, kind, chain)
		signature, err := Sign(key, addr, message, chain)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.ReplaceAll(kind, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Verify(addr, message, signature, chain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
