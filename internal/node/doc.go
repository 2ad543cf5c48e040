// Package node speaks with full nodes: Bitcoin Core, Knots and btcd over JSON-RPC and ZMQ.
//
// A [Node] is one full node; [RPC] is one over JSON-RPC, and internal/devnet is one inside this
// process. A [Set] watches any number of them, follows the one whose chain has the most work,
// leaves nodes that lag, err or hang, and offers found blocks to all. It is the gbt package's
// Source and Network. Node RPC is spoken in this package alone; callers are internal/app and
// tests.
package node
