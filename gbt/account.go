package gbt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// ErrUser matches every error of ParseUser.
var ErrUser = errors.New("user name not accepted")

// maxUserLength bounds a user name: the longest address is 62 characters, and hardware cuts names
// at 63 or 127.
const maxUserLength = 191

// Account is whom work is issued to and shares are credited to: a payout address on the chain in
// use. The zero Account is nobody.
type Account struct {
	// Address is the canonical encoding, so one account has one name.
	Address string
	// Script is the address's scriptPubKey.
	Script string
}

// ParseUser splits the user name ADDRESS[.worker] that miners send and checks the address against
// the chain. P2PKH, P2SH, P2WPKH, P2WSH and P2TR are accepted. Errors match ErrUser and say what
// to change.
func ParseUser(user string, chain *chaincfg.Params) (account Account, worker string, err error) {
	if len(user) > maxUserLength {
		return Account{}, "", fmt.Errorf("%w: longer than %d characters", ErrUser, maxUserLength)
	}
	name, worker, _ := strings.Cut(user, ".")
	if name == "" {
		return Account{}, "", fmt.Errorf("%w: use your payout address as the user name, as in ADDRESS or ADDRESS.worker", ErrUser)
	}
	if strings.ContainsFunc(worker, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Account{}, "", fmt.Errorf("%w: the worker name after the dot may hold printable ASCII only", ErrUser)
	}
	addr, err := address.DecodeAddress(name, chain)
	if err != nil || !addr.IsForNet(chain) {
		return Account{}, "", fmt.Errorf("%w: %q is not an address on %s: %s", ErrUser, clip(name), chain.Name, addressFault(name, chain, err))
	}
	switch addr.(type) {
	case *address.AddressPubKeyHash, *address.AddressScriptHash, *address.AddressWitnessPubKeyHash,
		*address.AddressWitnessScriptHash, *address.AddressTaproot:
	default:
		return Account{}, "", fmt.Errorf("%w: %q is no P2PKH, P2SH, P2WPKH, P2WSH or P2TR address", ErrUser, name)
	}
	script, err := txscript.PayToAddrScript(addr)
	if err != nil {
		return Account{}, "", fmt.Errorf("%w: %q: %w", ErrUser, name, err)
	}
	return Account{Address: addr.EncodeAddress(), Script: string(script)}, worker, nil
}

// addressFault says why a name is no address on chain, given what decoding it there returned: that
// it is one on another chain, if so.
func addressFault(name string, chain *chaincfg.Params, err error) string {
	others := []*chaincfg.Params{
		&chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.RegressionNetParams, &chaincfg.SimNetParams,
	}
	for _, other := range others {
		if other.Name == chain.Name {
			continue
		}
		if addr, err := address.DecodeAddress(name, other); err == nil && addr.IsForNet(other) {
			return "it belongs to " + other.Name
		}
	}
	if err == nil {
		return "it belongs to another chain"
	}
	return err.Error()
}

// clip shortens text that came from outside for use in a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
