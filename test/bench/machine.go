package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// machine is where and with what the figures were measured.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Redis  string `json:"redis"`
	Btcd   string `json:"btcd"`
	Pool   string `json:"gbtpool"`
	Commit string `json:"commit"`
	Date   string `json:"date"`
	Rounds int    `json:"rounds"`
	Smoke  bool   `json:"smoke,omitempty"`
	// Load is the load average over a minute before the first case (proc_loadavg(5)): what else was at work.
	Load string `json:"load"`
}

// describeMachine says what it can find out; what it cannot is "unknown".
func describeMachine(ctx context.Context, b *build, o options) machine {
	known := func(text string, err error) string {
		if err != nil || text == "" {
			return "unknown"
		}
		line, _, _ := strings.Cut(text, "\n")
		return line
	}
	m := machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Go: strings.TrimPrefix(runtime.Version(), "go"), Btcd: "unknown",
		Kernel: known(output(ctx, "", "uname", "-sr")), Pool: known(output(ctx, "", b.gateway, "--version")),
		Commit: known(output(ctx, b.root, "git", "rev-parse", "--short=12", "HEAD")),
		Date:   time.Now().UTC().Format(time.DateOnly), Rounds: o.count, Smoke: o.smoke, Load: b.load,
	}
	if dirty, err := output(ctx, b.root, "git", "status", "--porcelain", "--untracked-files=no"); err == nil && dirty != "" {
		m.Commit += " and changes"
	}
	m.Redis = known(output(ctx, "", "redis-server", "--version"))
	if _, rest, ok := strings.Cut(m.Redis, "v="); ok {
		m.Redis, _, _ = strings.Cut(rest, " ")
	}
	m.Pool = strings.TrimPrefix(m.Pool, "gbtpool ")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/btcsuite/btcd" {
				m.Btcd = strings.TrimPrefix(dep.Version, "v")
			}
		}
	}
	return m
}

// loadAverage reads what is at work.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	first, _, ok := strings.Cut(string(text), " ")
	if err != nil || !ok {
		return "unknown"
	}
	return first
}

// cpuModel reads the processor's name (proc_cpuinfo(5)).
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close() //nolint:errcheck // it is only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// text says all of it in one paragraph.
func (m machine) text() string {
	s := fmt.Sprintf("%s, %d cores; %s; Go %s, Redis %s, btcd %s, gbtpool %s at commit %s; %s; load average before %s; rounds: %d.",
		m.CPU, m.Cores, m.Kernel, m.Go, m.Redis, m.Btcd, m.Pool, m.Commit, m.Date, m.Load, m.Rounds)
	if m.Smoke {
		s += " A smoke test: its figures mean nothing."
	}
	return s
}
