package gbt

import (
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// The small steps of issuing and judging work, which each miner and each share takes.

// hotTerms are those of work, the block that it is on and whom it is for.
func hotTerms() (terms, chainhash.Hash, Account) {
	return terms{template: 1, target: leadingZeros(40), full: 312_500_000, nonce: 7}, chainhash.Hash{1}, testAccount(1)
}

// BenchmarkTokenSeal makes the token of one work.
func BenchmarkTokenSeal(b *testing.B) {
	s := newPool(b).issuer.sealer
	t, previous, account := hotTerms()
	b.ReportAllocs()
	for b.Loop() {
		t.nonce++
		s.seal(t, previous, account)
	}
}

// BenchmarkTokenOpen checks the token of one share.
func BenchmarkTokenOpen(b *testing.B) {
	s := newPool(b).issuer.sealer
	t, previous, account := hotTerms()
	tok := s.seal(t, previous, account)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.open(tok, previous, account); !ok {
			b.Fatal("the token does not open")
		}
	}
}

// BenchmarkTokenText reads a workid and writes it.
func BenchmarkTokenText(b *testing.B) {
	s := newPool(b).issuer.sealer
	t, previous, account := hotTerms()
	text := s.seal(t, previous, account).String()
	b.ReportAllocs()
	for b.Loop() {
		tok, ok := parseToken(text)
		if !ok || tok.String() != text {
			b.Fatal("the workid is not read")
		}
	}
}

// BenchmarkMerkleRoot is a coinbase's way up the branch of a full block.
func BenchmarkMerkleRoot(b *testing.B) {
	branch := MerkleBranch(make([]chainhash.Hash, 4000))
	b.ReportAllocs()
	for b.Loop() {
		MerkleRoot(chainhash.Hash{1}, branch)
	}
}

// BenchmarkTargetMetBy compares a hash with a target.
func BenchmarkTargetMetBy(b *testing.B) {
	target, hash := leadingZeros(40), chainhash.Hash{31: 1}
	b.ReportAllocs()
	for b.Loop() {
		if target.MetBy(hash) {
			b.Fatal("the hash is too high")
		}
	}
}

// BenchmarkTargetRound rounds a target to its compact form and counts its work.
func BenchmarkTargetRound(b *testing.B) {
	target := leadingZeros(40)
	b.ReportAllocs()
	for b.Loop() {
		target.Round().Work()
	}
}

// BenchmarkParseUser reads the user name of a request.
func BenchmarkParseUser(b *testing.B) {
	user := testAccount(1).Address + ".rig1"
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseUser(user, &chaincfg.RegressionNetParams); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWait is a long poll that has not to wait: what it costs beyond being woken.
func BenchmarkWait(b *testing.B) {
	p := fullPool(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.feed.Wait(b.Context(), "another"); err != nil {
			b.Fatal(err)
		}
	}
}
