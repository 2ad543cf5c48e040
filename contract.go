// Package gbtpool has the HTTP contract of the pool, openapi.yaml, for the program to serve and to hold requests to.
package gbtpool

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 --config api/oas/oapi-codegen.yaml openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 --config api/oas/adminoas/oapi-codegen.yaml openapi.yaml

//go:embed openapi.yaml
var contract string

// Contract returns openapi.yaml (OpenAPI 3.0.3).
func Contract() string { return contract }
