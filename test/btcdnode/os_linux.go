package btcdnode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent has the system kill a child when the test process dies, even by a signal.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// stopped reports whether every thread of a process has been stopped by a signal (proc_pid_stat(5):
// the state follows the name in parentheses).
func stopped(pid int) (bool, error) {
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("process %d is not in /proc: %w", pid, os.ErrProcessDone)
	}
	for _, name := range threads {
		stat, err := os.ReadFile(name) //nolint:gosec // below /proc
		switch {
		case errors.Is(err, os.ErrNotExist):
			return false, nil // the thread has ended since
		case err != nil:
			return false, err
		}
		if at := bytes.LastIndexByte(stat, ')'); !bytes.HasPrefix(stat[at+1:], []byte(" T")) {
			return false, nil
		}
	}
	return true, nil
}
