package bip322

import (
	"fmt"
	"math"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// messageHash is what the virtual transactions commit to: BIP 322's message_hash, a tagged hash as in BIP 340.
func messageHash(message string) [chainhash.HashSize]byte {
	return *chainhash.TaggedHash([]byte("BIP0322-signed-message"), []byte(message))
}

// virtual are the two transactions of BIP 322: toSpend commits to the message and pays the signer, toSign
// spends it. Neither can ever be in a block, as toSpend spends what is not there.
type virtual struct {
	toSpend, toSign *wire.MsgTx
	script          []byte
}

// newVirtual makes the transactions of a message and an address (BIP 322, "Full").
func newVirtual(message string, signer address.Address) (*virtual, error) {
	script, err := txscript.PayToAddrScript(signer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	hash := messageHash(message)
	commitment, err := txscript.NewScriptBuilder().AddOp(txscript.OP_0).AddData(hash[:]).Script()
	if err != nil {
		return nil, fmt.Errorf("bip322: commit to the message: %w", err)
	}
	toSpend := wire.NewMsgTx(0)
	toSpend.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: math.MaxUint32}, SignatureScript: commitment})
	toSpend.AddTxOut(&wire.TxOut{PkScript: script})
	toSign := wire.NewMsgTx(0)
	toSign.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: toSpend.TxHash()}})
	toSign.AddTxOut(&wire.TxOut{PkScript: []byte{txscript.OP_RETURN}})
	return &virtual{toSpend: toSpend, toSign: toSign, script: script}, nil
}

// coins tells what toSign spends.
func (v *virtual) coins() txscript.PrevOutputFetcher {
	return txscript.NewCannedPrevOutputFetcher(v.script, 0)
}

// run executes the scripts with a witness. The flags are those of standard transactions, which hold all that
// BIP 322 requires: LOW_S, STRICTENC, NULLFAIL, MINIMALDATA, CLEANSTACK, MINIMALIF, and no upgradeable NOPs or
// witness versions.
func (v *virtual) run(witness wire.TxWitness) error {
	tx := v.toSign.Copy()
	tx.TxIn[0].Witness = witness
	coins := v.coins()
	engine, err := txscript.NewEngine(v.script, tx, 0, txscript.StandardVerifyFlags, nil, txscript.NewTxSigHashes(tx, coins), 0, coins)
	if err == nil {
		err = engine.Execute()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}
