package wallet

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

const (
	// magic begins every PSBT (BIP 174).
	magic = "psbt\xff"
	// maxPSBT is the longest PSBT that is looked at, in bytes. Signers may add all transactions that the
	// inputs come from.
	maxPSBT = 16 << 20
	// maxKeys is how many keys a map of a PSBT may have: the library compares each with all others.
	maxKeys = 1000
)

// EncodePSBT returns a PSBT (BIP 174, version 0) in its binary form, to be signed elsewhere. coins are what
// the transaction spends, in the order of its inputs. The sighash type is left to be the default.
func EncodePSBT(tx *wire.MsgTx, coins []payouts.Coin) ([]byte, error) {
	if err := pair(tx, coins); err != nil {
		return nil, err
	}
	packet, err := psbt.NewFromUnsignedTx(unsigned(tx))
	if err != nil {
		return nil, fmt.Errorf("wallet: PSBT: %w", err)
	}
	for i, c := range coins {
		packet.Inputs[i].WitnessUtxo = wire.NewTxOut(c.Value, c.Script)
	}
	var out bytes.Buffer
	if err := packet.Serialize(&out); err != nil {
		return nil, fmt.Errorf("wallet: PSBT: %w", err)
	}
	return out.Bytes(), nil
}

// EncodePSBTText is EncodePSBT in base64, as programs show and paste it.
func EncodePSBTText(tx *wire.MsgTx, coins []payouts.Coin) (string, error) {
	raw, err := EncodePSBT(tx, coins)
	return base64.StdEncoding.EncodeToString(raw), err
}

// DecodePSBT reads what a signer has made of a transaction: a PSBT, binary, in base64 or in hexadecimal
// digits, or the signed transaction itself in hexadecimal digits. It returns want with its witnesses, and
// nothing else is changed. coins are what it spends, in the order of its inputs.
//
// It fails with ErrMismatch if another transaction was signed, in whatever respect, and with ErrSignature
// if an input is not signed, or not validly, or not for all of the transaction. It takes memory in
// proportion to the data.
func DecodePSBT(data []byte, want *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	if err := pair(want, coins); err != nil {
		return nil, err
	}
	raw, err := unwrap(data)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	var out *wire.MsgTx
	if bytes.HasPrefix(raw, []byte(magic)) {
		out, err = decodePacket(raw, want, coins)
	} else {
		out, err = decodeRaw(raw, want, coins)
	}
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return out, nil
}

// unwrap returns data without the digits or the base64 that it may be in.
func unwrap(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte(magic)) {
		return data, nil
	}
	if len(data) > 2*maxPSBT {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errMalformed, 2*maxPSBT)
	}
	text := string(slices.DeleteFunc(bytes.Clone(data), func(b byte) bool { return b <= ' ' })) // lines may be broken
	if raw, err := hex.DecodeString(text); err == nil && len(raw) > 0 {
		return raw, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !bytes.HasPrefix(raw, []byte(magic)) {
		return nil, fmt.Errorf("%w: it is neither a PSBT, binary or in base64, nor a signed transaction in hexadecimal digits", errMalformed)
	}
	return raw, nil
}

// decodePacket takes the signatures from a PSBT.
func decodePacket(raw []byte, want *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	inner, maps, err := walkPSBT(raw, len(want.TxIn))
	if err != nil {
		return nil, err
	}
	tx, err := decodeTx(inner, false)
	if err != nil {
		return nil, err
	}
	if err := same(want, tx); err != nil {
		return nil, err
	}
	if n := 1 + len(tx.TxIn) + len(tx.TxOut); maps != n {
		return nil, fmt.Errorf("%w: a PSBT of %d maps, want %d", errMalformed, maps, n)
	}
	packet, err := psbt.NewFromRawBytes(bytes.NewReader(raw), false)
	if err != nil {
		return nil, fmt.Errorf("%w: PSBT: %w", errMalformed, err)
	}
	for i, c := range coins {
		if err := sameCoin(i, &packet.Inputs[i], c); err != nil {
			return nil, err
		}
		// Signatures are all that is taken. The rest says how to finish them, which is known better here:
		// what a signer says of the coin or of sighash types would choose another way.
		in := packet.Inputs[i]
		packet.Inputs[i] = psbt.PInput{
			WitnessUtxo:        wire.NewTxOut(c.Value, c.Script),
			PartialSigs:        in.PartialSigs,
			TaprootKeySpendSig: in.TaprootKeySpendSig,
			FinalScriptWitness: in.FinalScriptWitness,
		}
		if _, err := psbt.MaybeFinalize(packet, i); err != nil {
			return nil, fmt.Errorf("%w: input %d, which spends %s: %w: %w", ErrSignature, i, c.OutPoint, errUnsigned, err)
		}
		if tx.TxIn[i].Witness, err = decodeWitness(packet.Inputs[i].FinalScriptWitness); err != nil {
			return nil, fmt.Errorf("%w: input %d, which spends %s: %w", ErrSignature, i, c.OutPoint, err)
		}
	}
	return accept(tx, want, coins)
}

// sameCoin compares what a PSBT says of the coin that an input spends, if it does.
func sameCoin(i int, in *psbt.PInput, c payouts.Coin) error {
	outs := []*wire.TxOut{in.WitnessUtxo}
	if prev := in.NonWitnessUtxo; prev != nil {
		if prev.TxHash() != c.OutPoint.Hash || int64(c.OutPoint.Index) >= int64(len(prev.TxOut)) {
			return mismatch("input %d comes with another transaction than the one that it spends", i)
		}
		outs = append(outs, prev.TxOut[c.OutPoint.Index])
	}
	for _, out := range outs {
		switch {
		case out == nil:
		case out.Value != c.Value:
			return mismatch("input %d is said to spend %d sat, want %d", i, out.Value, c.Value)
		case !bytes.Equal(out.PkScript, c.Script):
			return mismatch("input %d is said to spend the script %s, want %x", i, clip(out.PkScript), c.Script)
		}
	}
	if len(in.FinalScriptSig) != 0 {
		return mismatch("input %d has a scriptSig, which changes the transaction's id", i)
	}
	return nil
}

// decodeWitness decodes a final witness. The library's Extract sets memory aside for as many parts as it
// is said to have.
func decodeWitness(raw []byte) (wire.TxWitness, error) {
	if len(raw) > maxWitness {
		return nil, fmt.Errorf("a witness of %d bytes, which is more than one key's", len(raw))
	}
	var out wire.TxWitness
	w := walk{rest: raw}
	w.each(func() { out = append(out, w.take(w.size())) })
	if w.short || len(w.rest) != 0 {
		return nil, fmt.Errorf("%w: the witness does not have the length that it says", errMalformed)
	}
	return out, nil
}

// walkPSBT fails unless all that a PSBT of as many inputs counts is there, and returns its unsigned
// transaction, which it does not look into, and how many maps it has.
func walkPSBT(raw []byte, inputs int) (tx []byte, maps int, err error) {
	if len(raw) > maxPSBT {
		return nil, 0, fmt.Errorf("%w: it is longer than %d bytes", errMalformed, maxPSBT)
	}
	w := walk{rest: raw[len(magic):]}
	for ; len(w.rest) > 0; maps++ {
		for keys := 0; ; keys++ {
			key := w.take(w.size())
			if len(key) == 0 {
				break
			}
			value := w.take(w.size())
			first := maps == 0 && keys == 0
			switch {
			case w.short:
			case keys == maxKeys:
				return nil, 0, fmt.Errorf("%w: a PSBT with more than %d keys in one map", errMalformed, maxKeys)
			case key[0] >= 0xfd:
				return nil, 0, fmt.Errorf("%w: a PSBT with a key of a type that BIP 174 does not have", errMalformed)
			case first && string(key) != "\x00":
				return nil, 0, fmt.Errorf("%w: a PSBT that does not begin with the unsigned transaction: have it exported as version 0 (BIP 174)", errMalformed)
			case first:
				tx = value
			case maps > 0 && maps <= inputs && string(key) == "\x00": // the transaction that an input comes from
				if err := walkTx(value, true); err != nil {
					return nil, 0, fmt.Errorf("PSBT: a previous transaction: %w", err)
				}
			}
		}
	}
	if w.short || tx == nil {
		return nil, 0, fmt.Errorf("%w: a PSBT that breaks off", errMalformed)
	}
	return tx, maps, nil
}
