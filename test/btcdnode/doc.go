// Package btcdnode runs real btcd processes for tests. A [Node] dies with its test.
package btcdnode
