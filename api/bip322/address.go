package bip322

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

var (
	// ErrAddress says that a signer is no address on the chain, or one of a kind that cannot sign here.
	ErrAddress = errors.New("the address cannot be signed for")
	// ErrFormat says that a signature is not written in the one form that is taken for its address.
	ErrFormat = errors.New("the signature is not in the right form")
	// ErrSignature says that a signature is well formed, but not of this address for this message.
	ErrSignature = errors.New("the signature is not of this address for this message")
	// ErrKey says that a key is not the one of the address that is to be signed for.
	ErrKey = errors.New("the key is not the address's")
)

// accepted ends the errors of addresses that are not.
const accepted = "accepted are P2PKH, P2WPKH (such as bc1q..., 42 characters) and P2TR (such as bc1p...) that is spent by its key"

// decode reads the address of a signer.
func decode(addr string, chain *chaincfg.Params) (address.Address, error) {
	decoded, err := address.DecodeAddress(addr, chain)
	if err != nil || !decoded.IsForNet(chain) {
		return nil, fmt.Errorf("%w: it is not one on %s", ErrAddress, chain.Name)
	}
	switch decoded.(type) {
	case *address.AddressPubKeyHash, *address.AddressWitnessPubKeyHash, *address.AddressTaproot:
		return decoded, nil
	case *address.AddressScriptHash:
		return nil, fmt.Errorf("%w: it is P2SH; %s", ErrAddress, accepted)
	case *address.AddressWitnessScriptHash:
		return nil, fmt.Errorf("%w: it is P2WSH; %s", ErrAddress, accepted)
	default:
		return nil, fmt.Errorf("%w: %s", ErrAddress, accepted)
	}
}

// Supports reports, by an error that matches ErrAddress, why an address on a chain cannot be signed for; nil
// if it can.
func Supports(addr string, chain *chaincfg.Params) error {
	_, err := decode(addr, chain)
	return err
}
