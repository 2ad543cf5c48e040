package devnet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// form is a way to lock and spend an output.
type form int

const (
	p2pkh  form = iota // legacy
	nested             // P2SH-P2WPKH (BIP 141)
	p2wpkh             // BIP 141
	p2tr               // spent by the key path (BIP 341)
	forms
)

// purse owns the outputs of one form.
type purse struct {
	form   form
	key    *btcec.PrivateKey
	script []byte // the outputs' scriptPubKey
	// program is the witness program, also where it hides behind a P2SH script.
	program []byte
}

// newPurse derives a purse from a seed.
func newPurse(seed uint64, f form, chain *chaincfg.Params) (*purse, error) {
	secret := sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(f)}, seed))
	key, public := btcec.PrivKeyFromBytes(secret[:])
	hash := address.Hash160(public.SerializeCompressed())
	p := &purse{form: f, key: key}
	var addr address.Address
	var err error
	switch f {
	case p2pkh:
		addr, err = address.NewAddressPubKeyHash(hash, chain)
	case p2wpkh, nested:
		addr, err = address.NewAddressWitnessPubKeyHash(hash, chain)
	case p2tr:
		output := txscript.ComputeTaprootKeyNoScript(public)
		addr, err = address.NewAddressTaproot(schnorr.SerializePubKey(output), chain)
	default:
		err = fmt.Errorf("form %d", f)
	}
	if err != nil {
		return nil, fmt.Errorf("devnet: purse: %w", err)
	}
	if p.program, err = txscript.PayToAddrScript(addr); err != nil {
		return nil, fmt.Errorf("devnet: purse: %w", err)
	}
	p.script = p.program
	if f == nested {
		if addr, err = address.NewAddressScriptHash(p.program, chain); err != nil {
			return nil, fmt.Errorf("devnet: purse: %w", err)
		}
		if p.script, err = txscript.PayToAddrScript(addr); err != nil {
			return nil, fmt.Errorf("devnet: purse: %w", err)
		}
	}
	return p, nil
}

// inputWeight returns the most that an input of the form weighs.
func (f form) inputWeight() int64 {
	const plain = 4 * (36 + 1 + 4) // outpoint, length of the scriptSig, sequence
	const keyed = 1 + 1 + 73 + 1 + 33
	switch f {
	case p2pkh:
		return plain + 4*(keyed-1)
	case nested:
		return plain + 4*23 + keyed
	case p2wpkh:
		return plain + keyed
	default:
		return plain + 1 + 1 + 65
	}
}

// sign fills in an input that spends an output of the purse.
func (p *purse) sign(tx *wire.MsgTx, input int, value int64, hashes *txscript.TxSigHashes) error {
	in := tx.TxIn[input]
	var err error
	switch p.form {
	case p2pkh:
		in.SignatureScript, err = txscript.SignatureScript(tx, input, p.script, txscript.SigHashAll, p.key, true)
	case nested, p2wpkh:
		in.Witness, err = txscript.WitnessSignature(tx, hashes, input, value, p.program, txscript.SigHashAll, p.key, true)
		if err == nil && p.form == nested {
			in.SignatureScript, err = txscript.NewScriptBuilder().AddData(p.program).Script()
		}
	default:
		in.Witness, err = txscript.TaprootWitnessSignature(tx, hashes, input, value, p.script, txscript.SigHashDefault, p.key)
	}
	if err != nil {
		return fmt.Errorf("devnet: sign: %w", err)
	}
	return nil
}
