package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc, on every system that Go runs on (sysconf(3), _SC_CLK_TCK).
const clockTick = 10 * time.Millisecond

// resident returns a process's resident memory in bytes (proc_pid_status(5)).
func (c *child) resident() (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("resident memory can be measured on Linux alone: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no memory", c.cmd.Process.Pid)
}

// pid is the process's number.
func (c *child) pid() int { return c.cmd.Process.Pid }

// processorTime returns how long processes were on a processor (proc_pid_stat(5): utime and stime are the 14th and 15th
// fields, and the second is in parentheses and may have blanks).
func processorTime(pids ...int) (time.Duration, error) {
	var all time.Duration
	for _, pid := range pids {
		one, err := processorTimeOf(pid)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}

func processorTimeOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("processor time can be measured on Linux alone: %w", err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 11, 12 // counted from the third field
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	var ticks int64
	for _, field := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
