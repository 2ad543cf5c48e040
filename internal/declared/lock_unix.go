//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package declared

import (
	"os"
	"syscall"
)

// lockFile takes a lock that ends with the process, and fails if another process has it.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
