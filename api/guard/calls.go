package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// methodSubmitBlock is the method that is never limited, and whose submissions are refused, if at
// all, by Submissions.
const methodSubmitBlock = "submitblock"

// CallsConfig configures Calls. Bans and Buckets are required.
type CallsConfig struct {
	Bans    *Bans
	Buckets *Buckets
	// Address limits the calls from one address, Account those in the name of an account at an
	// address. See DefaultCalls.
	Address, Account Rate
}

// DefaultCalls suit a farm of several hundred machines behind one address: all of them ask at once
// when a block is found, and programs without long polls every few seconds.
func DefaultCalls() (address, account Rate) {
	return Rate{Count: 100, Per: time.Second, Burst: 2000}, Rate{Count: 50, Per: time.Second, Burst: 1000}
}

// Calls decides which JSON-RPC calls of miners are served. It is safe for concurrent use.
type Calls struct{ cfg CallsConfig }

// NewCalls makes Calls.
func NewCalls(cfg CallsConfig) (*Calls, error) {
	if cfg.Bans == nil || cfg.Buckets == nil {
		return nil, errors.New("guard: Calls: Bans and Buckets are required")
	}
	if err := errors.Join(cfg.Address.validate(), cfg.Account.validate()); err != nil {
		return nil, fmt.Errorf("guard: Calls: %w", err)
	}
	return &Calls{cfg}, nil
}

// CallError is why a call is not served. It is told with HTTP 403 or 429 and a JSON-RPC error: every
// known miner asks for work again after either, as after any status of 400 and more but 404. It is
// no answer to a submission.
type CallError struct {
	// Status is the HTTP status.
	Status int
	// Message is for whoever reads the miner's log.
	Message string
	// RetryAfter is when asking again helps; 0 if that is not known.
	RetryAfter time.Duration
	// Ban is set if the client is banned.
	Ban *shares.Ban
}

// Error implements error.
func (r *CallError) Error() string { return r.Message }

// Check returns a *CallError if a call is not to be served now, and else nil. submitblock is always
// served: a banned miner hears of it from Submissions.
func (c *Calls) Check(method string, client netip.Addr, account string) error {
	if method == methodSubmitBlock {
		return nil
	}
	if ban, ok := c.cfg.Bans.Banned(client, account); ok {
		r := &CallError{Status: http.StatusForbidden, Message: banText(&ban), Ban: &ban}
		if !ban.Until.IsZero() {
			r.RetryAfter = ban.Until.Sub(c.cfg.Bans.cfg.Now())
		}
		return r
	}
	network := Network(client)
	if !network.IsValid() {
		return nil // clients cannot be told apart
	}
	if err := c.limit(network.String(), c.cfg.Address); err != nil || account == "" {
		return err
	}
	return c.limit(string(subjectOf(account, network)), c.cfg.Account)
}

// limit counts a call.
func (c *Calls) limit(key string, rate Rate) error {
	if rate.Count == 0 {
		return nil
	}
	ok, retryAfter, _ := c.cfg.Buckets.take(key, rate)
	if ok {
		return nil
	}
	return &CallError{
		Status: http.StatusTooManyRequests, RetryAfter: retryAfter,
		Message: fmt.Sprintf("more calls from %s than %s: have your program use long polls instead of asking again and again", key, rate),
	}
}
