package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// Ruling is what a server says of a proposal.
type Ruling struct {
	// Reason is empty if the block may be mined.
	Reason gbt.Reason
	// Detail says more than Reason, in the server's words; empty if it does not.
	Detail string
	// Template is what to mine if Reason is empty: the template of the proposed block if it is
	// acceptable as it is, or the declared work that it has become, on the server's terms.
	Template *Template
}

// Accepted reports whether there is something to mine.
func (r Ruling) Accepted() bool { return r.Reason == "" }

// Propose asks the server whether it would take a block, its proof of work aside (BIP 23, Block
// Proposal). Transactions that the server's template has are sent as hashes if it allows that. An
// error means that there is no ruling, and that asking again later is right.
func (c *Client) Propose(ctx context.Context, b *Block) (Ruling, error) {
	t := b.Template()
	data, err := b.encode(t.proposalForm())
	if err != nil {
		return Ruling{}, err
	}
	params := map[string]string{"mode": "proposal", "data": data}
	if t.WorkID != "" {
		params["workid"] = t.WorkID
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := time.Now() // the server may count from before its answer arrives
	answer, err := c.call(ctx, c.url, "getblocktemplate", params)
	if err != nil {
		return Ruling{}, err
	}
	r, err := t.ruling(answer.result, asked)
	if err != nil {
		return Ruling{}, fmt.Errorf("proposal: %w", err)
	}
	if !r.Accepted() {
		r.Detail = answer.detail
	}
	return r, nil
}

// proposalForm returns how to send a block of the template as a proposal.
func (t *Template) proposalForm() form {
	switch {
	case t.Origin == nil && t.Allows(submitCoinbase):
		return abbreviated
	case t.Allows(submitHash):
		return hashed
	default:
		return whole
	}
}

// ruling reads the answer to a proposal of a block of t.
func (t *Template) ruling(result json.RawMessage, asked time.Time) (Ruling, error) {
	var reason *string
	if err := json.Unmarshal(result, &reason); err == nil {
		if reason == nil {
			return Ruling{Template: t}, nil
		}
		return refused(*reason), nil
	}
	var delta map[string]json.RawMessage
	if err := json.Unmarshal(result, &delta); err != nil {
		return Ruling{}, fmt.Errorf("the result %.80q is no answer", result)
	}
	var said struct {
		WorkID string  `json:"workid"`
		Reason *string `json:"reject-reason"`
	}
	if err := json.Unmarshal(result, &said); err != nil {
		return Ruling{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	delete(delta, "workid")
	delete(delta, "reject-reason")
	if said.WorkID == "" && said.Reason != nil && len(delta) == 0 {
		return refused(*said.Reason), nil // there is nothing to do about it
	}
	out := t.declare(said.WorkID, asked)
	if len(delta) == 0 {
		return Ruling{Template: out}, nil
	}
	out, err := out.change(result)
	return Ruling{Template: out}, err
}

// refused returns the ruling that gives a reason. A refusal without a word is one all the same.
func refused(reason string) Ruling {
	return Ruling{Reason: cmp.Or(gbt.Reason(printable(reason)), gbt.Rejected)}
}

// declare returns the declared work that a proposal has become; t itself if it has become none.
func (t *Template) declare(workID string, at time.Time) *Template {
	if workID == "" {
		return t
	}
	out := *t
	out.Origin, out.WorkID, out.Declared = t.origin(), workID, at
	return &out
}

// change returns t with the changes of a delta template. What that does not say is as in t, or in
// the server's template that it was made of.
func (t *Template) change(delta json.RawMessage) (*Template, error) {
	var in templateJSON
	if err := json.Unmarshal(t.origin().JSON, &in); err != nil {
		return nil, fmt.Errorf("%w: changes to a template that was not received: %w", ErrTemplate, err)
	}
	value, old := t.CoinbaseValue, t.SubmitOld
	if in.CoinbaseValue = &value; in.CoinbaseTxn != nil {
		in.CoinbaseValue = nil // it is what the coinbase claims
	}
	in.WorkID, in.SubmitOld = t.WorkID, &old
	// Decoding goes on where the server's template ended. What these were is not to show through.
	coinbase, transactions := in.CoinbaseTxn, in.Transactions
	in.CoinbaseTxn, in.Transactions = nil, nil
	if err := json.Unmarshal(delta, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	keepCoinbase, keepTransactions := in.CoinbaseTxn == nil, in.Transactions == nil
	if keepCoinbase {
		in.CoinbaseTxn = coinbase
	}
	if keepTransactions && transactions != nil {
		in.Transactions = new([]transactionJSON)
	}
	out, err := in.parse()
	if err != nil {
		return nil, err
	}
	if keepTransactions {
		out.Transactions = t.Transactions
	}
	if keepCoinbase && t.CoinbaseTxn != nil {
		out.CoinbaseTxn, out.CoinbaseValue = t.CoinbaseTxn, t.CoinbaseValue
	}
	out.Received, out.LongPollURI, out.Origin, out.Declared = t.Received, t.LongPollURI, t.origin(), t.Declared
	return out, nil
}
