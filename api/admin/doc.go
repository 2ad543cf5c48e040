// Package admin is the operators' door: a listener of its own, on which nodes are drained, clients
// banned and payouts paused and approved, and the process is profiled.
//
// Every route asks for a token with the scope admin (RFC 6750). What changes anything is an act, and each
// act is recorded before it is done, and again, with the same time, when it is over: so that an act
// of which only the beginning is there was cut off, and may be done or not. What cannot be recorded is not
// done. Acts that are refused are recorded as well, those of nobody who is known as far as there are
// not too many of them.
package admin
