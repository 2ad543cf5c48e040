// Package gbtpool has the HTTP contract of the pool, openapi.yaml, for the program to serve and to hold requests to.
package gbtpool

import _ "embed"

//go:embed openapi.yaml
var contract string

// Contract returns openapi.yaml (OpenAPI 3.0.3).
func Contract() string { return contract }
