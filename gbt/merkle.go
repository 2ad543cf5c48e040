package gbt

import (
	"crypto/sha256"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// commitmentHeader begins the scriptPubKey of a witness commitment output: OP_RETURN, a push of 36
// bytes and the magic number (BIP 141, Commitment structure).
const commitmentHeader = "\x6a\x24\xaa\x21\xa9\xed"

// MerkleBranch returns the hashes that link the first leaf of a merkle tree to its root, given
// the leaves after it: the branch of the coinbase, given the other transactions' ids. It depends
// on nothing of the first leaf.
func MerkleBranch(rest []chainhash.Hash) []chainhash.Hash {
	var branch []chainhash.Hash
	// level holds a tree level without its first node, which only the caller knows.
	level := append([]chainhash.Hash(nil), rest...)
	for len(level) > 0 {
		branch = append(branch, level[0])
		next := level[:0]
		for i := 1; i < len(level); i += 2 {
			// A node without a sibling is paired with itself.
			right := level[i]
			if i+1 < len(level) {
				right = level[i+1]
			}
			next = append(next, hashPair(level[i], right))
		}
		level = next
	}
	return branch
}

// MerkleRoot returns the root of the tree whose first leaf is first and whose branch is branch.
func MerkleRoot(first chainhash.Hash, branch []chainhash.Hash) chainhash.Hash {
	for _, right := range branch {
		first = hashPair(first, right)
	}
	return first
}

// hashPair returns the double SHA-256 of two nodes side by side.
func hashPair(left, right chainhash.Hash) chainhash.Hash {
	var pair [2 * chainhash.HashSize]byte
	copy(pair[:], left[:])
	copy(pair[chainhash.HashSize:], right[:])
	return doubleHash(pair[:])
}

// doubleHash returns the double SHA-256 that ids and roots are made of.
func doubleHash(b []byte) chainhash.Hash {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// WitnessCommitment returns the scriptPubKey that commits to the witnesses of a block (BIP 141,
// Commitment structure), given the wtxids of all transactions but the coinbase. The coinbase's
// witness is the one that everybody uses: 32 zero bytes.
func WitnessCommitment(wtxids []chainhash.Hash) []byte {
	// The coinbase's wtxid is taken to be zero.
	root := MerkleRoot(chainhash.Hash{}, MerkleBranch(wtxids))
	commitment := hashPair(root, chainhash.Hash{})
	return append([]byte(commitmentHeader), commitment[:]...)
}

// IsWitnessCommitment reports whether a scriptPubKey has the form of a witness commitment. The
// last output that has it is the one that counts (BIP 141).
func IsWitnessCommitment(script []byte) bool {
	return len(script) >= len(commitmentHeader)+chainhash.HashSize &&
		string(script[:len(commitmentHeader)]) == commitmentHeader
}
