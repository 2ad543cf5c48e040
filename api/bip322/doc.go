// Package bip322 checks and makes signatures of messages by Bitcoin addresses: who can sign for an address
// says so without moving a coin.
//
// Three kinds of address are accepted, each with the one form of signature that its wallets make:
//
//   - P2WPKH and P2TR spent by key: a BIP 322 simple signature, which is the witness of a transaction that
//     exists nowhere and commits to the message. The prefix smp, of version 1 of BIP 322, may be there.
//   - P2PKH: the 65 bytes of Bitcoin Core's signmessage, from which the public key is recovered. BIP 322
//     restricts that form to this kind of address.
//
// Whatever needs a script or a coin to be looked at (P2SH, P2WSH, script paths, the full and the proof of
// funds variants) is refused, by an error that says what would be taken. So is each encoding of a signature
// but one: base64 with padding and without anything around it, no byte too many, low S, SIGHASH_ALL or, for
// P2TR, SIGHASH_DEFAULT. A signature is for a message and an address, not for a chain: the same key on two
// chains is the same signer.
//
// The functions have no state and are safe for concurrent use.
package bip322
