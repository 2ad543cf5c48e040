package gbt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A token is what judging needs to know of issued work. It travels twice: as the workid and in the
// coinbase's scriptSig, so any gateway that has the key judges any submission without having kept
// anything. The one in the scriptSig decides, because the proof of work is over it: nobody can find
// a hash first and choose afterwards which work, and so which share target, it is for. The token is
// authenticated by an HMAC over itself, the previous block and the account, so nobody makes one up
// or submits another's work.
//
//	offset  0  1 byte   what the work is like and what its miner may do: an offer
//	        1  4 bytes  the template: the first bytes of its identity
//	        5  4 bytes  when the work was issued, Unix seconds
//	        9  4 bytes  the share target in compact form
//	       13  7 bytes  what the pool's own full template paid then, satoshis
//	       20  2 bytes  the size limit that the miner asked for, in sizeUnit; 0 is none
//	       22  2 bytes  the sigop limit that the miner asked for, in sigopUnit; 0 is none
//	       24  6 bytes  a number that no two tokens share
//	       30  8 bytes  the first bytes of the HMAC-SHA256
//
// Numbers are big-endian. 8 bytes of HMAC suffice: every try costs a proof of work.
type token [tokenSize]byte

const (
	tokenSize = 38
	// tokenText is how many characters its text has.
	tokenText     = (tokenSize*8 + 5) / 6
	tokenMACStart = 30
	// macSize is how much of an HMAC tokens carry.
	macSize = 8
	// macDomain keeps the HMAC apart from any other use of the key.
	macDomain = "gbtpool work 2"
)

// offer says what work is like and what its miner may do beyond what all miners may.
type offer byte

const (
	// offerWitnessFree is set if the work holds only transactions without witness (BIP 145).
	offerWitnessFree offer = 1 << iota
	// offerStripped is set if transactions were sent without their witnesses.
	offerStripped
	// offerCommitment is set if the miner appends the witness commitment itself (BIP 145).
	offerCommitment
	// offerCoinbase is set if the miner may replace the coinbase but for its token and outputs.
	offerCoinbase
	// offerGeneration is set if the miner may add outputs to the coinbase.
	offerGeneration
	// offerTransactions is set if the miner may choose the transactions.
	offerTransactions
	// offerPrevblock is set if the miner may go on to the next previous block.
	offerPrevblock
)

func (o offer) has(what offer) bool { return o&what != 0 }

// terms are a token's contents.
type terms struct {
	offer    offer
	template uint32 // Template.mark
	issued   time.Time
	target   Target
	full     int64 // what the pool's own full template paid, satoshis
	limits   limits
	nonce    uint64
}

// sealer makes and opens tokens and the workids of declared work.
type sealer struct {
	// macs has the *keyedHash that are not in use.
	macs *sync.Pool
}

// keyedHash is an HMAC-SHA256 under the sealer's key, with room for what goes through it.
type keyedHash struct {
	hash.Hash
	in, sum []byte
}

func newSealer(key []byte) sealer {
	key = slices.Clone(key)
	return sealer{macs: &sync.Pool{New: func() any { return &keyedHash{Hash: hmac.New(sha256.New, key)} }}}
}

// seal makes the token of work on the block after previous, issued to account.
func (s sealer) seal(t terms, previous chainhash.Hash, account Account) token {
	var tok token
	tok[0] = byte(t.offer)
	binary.BigEndian.PutUint32(tok[1:5], t.template)
	putUint(tok[5:9], uint64(max(0, t.issued.Unix())))
	binary.BigEndian.PutUint32(tok[9:13], t.target.Bits())
	putUint(tok[13:20], uint64(max(0, t.full)))
	binary.BigEndian.PutUint16(tok[20:22], t.limits.size)
	binary.BigEndian.PutUint16(tok[22:24], t.limits.sigops)
	putUint(tok[24:30], t.nonce)
	mac := s.mac(macDomain, tok[:tokenMACStart], previous, account)
	copy(tok[tokenMACStart:], mac[:])
	return tok
}

// open returns a token's contents; false if it was not sealed for this block and account.
func (s sealer) open(tok token, previous chainhash.Hash, account Account) (terms, bool) {
	if mac := s.mac(macDomain, tok[:tokenMACStart], previous, account); !hmac.Equal(tok[tokenMACStart:], mac[:]) {
		return terms{}, false
	}
	target, err := TargetFromBits(binary.BigEndian.Uint32(tok[9:13]))
	if err != nil {
		return terms{}, false
	}
	return terms{
		offer:    offer(tok[0]),
		template: binary.BigEndian.Uint32(tok[1:5]),
		issued:   time.Unix(int64(getUint(tok[5:9])), 0),
		target:   target,
		full:     int64(getUint(tok[13:20])),
		limits:   limits{size: binary.BigEndian.Uint16(tok[20:22]), sigops: binary.BigEndian.Uint16(tok[22:24])},
		nonce:    getUint(tok[24:30]),
	}, true
}

func (s sealer) mac(domain string, content []byte, previous chainhash.Hash, account Account) (mac [macSize]byte) {
	h, _ := s.macs.Get().(*keyedHash) // it holds nothing else
	defer s.macs.Put(h)
	h.in = append(append(append(append(h.in[:0], domain...), content...), previous[:]...), account.Script...)
	h.Reset()
	h.Write(h.in)
	h.sum = h.Sum(h.sum[:0])
	copy(mac[:], h.sum)
	return mac
}

// String returns the token as a workid: characters that need no escaping in JSON or a URL.
func (t token) String() string {
	var text [2 * tokenSize]byte
	return string(base64.RawURLEncoding.AppendEncode(text[:0], t[:]))
}

// isWorkID reports whether a workid is the token's.
func (t token) isWorkID(workID string) bool {
	var text [tokenText]byte
	base64.RawURLEncoding.Encode(text[:], t[:])
	return string(text[:]) == workID
}

// parseToken reads a workid that may be a token.
func parseToken(workID string) (token, bool) {
	var text [tokenText]byte
	if len(workID) != len(text) {
		return token{}, false
	}
	copy(text[:], workID)
	var tok token
	if n, err := base64.RawURLEncoding.Strict().Decode(tok[:], text[:]); err != nil || n != tokenSize {
		return token{}, false
	}
	return tok, true
}

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
