package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// Form is how a key's outputs are locked.
type Form string

// The forms of a HotKey.
const (
	// P2WPKH is a witness public key hash (BIP 141), an address that begins with bc1q on mainnet.
	P2WPKH Form = "p2wpkh"
	// P2TR is Taproot spent by its key, which commits to no script (BIP 86): bc1p on mainnet.
	P2TR Form = "p2tr"
)

// HotKeyConfig says where a HotKey's key is.
type HotKeyConfig struct {
	// Path is the key file: one line with the private key in WIF, or as 64 hexadecimal digits. Its mode
	// has to be 0600 or 0400.
	Path string
	// Form is the outputs' form; the default is P2WPKH.
	Form Form
	// Chain is the chain in use.
	Chain *chaincfg.Params
	// Unspent looks coins up.
	Unspent Lookup
}

// HotKey signs with a key that it has. It implements payouts.Wallet, is immutable and safe for concurrent
// use.
type HotKey struct {
	watch
	key     *btcec.PrivateKey
	address string
}

// NewHotKey reads a key file. It fails with ErrKeyFile if the file is for others to read, or holds no key
// for the chain.
func NewHotKey(cfg HotKeyConfig) (*HotKey, error) {
	if cfg.Chain == nil || cfg.Unspent == nil {
		return nil, errors.New("wallet: Chain and Unspent are required")
	}
	key, err := readKeyFile(cfg.Path, cfg.Chain)
	if err != nil {
		return nil, err
	}
	addr, err := addressOf(key.PubKey(), cfg.Form, cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	script, err := txscript.PayToAddrScript(addr)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return &HotKey{
		watch:   watch{script: script, chain: cfg.Chain, unspent: cfg.Unspent},
		key:     key,
		address: addr.EncodeAddress(),
	}, nil
}

// addressOf returns the address of a key.
func addressOf(key *btcec.PublicKey, form Form, chain *chaincfg.Params) (address.Address, error) {
	switch form {
	case "", P2WPKH:
		return address.NewAddressWitnessPubKeyHash(address.Hash160(key.SerializeCompressed()), chain)
	case P2TR:
		return address.NewAddressTaproot(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(key)), chain)
	default:
		return nil, fmt.Errorf("the form %q of the key's outputs is neither %s nor %s", form, P2WPKH, P2TR)
	}
}

// Address returns the address that the key's coins have, to be used for the pool's coinbases.
func (k *HotKey) Address() string { return k.address }

// Sign implements payouts.Wallet. It signs only if all coins are the key's own. The same transaction gets
// the same signatures.
func (k *HotKey) Sign(_ context.Context, tx *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	if err := pair(tx, coins); err != nil {
		return nil, err
	}
	for i, c := range coins {
		if !bytes.Equal(c.Script, k.script) {
			return nil, fmt.Errorf("wallet: input %d spends %s, which is not of the key's address %s but has the script %x", i, c.OutPoint, k.address, c.Script)
		}
	}
	out := unsigned(tx)
	hashes := txscript.NewTxSigHashes(out, fetcher(coins))
	for i, c := range coins {
		var err error
		if txscript.IsPayToTaproot(k.script) {
			out.TxIn[i].Witness, err = txscript.TaprootWitnessSignature(out, hashes, i, c.Value, k.script, txscript.SigHashDefault, k.key)
		} else {
			out.TxIn[i].Witness, err = txscript.WitnessSignature(out, hashes, i, c.Value, k.script, txscript.SigHashAll, k.key, true)
		}
		if err != nil {
			return nil, fmt.Errorf("wallet: input %d: %w", i, err)
		}
	}
	if err := verify(out, coins); err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return out, nil
}
