package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gbtpool/gbtpool/gbt"
)

// Submit sends a block that meets the template's target and returns the server's verdict: an empty
// reason means accepted. The block is abbreviated if the server allows it. An error means that
// there is no verdict, and that sending the block again later is right.
func (c *Client) Submit(ctx context.Context, b *Block) (gbt.Reason, error) {
	r, err := c.submit(ctx, b)
	return r.Reason, err
}

// submit sends a block and returns the server's verdict, without a Template. A block that meets
// the network target must not be lost because the server does not know what an abbreviation stands
// for: it then goes once more, in full.
func (c *Client) submit(ctx context.Context, b *Block) (Ruling, error) {
	t := b.Template()
	solves := t.NetworkTarget.MetBy(b.Header.BlockHash())
	f := t.submissionForm(solves)
	r, err := c.send(ctx, b, f, t.WorkID)
	if err != nil || r.Accepted() || !solves || f == whole || r.Reason == gbt.Duplicate || r.Reason == gbt.StalePrevblk {
		return r, err
	}
	// What is unknown may be the declared work.
	again, err := c.send(ctx, b, whole, t.origin().WorkID)
	if err != nil || again.Accepted() {
		return again, err
	}
	return r, nil
}

// submissionForm returns the shortest form that the server allows for a block of the template. By
// the letter of BIP 23, share/* is not for what meets the network target; but the pool has the
// transactions of what it declared to be work, and can be told of the rest when it has not.
func (t *Template) submissionForm(solves bool) form {
	switch {
	case !t.Declared.IsZero() && t.Allows(shareMerkle):
		return merkled
	case t.Origin == nil && (t.Allows(submitCoinbase) || !solves && t.Allows(shareCoinbase)):
		return abbreviated
	case !solves && t.Allows(shareMerkle):
		return merkled
	case t.Origin != nil && t.Allows(submitHash):
		return hashed
	default:
		return whole
	}
}

// send sends a block in a form.
func (c *Client) send(ctx context.Context, b *Block, f form, workID string) (Ruling, error) {
	data, err := b.encode(f)
	if err != nil {
		return Ruling{}, err
	}
	params := []any{data}
	if workID != "" {
		params = append(params, map[string]string{"workid": workID})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := c.call(ctx, c.url, "submitblock", params...)
	if err != nil {
		return Ruling{}, err
	}
	reason, err := verdict(answer.result)
	if err != nil || reason == "" {
		return Ruling{}, err
	}
	return Ruling{Reason: reason, Detail: answer.detail}, nil
}

// verdict reads submitblock's result (BIP 22, Block Submission): null, a reason, or an object with
// one of these for each chain that is mined together; accepted on one is accepted.
func verdict(result json.RawMessage) (gbt.Reason, error) {
	var one *string
	if err := json.Unmarshal(result, &one); err == nil {
		if one == nil {
			return "", nil
		}
		// A refusal without a word is one all the same.
		return cmp.Or(gbt.Reason(printable(*one)), gbt.Rejected), nil
	}
	var chains map[string]*string
	if err := json.Unmarshal(result, &chains); err != nil || len(chains) == 0 {
		return "", fmt.Errorf("submitblock: the result %.80q is no verdict", result)
	}
	reasons := make([]string, 0, len(chains))
	for _, chain := range slices.Sorted(maps.Keys(chains)) {
		reason := chains[chain]
		if reason == nil {
			return "", nil
		}
		reasons = append(reasons, chain+": "+*reason)
	}
	return gbt.Reason(printable(strings.Join(reasons, ", "))), nil
}
