package bip322

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// vectors are those of BIP 322.
type vectors struct {
	Hashes []struct {
		Message     string `json:"message"`
		Address     string `json:"address"`
		MessageHash string `json:"message_hash"`
		ToSpend     string `json:"to_spend_tx_hash"`
		ToSign      string `json:"to_sign_tx_hash"`
	} `json:"tx_hashes"`
	Simple []struct {
		Message    string   `json:"message"`
		Key        string   `json:"private_key"`
		Address    string   `json:"address"`
		Signatures []string `json:"bip322_signatures"`
	} `json:"simple"`
	Errors []struct {
		Description string `json:"description"`
		Message     string `json:"message"`
		Address     string `json:"address"`
		Signature   string `json:"signature"`
		Refused     string `json:"refused"`
	} `json:"error"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Hashes) != 3 || len(v.Simple) != 5 || len(v.Errors) != 16 {
		t.Fatalf("%d hashes, %d signatures and %d errors: the vectors were not read", len(v.Hashes), len(v.Simple), len(v.Errors))
	}
	return v
}

func TestVectorHashes(t *testing.T) {
	for _, tt := range readVectors(t).Hashes {
		signer, err := decode(tt.Address, &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		hash := messageHash(tt.Message)
		if got := hex.EncodeToString(hash[:]); got != tt.MessageHash {
			t.Errorf("%q: the message's hash is %s, want %s", tt.Message, got, tt.MessageHash)
		}
		v, err := newVirtual(tt.Message, signer)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.toSpend.TxHash().String(); got != tt.ToSpend {
			t.Errorf("%q: to_spend is %s, want %s", tt.Message, got, tt.ToSpend)
		}
		if got := v.toSign.TxHash().String(); got != tt.ToSign {
			t.Errorf("%q: to_sign is %s, want %s", tt.Message, got, tt.ToSign)
		}
	}
}

// TestVectorSimple checks the BIP's signatures, and that the same key makes one that is right, with the
// prefix that signers have to write.
func TestVectorSimple(t *testing.T) {
	same := 0
	for _, tt := range readVectors(t).Simple {
		for _, signature := range tt.Signatures {
			if err := Verify(tt.Address, tt.Message, signature, &chaincfg.MainNetParams); err != nil {
				t.Errorf("%q by %s: %v", tt.Message, tt.Address, err)
			}
		}
		wif, err := btcutil.DecodeWIF(tt.Key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := Sign(wif.PrivKey, tt.Address, tt.Message, &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(tt.Address, tt.Message, made, &chaincfg.MainNetParams); err != nil {
			t.Errorf("%q by %s: what was signed here: %v", tt.Message, tt.Address, err)
		}
		if slices.Contains(tt.Signatures, made) || slices.Contains(tt.Signatures, made[len(prefixSimple):]) {
			same++
		}
	}
	if same < 3 {
		t.Errorf("only %d signatures are the BIP's own", same)
	}
}

func TestVectorErrors(t *testing.T) {
	kinds := map[string]error{"format": ErrFormat, "signature": ErrSignature, "address": ErrAddress}
	for _, tt := range readVectors(t).Errors {
		err := Verify(tt.Address, tt.Message, tt.Signature, &chaincfg.MainNetParams)
		if !errors.Is(err, kinds[tt.Refused]) {
			t.Errorf("%s: %v, want %v", tt.Description, err, kinds[tt.Refused])
		}
	}
}
