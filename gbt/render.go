package gbt

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The parts of a template answer that never change.
const (
	// nonceRange is the whole range (BIP 23, Mutations).
	nonceRange = "00000000ffffffff"
	// ruleSegwit is the deployment's name (BIP 9, BIP 145).
	ruleSegwit = "segwit"
)

// renderTail returns the part of the getblocktemplate result that all work on t shares, as JSON
// text without the opening brace. It is rendered once per template because it is megabytes.
func (t *Template) renderTail() ([]byte, error) {
	small, err := json.Marshal(struct {
		Version     int32          `json:"version"`
		Rules       []string       `json:"rules"`
		VBAvailable map[string]int `json:"vbavailable"`
		VBRequired  uint32         `json:"vbrequired"`
		Previous    string         `json:"previousblockhash"`
		Bits        string         `json:"bits"`
		FullTarget  Target         `json:"fulltarget"`
		Height      int32          `json:"height"`
		MinTime     int64          `json:"mintime"`
		NonceRange  string         `json:"noncerange"`
		SigopLimit  int64          `json:"sigoplimit"`
		SizeLimit   int64          `json:"sizelimit"`
		WeightLimit int64          `json:"weightlimit"`
		CoinbaseAux struct{}       `json:"coinbaseaux"`
		Commitment  string         `json:"default_witness_commitment,omitempty"`
	}{
		Version: t.Version, Rules: t.servedRules(), VBAvailable: t.servedVBAvailable(), VBRequired: t.VBRequired,
		Previous: t.PreviousBlock.String(), Bits: fmt.Sprintf("%08x", t.Bits), FullTarget: t.NetworkTarget,
		Height: t.Height, MinTime: t.MinTime, NonceRange: nonceRange,
		SigopLimit: t.SigopLimit, SizeLimit: t.SizeLimit, WeightLimit: t.WeightLimit,
		Commitment: hex.EncodeToString(t.WitnessCommitment),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	tail := make([]byte, 0, len(small)+2*len(t.body)+300*len(t.Transactions)+64)
	tail = append(tail, `"transactions":[`...)
	for i := range t.Transactions {
		if i > 0 {
			tail = append(tail, ',')
		}
		tail = t.Transactions[i].appendJSON(tail)
	}
	tail = append(tail, `],`...)
	return append(tail, small[1:]...), nil // without the opening brace
}

// appendJSON appends the element of "transactions" (BIP 22 and BIP 145, Transactions Object
// Format).
func (tx *Transaction) appendJSON(b []byte) []byte {
	b = append(b, `{"data":"`...)
	b = hex.AppendEncode(b, tx.Raw)
	b = append(b, `","txid":"`...)
	b = append(b, tx.TxID.String()...)
	b = append(b, `","hash":"`...)
	b = append(b, tx.Hash.String()...)
	b = append(b, `","depends":[`...)
	for i, parent := range tx.Depends {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(parent)+1, 10) // counted from 1 on the wire
	}
	b = append(b, ']')
	if tx.FeeKnown {
		b = append(b, `,"fee":`...)
		b = strconv.AppendInt(b, tx.Fee, 10)
	}
	b = append(b, `,"sigops":`...)
	b = strconv.AppendInt(b, tx.Sigops, 10)
	b = append(b, `,"weight":`...)
	b = strconv.AppendInt(b, tx.Weight, 10)
	if tx.Required {
		b = append(b, `,"required":true`...)
	}
	return append(b, '}')
}

// servedRules returns the rules as clients must see them: segwit carries the '!' prefix exactly
// when transactions have witnesses (BIP 145, Block Template), whatever the node said of it.
func (t *Template) servedRules() []string {
	rules := make([]string, 0, len(t.Rules)+1)
	known := false
	for _, rule := range t.Rules {
		if strings.TrimPrefix(rule, "!") == ruleSegwit {
			known = true
			rule = t.segwitRule()
		}
		rules = append(rules, rule)
	}
	// btcd names no rules.
	if !known && t.WitnessCommitment != nil {
		rules = append(rules, t.segwitRule())
	}
	return rules
}

func (t *Template) segwitRule() string {
	if t.WitnessCommitment != nil {
		return "!" + ruleSegwit
	}
	return ruleSegwit
}

// servedVBAvailable is never nil: clients want rules and vbavailable together or not at all.
func (t *Template) servedVBAvailable() map[string]int {
	if t.VBAvailable == nil {
		return map[string]int{}
	}
	return t.VBAvailable
}

// needsSegwit reports whether a client has to know segwit to mine the template.
func (t *Template) needsSegwit() bool { return t.WitnessCommitment != nil }

// knowsSegwit reports whether a request names the segwit rule.
func (r *TemplateRequest) knowsSegwit() bool { return slices.Contains(r.Rules, ruleSegwit) }
