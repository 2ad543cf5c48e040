package gbt

import (
	"crypto/hmac"
	"encoding/base64"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// declaration is what the workid of declared work says (BIP 23, Block Proposal): which transaction
// set was declared, when, and what the pool's own full template paid then. It is authenticated as
// tokens are. The share target is not in it: that stays in the token in the coinbase.
type declaration struct {
	issued time.Time
	full   int64 // satoshis
	set    setID
}

const (
	declarationSize     = 4 + 7 + setIDSize + macSize
	declarationMACStart = declarationSize - macSize
	declarationDomain   = "gbtpool declared work 1"
)

// sealDeclaration makes the workid of work that account declared on the block after previous.
func (s sealer) sealDeclaration(d declaration, previous chainhash.Hash, account Account) string {
	var raw [declarationSize]byte
	putUint(raw[:4], uint64(max(0, d.issued.Unix())))
	putUint(raw[4:11], uint64(max(0, d.full)))
	copy(raw[11:declarationMACStart], d.set[:])
	mac := s.mac(declarationDomain, raw[:declarationMACStart], previous, account)
	copy(raw[declarationMACStart:], mac[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// openDeclaration reads a workid that may be of declared work. It returns false in ok if it is
// none, and in authentic if it was not given to account for this block.
func (s sealer) openDeclaration(workID string, previous chainhash.Hash, account Account) (d declaration, authentic, ok bool) {
	if len(workID) != base64.RawURLEncoding.EncodedLen(declarationSize) {
		return declaration{}, false, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(workID)
	if err != nil || len(raw) != declarationSize {
		return declaration{}, false, false
	}
	mac := s.mac(declarationDomain, raw[:declarationMACStart], previous, account)
	authentic = hmac.Equal(raw[declarationMACStart:], mac[:])
	return declaration{
		issued: time.Unix(int64(getUint(raw[:4])), 0),
		full:   int64(getUint(raw[4:11])),
		set:    setID(raw[11:declarationMACStart]),
	}, authentic, true
}
