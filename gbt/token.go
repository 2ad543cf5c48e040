package gbt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A token is what judging needs to know of issued work. It travels twice: as the workid and, for
// clients that send none back, in the coinbase's scriptSig, so any gateway that has the key judges
// any submission without having kept anything. It is authenticated by an HMAC over itself, the
// previous block and the account, so nobody makes one up or submits another's work.
//
//	offset  0  1 byte   form: how the template was shaped for the client
//	        1  6 bytes  the template: the first bytes of its identity
//	        7  4 bytes  when the work was issued, Unix seconds
//	       11  4 bytes  the share target in compact form
//	       15  7 bytes  what the coinbase was to pay, satoshis
//	       22  6 bytes  a number that no two tokens share
//	       28  8 bytes  the first bytes of the HMAC-SHA256
//
// Numbers are big-endian. 8 bytes of HMAC suffice: every try costs a proof of work.
type token [tokenSize]byte

const (
	tokenSize     = 36
	tokenMACStart = 28
	// macDomain keeps the HMAC apart from any other use of the key.
	macDomain = "gbtpool work 1"
)

// form says how a template was shaped for a client.
type form byte

const (
	// formWhole is the template as the feed publishes it.
	formWhole form = 0
	// formWitnessFree holds only transactions without witness (BIP 145).
	formWitnessFree form = 1
)

// terms are a token's contents.
type terms struct {
	form     form
	template uint64 // Template.mark
	issued   time.Time
	target   Target
	value    int64
	nonce    uint64
}

// sealer makes and opens tokens.
type sealer struct{ key []byte }

// seal makes the token of work on the block after previous, issued to account.
func (s sealer) seal(t terms, previous chainhash.Hash, account Account) token {
	var tok token
	tok[0] = byte(t.form)
	putUint(tok[1:7], t.template)
	putUint(tok[7:11], uint64(max(0, t.issued.Unix())))
	binary.BigEndian.PutUint32(tok[11:15], t.target.Bits())
	putUint(tok[15:22], uint64(max(0, t.value)))
	putUint(tok[22:28], t.nonce)
	copy(tok[tokenMACStart:], s.mac(tok, previous, account))
	return tok
}

// open returns a token's contents; false if it was not sealed for this block and account.
func (s sealer) open(tok token, previous chainhash.Hash, account Account) (terms, bool) {
	if !hmac.Equal(tok[tokenMACStart:], s.mac(tok, previous, account)) {
		return terms{}, false
	}
	target, err := TargetFromBits(binary.BigEndian.Uint32(tok[11:15]))
	if err != nil {
		return terms{}, false
	}
	return terms{
		form:     form(tok[0]),
		template: getUint(tok[1:7]),
		issued:   time.Unix(int64(getUint(tok[7:11])), 0),
		target:   target,
		value:    int64(getUint(tok[15:22])),
		nonce:    getUint(tok[22:28]),
	}, true
}

func (s sealer) mac(tok token, previous chainhash.Hash, account Account) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(macDomain))
	h.Write(tok[:tokenMACStart])
	h.Write(previous[:])
	h.Write([]byte(account.Script))
	return h.Sum(nil)[:tokenSize-tokenMACStart]
}

// String returns the token as a workid: characters that need no escaping in JSON or a URL.
func (t token) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// putUint stores the low bytes of n, big-endian, in as many bytes as b has.
func putUint(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
}

// getUint reads a big-endian number of up to 8 bytes.
func getUint(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
