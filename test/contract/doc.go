// Package contract holds openapi.yaml to what OpenAPI asks, and the generated code to openapi.yaml.
package contract
