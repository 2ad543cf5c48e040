package client

import (
	"cmp"
	"context"
	"encoding/hex"
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
	t := b.Template()
	serialize := b.Serialize
	if t.Allows(mutationSubmitCoinbase) {
		serialize = b.Abbreviated
	}
	raw, err := serialize()
	if err != nil {
		return "", err
	}
	params := []any{hex.EncodeToString(raw)}
	if t.WorkID != "" {
		params = append(params, map[string]string{"workid": t.WorkID})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var result json.RawMessage
	if err := c.call(ctx, c.url, &result, "submitblock", params...); err != nil {
		return "", err
	}
	return verdict(result)
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
