// Package door runs a whole pool in the test's process and holds what its door does to openapi.yaml.
package door
