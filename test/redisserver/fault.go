package redisserver

import "time"

// faultKind is what a Proxy does to what goes through it.
type faultKind int

const (
	faultNone faultKind = iota
	faultRefuse
	faultHang
	faultDelay
	faultCutReplies
	faultCutRequests
	faultAnswer
)

// fault is a kind with its parameters. It does not change; over is closed when another replaces it.
type fault struct {
	kind  faultKind
	delay time.Duration
	bytes int
	reply string
	over  chan struct{}
}

// None lets everything through again. Connections that were cut or refused stay so.
func (p *Proxy) None() { p.set(fault{kind: faultNone}) }

// Refuse resets all connections and refuses new ones, as when no process has the port.
func (p *Proxy) Refuse() { p.set(fault{kind: faultRefuse}) }

// Hang accepts connections and takes requests, but lets nothing through, in either direction, as
// when the other side has gone from the network. When another fault or None follows, what was held
// back meets that, and a request may so arrive long after its client has given up.
func (p *Proxy) Hang() { p.set(fault{kind: faultHang}) }

// Delay holds each request back for so long, a pipeline as a whole.
func (p *Proxy) Delay(d time.Duration) { p.set(fault{kind: faultDelay, delay: d}) }

// CutReplies lets requests through, and the connection ends before a byte of the reply has reached
// the client: the server has done what the client does not know of. It ends when the server has
// answered so many bytes, or all that was asked; with 0, when it has answered all. "All" is what has
// reached the proxy in one go, so that of a pipeline above some 30 KiB the rest may not be done.
// Commands that set a connection up (HELLO, AUTH, CLIENT, SELECT, READONLY) are answered.
func (p *Proxy) CutReplies(bytes int) { p.set(fault{kind: faultCutReplies, bytes: bytes}) }

// CutRequests lets so many bytes of requests through on each connection, which then ends: in the
// middle of a pipeline, or of a command, which the server then forgets. What the server had got
// whole is done, and answered first. Commands that set a connection up do not count.
func (p *Proxy) CutRequests(bytes int) { p.set(fault{kind: faultCutRequests, bytes: bytes}) }

// Answer has every command answered with an error and not reach the server, which must be running.
// It is the line without its end, such as "-LOADING Redis is loading the dataset in memory"; the
// leading minus may be left out. As with Redis, commands that set a connection up are none of those.
func (p *Proxy) Answer(line string) {
	if len(line) == 0 || line[0] != '-' {
		line = "-" + line
	}
	p.set(fault{kind: faultAnswer, reply: line + "\r\n"})
}

// isSetup reports whether a command belongs to the setup of a connection. Redis answers these also
// while it loads, is busy, is full, or is read-only.
func isSetup(name string) bool {
	switch name {
	case "HELLO", "AUTH", "CLIENT", "SELECT", "READONLY", "READWRITE":
		return true
	default:
		return false
	}
}
