package gbt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// candidate is a submitted block, decoded as far as its judging has come.
type candidate struct {
	header wire.BlockHeader
	hash   chainhash.Hash
	// sent says which parts of the block came.
	sent parts
	// count is the number of transactions that the block claims to hold.
	count    uint64
	coinbase coinbaseTx
	// rest is the transactions after the coinbase as they came, if sent is wholeBlock.
	rest []byte
	// branch links the coinbase to the merkle root, if sent is branchOnly.
	branch []chainhash.Hash
	// known is the transaction set that the merkle root commits to, if it is known here.
	known *txSet
	// token is what was opened last: issued says whether it is of issued work, and work what that is like.
	token          token
	opened, issued bool
	work           terms
	// rooted and rootedFrom are the set and the coinbase's txid that a merkle root was computed for last, and merkleRoot
	// that one.
	rooted                 *txSet
	rootedFrom, merkleRoot chainhash.Hash
}

// parts says what of a block is in a submission (BIP 23, Submission Abbreviation).
type parts int

const (
	// wholeBlock is everything.
	wholeBlock parts = iota
	// coinbaseOnly is the header, the count and the coinbase: submit/coinbase, share/coinbase.
	coinbaseOnly
	// branchOnly is these and the merkle branch of the coinbase: share/merkle.
	branchOnly
	// headerOnly is the header alone: submit/truncate, share/truncate.
	headerOnly
)

// readHeader decodes the header alone, so that a submission without proof of work costs no more.
func readHeader(data string) (*candidate, error) {
	if len(data) < 2*wire.MaxBlockHeaderPayload {
		return nil, fmt.Errorf("the block has %d bytes, fewer than a header", len(data)/2)
	}
	var raw [wire.MaxBlockHeaderPayload]byte
	if _, err := hex.Decode(raw[:], []byte(data[:2*len(raw)])); err != nil {
		return nil, fmt.Errorf("the header is not hexadecimal: %w", err)
	}
	return &candidate{hash: doubleHash(raw[:]), header: parseHeader(raw)}, nil
}

// parseHeader decodes a block header.
func parseHeader(raw [wire.MaxBlockHeaderPayload]byte) wire.BlockHeader {
	const previous, root, at, bits, nonce = 4, 36, 68, 72, 76
	number := func(offset int) uint32 { return binary.LittleEndian.Uint32(raw[offset:]) }
	return wire.BlockHeader{
		Version: int32(number(0)), PrevBlock: chainhash.Hash(raw[previous:root]), MerkleRoot: chainhash.Hash(raw[root:at]),
		Timestamp: time.Unix(int64(number(at)), 0), Bits: number(bits), Nonce: number(nonce),
	}
}

// leavesOut reports whether a submission leaves out what the template has to tell: it is a header alone, or
// names transactions.
func leavesOut(data string) bool {
	body := data[2*wire.MaxBlockHeaderPayload:]
	return body == "" || strings.Contains(body, ":")
}

// readBody decodes what follows the header: the count, the coinbase and what there is of the
// rest. lookup finds transactions that are named by an id (BIP 23, submit/hash).
func (c *candidate) readBody(data string, lookup func(chainhash.Hash) *Transaction) error {
	body := data[2*wire.MaxBlockHeaderPayload:]
	if body == "" {
		c.sent = headerOnly
		return nil
	}
	raw, err := decodeBody(body, lookup)
	if err != nil {
		return err
	}
	if raw, err = c.readCount(raw); err != nil {
		return fmt.Errorf("transaction count: %w", err)
	}
	c.coinbase, c.rest, err = splitCoinbase(raw)
	if err != nil || c.count < 2 {
		return err
	}
	// Transactions are always longer than the branch that stands for them.
	depth := bits.Len64(c.count - 1)
	switch len(c.rest) {
	case 0:
		c.sent = coinbaseOnly
	case depth * chainhash.HashSize:
		c.sent = branchOnly
		c.branch = make([]chainhash.Hash, 0, depth)
		for ; len(c.rest) > 0; c.rest = c.rest[chainhash.HashSize:] {
			c.branch = append(c.branch, chainhash.Hash(c.rest[:chainhash.HashSize]))
		}
	}
	return nil
}

// readCount reads the number of transactions and returns what follows.
func (c *candidate) readCount(raw []byte) (rest []byte, err error) {
	if len(raw) > 0 && raw[0] < 0xfd {
		c.count = uint64(raw[0])
		return raw[1:], nil
	}
	if len(raw) > 2 && raw[0] == 0xfd && raw[2] != 0 { // as nearly all full blocks begin
		c.count = uint64(binary.LittleEndian.Uint16(raw[1:]))
		return raw[3:], nil
	}
	r := bytes.NewReader(raw)
	c.count, err = wire.ReadVarInt(r, 0)
	return raw[len(raw)-r.Len():], err
}

// decodeBody decodes hexadecimal in which transactions may be replaced by ':' and an id.
func decodeBody(body string, lookup func(chainhash.Hash) *Transaction) ([]byte, error) {
	const most = wire.MaxBlockPayload - wire.MaxBlockHeaderPayload
	first, named, more := strings.Cut(body, ":")
	if len(first) > 2*most {
		return nil, fmt.Errorf("the block has %d bytes, more than %d", wire.MaxBlockHeaderPayload+len(first)/2, wire.MaxBlockPayload)
	}
	raw, err := hex.DecodeString(first)
	if err != nil {
		return nil, fmt.Errorf("the block is not hexadecimal: %w", err)
	}
	for more {
		var piece string
		piece, named, more = strings.Cut(named, ":")
		if len(piece) < chainhash.MaxHashStringSize {
			return nil, fmt.Errorf("%q names no transaction: want 64 hexadecimal digits after the colon", clip(piece))
		}
		id, data := piece[:chainhash.MaxHashStringSize], piece[chainhash.MaxHashStringSize:]
		tx, err := find(id, lookup)
		if err != nil {
			return nil, err
		}
		plain, err := hex.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("the block is not hexadecimal after transaction %s: %w", id, err)
		}
		if len(raw)+len(tx.Raw)+len(plain) > most {
			return nil, fmt.Errorf("the block has more than %d bytes", wire.MaxBlockPayload)
		}
		raw = append(append(raw, tx.Raw...), plain...)
	}
	return raw, nil
}

// find looks a transaction up by an id in text. The BIP calls its byte order little-endian, which
// some take for the order in which everybody writes ids and some for that of the bytes.
func find(id string, lookup func(chainhash.Hash) *Transaction) (*Transaction, error) {
	hash, err := chainhash.NewHashFromStr(id)
	if err != nil {
		return nil, fmt.Errorf("%q names no transaction: %w", id, err)
	}
	if tx := lookup(*hash); tx != nil {
		return tx, nil
	}
	var reversed chainhash.Hash
	for i := range hash {
		reversed[len(hash)-1-i] = hash[i]
	}
	if tx := lookup(reversed); tx != nil {
		return tx, nil
	}
	return nil, fmt.Errorf("transaction %s is not known here: send it in full", id)
}

// commits reports whether the header's merkle root is that of set, however many transactions the
// miner counts: the block is what the root says.
func (c *candidate) commits(set *txSet) bool {
	return c.root(set) == c.header.MerkleRoot
}

// root returns the merkle root of a block of set with the coinbase of c. The last one is remembered.
func (c *candidate) root(set *txSet) chainhash.Hash {
	if txid := c.coinbase.txid(); c.rooted != set || c.rootedFrom != txid {
		c.rooted, c.rootedFrom, c.merkleRoot = set, txid, MerkleRoot(txid, set.branch)
	}
	return c.merkleRoot
}

// block returns the block as it goes to the nodes: with the known transactions that the merkle root
// commits to, if there are any, in place of what the miner sent, or left out, of them.
func (c *candidate) block() (RawBlock, error) {
	switch {
	case c.known != nil:
		coinbase := c.coinbase
		coinbase.witness = nil // that which the known commitment is made with
		return c.known.block(&c.header, &coinbase)
	case c.sent == wholeBlock:
		b, err := beginBlock(&c.header, &c.coinbase, c.count)
		b.rest, b.size = c.rest, b.size+len(c.rest)
		return b, err
	default:
		return RawBlock{}, fmt.Errorf("no transactions are known here that the merkle root %s commits to", c.header.MerkleRoot)
	}
}

// weight returns the weight units and the bytes of the block, given its transactions.
func (c *candidate) weight(set *txSet) (weight, size int64) {
	base := int64(wire.MaxBlockHeaderPayload + wire.VarIntSerializeSize(set.count()))
	whole := int64(c.coinbase.wholeSize())
	bare := int64(len(c.coinbase.bare))
	return 4*base + 3*bare + whole + set.weight, base + whole + set.size
}

// block returns a block of s.
func (s *txSet) block(header *wire.BlockHeader, coinbase *coinbaseTx) (RawBlock, error) {
	b, err := beginBlock(header, coinbase, s.count())
	b.txs, b.size = s.txs, b.size+int(s.size)
	return b, err
}

// block returns a block of set on t that only lacks its proof of work.
func (t *Template) block(set *txSet, coinbase *coinbaseTx, at int64) ([]byte, error) {
	b, err := set.block(&wire.BlockHeader{
		Version: t.Version, PrevBlock: t.PreviousBlock, Bits: t.Bits, Timestamp: time.Unix(at, 0),
		MerkleRoot: MerkleRoot(coinbase.txid(), set.branch),
	}, coinbase)
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// beginBlock returns the beginning of a block of count transactions, up to its coinbase, to which the witness is added
// that miners leave out.
func beginBlock(header *wire.BlockHeader, coinbase *coinbaseTx, count uint64) (RawBlock, error) {
	first := coinbase.whole()
	out := bytes.NewBuffer(make([]byte, 0, wire.MaxBlockHeaderPayload+wire.MaxVarIntPayload+len(first)))
	if err := header.Serialize(out); err != nil {
		return RawBlock{}, fmt.Errorf("header: %w", err)
	}
	if err := wire.WriteVarInt(out, 0, count); err != nil {
		return RawBlock{}, fmt.Errorf("transaction count: %w", err)
	}
	out.Write(first)
	return NewRawBlock(out.Bytes()), nil
}

// findToken returns the token in the coinbase's scriptSig, which follows the height.
func (c *candidate) findToken() (token, bool) {
	script := c.coinbase.scriptSig
	if len(script) == 0 {
		return token{}, false
	}
	at := 1 // a height up to 16 is an opcode of its own
	if push := int(script[0]); push < 0x4c {
		at += push
	}
	if len(script) < at+1+tokenSize || script[at] != tokenSize {
		return token{}, false
	}
	return token(script[at+1 : at+1+tokenSize]), true
}
