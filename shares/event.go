package shares

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	// maxKind bounds the kind of an event and maxOnce what it is published once by, in bytes.
	maxKind, maxOnce = 32, 128
	// maxEventData bounds what an event says, in bytes.
	maxEventData = 16 << 10
)

// Event is something that clients of all gateways are told of.
type Event struct {
	// ID is where it is in the order of all events; set by who keeps them.
	ID string
	// Kind names what happened, in letters, digits, dots and underscores, such as block.found.
	Kind string
	// Account is whom it is of; empty if it is of the pool.
	Account string
	// Data says what happened, in JSON.
	Data []byte
	// Time is when it happened, in whole milliseconds.
	Time time.Time
	// Once is what several gateways have in common that see the same thing happen, such as a block's hash: only the
	// first of their events is published. Empty if nobody else sees it. It is not kept with the event.
	Once string
}

// Check refuses an event that is not whole. Errors match ErrMalformed.
func (e *Event) Check() error {
	switch {
	case e.Kind == "" || len(e.Kind) > maxKind || strings.Trim(e.Kind, "abcdefghijklmnopqrstuvwxyz0123456789._") != "":
		return fmt.Errorf("%w: the kind of an event is 1 to %d lower-case letters, digits, dots and underscores", ErrMalformed, maxKind)
	case len(e.Once) > maxOnce:
		return fmt.Errorf("%w: an event is once by more than %d bytes", ErrMalformed, maxOnce)
	case len(e.Data) > maxEventData:
		return fmt.Errorf("%w: an event says more than %d bytes", ErrMalformed, maxEventData)
	case !json.Valid(e.Data):
		return fmt.Errorf("%w: what an event says is no JSON", ErrMalformed)
	case e.Time.UnixMilli() <= 0:
		return fmt.Errorf("%w: an event without time", ErrMalformed)
	case e.Account != "":
		return CheckAccount(e.Account)
	}
	return nil
}
