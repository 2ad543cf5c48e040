// Package devnet is a regtest chain inside this process, made of btcd's own blockchain, mempool,
// mining and database packages: what is valid is for btcd's code to say, not for ours.
//
// A [Chain] is a node.Node, so the gateway cannot tell it from a node over RPC. A [Traffic] fills
// its mempool. Both are for demonstrations and tests; a Chain has no peers and forgets everything
// when it is closed.
package devnet
