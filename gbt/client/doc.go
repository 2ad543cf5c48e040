// Package client is the miner's side of getblocktemplate (BIP 22, 23, 9, 145): with it a miner is
// a page of Go.
//
// A [Client] speaks with a server: it fetches a [Template], waits for the next by long polling and
// submits blocks. An [Assembler] makes each [Block] of a Template to hash. With an [Offer] a miner
// chooses other transactions and proposes the block to the server. A [Miner] does all of it until it
// is told to stop, choosing by a [Policy]. Everything works with any server that follows the BIPs,
// a pool or a full node.
package client
