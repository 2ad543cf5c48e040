package client

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// Request is what to ask of getblocktemplate.
type Request struct {
	// LongPollID makes the call wait until the template that it names should be replaced.
	LongPollID string
	// Target is the share target to ask for; zero asks for none (BIP 23, Basic Pool Extensions).
	Target gbt.Target
	// MaxVersion is the highest block version that is wanted; 0 for any (BIP 22, Template
	// Tweaking).
	MaxVersion int32
	// SizeLimit is the most bytes that the block should take and SigopLimit the most BIP 141 sigop
	// cost; negative numbers are offsets from the block's own limits, 0 asks for nothing (BIP 22,
	// Template Tweaking).
	SizeLimit, SigopLimit int64
	// Choose asks to be let choose the transactions (Offer.With), and for the abbreviations that
	// make it cheap to propose and submit such blocks.
	Choose bool
	// Capabilities adds to what the server is told that the miner can do, by the names of BIP 22
	// (Block Template Request) and BIP 23.
	Capabilities []string
}

// params returns getblocktemplate's parameter object.
func (r Request) params() map[string]any {
	capabilities := []string{
		"coinbasetxn", "coinbasevalue", "longpoll", "workid", "proposal", mutationAppend, "time", submitCoinbase,
	}
	if r.Choose {
		capabilities = append(capabilities, mutationTransactions, submitHash, shareCoinbase, shareMerkle)
	}
	out := map[string]any{"capabilities": append(capabilities, r.Capabilities...), "rules": supportedRules()}
	if r.LongPollID != "" {
		out["longpollid"] = r.LongPollID
	}
	if r.Target != (gbt.Target{}) {
		out["target"] = r.Target.String()
	}
	if r.MaxVersion != 0 {
		out["maxversion"] = r.MaxVersion
	}
	if r.SizeLimit != 0 {
		out["sizelimit"] = r.SizeLimit
	}
	if r.SigopLimit != 0 {
		out["sigoplimit"] = r.SigopLimit
	}
	return out
}

// Template asks for a template. With a LongPollID it waits as long as the server takes, at the
// server's own URI for that if from, the template that the id is from, names one; ctx alone ends
// the wait. An answer that cannot be mined gives an error that matches ErrTemplate, a refusal an
// *Error. The result's LongPollURI is absolute.
func (c *Client) Template(ctx context.Context, req Request, from *Template) (*Template, error) {
	u := c.url
	if req.LongPollID == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	} else if from != nil && from.LongPollURI != "" {
		var err error
		if u, err = resolve(c.url, from.LongPollURI); err != nil {
			return nil, err
		}
	}
	answer, err := c.call(ctx, u, "getblocktemplate", req.params())
	if err != nil {
		return nil, err
	}
	t, err := ParseTemplate(answer.result)
	if err != nil {
		return nil, err
	}
	t.Received = time.Now()
	switch {
	case req.LongPollID == "":
		t.SubmitOld = true // BIP 22: only long poll answers say
	case t.LongPollURI == "" && u != c.url:
		t.LongPollURI = u.String() // BIP 22: the next poll goes to the same URI
	}
	if t.LongPollURI != "" {
		if u, err = resolve(u, t.LongPollURI); err != nil {
			return nil, err
		}
		t.LongPollURI = u.String()
	}
	return t, nil
}

// resolve returns where longpolluri points from the URL of the answer that names it (RFC 3986).
func resolve(base *url.URL, longPollURI string) (*url.URL, error) {
	u, err := base.Parse(longPollURI)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: longpolluri: %w", ErrTemplate, err)
	case !usable(u):
		return nil, fmt.Errorf("%w: longpolluri %.80q is not http or https", ErrTemplate, longPollURI)
	}
	return u, nil
}
