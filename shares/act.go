package shares

import (
	"fmt"
	"time"
)

// maxDetail is the most characters of what an act says in detail, and maxWhat of the rest.
const maxDetail, maxWhat = 1000, 200

// Act is what somebody did who may do more than others: an operator, or a token of the administration. Acts are kept
// for good, each with the hash of the one before.
type Act struct {
	// Seq counts acts from 1; set by who keeps them.
	Seq uint64
	// Time is when, in whole milliseconds.
	Time time.Time
	// By is who: the name of an operator, or the id of a token. From is where from, such as an address.
	By, From string
	// What names the act, such as ban.lift, and Subject whom or what it was done to.
	What, Subject string
	// Detail says more, in words or JSON of one line.
	Detail string
	// Outcome is what came of it, such as done, or why not.
	Outcome string
	// Previous and Hash are the SHA-256 of the act before and of this one, in hexadecimal; set by who keeps them.
	// Who notes the hash of an act elsewhere can tell later that neither it nor any before it was changed.
	Previous, Hash string
}

// Check refuses an act that is not whole. Errors match ErrMalformed.
func (a *Act) Check() error {
	if a.By == "" || a.What == "" {
		return fmt.Errorf("%w: an act says who did what", ErrMalformed)
	}
	for what, text := range map[string]string{
		"who did it": a.By, "where it was done from": a.From, "what was done": a.What, "whom it was done to": a.Subject, "what came of it": a.Outcome,
	} {
		if err := checkText(what, text, maxWhat); err != nil {
			return err
		}
	}
	return checkText("the detail of an act", a.Detail, maxDetail)
}
