// Package gbt turns full nodes' block templates into miners' work and judges what comes back.
//
// A [Feed] parses what a [Source] brings into immutable [Template] values, numbers them in one
// monotonic sequence and wakes whoever waits. An [Issuer] makes each answer unique [Work] for one
// [Account]. A [Judge] walks a [Submission] to its [Verdict].
//
// The package is the domain: it knows no HTTP, no Redis and no node RPC, and it takes its clock
// from Config values. Amounts are integers in satoshis, weights are in weight units (BIP 141),
// times are Unix seconds unless a name says otherwise. Hashes are chainhash.Hash values, which
// hold bytes in the order of the wire and print in the reversed order that RPC uses. All exported
// types are safe for concurrent use unless they say otherwise.
package gbt
