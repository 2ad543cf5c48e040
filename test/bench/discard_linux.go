package main

import (
	"fmt"
	"io"
	"net"
	"syscall"
)

// nothing is where bytes go that are thrown away. The system leaves it alone, so all connections may share it, and as
// nobody touches it it takes no memory.
var nothing [1 << 20]byte //nolint:gochecknoglobals // a megabyte for each connection would be too much

// discardFrom throws bytes of a connection away. They are not even copied (tcp(7), MSG_TRUNC).
func discardFrom(c net.Conn, n int) error {
	raw, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no file descriptor", c)
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return err
	}
	for n > 0 {
		var got int
		var failed error
		err := control.Read(func(fd uintptr) bool {
			got, _, failed = syscall.Recvfrom(int(fd), nothing[:min(n, len(nothing))], syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
			return failed != syscall.EAGAIN
		})
		switch {
		case err != nil:
			return err
		case failed == syscall.EINTR:
			continue
		case failed != nil:
			return failed
		case got == 0:
			return io.ErrUnexpectedEOF
		}
		n -= got
	}
	return nil
}
