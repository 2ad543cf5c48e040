package api

import (
	"net"
	"syscall"
)

// cork has what is written to a TCP connection wait until there is enough for a segment, or ends that: then what is left
// goes out. Other connections are as they are.
func cork(c net.Conn, on bool) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	value := 0
	if on {
		value = 1
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		fault = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, value)
	})
	if err != nil {
		return err
	}
	return fault
}
