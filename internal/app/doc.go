// Package app is the composition root: it builds the gateway out of its parts and runs them.
//
// It alone sees every package. Commands in cmd/gbtpool and tests use it; nothing else does.
package app
