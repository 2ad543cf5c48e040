package shares

import (
	"fmt"
	"strings"
	"time"
)

const (
	// maxWorkerName bounds the name of a worker, in bytes: that of ParseUser's user name.
	maxWorkerName = 191
	// maxAgent is the most characters that are kept of a user agent.
	maxAgent = 64
)

// Presence says that a worker was there.
type Presence struct {
	Account, Worker string
	// Agent is what the worker's program calls itself, as in User-Agent (RFC 9110, section 10.1.5); empty if
	// unknown.
	Agent string
	// Time is when, in whole milliseconds.
	Time time.Time
}

// Check refuses what is no account's worker. Errors match ErrMalformed.
func (p *Presence) Check() error {
	if err := CheckAccount(p.Account); err != nil {
		return err
	}
	if len(p.Worker) > maxWorkerName {
		return fmt.Errorf("%w: the name of a worker has more than %d bytes", ErrMalformed, maxWorkerName)
	}
	return checkText("the name of a worker", p.Worker, maxWorkerName)
}

// AgentText returns what is kept of a user agent: its printable characters of ASCII, at most 64.
func AgentText(agent string) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, agent)
	text = strings.TrimSpace(text)
	return text[:min(len(text), maxAgent)]
}

// AgentProgram returns the program that a user agent names: what is before its version, the slash or space.
func AgentProgram(agent string) string {
	if end := strings.IndexAny(agent, "/ "); end >= 0 {
		return agent[:end]
	}
	return agent
}
