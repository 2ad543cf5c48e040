package btcdnode

import "syscall"

// dieWithParent has the system kill a child when the test process dies, even by a signal.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
