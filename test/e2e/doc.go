// Package e2e tests the gateway against the real world: real full nodes, real processes. It has no
// code.
package e2e
