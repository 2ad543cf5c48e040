//go:build !linux

package redisserver

import "syscall"

// dieWithParent is what the system offers: a child is killed by the test's cleanup alone.
func dieWithParent() *syscall.SysProcAttr { return nil }

// stopped cannot tell here; a signal takes effect very soon.
func stopped(int) (bool, error) { return true, nil }
