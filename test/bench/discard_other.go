//go:build !linux

package main

import (
	"io"
	"net"
)

// discardFrom throws bytes of a connection away.
func discardFrom(c net.Conn, n int) error {
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}
