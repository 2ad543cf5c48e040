// Package nodetest holds the contract that every node.Node keeps, as tests: what the gateway
// relies on, no more. internal/devnet and a real btcd both pass it.
package nodetest
