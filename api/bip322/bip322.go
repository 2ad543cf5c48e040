package bip322

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Verify checks that a signature is by an address for a message, whose bytes are taken as they are. The error
// matches ErrAddress, ErrFormat or ErrSignature, or else is about the message's size.
func Verify(addr, message, signature string, chain *chaincfg.Params) error {
	signer, err := decode(addr, chain)
	if err != nil {
		return err
	}
	if err := checkMessage(message); err != nil {
		return err
	}
	if legacy, ok := signer.(*address.AddressPubKeyHash); ok {
		return verifyLegacy(legacy, message, signature)
	}
	witness, err := decodeWitness(signature)
	if err != nil {
		return err
	}
	if _, ok := signer.(*address.AddressTaproot); ok {
		err = checkP2TR(witness)
	} else {
		err = checkP2WPKH(witness)
	}
	if err != nil {
		return err
	}
	v, err := newVirtual(message, signer)
	if err != nil {
		return err
	}
	return v.run(witness)
}

// Sign signs a message with the key of an address, in the form that Verify takes for that address. The key of
// a P2TR address is the one before it is tweaked (BIP 86). The same message gets the same signature. The
// error matches ErrAddress, or ErrKey if the key is not the address's.
func Sign(key *btcec.PrivateKey, addr, message string, chain *chaincfg.Params) (string, error) {
	signer, err := decode(addr, chain)
	if err != nil {
		return "", err
	}
	if err := checkMessage(message); err != nil {
		return "", err
	}
	if legacy, ok := signer.(*address.AddressPubKeyHash); ok {
		return signLegacy(key, legacy, message)
	}
	v, err := newVirtual(message, signer)
	if err != nil {
		return "", err
	}
	witness, err := v.sign(key, signer)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	if err := wire.WriteVarInt(&buf, 0, uint64(len(witness))); err != nil {
		return "", fmt.Errorf("bip322: %w", err)
	}
	for _, item := range witness {
		if err := wire.WriteVarBytes(&buf, 0, item); err != nil {
			return "", fmt.Errorf("bip322: %w", err)
		}
	}
	return prefixSimple + base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

// sign makes the witness of toSign.
func (v *virtual) sign(key *btcec.PrivateKey, signer address.Address) (wire.TxWitness, error) {
	hashes := txscript.NewTxSigHashes(v.toSign, v.coins())
	var witness wire.TxWitness
	var err error
	if _, ok := signer.(*address.AddressTaproot); ok {
		output := txscript.ComputeTaprootKeyNoScript(key.PubKey())
		if !bytes.Equal(schnorr.SerializePubKey(output), signer.ScriptAddress()) {
			return nil, ErrKey
		}
		witness, err = txscript.TaprootWitnessSignature(v.toSign, hashes, 0, 0, v.script, txscript.SigHashDefault, key)
	} else {
		if !bytes.Equal(address.Hash160(key.PubKey().SerializeCompressed()), signer.ScriptAddress()) {
			return nil, ErrKey
		}
		witness, err = txscript.WitnessSignature(v.toSign, hashes, 0, 0, v.script, txscript.SigHashAll, key, true)
	}
	if err != nil {
		return nil, fmt.Errorf("bip322: sign: %w", err)
	}
	return witness, nil
}

// checkMessage bounds a message.
func checkMessage(message string) error {
	if len(message) > MaxMessage {
		return errors.New("bip322: the message is longer than 16384 bytes")
	}
	return nil
}
